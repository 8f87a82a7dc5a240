#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace weft::mappings {

/// A text with wildcards, compiled to an automaton that reads every byte of its input once.
///
/// `*` is any run of characters, also an empty one; `?` is one character: a UTF-8 code point, where
/// a stray continuation byte counts to the character before it. Everything else is itself; nothing
/// escapes a wildcard.
///
/// Cost: O(text * (pattern / 64 + 1)) time whatever both hold, no recursion, no allocation while
/// matching.
/// Why: the usual wildcard loop with one fallback point is quadratic at worst, needs two fallback
/// points where `*` and `**` meet, and starts again for every prefix. This one has no bad input and
/// finds the longest matching prefix in the same single pass.
///
/// Threads: immutable after construction.
class Glob {
 public:
  enum class Kind {
    kVerb,        ///< The whole text; letter case counts; `/` is a character like any other.
    kPath,        ///< The whole text; letter case is ignored; only `**` crosses a `/`.
    kPathSuffix,  ///< As kPath, for a suffix that begins at the text's start or right after a `/`.
  };

  /// The longest pattern that is compiled; longer ones are for the caller to refuse. It bounds a
  /// step at 17 words. No URL segment of a real file system exceeds 255 bytes.
  static constexpr std::size_t kMaxPatternBytes = 1024;

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  /// `pattern` is at most kMaxPatternBytes long.
  Glob(std::string_view pattern, Kind kind);

  [[nodiscard]] bool Matches(std::string_view text) const;

  /// The machine words that a byte of a text goes through.
  [[nodiscard]] std::size_t Words() const { return words_; }

  /// The largest `end` in [min_end, max_end] at which a segment of `text` ends (a `/` follows, or
  /// nothing) and `text.substr(0, end)` matches; kNone when there is none. Needs
  /// `max_end <= text.size()`.
  [[nodiscard]] std::size_t LongestPrefix(std::string_view text, std::size_t min_end,
                                          std::size_t max_end) const;

  /// Whether this matches every text that `other` matches, of those that begin with `start`. False also where that
  /// is not found out within kMaxCoverSteps. Texts without a NUL are meant.
  [[nodiscard]] bool Covers(const Glob& other, std::string_view start = {}) const;

  /// Steps of both automata together: some milliseconds. The patterns of real mapping files take a few dozen.
  static constexpr std::size_t kMaxCoverSteps = 4096;

 private:
  static constexpr std::size_t kMaxWords = kMaxPatternBytes / 64 + 1;

  [[nodiscard]] std::size_t LongestPrefixInOneWord(std::string_view text, std::size_t min_end,
                                                   std::size_t max_end) const;
  [[nodiscard]] std::size_t LongestPrefixInWords(std::string_view text, std::size_t min_end,
                                                 std::size_t max_end) const;

  using States = std::vector<std::uint64_t>;

  [[nodiscard]] States FirstStates() const;
  [[nodiscard]] States Step(const States& states, unsigned char byte) const;
  [[nodiscard]] bool Accepts(const States& states) const;

  bool floating_;
  std::size_t words_ = 1;
  std::size_t last_state_ = 0;
  // Bytes that no state tells apart share a class, which keeps the table in a few cache lines.
  std::array<std::uint8_t, 256> class_of_byte_{};
  // Per class: the states it takes one further, then the states it leaves where they are.
  std::vector<std::uint64_t> masks_;
};

}  // namespace weft::mappings
