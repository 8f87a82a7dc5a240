#include <weft/server_variables.hpp>

#include <cstring>
#include <stdexcept>
#include <utility>

namespace weft {

ServerVariableCollection::ServerVariableCollection(std::size_t count, std::size_t bytes)
    : block_(new char[bytes]), capacity_(bytes) {
  variables_.reserve(count);
}

ServerVariableCollection::ServerVariableCollection(ServerVariableCollection&& other) noexcept
    : variables_(std::move(other.variables_)),
      block_(std::move(other.block_)),
      capacity_(std::exchange(other.capacity_, 0)),
      used_(std::exchange(other.used_, 0)) {}

ServerVariableCollection& ServerVariableCollection::operator=(
    ServerVariableCollection&& other) noexcept {
  ServerVariableCollection taken(std::move(other));
  variables_.swap(taken.variables_);
  block_.swap(taken.block_);
  std::swap(capacity_, taken.capacity_);
  std::swap(used_, taken.used_);
  return *this;
}

void ServerVariableCollection::Add(std::string_view name, std::string_view value) {
  if (name.size() > capacity_ - used_ || value.size() > capacity_ - used_ - name.size()) {
    throw std::length_error("ServerVariables: more bytes than were reserved");
  }
  char* const at = block_.get() + used_;
  if (!name.empty()) {
    std::memcpy(at, name.data(), name.size());
  }
  if (!value.empty()) {
    std::memcpy(at + name.size(), value.data(), value.size());
  }
  used_ += name.size() + value.size();
  variables_.emplace_back(std::string_view(at, name.size()),
                          std::string_view(at + name.size(), value.size()));
}

std::optional<std::string_view> ServerVariableCollection::Find(
    std::string_view name) const noexcept {
  for (const auto& [variable, value] : variables_) {
    if (variable == name) {
      return value;
    }
  }
  return std::nullopt;
}

std::string_view ServerVariableCollection::Get(std::string_view name) const noexcept {
  return Find(name).value_or(std::string_view());
}

}  // namespace weft
