#include "mappings/tail_tree.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace weft::mappings {
namespace {

// The tails from `begin` to `end` share their first `length` bytes: those down to one node.
struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t length = 0;
};

std::uint32_t Index(std::size_t size) { return static_cast<std::uint32_t>(size); }

}  // namespace

TailTree::TailTree(std::vector<Tail> tails) : nodes_(1), first_bytes_(1, kStart) {
  for (Tail& tail : tails) {
    std::ranges::reverse(tail.text);
  }
  std::ranges::sort(tails, {}, [](const Tail& tail) {
    return std::tuple(std::string_view(tail.text), tail.value);
  });
  std::vector<Range> ranges{{0, tails.size(), 0}};  // of the nodes of the same index
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    auto [begin, end, length] = ranges[i];
    nodes_[i].values_begin = Index(values_.size());
    for (; begin < end && tails[begin].text.size() == length; ++begin) {
      values_.push_back(tails[begin].value);
    }
    nodes_[i].values_end = Index(values_.size());
    nodes_[i].children_begin = Index(nodes_.size());
    while (begin < end) {
      const std::string& first = tails[begin].text;
      std::size_t stop = begin + 1;
      while (stop < end && tails[stop].text[length] == first[length]) {
        ++stop;
      }
      // What the first and the last in order share, all between them share.
      const auto shared = std::ranges::mismatch(first, tails[stop - 1].text).in1 - first.begin();
      Node child;
      child.label_begin = Index(labels_.size());
      labels_.append(first, length + 1, static_cast<std::size_t>(shared) - length - 1);
      child.label_end = Index(labels_.size());
      nodes_.push_back(child);
      first_bytes_ += first[length];
      ranges.push_back({begin, stop, static_cast<std::size_t>(shared)});
      begin = stop;
    }
    nodes_[i].children_end = Index(nodes_.size());
  }
}

}  // namespace weft::mappings
