#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mappings/chain.hpp"
#include "mappings/entry.hpp"
#include "mappings/mapping_table.hpp"
#include "mappings/problem.hpp"
#include "mappings/reachability.hpp"
#include "mappings/sources.hpp"

namespace weft::mappings {

/// The chains of all folders, each made from the one above it. Chains share entries as far as can be, so that a large
/// file costs its memory once, however many folders lie below it.
///
/// A chain is known by a number, which those below it have larger.
///
/// Threads: one at a time. Lifetime: the entries of the blocks are not owned; Take...() ends the use of the object.
class SharedChains {
 public:
  static constexpr std::size_t kNone = SearchedChain::kNone;

  /// A chain shares what is left of another's own entries, unless more than one of so many is taken away.
  /// Why: to pass over an entry costs each search that comes to it a look, and to copy the rest costs memory.
  static constexpr std::size_t kShareUnlessOneOf = 4;

  /// `problems` gets what is told. Both must outlive the object.
  SharedChains(const LoadLimits& limits, std::vector<Problem>& problems)
      : limits_(limits), problems_(problems) {}

  /// The chain below a block, where `above` is the one above it (kNone: there is none), for folders of the application
  /// with that root. `warn` is as in ChainProblems. May return `above`.
  std::size_t Extend(std::size_t above, const std::vector<Directive>& directives,
                     const std::string& application_root, bool warn);

  /// A sentence that says what there is too much of, by the limits on entries; empty: all is within them. Extend() goes on
  /// all the same: who is to be spared the memory stops calling it.
  [[nodiscard]] const std::string& Excess() const { return excess_; }

  [[nodiscard]] std::size_t Size() const { return chains_.size(); }

  /// A folder has this chain: SearchedChain says what `scope` and `complete` are.
  void Use(std::size_t chain, std::string_view scope, bool complete);

  /// From this number on no chain is to be extended any more: what that needs is freed.
  void ForgetKeysFrom(std::size_t chain);

  /// For the table. Their entries are those of the blocks and of TakeRooted().
  [[nodiscard]] std::vector<MappingTable::Chain> TakeChains();
  /// The entries that were made because `~/` in them has the root of an application in its place.
  [[nodiscard]] std::vector<std::unique_ptr<Entry>> TakeRooted() { return std::move(rooted_); }

  /// For what can be told of them. Nothing is skipped in these: what is left of a part is copied, and of all parts before
  /// it. Lifetime: some of their entries are this object's.
  [[nodiscard]] std::vector<SearchedChain> TakeSearchedChains();

 private:
  using Inherited = MappingTable::Inherited;
  using Inheritance = std::vector<Inherited>;

  /// Its own entries, then what it inherits. `places` are its own, and `behind` is set by TakeSearchedChains() alone.
  struct Built : SearchedChain {
    Chain written;  // as `places`
    Inheritance inherited;
    // Whether a `~/` of any entry, of the inherited ones too, has the application's root in its place.
    bool rooted = false;
    std::optional<std::unordered_map<std::string_view, std::uint32_t>>
        place_of_key;  // of its own, once asked for
  };

  class Above;

  [[nodiscard]] Inheritance InheritanceOf(std::size_t chain) const;
  std::optional<std::uint32_t> PlaceOf(const std::string& key, const Inherited& part);
  void SkipTaken(const std::unordered_set<const Entry*>& taken, Inheritance& inheritance);
  [[nodiscard]] Inheritance::iterator FirstShared(Inheritance& inheritance) const;
  [[nodiscard]] bool IsWholeChain(std::span<const Inherited> inheritance) const;
  template <class Member, class Left>
  void AppendLeft(const Inherited& part, Member member, Left& left) const;
  Entry* Rooted(Entry& entry, const std::string& root);

  const LoadLimits& limits_;
  std::vector<Problem>& problems_;
  std::size_t entries_ = 0;  // of all chains, and what they skip
  std::string excess_;
  std::vector<Built> chains_;
  std::unordered_map<const Entry*, std::string> keys_;  // of entries whose chain was asked for one
  std::map<std::pair<const Entry*, std::string>, Entry*> entry_of_root_;
  std::vector<std::unique_ptr<Entry>> rooted_;
};

}  // namespace weft::mappings
