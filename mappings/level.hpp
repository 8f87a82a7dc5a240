#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mappings/entry.hpp"
#include "mappings/problem.hpp"

namespace weft::mappings {

/// Identifies an entry to `remove` and to a later `add`: verb text and path text, letter by letter
/// but for letter case.
[[nodiscard]] std::string EntryKey(std::string_view verb, std::string_view path);

struct AddDirective {
  std::string key;
  std::unique_ptr<Entry> entry;  ///< Never null in a level that was just read.
};

struct RemoveDirective {
  std::string key;
  std::string verb;
  std::string path;
  SourceLocation where;
};

struct ClearDirective {};

using Directive = std::variant<AddDirective, RemoveDirective, ClearDirective>;

/// What one mapping file says.
struct Level {
  std::vector<Directive> directives;  ///< `httpHandlers`, in the file's order.
  RuntimeOverrides runtime;
  /// False when the file has errors: directives may be missing.
  bool complete = true;
};

/// The longest timeout a file may ask for, one day: a larger number is milliseconds by mistake.
inline constexpr std::uint64_t kMaxExecutionTimeoutSeconds = 86'400;

/// The largest body limit a file may ask for, 2^53 - 1: the largest number that every JSON tool
/// keeps exact.
inline constexpr std::uint64_t kMaxRequestBytesLimit = 9'007'199'254'740'991;

/// The longest `name` of an entry, in code points: it stands in every log line and metric of the
/// entry.
inline constexpr std::size_t kMaxEntryNameLength = 128;

/// Reads the text of one mapping file, and adds everything that is wrong with it to `problems`.
/// `file` is the name they carry.
[[nodiscard]] Level ReadLevel(std::string_view text, std::string file,
                              std::vector<Problem>& problems);

}  // namespace weft::mappings
