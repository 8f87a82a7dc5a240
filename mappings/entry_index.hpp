#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "mappings/entry.hpp"
#include "mappings/resources.hpp"
#include "mappings/tail_tree.hpp"

namespace weft::mappings {

/// Entries in the order in which they are tried, searched without trying each.
///
/// An alternative of a pattern without wildcards, or with a leading star only, is a tail of the
/// paths that it matches, and all of these are found together. The others are tried one by one:
/// GlobWords() says what they cost.
///
/// Paths are normalised: absolute, without a NUL.
///
/// Threads: immutable after construction.
class EntryIndex {
 public:
  /// Lifetime: the entries are not owned.
  explicit EntryIndex(std::vector<const Entry*> entries);

  [[nodiscard]] const std::vector<const Entry*>& Entries() const { return entries_; }

  /// The words of the automata that one byte of a path goes through at most, all patterns together.
  [[nodiscard]] std::size_t GlobWords() const { return glob_words_; }

  /// What entries say about a path.
  struct Match {
    const Entry* entry = nullptr;  ///< The first that matches verb and path.
    bool path_matched = false;     ///< By any entry that applies, whatever its verb.
    /// By the pattern of an entry other than by a bare `*`, whatever its verb, and whether or not it applies.
    bool specific = false;
  };

  /// Adds what these entries say to `match`, which holds what the entries before them say. An entry of a
  /// resource type that `probe` does not find at the path does not apply.
  ///
  /// Cost: a search of the tails, and at most one pass of each automaton over the path; entries
  /// that match the path, but not the verb, cost a look each.
  void Search(std::string_view verb, std::string_view path, ResourceProbe& probe,
              Match& match) const;

  /// The largest `end` in [min_end, max_end] at which a segment of `path` ends and the path up to
  /// it is matched by an entry other than by a bare `*`; 0 when there is none. Needs
  /// `0 < min_end` and `max_end <= path.size()`.
  ///
  /// Cost: a search of the tails for each segment, and one pass of each automaton over the path.
  /// Of a tail with n slashes a search reads n + 1 segments at most, so that all searches together
  /// read each byte no more than n + 2 times.
  [[nodiscard]] std::size_t LongestSpecificPrefix(std::string_view path, std::size_t min_end,
                                                  std::size_t max_end) const;

 private:
  [[nodiscard]] std::size_t LongestPrefixWithTail(std::string_view path, std::size_t min_end,
                                                  std::size_t max_end) const;

  std::vector<const Entry*> entries_;
  // Places in entries_: with their tails; of bare stars; of patterns that have globs.
  TailTree tails_;
  std::vector<std::uint32_t> stars_;
  std::vector<std::uint32_t> globs_;
  std::size_t glob_words_ = 0;
};

}  // namespace weft::mappings
