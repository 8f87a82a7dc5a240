#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/ascii.hpp"

namespace weft::mappings {

/// Which of many texts a path ends in, found without trying each.
///
/// The tails are kept as a tree of their bytes from the last to the first, where a run of bytes that
/// does not branch is one node. A path is read backwards from its end for as long as the tree goes
/// on.
///
/// Cost: at most one step for each byte of the longest tail, however many tails there are; mostly
/// a few, as most paths soon leave the tree. No allocation while searching. Memory: at most two
/// nodes for a tail, and its text.
/// Why: a hash table needs to know at which lengths to ask; here tails of all lengths, with or
/// without a path's start in them, are one search.
///
/// Threads: immutable after construction.
class TailTree {
 public:
  /// Before a path stands this, which no path holds: a tail that begins with it is a whole path.
  static constexpr char kStart = '\0';

  struct Tail {
    std::string text;  ///< In small letters; not empty unless every path is meant.
    std::uint32_t value = 0;
  };

  explicit TailTree(std::vector<Tail> tails);

  [[nodiscard]] bool Empty() const { return values_.empty(); }

  /// Calls `visit` with the values of each tail that `path` ends in, in ascending order, the
  /// shortest tail first, until it returns false. Letter case of the path is ignored.
  template <class Visit>
  void ForEachTailOf(std::string_view path, Visit visit) const;

 private:
  struct Node {
    // The bytes on the way to it from its parent, but the first: into labels_.
    std::uint32_t label_begin = 0;
    std::uint32_t label_end = 0;
    std::uint32_t children_begin = 0;  // into nodes_ and first_bytes_
    std::uint32_t children_end = 0;
    std::uint32_t values_begin = 0;  // into values_
    std::uint32_t values_end = 0;
  };

  [[nodiscard]] const Node* Child(const Node& node, char byte) const;

  std::vector<Node> nodes_;  // by distance from the root, so that a node's children are neighbours
  std::string first_bytes_;  // of each node, the bytes to search among children
  std::string labels_;
  std::vector<std::uint32_t> values_;
};

inline const TailTree::Node* TailTree::Child(const Node& node, char byte) const {
  // Mostly a few: a plain loop was as fast as any search.
  for (std::uint32_t i = node.children_begin; i < node.children_end; ++i) {
    if (first_bytes_[i] == byte) {
      return &nodes_[i];
    }
  }
  return nullptr;
}

template <class Visit>
void TailTree::ForEachTailOf(std::string_view path, Visit visit) const {
  // kStart is the last byte of what is read, and of any tail that has it: nothing asks beyond.
  std::size_t unread = path.size();
  const auto next = [&path, &unread] { return unread > 0 ? ToLower(path[--unread]) : kStart; };
  for (const Node* node = nodes_.data();;) {
    if (node->values_begin != node->values_end &&
        !visit(std::span(values_).subspan(node->values_begin,
                                          node->values_end - node->values_begin))) {
      return;
    }
    if (node->children_begin == node->children_end) {
      return;
    }
    node = Child(*node, next());
    if (node == nullptr) {
      return;
    }
    for (std::uint32_t i = node->label_begin; i < node->label_end; ++i) {
      if (labels_[i] != next()) {
        return;
      }
    }
  }
}

}  // namespace weft::mappings
