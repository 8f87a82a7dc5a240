#include <weft/detail/typed_values.hpp>

#include <algorithm>

namespace weft::detail {

TypedValue::~TypedValue() = default;

void TypedValues::Put(const std::type_info& type, std::string_view name,
                      std::unique_ptr<TypedValue> value) {
  entries_.push_back({&type, std::string(name), std::move(value)});
  // What it replaces is older than all others of its key, and goes when the new one is in its place.
  const auto last = entries_.end() - 1;
  const auto old = std::find_if(entries_.begin(), last, [&](const Entry& entry) {
    return *entry.type == type && entry.name == name;
  });
  if (old != last) {
    const auto replaced = std::move(old->value);
    entries_.erase(old);
  }
}

TypedValue* TypedValues::Get(const std::type_info& type, std::string_view name) const noexcept {
  for (const auto& entry : entries_) {
    if (*entry.type == type && entry.name == name) {
      return entry.value.get();
    }
  }
  return nullptr;
}

std::unique_ptr<TypedValue> TypedValues::Take(const std::type_info& type,
                                              std::string_view name) noexcept {
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (*entry->type == type && entry->name == name) {
      auto value = std::move(entry->value);
      entries_.erase(entry);
      return value;
    }
  }
  return nullptr;
}

void TypedValues::Clear() noexcept {
  while (!entries_.empty()) {
    // Out of the list first: its destructor may look at the others.
    const auto newest = std::move(entries_.back().value);
    entries_.pop_back();
  }
}

}  // namespace weft::detail
