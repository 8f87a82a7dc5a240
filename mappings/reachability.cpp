#include "mappings/reachability.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "mappings/glob.hpp"
#include "mappings/path_pattern.hpp"
#include "mappings/resources.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

// Stands where a pattern leaves open what stands there: it is in no pattern that anybody writes.
constexpr char kOddCharacter = '\x01';

/// One of the texts that the pattern matches, chosen so that few others do.
std::string Sample(std::string_view pattern, std::string_view for_double_star) {
  std::string sample;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '*') {
      const bool doubled = i + 1 < pattern.size() && pattern[i + 1] == '*';
      sample += doubled ? for_double_star : std::string_view(&kOddCharacter, 1);
      i = std::min(pattern.find_first_not_of('*', i), pattern.size()) - 1;
    } else {
      sample += pattern[i] == '?' ? kOddCharacter : pattern[i];
    }
  }
  return sample;
}

/// An alternative of a path text, in the form that all alternatives have.
class Alternative {
 public:
  Alternative(std::string_view written, std::string_view application_root)
      : text_(Whole(written, application_root)),
        glob_(text_, text_.starts_with('/') || written == "*" ? Glob::Kind::kPath
                                                              : Glob::Kind::kPathSuffix),
        sample_(Sample(text_, "\x01/\x01")) {
    if (!sample_.starts_with('/')) {
      sample_.insert(0, "/\x01/");
    }
  }

  [[nodiscard]] bool Covers(const Alternative& other) const {
    return glob_.Matches(other.sample_) && glob_.Covers(other.glob_, "/");
  }

  /// A path that it matches.
  [[nodiscard]] const std::string& SamplePath() const { return sample_; }

 private:
  static std::string Whole(std::string_view written, std::string_view application_root) {
    if (written == "*") {
      return "**";  // the one star that crosses a slash
    }
    // What is too long for an application has been told as an error, and is left as it is.
    if (written.starts_with("~/") &&
        written.size() + application_root.size() <= Glob::kMaxPatternBytes) {
      return std::string(application_root) + std::string(written.substr(2));
    }
    return std::string(written);
  }

  std::string text_;
  Glob glob_;
  std::string sample_;
};

/// A member of a verb list.
struct Verb {
  explicit Verb(std::string_view written)
      : text(written), sample(Sample(written, std::string_view(&kOddCharacter, 1))) {}

  std::string_view text;
  std::string sample;  // a method that it matches
};

bool HasWildcard(std::string_view text) {
  return text.find_first_of("*?") != std::string_view::npos;
}

/// Whether the list serves all methods that the member does.
bool Serves(const Entry& entry, const Verb& verb) {
  if (entry.verbs.MatchesEverything() || !HasWildcard(verb.text)) {
    return entry.verbs.Matches(verb.sample);
  }
  const std::string list = WithoutBlanks(entry.verb);
  const Glob narrow(verb.text, Glob::Kind::kVerb);
  return std::ranges::any_of(SplitAtCommas(list), [&narrow](std::string_view member) {
    return Glob(member, Glob::Kind::kVerb).Covers(narrow);
  });
}

/// What can be at a path where an entry applies.
std::span<const Resource> ResourcesOf(ResourceType type) {
  static constexpr std::array kAll = {Resource::kFile, Resource::kDirectory, Resource::kNone};
  switch (type) {
    case ResourceType::kUnspecified:
      return kAll;
    case ResourceType::kEither:
      return std::span(kAll).first(2);
    case ResourceType::kFile:
      return std::span(kAll).first(1);
    case ResourceType::kDirectory:
      return std::span(kAll).subspan(1, 1);
  }
  return {};
}

bool Applies(ResourceType type, Resource resource) {
  return std::ranges::find(ResourcesOf(type), resource) != ResourcesOf(type).end();
}

/// Looks for entries of one chain that keep another from being reached.
class Shadows {
 public:
  explicit Shadows(const SearchedChain& chain) : chain_(chain) {}

  /// The entries before `place` that leave nothing for its entry, in their order; none where something may be left.
  [[nodiscard]] std::vector<const Entry*> Of(std::size_t place) const {
    const Entry& entry = *chain_.places[place].searched;
    const std::string verbs = WithoutBlanks(entry.verb);
    std::vector<std::size_t> shadows;
    for (const std::string_view written : SplitAtCommas(entry.path)) {
      const Alternative alternative(written, chain_.application_root);
      for (const std::string_view member : SplitAtCommas(verbs)) {
        for (const Resource resource : ResourcesOf(entry.resource_type)) {
          const std::optional<std::size_t> shadow =
              ShadowOf(place, alternative, Verb(member), resource);
          if (!shadow) {
            return {};
          }
          shadows.push_back(*shadow);
        }
      }
    }
    std::ranges::sort(shadows);
    const auto repeated = std::ranges::unique(shadows);
    shadows.erase(repeated.begin(), repeated.end());
    std::vector<const Entry*> entries;
    for (const std::size_t shadow : shadows) {
      entries.push_back(chain_.places[shadow].searched);
    }
    return entries;
  }

 private:
  [[nodiscard]] std::optional<std::size_t> ShadowOf(std::size_t place,
                                                    const Alternative& alternative,
                                                    const Verb& verb, Resource resource) const {
    const CandidatePath path(alternative.SamplePath());
    for (std::size_t i = 0; i < place; ++i) {
      const Entry& earlier = *chain_.places[i].searched;
      // The samples first: they tell most pairs apart at once.
      if (earlier.pattern.Matches(path) && earlier.verbs.Matches(verb.sample) &&
          Applies(earlier.resource_type, resource) && Serves(earlier, verb) &&
          Covers(earlier, alternative)) {
        return i;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] bool Covers(const Entry& earlier, const Alternative& alternative) const {
    return earlier.pattern.MatchesEverything() ||
           std::ranges::any_of(SplitAtCommas(earlier.path), [&](std::string_view written) {
             return Alternative(written, chain_.application_root).Covers(alternative);
           });
  }

  const SearchedChain& chain_;
};

std::string PlacesOf(const std::vector<const Entry*>& entries) {
  std::string text = entries.front()->where.ToString();
  for (std::size_t i = 1; i < entries.size(); ++i) {
    text += (i + 1 == entries.size() ? " and " : ", ") + entries[i]->where.ToString();
  }
  return text;
}

bool IsBuiltIn(const Entry& entry) { return entry.where.file.empty(); }

}  // namespace

void TellUnreachable(const std::vector<SearchedChain>& chains,
                     const std::vector<const Entry*>& read, bool all_files_read,
                     std::vector<Problem>& problems) {
  std::unordered_set<const Entry*> open;  // may be reached
  std::unordered_map<const Entry*, std::vector<const Entry*>> shadows;
  for (const SearchedChain& chain : chains) {
    const Shadows in_chain(chain);
    for (std::size_t place = 0; place < chain.places.size(); ++place) {
      const Entry* entry = chain.places[place].written;
      if (open.contains(entry) || IsBuiltIn(*entry)) {
        continue;
      }
      std::vector<const Entry*> found;
      if (chain.complete) {
        found = in_chain.Of(place);
      }
      if (found.empty()) {
        open.insert(entry);
      } else {
        shadows.try_emplace(entry, std::move(found));
      }
    }
  }
  for (const Entry* entry : read) {
    if (open.contains(entry) || IsBuiltIn(*entry)) {
      continue;
    }
    if (const auto found = shadows.find(entry); found != shadows.end()) {
      const bool one = found->second.size() == 1;
      problems.push_back({entry->where, Problem::Severity::kWarning,
                          "No request reaches this entry: the " +
                              std::string(one ? "one at " : "ones at ") + PlacesOf(found->second) +
                              (one ? " matches all that it matches, and is searched first."
                                   : " match all that it matches, and are searched first.")});
    } else if (all_files_read) {
      problems.push_back({entry->where, Problem::Severity::kWarning,
                          "No request reaches this entry: it is replaced, removed or cleared "
                          "again before any folder uses it."});
    }
  }
}

void TellRepeatedNames(const std::vector<SearchedChain>& chains, std::vector<Problem>& problems) {
  std::unordered_set<const Entry*> told;
  for (const SearchedChain& chain : chains) {
    if (!chain.complete) {
      continue;
    }
    std::unordered_map<std::string_view, const Entry*> first_of_name;
    for (const SearchedChain::Place& place : chain.places) {
      const Entry* later = place.written;
      if (later->name.empty()) {
        continue;
      }
      const auto [first, is_new] = first_of_name.try_emplace(later->name, later);
      if (is_new) {
        continue;
      }
      // Of two files the lower one's entry is searched first; it is that one which took the other's name.
      const Entry* other = first->second;
      if (later->where.file != other->where.file) {
        std::swap(later, other);
      }
      if (!IsBuiltIn(*later) && told.insert(later).second) {
        problems.push_back({later->where, Problem::Severity::kWarning,
                            "The name " + Quoted(later->name) + " is also that of the entry at " +
                                other->where.ToString() +
                                ": logs and metrics cannot tell the two apart. Give it another."});
      }
    }
  }
}

}  // namespace weft::mappings
