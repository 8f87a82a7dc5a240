#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weft::mappings {

struct Entry;
struct FolderSettings;

/// What requests were resolved to, for folders whose patterns take long to try.
///
/// A request is kept from its second time on. Who asks for many paths once each, as a scanner does, thus displaces
/// nothing.
///
/// Cost: a hash of the request and at most kWays comparisons. Memory: bounded by its size and kMaxKeyBytes.
/// Threads: one at a time. Lifetime: not longer than that of the table whose answers it keeps.
class ResolutionCache {
 public:
  /// Places that one request may be kept in: with 8 a full cache seldom has to give up what is asked for often.
  static constexpr std::size_t kWays = 8;
  /// Longer requests are not kept: it bounds the memory, some 2 MiB, and usual paths are shorter.
  static constexpr std::size_t kMaxKeyBytes = 512;

  struct Answer {
    const Entry* entry = nullptr;
    const FolderSettings* settings = nullptr;
    std::string_view cause;  ///< Of static storage.
    std::string allow;
    std::uint32_t file_path_bytes = 0;
    std::uint8_t outcome = 0;
    bool specific = false;
  };

  /// `requests` is rounded up to a power of two. 4096: more than most sites have paths that are asked for often; it is
  /// allocated where it is of use.
  explicit ResolutionCache(std::size_t requests = 4096);

  /// Names the request that Find() and Offer() are about. The texts are copied.
  void SetRequest(std::size_t site, std::string_view verb, std::string_view script_path,
                  std::string_view path_info);
  /// Null: not known. Valid until the next Offer().
  [[nodiscard]] const Answer* Find();
  /// Keeps the answer if the request has been offered before.
  void Offer(Answer answer);

 private:
  struct Slot {
    std::string key;    // empty: unused
    bool used = false;  // since the hand last came by
    Answer answer;
  };

  [[nodiscard]] Slot* SetOf() { return &slots_[(hash_ & set_mask_) * kWays]; }

  std::size_t set_mask_;
  std::vector<Slot> slots_;  // allocated at the first Offer()
  // What was asked lately: some bits of the hashes, by others, the latest first.
  std::vector<std::array<std::uint32_t, kWays>> offered_;
  std::vector<std::uint8_t> hands_;  // of each set, which way is looked at next
  std::string key_;
  std::size_t hash_ = 0;
};

}  // namespace weft::mappings
