#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <set>
#include <utility>

#include "mappings/glob.hpp"

namespace weft::mappings {
namespace {

/// Where the text of a normalised path is. It has no empty segments, and none of one dot or two.
enum class PathState : std::uint64_t { kSegmentBegins, kDot, kTwoDots, kName, kNoPath };

PathState Next(PathState state, unsigned char byte) {
  using enum PathState;
  if (state == kNoPath || byte == '\\') {
    return kNoPath;
  }
  if (byte == '/') {
    return state == kName ? kSegmentBegins : kNoPath;
  }
  if (byte != '.' || state == kName) {
    return kName;
  }
  return state == kSegmentBegins ? kDot : state == kDot ? kTwoDots : kName;
}

bool MayEnd(PathState state) {
  return state == PathState::kSegmentBegins || state == PathState::kName;
}

}  // namespace

/// The automata of some globs side by side, reading the same text, and the one that knows normalised paths.
class Glob::Product {
 public:
  Product(const Glob& asked, std::span<const Glob* const> others, Texts texts)
      : texts_(texts), globs_{&asked} {
    globs_.insert(globs_.end(), others.begin(), others.end());
    ClassifyBytes();
  }

  /// One byte for each class of those that no automaton tells apart.
  [[nodiscard]] const std::vector<unsigned char>& Bytes() const { return bytes_; }
  /// What reading a byte costs.
  [[nodiscard]] std::size_t Steps() const { return globs_.size(); }

  [[nodiscard]] States First() const {
    States all;
    for (const Glob* glob : globs_) {
      const States first = glob->FirstStates();
      all.insert(all.end(), first.begin(), first.end());
    }
    // A path's first byte is a slash.
    all.push_back(static_cast<std::uint64_t>(PathState::kName));
    return all;
  }

  [[nodiscard]] States After(const States& all, unsigned char byte) const {
    States next(all.size());
    std::size_t at = 0;
    for (const Glob* glob : globs_) {
      glob->Step(all.data() + at, byte, next.data() + at);
      at += glob->words_;
    }
    next.back() = all.back();
    if (texts_ == Texts::kPaths) {
      next.back() = static_cast<std::uint64_t>(Next(static_cast<PathState>(all.back()), byte));
    }
    return next;
  }

  /// Whether no text that goes on from here is one of those that are asked about.
  [[nodiscard]] bool IsDead(const States& all) const {
    const Glob& asked = *globs_.front();
    const std::span<const std::uint64_t> own(all.data(), asked.words_);
    return static_cast<PathState>(all.back()) == PathState::kNoPath ||
           (!asked.floating_ &&
            std::ranges::all_of(own, [](std::uint64_t word) { return word == 0; }));
  }

  [[nodiscard]] bool Accepts(const States& all) const {
    return globs_.front()->Accepts(all.data()) && MayEnd(static_cast<PathState>(all.back()));
  }

  [[nodiscard]] std::uint64_t Matched(const States& all) const {
    std::uint64_t matched = 0;
    std::size_t at = globs_.front()->words_;
    for (std::size_t i = 1; i < globs_.size(); ++i) {
      matched |= std::uint64_t{globs_[i]->Accepts(all.data() + at)} << (i - 1);
      at += globs_[i]->words_;
    }
    return matched;
  }

 private:
  void ClassifyBytes() {
    std::array<std::size_t, 256> classes{};
    classes['/'] = 1;
    classes['.'] = 2;
    classes['\\'] = 3;
    std::set<std::size_t> seen;
    for (const Glob* glob : globs_) {
      std::map<std::pair<std::size_t, std::uint8_t>, std::size_t> refined;
      for (std::size_t value = 1; value < classes.size(); ++value) {
        const std::pair both(classes[value], glob->class_of_byte_[value]);
        classes[value] = refined.try_emplace(both, refined.size()).first->second;
      }
    }
    for (std::size_t value = 1; value < classes.size(); ++value) {
      if (seen.insert(classes[value]).second) {
        bytes_.push_back(static_cast<unsigned char>(value));
      }
    }
  }

  Texts texts_;
  std::vector<const Glob*> globs_;
  std::vector<unsigned char> bytes_;
};

// All texts at once, the shortest first: of those that lead to the same states one is enough. The states are few, for
// mostly one automaton narrows the others down.
Glob::Overlaps Glob::FindOverlaps(std::span<const Glob* const> others, std::string_view start,
                                  Texts texts, bool until_none, std::size_t& steps) const {
  struct Node {
    const States* states;
    std::size_t before;
    char byte;
  };
  const Product product(*this, others, texts);
  std::set<States> seen;
  std::vector<Node> nodes;
  const auto add = [&](States states, std::size_t before, char byte) {
    if (!product.IsDead(states)) {
      if (const auto [at, is_new] = seen.insert(std::move(states)); is_new) {
        nodes.push_back({&*at, before, byte});
      }
    }
  };
  const auto text_to = [&](std::size_t node) {
    std::string text;
    for (; node != 0; node = nodes[node].before) {
      text += nodes[node].byte;
    }
    text.append(start.rbegin(), start.rend());
    std::ranges::reverse(text);
    return text;
  };
  States first = product.First();
  for (const char c : start) {
    first = product.After(first, static_cast<unsigned char>(c));
  }
  add(std::move(first), 0, '\0');
  Overlaps overlaps;
  std::set<std::uint64_t> told;
  const std::size_t least_left = steps - std::min(steps, kMaxOverlapSteps);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const States& states = *nodes[i].states;
    if (product.Accepts(states)) {
      const std::uint64_t matched = product.Matched(states);
      if (told.insert(matched).second) {
        overlaps.found.push_back({matched, text_to(i)});
      }
      if (until_none && matched == 0) {
        return overlaps;
      }
    }
    for (const unsigned char byte : product.Bytes()) {
      if (steps - least_left < product.Steps()) {
        overlaps.complete = false;
        return overlaps;
      }
      steps -= product.Steps();
      add(product.After(states, byte), i, static_cast<char>(byte));
    }
  }
  return overlaps;
}

std::size_t Glob::TokensUsed(std::string_view start) const {
  States states = FirstStates();
  States next(words_);
  for (const char c : start) {
    Step(states.data(), static_cast<unsigned char>(c), next.data());
    std::swap(states, next);
  }
  for (std::size_t word = 0; word < words_; ++word) {
    if (states[word] != 0) {
      return word * 64 + static_cast<std::size_t>(std::countr_zero(states[word]));
    }
  }
  return floating_ ? 0 : kNone;
}

}  // namespace weft::mappings
