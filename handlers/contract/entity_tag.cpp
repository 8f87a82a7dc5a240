#include <weft/entity_tag.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "handlers/contract/entity_tag_list.hpp"

namespace weft {

namespace {

/// etagc: no blank, no control character, no quotation mark, no DEL; what is not ASCII may stand there.
bool IsEntityTagCharacter(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte != '"' && byte != 0x7f;
}

std::string Checked(std::string opaque) {
  if (!std::all_of(opaque.begin(), opaque.end(), IsEntityTagCharacter)) {
    throw std::invalid_argument("'" + opaque +
                                "' is no entity tag: give it without quotation marks, blanks and "
                                "control characters; EntityTag::Weak() makes a weak one");
  }
  return opaque;
}

}  // namespace

EntityTag::EntityTag(std::string opaque) : opaque_(Checked(std::move(opaque))) {}

EntityTag EntityTag::Weak(std::string opaque) { return {Checked(std::move(opaque)), true}; }

std::optional<EntityTag> EntityTag::Parse(std::string_view text) {
  const auto view = TakeEntityTag(text);
  if (!view || !text.empty()) {
    return std::nullopt;
  }
  return EntityTag(std::string(view->opaque), view->is_weak);
}

std::string EntityTag::ToHeaderValue() const {
  std::string text = is_weak_ ? "W/\"" : "\"";
  return text.append(opaque_).append("\"");
}

std::optional<EntityTagView> TakeEntityTag(std::string_view& text) noexcept {
  auto rest = text;
  EntityTagView view;
  if (rest.substr(0, 2) == "W/") {  // letter case counts
    view.is_weak = true;
    rest.remove_prefix(2);
  }
  if (rest.substr(0, 1) != "\"") {
    return std::nullopt;
  }
  rest.remove_prefix(1);
  // No escapes: a backslash stands for itself.
  const auto* const end =
      std::find_if_not(rest.begin(), rest.end(), [](char c) { return IsEntityTagCharacter(c); });
  const auto length = static_cast<std::size_t>(end - rest.begin());
  if (rest.substr(length, 1) != "\"") {
    return std::nullopt;
  }
  view.opaque = rest.substr(0, length);
  text = rest.substr(length + 1);
  return view;
}

EntityTagListMatch MatchEntityTagList(std::string_view list, const EntityTag* tag,
                                      EntityTagComparison comparison) noexcept {
  EntityTagListMatch match;
  const auto skip_blanks = [&list] {
    const auto first = list.find_first_not_of(" \t");
    list.remove_prefix(first == list.npos ? list.size() : first);
  };
  skip_blanks();
  if (list.substr(0, 1) == "*") {
    list.remove_prefix(1);
    skip_blanks();
    match.is_any = list.empty();
    match.is_malformed = !list.empty();
    return match;
  }
  bool any_member = false;
  for (;;) {
    skip_blanks();
    if (list.empty()) {
      match.is_malformed = !any_member;
      return match;
    }
    if (list.front() == ',') {  // an empty member
      list.remove_prefix(1);
      continue;
    }
    const auto member = TakeEntityTag(list);
    skip_blanks();
    if (!member || (!list.empty() && list.front() != ',')) {
      match.is_malformed = true;
      return match;
    }
    any_member = true;
    if (tag != nullptr && member->opaque == tag->Opaque() &&
        (comparison == EntityTagComparison::kWeak || (!member->is_weak && !tag->IsWeak()))) {
      match.has_tag = true;
    }
  }
}

}  // namespace weft
