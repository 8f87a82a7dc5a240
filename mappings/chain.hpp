#pragma once

#include <vector>

#include "mappings/entry.hpp"
#include "mappings/folder_settings.hpp"
#include "mappings/level.hpp"
#include "mappings/problem.hpp"

namespace weft::mappings {

/// The entries in force for a folder, in the order in which they are tried. Not owned.
using Chain = std::vector<Entry*>;

/// What Extend() tells of.
struct ChainProblems {
  std::vector<Problem>& problems;
  /// Whether a `remove` of what is not there is told: a warning. Not where an entry may be missing for an error
  /// that has been told already.
  bool warn = true;
};

/// The chain below a block, where `inherited` is the one above it.
///
/// The block's own entries come first, in the file's order, then what is left of the inherited ones
/// in theirs. An `add` whose key is there already, here or above, takes its place away and stands
/// where it is written; `remove` takes a key away, wherever it is from; `clear` takes everything.
///
/// An inherited entry that is locked stays: to take it away is an error.
///
/// Lifetime: the block keeps owning its entries.
/// Cost: linear in both.
[[nodiscard]] Chain Extend(const Chain& inherited, const std::vector<Directive>& directives,
                           const ChainProblems& problems);

/// The settings below a block, where `inherited` are those above it. Adds the block to the levels.
[[nodiscard]] FolderSettings Extend(const FolderSettings& inherited, const Block& block);

}  // namespace weft::mappings
