#pragma once

#include <vector>

#include "mappings/entry.hpp"
#include "mappings/level.hpp"
#include "mappings/problem.hpp"

namespace weft::mappings {

/// The entries in force for a folder, in the order in which they are tried. Not owned.
using Chain = std::vector<Entry*>;

/// The chain below `level`, where `inherited` is the one above it.
///
/// The level's own entries come first, in the file's order, then what is left of the inherited ones
/// in theirs. An `add` whose key is there already, here or above, takes its place away and stands
/// where it is written; `remove` takes a key away, wherever it is from; `clear` takes everything.
///
/// A `remove` of what is not there adds a warning to `problems`, unless that is null.
///
/// Lifetime: the level keeps owning its entries.
/// Cost: linear in both.
[[nodiscard]] Chain Extend(const Chain& inherited, const Level& level,
                           std::vector<Problem>* problems);

/// The runtime below a level, where `inherited` is the one above it.
[[nodiscard]] Runtime Extend(const Runtime& inherited, const RuntimeOverrides& overrides);

}  // namespace weft::mappings
