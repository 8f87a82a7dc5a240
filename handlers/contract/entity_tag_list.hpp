#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <weft/entity_tag.hpp>

namespace weft {

/// An entity tag inside a field. Lifetime: the field's.
struct EntityTagView {
  std::string_view opaque;
  bool is_weak = false;
};

/// Takes the entity tag that `text` begins with; absent, and `text` as it was, where it begins with none.
std::optional<EntityTagView> TakeEntityTag(std::string_view& text) noexcept;

enum class EntityTagComparison : std::uint8_t { kStrong, kWeak };

struct EntityTagListMatch {
  bool is_any = false;   ///< the list is `*`
  bool has_tag = false;  ///< a member before anything malformed is the tag
  bool is_malformed =
      false;  ///< neither `*` nor a list of entity tags; what is malformed ends the reading
};

/// Looks for a tag in an If-Match or If-None-Match field, however many members that has: one pass, no memory. Null: the
/// resource has no tag.
EntityTagListMatch MatchEntityTagList(std::string_view list, const EntityTag* tag,
                                      EntityTagComparison comparison) noexcept;

}  // namespace weft
