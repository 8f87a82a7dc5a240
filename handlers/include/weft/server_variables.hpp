#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/export.hpp>

namespace weft {

/// The parameters that the web server sent with a request (RFC 3875, section 4.1), in their order,
/// duplicates kept. One block of memory holds all of them.
class WEFT_API ServerVariableCollection {
 public:
  using Variable = std::pair<std::string_view, std::string_view>;

  ServerVariableCollection() noexcept = default;
  /// Makes room for `bytes` of names and values in all, and, to begin with, for `count` variables. Add() beyond
  /// the bytes throws std::length_error: the block never moves, so that views into it stay valid.
  ServerVariableCollection(std::size_t count, std::size_t bytes);
  /// What is moved from becomes empty, without room.
  ServerVariableCollection(ServerVariableCollection&& other) noexcept;
  ServerVariableCollection& operator=(ServerVariableCollection&& other) noexcept;

  /// Copies both texts into the block.
  void Add(std::string_view name, std::string_view value);

  /// The first variable of exactly that name. Lifetime: as long as this object, or what it was moved to.
  std::optional<std::string_view> Find(std::string_view name) const noexcept;
  /// As Find(), empty where there is none.
  std::string_view Get(std::string_view name) const noexcept;

  bool empty() const noexcept { return variables_.empty(); }
  std::size_t size() const noexcept { return variables_.size(); }
  std::vector<Variable>::const_iterator begin() const noexcept { return variables_.begin(); }
  std::vector<Variable>::const_iterator end() const noexcept { return variables_.end(); }

 private:
  std::vector<Variable> variables_;
  std::unique_ptr<char[]> block_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
};

}  // namespace weft
