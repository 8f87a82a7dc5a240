#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/glob.hpp"

namespace weft::mappings {

/// A normalised path, with what all patterns ask of it worked out once.
///
/// Lifetime: views the text that it was made from.
struct CandidatePath {
  explicit CandidatePath(std::string_view path);

  std::string_view text;
  /// The bytes after the last segment's last dot, lower-case, packed into a number; 0 when there
  /// are none or more than eight.
  std::uint64_t extension;
};

/// The path text of a directive, compiled: which paths an entry serves.
///
/// - `,` separates alternatives; blanks are part of them. An empty one matches a path that ends in
///   `/`.
/// - `*` is any run of characters but `/`, `?` one character but `/`, `**` any run at all.
/// - An alternative matches as a suffix of the path that begins at the path's start or right after
/// a
///   `/`. One that begins with `/` therefore matches the whole path.
/// - `~/` stands for the application's root: the rest matches the whole path below it.
/// - ASCII letter case is ignored.
///
/// Cost: alternatives without wildcards, or with a leading star only, cost one comparison of their
/// own length, and `*.ext` alternatives one search among all of the pattern; any other one pass of
/// a Glob over the path. Where many patterns are asked, EntryIndex asks them together.
///
/// Threads: immutable after construction.
class PathPattern {
 public:
  /// The longest alternative; longer ones are for the caller to refuse.
  static constexpr std::size_t kMaxAlternativeBytes = Glob::kMaxPatternBytes;

  /// No alternative of `text` is longer than kMaxAlternativeBytes, also with `application_root` in place of its
  /// `~/`. The root begins and ends with `/` and holds no wildcard and no comma.
  explicit PathPattern(std::string_view text, std::string_view application_root = "/");

  /// Whether an alternative begins with `~/`.
  [[nodiscard]] static bool IsRooted(std::string_view text);

  [[nodiscard]] bool Matches(const CandidatePath& path) const {
    return matches_everything_ || MatchesSpecifically(path);
  }

  /// Whether an alternative other than a bare `*` matches.
  [[nodiscard]] bool MatchesSpecifically(const CandidatePath& path) const;

  /// Whether one of the alternatives is a bare `*`.
  [[nodiscard]] bool MatchesEverything() const { return matches_everything_; }

  /// What the paths end in that the other alternatives without a Glob match, in small letters: of
  /// `*.ext` it is `.ext`, of `a.x` `/a.x`, and of `/a.x` that with TailTree::kStart before it.
  [[nodiscard]] std::vector<std::string> Tails() const;

  /// The alternatives that have wildcards elsewhere than at the beginning.
  [[nodiscard]] const std::vector<Glob>& Globs() const { return globs_; }

 private:
  struct Literal {
    enum class Begins { kAnywhere, kAtSegment, kAtStart };
    std::string lower;
    Begins begins;
  };

  void AddAlternative(std::string_view alternative, std::string_view application_root);
  static bool Matches(const Literal& literal, std::string_view path);

  bool matches_everything_ = false;
  std::vector<std::uint64_t> extensions_;  // sorted
  std::vector<Literal> literals_;
  std::vector<Glob> globs_;
};

/// The members of a comma-separated list, empty ones included, as they stand.
///
/// Lifetime: the members view `text`.
[[nodiscard]] std::vector<std::string_view> SplitAtCommas(std::string_view text);

}  // namespace weft::mappings
