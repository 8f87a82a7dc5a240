#include "mappings/verb_list.hpp"

#include <algorithm>
#include <array>

#include "mappings/path_pattern.hpp"

namespace weft::mappings {
namespace {

// CONNECT is missing: it names no resource of ours that Allow could speak about.
constexpr std::array<std::string_view, 8> kWellKnownMethods = {
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"};

void AddOnce(std::vector<std::string>& names, std::string_view name) {
  if (std::ranges::find(names, name) == names.end()) {
    names.emplace_back(name);
  }
}

}  // namespace

std::string WithoutBlanks(std::string_view text) {
  std::string rest;
  std::ranges::copy_if(text, std::back_inserter(rest),
                       [](char c) { return c != ' ' && c != '\t'; });
  return rest;
}

VerbList::VerbList(std::string_view text) {
  const std::string list = WithoutBlanks(text);
  for (const std::string_view member : SplitAtCommas(list)) {
    if (member.find_first_of("*?") == std::string_view::npos) {
      literals_.emplace_back(member);
      AddOnce(names_, member);
      continue;
    }
    const Glob glob(member, Glob::Kind::kVerb);
    for (const std::string_view method : kWellKnownMethods) {
      if (glob.Matches(method)) {
        AddOnce(names_, method);
      }
    }
    if (member.find_first_not_of('*') == std::string_view::npos) {
      matches_everything_ = true;
    } else {
      globs_.push_back(glob);
    }
  }
}

bool VerbList::Matches(std::string_view verb) const {
  return matches_everything_ || std::ranges::find(literals_, verb) != literals_.end() ||
         std::ranges::any_of(globs_, [verb](const Glob& glob) { return glob.Matches(verb); });
}

}  // namespace weft::mappings
