#include "mappings/shared_chains.hpp"

#include <algorithm>
#include <iterator>

#include "mappings/ascii.hpp"
#include "mappings/path_pattern.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

bool Skips(const MappingTable::Inherited& part, std::uint32_t place) {
  return part.skipped && std::ranges::binary_search(*part.skipped, place);
}

}  // namespace

/// The entries of a chain, for a block below it.
class SharedChains::Above final : public IInherited {
 public:
  Above(SharedChains& chains, const Inheritance& inheritance)
      : chains_(chains), inheritance_(inheritance) {}

  Entry* Find(const std::string& key) override {
    for (const Inherited& part : inheritance_) {
      if (const auto place = chains_.PlaceOf(key, part)) {
        return chains_.chains_[part.chain].written[*place];
      }
    }
    return nullptr;
  }

  const Chain& All() override {
    if (!all_) {
      all_.emplace();
      for (const Inherited& part : inheritance_) {
        chains_.AppendLeft(part, &Built::written, *all_);
      }
    }
    return *all_;
  }

 private:
  SharedChains& chains_;
  const Inheritance& inheritance_;
  std::optional<Chain> all_;
};

std::size_t SharedChains::Extend(std::size_t above, const std::vector<Directive>& directives,
                                 const std::string& application_root, bool warn) {
  Built chain;
  chain.application_root = application_root;
  chain.inherited = InheritanceOf(above);
  Above inherited(*this, chain.inherited);
  Extension extension = mappings::Extend(inherited, directives, ChainProblems{problems_, warn});
  chain.written = std::move(extension.own);
  if (extension.cleared) {
    chain.inherited.clear();
  }
  if (!chain.inherited.empty()) {
    SkipTaken(extension.taken, chain.inherited);
    const bool roots_anew =
        chains_[above].rooted && chains_[above].application_root != application_root;
    const auto shared = roots_anew ? chain.inherited.end() : FirstShared(chain.inherited);
    for (auto part = chain.inherited.begin(); part != shared; ++part) {
      AppendLeft(*part, &Built::written, chain.written);
    }
    chain.inherited.erase(chain.inherited.begin(), shared);
  }
  if (chain.written.empty() && !chain.inherited.empty() && IsWholeChain(chain.inherited)) {
    return chain.inherited.front().chain;
  }
  chain.rooted = !chain.inherited.empty() && chains_[chain.inherited.front().chain].rooted;
  entries_ += chain.written.size();
  if (entries_ > limits_.entries) {
    excess_ =
        "The chains of all folders have more than " + std::to_string(limits_.entries) +
        " entries together: what a folder inherits counts once more where it takes much of it "
        "away, or is an application's root. Add fewer above such folders.";
  }
  chain.places.reserve(chain.written.size());
  for (Entry* entry : chain.written) {
    chain.rooted = chain.rooted || PathPattern::IsRooted(entry->path);
    chain.places.push_back({entry, Rooted(*entry, application_root)});
  }
  chains_.push_back(std::move(chain));
  chains_.back().used = false;
  return chains_.size() - 1;
}

void SharedChains::Use(std::size_t chain, std::string_view scope, bool complete) {
  Built& built = chains_[chain];
  const auto shared = std::ranges::mismatch(built.scope, scope, {}, ToLower, ToLower).in1;
  built.scope = built.used ? std::string(built.scope.begin(), shared) : std::string(scope);
  built.complete = built.complete && complete;
  built.used = true;
}

void SharedChains::ForgetKeysFrom(std::size_t chain) {
  for (; chain < chains_.size(); ++chain) {
    chains_[chain].place_of_key.reset();
  }
}

std::vector<MappingTable::Chain> SharedChains::TakeChains() {
  std::vector<MappingTable::Chain> chains;
  for (Built& built : chains_) {
    MappingTable::Chain chain{{}, std::move(built.inherited)};
    chain.own.reserve(built.places.size());
    for (const SearchedChain::Place& place : built.places) {
      chain.own.push_back(place.searched);
    }
    chains.push_back(std::move(chain));
    built = {};
  }
  return chains;
}

std::vector<SearchedChain> SharedChains::TakeSearchedChains() {
  // Children first, so that the places of those above are still their own alone.
  for (std::size_t i = chains_.size(); i-- > 0;) {
    Built& chain = chains_[i];
    std::span<const Inherited> rest(chain.inherited);
    for (; !rest.empty() && !IsWholeChain(rest); rest = rest.subspan(1)) {
      AppendLeft(rest.front(), &Built::places, chain.places);
    }
    chain.behind = rest.empty() ? kNone : rest.front().chain;
  }
  std::vector<SearchedChain> searched;
  for (Built& chain : chains_) {
    searched.push_back(std::move(chain));
    chain = {};
  }
  chains_.clear();
  return searched;
}

/// What a chain right below this one inherits, before it takes anything away.
SharedChains::Inheritance SharedChains::InheritanceOf(std::size_t chain) const {
  Inheritance inheritance;
  if (chain != kNone) {
    inheritance = chains_[chain].inherited;
    inheritance.insert(inheritance.begin(), {chain, nullptr});
  }
  return inheritance;
}

/// Where the entry of this key stands in a part; nothing where there is none, or it is skipped.
std::optional<std::uint32_t> SharedChains::PlaceOf(const std::string& key, const Inherited& part) {
  Built& chain = chains_[part.chain];
  if (!chain.place_of_key) {
    chain.place_of_key.emplace();
    for (std::uint32_t place = 0; place < chain.written.size(); ++place) {
      const Entry* const entry = chain.written[place];
      auto [known, is_new] = keys_.try_emplace(entry);
      if (is_new) {
        known->second = EntryKey(entry->verb, entry->path);
      }
      chain.place_of_key->emplace(known->second, place);
    }
  }
  const auto found = chain.place_of_key->find(key);
  const bool is_there = found != chain.place_of_key->end() && !Skips(part, found->second);
  return is_there ? std::optional(found->second) : std::nullopt;
}

/// Appends what is not skipped of a part: of `member` of its chain, which is `written` or `places`.
template <class Member, class Left>
void SharedChains::AppendLeft(const Inherited& part, Member member, Left& left) const {
  const Left& own = chains_[part.chain].*member;
  for (std::uint32_t place = 0; place < own.size(); ++place) {
    if (!Skips(part, place)) {
      left.push_back(own[place]);
    }
  }
}

/// `taken` are entries that are not skipped yet.
void SharedChains::SkipTaken(const std::unordered_set<const Entry*>& taken,
                             Inheritance& inheritance) {
  std::vector<std::vector<std::uint32_t>> places(inheritance.size());
  for (const Entry* entry : taken) {
    const std::string& key = keys_.at(entry);  // by which it was found
    for (std::size_t i = 0; i < inheritance.size(); ++i) {
      if (const auto place = PlaceOf(key, inheritance[i])) {
        places[i].push_back(*place);
        break;
      }
    }
  }
  for (std::size_t i = 0; i < inheritance.size(); ++i) {
    if (places[i].empty()) {
      continue;  // goes on sharing what it skips
    }
    if (const auto& above = inheritance[i].skipped) {
      places[i].insert(places[i].end(), above->begin(), above->end());
    }
    std::ranges::sort(places[i]);
    entries_ += places[i].size();
    inheritance[i].skipped =
        std::make_shared<const std::vector<std::uint32_t>>(std::move(places[i]));
  }
}

/// The first part from which on all are shared. What stands before is copied, to stay in the order.
SharedChains::Inheritance::iterator SharedChains::FirstShared(Inheritance& inheritance) const {
  const auto copied =
      std::find_if(inheritance.rbegin(), inheritance.rend(), [this](const Inherited& part) {
        const std::size_t skipped = part.skipped ? part.skipped->size() : 0;
        return skipped * kShareUnlessOneOf > chains_[part.chain].written.size();
      });
  return copied.base();
}

/// Whether it is just the chain of its first part.
bool SharedChains::IsWholeChain(std::span<const Inherited> inheritance) const {
  const Inherited& first = inheritance.front();
  return !first.skipped &&
         std::ranges::equal(inheritance.subspan(1), chains_[first.chain].inherited);
}

/// The entry as it is for the application with that root.
Entry* SharedChains::Rooted(Entry& entry, const std::string& root) {
  if (root == "/" || !PathPattern::IsRooted(entry.path)) {
    return &entry;
  }
  const auto [known, is_new] = entry_of_root_.try_emplace({&entry, root}, nullptr);
  if (is_new) {
    known->second = &entry;
    for (const std::string_view alternative : SplitAtCommas(entry.path)) {
      if (alternative.starts_with("~/") &&
          alternative.size() + root.size() > PathPattern::kMaxAlternativeBytes) {
        problems_.push_back({entry.where, Problem::Severity::kError,
                             "The pattern " + Quoted(alternative) +
                                 " is too long for the application " + Quoted(root) +
                                 ". Shorten it, or remove the entry there."});
        return &entry;
      }
    }
    if (rooted_.size() >= limits_.rooted_entries) {
      excess_ =
          "There are more than " + std::to_string(limits_.rooted_entries) +
          " entries whose path begins with ~/, for each application has its own of those that "
          "it inherits. Add fewer above the applications, or without ~/ where one path serves "
          "all.";
      return &entry;
    }
    rooted_.push_back(std::make_unique<Entry>(entry, root));
    known->second = rooted_.back().get();
  }
  return known->second;
}

}  // namespace weft::mappings
