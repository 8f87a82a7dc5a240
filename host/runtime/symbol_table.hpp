#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::host::runtime {

/// The functions of one ELF file, those that it does not export as well. Of what is no sound file, none.
///
/// Threads: one at a time makes it; any read it.
class SymbolTable {
 public:
  /// Of its symbols: those of the linker alone, which `strip` takes away, or, where there are none, those that it exports.
  enum class Which { kStatic, kAny };

  /// Reads a regular file; waits for no other.
  SymbolTable(const char* file, Which which);

  /// The function that has `address`, as the file counts: its size and its name; null: none is known.
  [[nodiscard]] const std::pair<std::uint64_t, std::string>* Find(std::uint64_t address) const;
  [[nodiscard]] std::uint64_t StartOf(std::uint64_t address) const {
    return std::prev(functions_.upper_bound(address))->first;
  }
  /// Of the byte at `offset` of the file, once it is loaded, as the file counts. Nothing: it is not loaded.
  [[nodiscard]] std::optional<std::uint64_t> AddressOf(std::uint64_t offset) const;

 private:
  struct Segment {
    std::uint64_t offset;
    std::uint64_t bytes;
    std::uint64_t address;
  };

  void Read(std::string_view image, Which which);
  void ReadSymbols(std::string_view image, std::uint32_t section_type);
  void ReadSegments(std::string_view image);

  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> functions_;
  std::vector<Segment> segments_;
};

/// As a person writes it; what cannot be told is left as it is.
[[nodiscard]] std::string Demangled(const char* name);
/// `0x1f`
[[nodiscard]] std::string Hexadecimal(std::uint64_t number);

}  // namespace weft::host::runtime
