#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
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
/// Several chains may share an index, each without a few of its entries: a search is told which it is to pass over.
///
/// Paths are normalised: absolute, without a NUL.
///
/// Threads: immutable after construction.
class EntryIndex {
 public:
  /// Places in Entries(), in ascending order.
  using Places = std::span<const std::uint32_t>;

  /// Null stands for an entry that every search passes over. Lifetime: the entries are not owned.
  explicit EntryIndex(std::vector<const Entry*> entries);

  [[nodiscard]] const std::vector<const Entry*>& Entries() const { return entries_; }

  /// Calls `visit` with each entry that is not at one of the `skipped` places, in order, until it returns false;
  /// returns whether it never did.
  template <class Visit>
  bool ForEachEntry(Places skipped, Visit visit) const;

  /// The words of the automata that one byte of a path goes through at most, all patterns together but for those at
  /// the `skipped` places.
  [[nodiscard]] std::size_t GlobWords(Places skipped = {}) const;

  /// What entries say about a path.
  struct Match {
    const Entry* entry = nullptr;  ///< The first that matches verb and path.
    bool path_matched = false;     ///< By any entry that applies, whatever its verb.
    /// By the pattern of an entry other than by a bare `*`, whatever its verb, and whether or not it applies.
    bool specific = false;
  };

  /// Adds what these entries, but for those at the `skipped` places, say to `match`, which holds what the entries
  /// before them say. An entry of a resource type that `probe` does not find at the path does not apply.
  ///
  /// Cost: a search of the tails, and at most one pass of each automaton over the path; entries
  /// that match the path, but are skipped or not for the verb, cost a look each.
  void Search(std::string_view verb, std::string_view path, ResourceProbe& probe, Match& match,
              Places skipped = {}) const;

  /// The largest `end` in [min_end, max_end] at which a segment of `path` ends and the path up to
  /// it is matched by an entry other than by a bare `*`, and not at a `skipped` place; 0 when there is none. Needs
  /// `0 < min_end` and `max_end <= path.size()`.
  ///
  /// Cost: a search of the tails for each segment, and one pass of each automaton over the path.
  /// Of a tail with n slashes a search reads n + 1 segments at most, so that all searches together
  /// read each byte no more than n + 2 times.
  [[nodiscard]] std::size_t LongestSpecificPrefix(std::string_view path, std::size_t min_end,
                                                  std::size_t max_end, Places skipped = {}) const;

 private:
  static bool Contains(Places places, std::size_t place) {
    return !places.empty() && std::ranges::binary_search(places, place);
  }

  [[nodiscard]] bool HasTailOf(std::string_view path, Places skipped) const;
  [[nodiscard]] std::size_t LongestPrefixWithTail(std::string_view path, std::size_t min_end,
                                                  std::size_t max_end, Places skipped) const;

  std::vector<const Entry*> entries_;
  // Places in entries_: with their tails; of bare stars; of patterns that have globs.
  TailTree tails_;
  std::vector<std::uint32_t> stars_;
  std::vector<std::uint32_t> globs_;
  std::size_t glob_words_ = 0;
};

template <class Visit>
bool EntryIndex::ForEachEntry(Places skipped, Visit visit) const {
  auto next_skipped = skipped.begin();
  for (std::size_t place = 0; place < entries_.size(); ++place) {
    if (next_skipped != skipped.end() && *next_skipped == place) {
      ++next_skipped;
    } else if (entries_[place] != nullptr && !visit(*entries_[place])) {
      return false;
    }
  }
  return true;
}

}  // namespace weft::mappings
