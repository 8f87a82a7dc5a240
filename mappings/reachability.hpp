#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mappings/entry.hpp"
#include "mappings/problem.hpp"

namespace weft::mappings {

/// The entries of some folders' chain, in the order in which they are searched. A chain that is another with entries
/// before it holds only those.
struct SearchedChain {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  /// An entry as it was read, and as it is searched: with the application's root in place of each `~/`.
  struct Place {
    const Entry* written;
    const Entry* searched;
  };

  std::vector<Place> places;
  std::size_t behind = kNone;  ///< The chain whose entries follow: one before this, or kNone.
  std::string application_root;
  /// What all paths begin with that are looked for in this chain, letter case aside: a folder with its final slash, or
  /// the path of a location. Those of a chain that has this one behind it begin so, too.
  std::string scope;
  /// Whether a folder has just this chain. One that has not may be behind others.
  bool used = true;
  /// False where a file on the way to a folder of this chain has errors: what it should say is not known.
  bool complete = true;
};

/// Tells of the entries of `read` that no request can reach: of those that are in none of the chains, of those whose
/// patterns match no path of their folders, and of those that come, in each chain that they are in, behind others that
/// together match all that they match.
///
/// What is told is so. What is so may stay untold: where a pattern is matched only by more than kMaxShadows others
/// together, or to find out takes too many steps (Glob::kMaxOverlapSteps for each question, kMaxReachabilitySteps for
/// all); and it is not considered that paths in a folder below may be looked for in another chain. What stands in a chain
/// that is not complete is not told of, nor are the built-in defaults.
///
/// `read` are the entries of all files, in their order. `all_files_read` is false where there are files or folders
/// beside them whose chains are not known: an entry may be in one of those.
/// Why an entry in no chain is told of in spite of errors: what an error hides may take an entry away, never bring it back.
///
/// Cost: a search of its chain for each alternative, member and resource of an entry, as a request makes it; more for
/// those alone that are not reached by the first.
void TellUnreachable(const std::vector<SearchedChain>& chains,
                     const std::vector<const Entry*>& read, bool all_files_read,
                     std::vector<Problem>& problems);

/// The most entries that are looked at together for one alternative, member and resource of another.
inline constexpr std::size_t kMaxShadows = 16;
/// What all questions of one run may take: some seconds.
inline constexpr std::size_t kMaxReachabilitySteps = std::size_t{1} << 24U;

/// Tells of entries that share their name with another of the same chain: logs and metrics cannot tell them apart. Not
/// of those in chains that are not complete.
void TellRepeatedNames(const std::vector<SearchedChain>& chains, std::vector<Problem>& problems);

}  // namespace weft::mappings
