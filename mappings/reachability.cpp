#include "mappings/reachability.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "mappings/ascii.hpp"
#include "mappings/entry_index.hpp"
#include "mappings/glob.hpp"
#include "mappings/path_pattern.hpp"
#include "mappings/request_path.hpp"
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

/// The rest of a pattern behind so many bytes and `?`, and the stars that stand there.
std::string_view BehindTokens(std::string_view pattern, std::size_t tokens) {
  std::size_t at = 0;
  for (; at < pattern.size() && tokens > 0; ++at) {
    tokens -= pattern[at] == '*' ? 0 : 1;
  }
  return pattern.substr(at);
}

bool HasWildcard(std::string_view text) {
  return text.find_first_of("*?") != std::string_view::npos;
}

bool IsNormalised(std::string_view path) {
  const NormalisedPath form = NormalisePath(path);
  return form.fault == PathFault::kNone && !form.changed;
}

/// An alternative of a path text, in the form that all alternatives have.
class Alternative {
 public:
  Alternative(std::string_view written, std::string_view application_root)
      : text_(Whole(written, application_root)),
        is_anchored_(text_.starts_with('/') || written == "*") {}

  [[nodiscard]] const Glob& Compiled() const {
    if (!glob_) {
      glob_.emplace(text_, is_anchored_ ? Glob::Kind::kPath : Glob::Kind::kPathSuffix);
    }
    return *glob_;
  }

  /// A path that begins with `scope` and that it matches, chosen so that few others do; nothing where there is none.
  [[nodiscard]] std::optional<std::string> PathIn(const std::string& scope,
                                                  std::size_t& steps) const {
    const bool literal = !HasWildcard(text_);
    std::string path = scope;
    if (!is_anchored_) {
      path += (scope.ends_with('/') ? "\x01/" : "/\x01/") + Sample(text_, "\x01/\x01");
    } else if (literal) {
      const std::string_view text(text_);
      const bool inside = EqualsIgnoringCase(text.substr(0, scope.size()), scope);
      return inside && IsNormalised(text) ? std::optional(text_) : std::nullopt;
    } else if (const std::size_t used = Compiled().TokensUsed(scope); used != Glob::kNone) {
      path += Sample(BehindTokens(text_, used), "\x01/\x01");
    } else {
      return std::nullopt;
    }
    if (IsNormalised(path) && (literal || Compiled().Matches(path))) {
      return path;
    }
    const auto any = Compiled().FindOverlaps({}, scope, Glob::Texts::kPaths, true, steps);
    if (!any.found.empty()) {
      return any.found.front().text;
    }
    return any.complete ? std::nullopt : std::optional(path);
  }

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
  bool is_anchored_;
  mutable std::optional<Glob> glob_;  // once asked for: it takes longer than all else here
};

/// A member of a verb list.
struct Verb {
  explicit Verb(std::string_view written)
      : text(written), sample(Sample(written, std::string_view(&kOddCharacter, 1))) {
    if (HasWildcard(text)) {
      glob.emplace(text, Glob::Kind::kVerb);
    }
  }

  std::string text;
  std::string sample;        // a method that it matches
  std::optional<Glob> glob;  // absent: the text is the method
};

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

/// A disk that has the same at every path.
class EqualDisk final : public IResources {
 public:
  explicit EqualDisk(Resource resource) : resource_(resource) {}
  Resource At(std::string_view /*file_path*/) override { return resource_; }

 private:
  Resource resource_;
};

/// A request, as far as its mapping depends on it.
struct Request {
  std::string verb;
  std::string path;
  Resource resource = Resource::kNone;
};

/// An entry that comes before another, and that of its alternatives which matches some of what the other does.
struct Shadow {
  const Entry* entry;
  std::size_t order;  // in its chain
  std::unique_ptr<Alternative> alternative;
};

/// What is found of an entry in a chain.
struct Finding {
  bool reachable = false;
  std::vector<const Entry*>
      shadows;  // none, and not reachable: it matches no path of the chain's scope
};

/// Searches chains as requests do, and finds the entries that none comes to.
class Reachability {
 public:
  explicit Reachability(const std::vector<SearchedChain>& chains) : chains_(chains) {}

  /// Turns to a chain. What was kept for others is forgotten.
  void SetChain(std::size_t chain) {
    chain_ = chain;
    std::map<std::size_t, Block> kept;
    for (std::size_t at = chain; at != SearchedChain::kNone; at = chains_[at].behind) {
      if (const auto known = blocks_.find(at); known != blocks_.end()) {
        kept.insert(blocks_.extract(known));
      }
    }
    blocks_ = std::move(kept);
  }

  /// Of the entry at a place of `block`, which is the chain or behind it.
  Finding Find(std::size_t block, std::size_t place) {
    block_ = block;
    place_ = place;
    const Entry& entry = *chains_[block].places[place].searched;
    const std::string verbs = WithoutBlanks(entry.verb);
    std::map<std::size_t, const Entry*> shadows;  // by their order
    for (const std::string_view written : SplitAtCommas(entry.path)) {
      const Alternative alternative(written, chains_[block].application_root);
      const auto path = alternative.PathIn(chains_[chain_].scope, steps_);
      if (!path) {
        continue;
      }
      for (const std::string_view member : SplitAtCommas(verbs)) {
        const Verb verb(member);
        for (const Resource resource : ResourcesOf(entry.resource_type)) {
          const auto found = ShadowsOf(alternative, verb, {verb.sample, *path, resource});
          if (found.empty()) {
            return {true, {}};
          }
          for (const Shadow& shadow : found) {
            shadows.emplace(shadow.order, shadow.entry);
          }
        }
      }
    }
    Finding finding;
    for (const auto& [order, shadow] : shadows) {
      finding.shadows.push_back(shadow);
    }
    return finding;
  }

  /// The path text that is meant by one which matches no path that begins with `scope`; nothing where that is not clear.
  static std::optional<std::string> Meant(const Entry& entry, std::string_view scope) {
    if (HasWildcard(scope) || scope.find(',') != std::string_view::npos) {
      return std::nullopt;
    }
    while (scope.ends_with('/')) {
      scope.remove_suffix(1);
    }
    std::string meant;
    for (std::string_view written : SplitAtCommas(entry.path)) {
      written.remove_prefix(written.starts_with("~/") ? 1 : 0);
      if (!written.starts_with('/') || scope.size() + written.size() > Glob::kMaxPatternBytes) {
        return std::nullopt;
      }
      meant += meant.empty() ? "" : ",";
      meant.append(scope).append(written);
    }
    return meant;
  }

 private:
  /// The entries that together leave nothing of what the alternative and the verb match there; none where something may be
  /// left. `request` is such a one.
  std::vector<Shadow> ShadowsOf(const Alternative& alternative, const Verb& verb, Request request) {
    std::vector<Shadow> shadows;
    for (;;) {
      auto first = FirstBefore(request);
      if (!first || shadows.size() == kMaxShadows || !Spend(kStepsOfSearch)) {
        return {};
      }
      shadows.push_back(std::move(*first));
      switch (FindLeft(shadows, alternative, verb, request)) {
        case Left::kSome:
          break;  // into `request`
        case Left::kUnknown:
          return {};
        case Left::kNothing:
          DropNeedless(shadows, alternative, verb, request);
          return shadows;
      }
    }
  }

  /// Who answers the request, if it is an entry that comes before the one in question.
  [[nodiscard]] std::optional<Shadow> FirstBefore(const Request& request) {
    std::size_t order = 0;
    for (std::size_t block = chain_;; block = chains_[block].behind) {
      const auto& places = chains_[block].places;
      const std::size_t place = FirstIn(block, request);
      if (block == block_ && place >= place_) {
        return std::nullopt;
      }
      if (place < places.size()) {
        return Matching(*places[place].searched, order + place, chains_[block].application_root,
                        request);
      }
      order += places.size();
    }
  }

  /// The place of the first of a block's own entries that is for the request; how many they are where none is.
  [[nodiscard]] std::size_t FirstIn(std::size_t at, const Request& request) {
    const auto& places = chains_[at].places;
    Block& block = blocks_[at];
    if (!block.index && ++block.searches < kSearchesWithoutIndex) {
      const CandidatePath path(request.path);
      const auto found = std::ranges::find_if(places, [&](const SearchedChain::Place& place) {
        const Entry& entry = *place.searched;
        return entry.pattern.Matches(path) && entry.verbs.Matches(request.verb) &&
               Applies(entry.resource_type, request.resource);
      });
      return static_cast<std::size_t>(found - places.begin());
    }
    if (!block.index) {
      std::vector<const Entry*> entries;
      entries.reserve(places.size());
      for (const SearchedChain::Place& place : places) {
        block.place_of_entry.emplace(place.searched, entries.size());
        entries.push_back(place.searched);
      }
      block.index.emplace(std::move(entries));
    }
    EqualDisk disk(request.resource);
    ResourceProbe probe(&disk, request.path);
    EntryIndex::Match match;
    block.index->Search(request.verb, request.path, probe, match);
    return match.entry == nullptr ? places.size() : block.place_of_entry.at(match.entry);
  }

  /// False: no more may be spent, and what is asked is left open.
  [[nodiscard]] bool Spend(std::size_t steps) {
    steps_ -= std::min(steps, steps_);
    return steps_ > 0;
  }

  std::optional<Shadow> Matching(const Entry& entry, std::size_t order,
                                 const std::string& application_root, const Request& request) {
    const CandidatePath path(request.path);
    for (const std::string_view written : SplitAtCommas(entry.path)) {
      if (!Spend(1)) {
        return std::nullopt;
      }
      if (PathPattern(written, application_root).Matches(path)) {
        return Shadow{&entry, order, std::make_unique<Alternative>(written, application_root)};
      }
    }
    return std::nullopt;
  }

  enum class Left { kNothing, kSome, kUnknown };

  /// Whether the shadows leave something; `request` becomes one that they do.
  Left FindLeft(const std::vector<Shadow>& shadows, const Alternative& alternative,
                const Verb& verb, Request& request) {
    if (!verb.glob || std::ranges::all_of(shadows, [](const Shadow& shadow) {
          return shadow.entry->verbs.MatchesEverything();
        })) {
      return FindPathLeft(shadows, ~std::uint64_t{0}, alternative, request);
    }
    // Methods that the same shadows are for are alike: of each kind one is asked for.
    std::vector<Glob> members;
    std::vector<std::size_t> shadow_of_member;
    for (std::size_t i = 0; i < shadows.size(); ++i) {
      const std::string list = WithoutBlanks(shadows[i].entry->verb);
      if (!Spend(list.size())) {
        return Left::kUnknown;
      }
      for (const std::string_view member : SplitAtCommas(list)) {
        if (members.size() < Glob::kMaxOthers) {
          members.emplace_back(member, Glob::Kind::kVerb);
          shadow_of_member.push_back(i);
        }
      }
    }
    std::vector<const Glob*> others;
    for (const Glob& member : members) {
      others.push_back(&member);
    }
    const auto kinds = verb.glob->FindOverlaps(others, {}, Glob::Texts::kAny, false, steps_);
    if (!kinds.complete) {
      return Left::kUnknown;
    }
    std::set<std::uint64_t> seen;
    for (const auto& [matched, method] : kinds.found) {
      std::uint64_t serving = 0;
      for (std::size_t i = 0; i < members.size(); ++i) {
        serving |= (matched >> i & 1U) << shadow_of_member[i];
      }
      if (!seen.insert(serving).second) {
        continue;
      }
      if (const Left left = FindPathLeft(shadows, serving, alternative, request);
          left != Left::kNothing) {
        request.verb = method;
        return left;
      }
    }
    return Left::kNothing;
  }

  /// Of the shadows whose bit is set in `serving`.
  Left FindPathLeft(const std::vector<Shadow>& shadows, std::uint64_t serving,
                    const Alternative& alternative, Request& request) {
    std::vector<const Glob*> others;
    for (std::size_t i = 0; i < shadows.size(); ++i) {
      if ((serving >> i & 1U) != 0) {
        others.push_back(&shadows[i].alternative->Compiled());
      }
    }
    auto paths = alternative.Compiled().FindOverlaps(others, chains_[chain_].scope,
                                                     Glob::Texts::kPaths, true, steps_);
    if (!paths.found.empty() && paths.found.back().matched == 0) {
      request.path = std::move(paths.found.back().text);
      return Left::kSome;
    }
    return paths.complete ? Left::kNothing : Left::kUnknown;
  }

  /// Leaves those that cannot be done without.
  void DropNeedless(std::vector<Shadow>& shadows, const Alternative& alternative, const Verb& verb,
                    Request request) {
    for (std::size_t i = 0; i < shadows.size() && shadows.size() > 1;) {
      Shadow needless = std::move(shadows[i]);
      shadows.erase(shadows.begin() + static_cast<std::ptrdiff_t>(i));
      if (FindLeft(shadows, alternative, verb, request) != Left::kNothing) {
        shadows.insert(shadows.begin() + static_cast<std::ptrdiff_t>(i), std::move(needless));
        ++i;
      }
    }
  }

  /// A chain's own entries, searchable once that pays.
  struct Block {
    std::size_t searches = 0;
    std::optional<EntryIndex> index;
    std::unordered_map<const Entry*, std::size_t> place_of_entry;
  };

  static constexpr std::size_t kSearchesWithoutIndex = 16;
  /// About what a search of the chain takes, and making an automaton.
  static constexpr std::size_t kStepsOfSearch = 64;

  const std::vector<SearchedChain>& chains_;
  std::map<std::size_t, Block> blocks_;  // by the numbers of the chains
  std::size_t steps_ = kMaxReachabilitySteps;
  // What is looked at.
  std::size_t chain_ = 0;
  std::size_t block_ = 0;
  std::size_t place_ = 0;
};

std::string PlacesOf(const std::vector<const Entry*>& entries) {
  std::string text = entries.front()->where.ToString();
  for (std::size_t i = 1; i < entries.size(); ++i) {
    text += (i + 1 == entries.size() ? " and " : ", ") + entries[i]->where.ToString();
  }
  return text;
}

bool IsBuiltIn(const Entry& entry) { return entry.where.file.empty(); }

/// What keeps an entry from being reached.
std::string Reason(const Entry& entry, const Finding& finding, const std::string& scope) {
  if (finding.shadows.empty()) {
    std::string sentence = scope == "/"
                               ? "no path matches " + Quoted(entry.path) + "."
                               : "the paths that it is for begin with " + Quoted(scope) +
                                     ", and none of them matches " + Quoted(entry.path) + ".";
    const auto meant = Reachability::Meant(entry, scope);
    return meant && scope != "/" ? sentence + " Write " + Quoted(*meant) + "." : sentence;
  }
  const bool one = finding.shadows.size() == 1;
  return std::string(one ? "the one at " : "the ones at ") + PlacesOf(finding.shadows) +
         (one ? " matches all that it matches, and is searched first."
              : " match all that it matches, and are searched first.");
}

}  // namespace

void TellUnreachable(const std::vector<SearchedChain>& chains,
                     const std::vector<const Entry*>& read, bool all_files_read,
                     std::vector<Problem>& problems) {
  Reachability reachability(chains);
  std::unordered_set<const Entry*> open;  // may be reached
  std::unordered_map<const Entry*, std::string> reasons;
  // Of a chain that was come to, the places of its own entries that are not open.
  std::vector<std::optional<std::vector<std::size_t>>> closed(chains.size());
  const auto closed_of = [&](std::size_t block) -> std::vector<std::size_t>& {
    if (!closed[block]) {
      closed[block].emplace();
      const auto& places = chains[block].places;
      for (std::size_t place = 0; place < places.size(); ++place) {
        if (!IsBuiltIn(*places[place].written) && !open.contains(places[place].written)) {
          closed[block]->push_back(place);
        }
      }
    }
    return *closed[block];
  };
  for (std::size_t i = 0; i < chains.size(); ++i) {
    if (!chains[i].used) {
      continue;
    }
    reachability.SetChain(i);
    for (std::size_t block = i; block != SearchedChain::kNone; block = chains[block].behind) {
      // What no request reaches behind the entries before that chain none reaches behind more of them.
      if (block != i && chains[i].complete && chains[block].used && chains[block].complete) {
        break;
      }
      std::erase_if(closed_of(block), [&](std::size_t place) {
        const Entry* entry = chains[block].places[place].written;
        if (open.contains(entry)) {
          return true;
        }
        if (chains[i].complete) {
          const Finding finding = reachability.Find(block, place);
          if (!finding.reachable) {
            // Why it matches no path is told where a shadow is not at hand.
            auto& reason = reasons[entry];
            if (reason.empty() || !finding.shadows.empty()) {
              reason = Reason(*entry, finding, chains[i].scope);
            }
            return false;
          }
        }
        open.insert(entry);
        return true;
      });
    }
  }
  for (const Entry* entry : read) {
    if (open.contains(entry) || IsBuiltIn(*entry)) {
      continue;
    }
    if (const auto reason = reasons.find(entry); reason != reasons.end()) {
      problems.push_back({entry->where, Problem::Severity::kWarning,
                          "No request reaches this entry: " + reason->second});
    } else if (all_files_read) {
      problems.push_back({entry->where, Problem::Severity::kWarning,
                          "No request reaches this entry: it is replaced, removed or cleared "
                          "again before any folder uses it."});
    }
  }
}

void TellRepeatedNames(const std::vector<SearchedChain>& chains, std::vector<Problem>& problems) {
  std::vector<bool> whole(chains.size());  // is, or is behind, a chain that is used and complete
  for (std::size_t i = 0; i < chains.size(); ++i) {
    const bool known = chains[i].used && chains[i].complete;
    for (std::size_t at = i; known && at != SearchedChain::kNone && !whole[at];
         at = chains[at].behind) {
      whole[at] = true;
    }
  }
  using Names = std::unordered_map<std::string_view, const Entry*>;
  std::vector<Names> first_of_name(chains.size());
  std::unordered_set<const Entry*> told;
  for (std::size_t i = 0; i < chains.size(); ++i) {
    for (const SearchedChain::Place& place : chains[i].places) {
      const Entry* later = place.written;
      if (later->name.empty()) {
        continue;
      }
      const auto [known, is_new] = first_of_name[i].try_emplace(later->name, later);
      const Entry* other = is_new ? nullptr : known->second;
      for (std::size_t at = chains[i].behind; other == nullptr && at != SearchedChain::kNone;
           at = chains[at].behind) {
        const auto behind = first_of_name[at].find(later->name);
        other = behind == first_of_name[at].end() ? nullptr : behind->second;
      }
      if (other == nullptr || !whole[i]) {
        continue;
      }
      // Of two files the lower one's entry is searched first; it is that one which took the other's name.
      if (is_new == (later->where.file == other->where.file)) {
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
