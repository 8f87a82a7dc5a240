#pragma once

#include <string>
#include <unordered_set>
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

/// The entries above a block.
class IInherited {
 public:
  virtual ~IInherited() = default;
  /// The one of this key (EntryKey()); null where there is none.
  virtual Entry* Find(const std::string& key) = 0;
  /// All of them, in the order in which they are tried. Asked for only where they are cleared, or a `remove` finds
  /// nothing. Lifetime: until the next call.
  virtual const Chain& All() = 0;
};

/// What a block makes of the chain above it.
struct Extension {
  Chain own;             ///< What is tried first, before what is left of the inherited entries.
  bool cleared = false;  ///< Nothing is left of these.
  std::unordered_set<const Entry*>
      taken;  ///< Where they are not cleared: what is not left of them.
};

/// The chain below a block.
///
/// The block's own entries come first, in the file's order, then what is left of the inherited ones
/// in theirs. An `add` whose key is there already, here or above, takes its place away and stands
/// where it is written; `remove` takes a key away, wherever it is from; `clear` takes everything.
///
/// An inherited entry that is locked stays: to take it away is an error.
///
/// Lifetime: the block keeps owning its entries.
/// Cost: linear in the block; where the inherited entries are cleared, or nothing is there to remove, in both.
[[nodiscard]] Extension Extend(IInherited& inherited, const std::vector<Directive>& directives,
                               const ChainProblems& problems);

/// The same, as one chain. Cost: linear in both.
[[nodiscard]] Chain Extend(const Chain& inherited, const std::vector<Directive>& directives,
                           const ChainProblems& problems);

/// The settings below a block, where `inherited` are those above it. Adds the block to the levels.
[[nodiscard]] FolderSettings Extend(const FolderSettings& inherited, const Block& block);

}  // namespace weft::mappings
