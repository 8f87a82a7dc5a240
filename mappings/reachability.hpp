#pragma once

#include <string>
#include <vector>

#include "mappings/entry.hpp"
#include "mappings/problem.hpp"

namespace weft::mappings {

/// The entries of a folder's chain, in the order in which they are searched.
struct SearchedChain {
  /// An entry as it was read, and as it is searched: with the application's root in place of each `~/`.
  struct Place {
    const Entry* written;
    const Entry* searched;
  };

  std::vector<Place> places;
  std::string application_root;
  /// False where a file on the way to a folder of this chain has errors: what it should say is not known.
  bool complete = true;
};

/// Tells of the entries of `read` that no request can reach: of those that are in none of the chains, and of those that
/// come, in each chain that they are in, behind others that match all that they match.
///
/// What is told is so. What is so may stay untold: an entry is compared member by member of its verbs and
/// alternative by alternative of its path, each with one member and one alternative of an earlier entry; two that
/// cover it only together are not noticed, nor is it considered that a folder's paths all begin with the folder's. What
/// stands in a chain that is not complete is not told of, nor are the built-in defaults.
///
/// `read` are the entries of all files, in their order. `all_files_read` is false where there are files or folders
/// beside them whose chains are not known: an entry may be in one of those.
/// Why an entry in no chain is told of in spite of errors: what an error hides may take an entry away, never bring it back.
///
/// Cost: about the product of the entries of a chain and those of them that are new in it.
void TellUnreachable(const std::vector<SearchedChain>& chains,
                     const std::vector<const Entry*>& read, bool all_files_read,
                     std::vector<Problem>& problems);

/// Tells of entries that share their name with another of the same chain: logs and metrics cannot tell them apart. Not
/// of those in chains that are not complete.
void TellRepeatedNames(const std::vector<SearchedChain>& chains, std::vector<Problem>& problems);

}  // namespace weft::mappings
