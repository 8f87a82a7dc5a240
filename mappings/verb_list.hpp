#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mappings/glob.hpp"

namespace weft::mappings {

/// The verb text of a directive, compiled: which request methods an entry serves.
///
/// Members are separated by commas; blanks (spaces and tabs) are ignored wherever they stand;
/// letter case counts; `*` is any run of characters, `?` one.
///
/// Threads: immutable after construction.
class VerbList {
 public:
  /// No member of `text` is longer than Glob::kMaxPatternBytes.
  explicit VerbList(std::string_view text);

  [[nodiscard]] bool Matches(std::string_view verb) const;

  /// Whether one of the members is a bare `*`.
  [[nodiscard]] bool MatchesEverything() const { return matches_everything_; }

  /// The methods by name, in the list's order, as an Allow header gives them. A member with
  /// wildcards stands for those of the well-known methods (RFC 9110, and PATCH) that it matches.
  [[nodiscard]] const std::vector<std::string>& Names() const { return names_; }

 private:
  bool matches_everything_ = false;
  std::vector<std::string> literals_;
  std::vector<Glob> globs_;
  std::vector<std::string> names_;
};

/// `text` without its spaces and tabs.
[[nodiscard]] std::string WithoutBlanks(std::string_view text);

}  // namespace weft::mappings
