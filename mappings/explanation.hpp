#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/mapping_table.hpp"
#include "mappings/resources.hpp"

namespace weft::mappings {

/// What became of an entry when a request was mapped.
enum class Verdict : std::uint8_t {
  kChosen,
  kOtherPath,    ///< Its path does not match.
  kNoResource,   ///< Its path matches, but what is there is not of its resource type.
  kOtherMethod,  ///< It is for other methods.
};

/// `chosen`, `path`, `resourceType` or `verb`.
[[nodiscard]] std::string_view ToString(Verdict verdict) noexcept;

/// An entry that a search came to.
struct TriedEntry {
  const Entry* entry;  ///< Lifetime: the table's.
  Verdict verdict;
};

/// Why an entry was passed over, or not, as a sentence without its final dot.
[[nodiscard]] std::string ReasonOf(const TriedEntry& tried);

/// The entries that the search for the resolution's file path came to, one by one, up to the one that was chosen; all of
/// its chain where none was. None for a path that was refused.
///
/// `method` and `resources` are those that the table was asked with.
[[nodiscard]] std::vector<TriedEntry> EntriesTried(const MappingTable& table,
                                                   const Resolution& resolution,
                                                   std::string_view method, IResources* resources);

}  // namespace weft::mappings
