#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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

  /// Which texts a question is about.
  enum class Texts {
    kAny,    ///< All without a NUL.
    kPaths,  ///< Normalised paths: as NormalisePath() leaves them.
  };

  /// One of the texts that are asked about, and which of the others match it: bit i stands for others[i].
  struct Overlap {
    std::uint64_t matched = 0;
    std::string text;
  };

  struct Overlaps {
    std::vector<Overlap> found;
    /// False where the steps did not suffice: there may be more.
    bool complete = true;
  };

  /// In which combinations `others` match the texts that this matches, of those that begin with `start`: each once, with
  /// one of its shortest texts. With `until_none` the search ends at a text that none of them matches.
  ///
  /// It takes at most kMaxOverlapSteps, and at most `steps`, which it lowers by those that it took. `others` are
  /// kMaxOthers at most; `start` begins such a text.
  [[nodiscard]] Overlaps FindOverlaps(std::span<const Glob* const> others, std::string_view start,
                                      Texts texts, bool until_none, std::size_t& steps) const;

  /// How many bytes and `?` of the pattern a text that begins with `start` has used up there, at the least; kNone where
  /// this matches no such text.
  [[nodiscard]] std::size_t TokensUsed(std::string_view start) const;

  static constexpr std::size_t kMaxOthers = 64;

  /// Steps of all the automata together: some milliseconds. The patterns of real mapping files take a few dozen.
  static constexpr std::size_t kMaxOverlapSteps = 4096;

 private:
  static constexpr std::size_t kMaxWords = kMaxPatternBytes / 64 + 1;

  [[nodiscard]] std::size_t LongestPrefixInOneWord(std::string_view text, std::size_t min_end,
                                                   std::size_t max_end) const;
  [[nodiscard]] std::size_t LongestPrefixInWords(std::string_view text, std::size_t min_end,
                                                 std::size_t max_end) const;

  using States = std::vector<std::uint64_t>;

  class Product;

  [[nodiscard]] States FirstStates() const;
  void Step(const std::uint64_t* states, unsigned char byte, std::uint64_t* next) const;
  [[nodiscard]] bool Accepts(const std::uint64_t* states) const;

  bool floating_;
  std::size_t words_ = 1;
  std::size_t last_state_ = 0;
  // Bytes that no state tells apart share a class, which keeps the table in a few cache lines.
  std::array<std::uint8_t, 256> class_of_byte_{};
  // Per class: the states it takes one further, then the states it leaves where they are.
  std::vector<std::uint64_t> masks_;
};

}  // namespace weft::mappings
