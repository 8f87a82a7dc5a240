#include "mappings/entry_index.hpp"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

namespace weft::mappings {
namespace {

std::vector<TailTree::Tail> TailsOf(const std::vector<const Entry*>& entries) {
  std::vector<TailTree::Tail> tails;
  for (std::size_t place = 0; place < entries.size(); ++place) {
    for (std::string& text : entries[place]->pattern.Tails()) {
      tails.push_back({std::move(text), static_cast<std::uint32_t>(place)});
    }
  }
  return tails;
}

bool MatchesAny(const std::vector<Glob>& globs, std::string_view path) {
  return std::ranges::any_of(globs, [path](const Glob& glob) { return glob.Matches(path); });
}

}  // namespace

EntryIndex::EntryIndex(std::vector<const Entry*> entries)
    : entries_(std::move(entries)), tails_(TailsOf(entries_)) {
  for (std::size_t place = 0; place < entries_.size(); ++place) {
    const PathPattern& pattern = entries_[place]->pattern;
    if (pattern.MatchesEverything()) {
      stars_.push_back(static_cast<std::uint32_t>(place));
    }
    if (!pattern.Globs().empty()) {
      globs_.push_back(static_cast<std::uint32_t>(place));
    }
    for (const Glob& glob : pattern.Globs()) {
      glob_words_ += glob.Words();
    }
  }
}

void EntryIndex::Search(std::string_view verb, std::string_view path, ResourceProbe& probe,
                        Match& match) const {
  // Nothing at this place or behind it can be the entry.
  std::size_t end = match.entry != nullptr ? 0 : entries_.size();
  const auto look_at = [&](std::span<const std::uint32_t> places) {
    for (const std::uint32_t place : places) {
      if (place >= end) {
        return;
      }
      if (!probe.Satisfies(entries_[place]->resource_type)) {
        continue;
      }
      match.path_matched = true;
      if (entries_[place]->verbs.Matches(verb)) {
        match.entry = entries_[place];
        end = place;
        return;
      }
    }
  };
  tails_.ForEachTailOf(path, [&](std::span<const std::uint32_t> places) {
    match.specific = true;
    look_at(places);
    return end > 0;
  });
  look_at(stars_);
  for (const std::uint32_t place : globs_) {
    if (match.specific && place >= end) {
      break;
    }
    if (MatchesAny(entries_[place]->pattern.Globs(), path)) {
      match.specific = true;
      look_at({&place, 1});
    }
  }
}

std::size_t EntryIndex::LongestPrefixWithTail(std::string_view path, std::size_t min_end,
                                              std::size_t max_end) const {
  for (std::size_t end = max_end; end >= min_end; --end) {
    if (end < path.size()) {
      end = path.rfind('/', end);
      if (end == std::string_view::npos || end < min_end) {
        break;
      }
    }
    if (tails_.HasTailOf(path.substr(0, end))) {
      return end;
    }
  }
  return 0;
}

std::size_t EntryIndex::LongestSpecificPrefix(std::string_view path, std::size_t min_end,
                                              std::size_t max_end) const {
  std::size_t longest = tails_.Empty() ? 0 : LongestPrefixWithTail(path, min_end, max_end);
  for (const std::uint32_t place : globs_) {
    for (const Glob& glob : entries_[place]->pattern.Globs()) {
      const std::size_t min = std::max(min_end, longest + 1);
      if (min > max_end) {
        return longest;
      }
      const std::size_t end = glob.LongestPrefix(path, min, max_end);
      longest = end == Glob::kNone ? longest : end;
    }
  }
  return longest;
}

}  // namespace weft::mappings
