#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include <weft/export.hpp>

namespace weft::detail {

/// A value of some type.
class WEFT_API TypedValue {
 public:
  TypedValue() = default;
  TypedValue(const TypedValue&) = delete;
  TypedValue& operator=(const TypedValue&) = delete;
  virtual ~TypedValue();
};

/// Values by their types and names, for HttpItemCollection and its like. Few: they are searched one by one.
class WEFT_API TypedValues {
 public:
  TypedValues() noexcept = default;
  TypedValues(const TypedValues&) = delete;
  TypedValues& operator=(const TypedValues&) = delete;
  ~TypedValues() { Clear(); }

  /// Throws what the constructor of T throws; nothing has changed then.
  template <typename T, typename... Arguments>
  T& Emplace(std::string_view name, Arguments&&... arguments) {
    auto holder = std::make_unique<Holder<T>>(std::forward<Arguments>(arguments)...);
    auto& value = holder->value;
    Put(typeid(T), name, std::move(holder));
    return value;
  }
  template <typename T>
  T* Find(std::string_view name) const noexcept {
    auto* const value = Get(typeid(T), name);
    return value == nullptr ? nullptr : &static_cast<Holder<T>*>(value)->value;
  }
  template <typename T>
  bool Remove(std::string_view name) noexcept {
    return Take(typeid(T), name) != nullptr;
  }
  std::size_t size() const noexcept { return entries_.size(); }
  /// The newest first.
  void Clear() noexcept;

 private:
  template <typename T>
  struct Holder final : TypedValue {
    template <typename... Arguments>
    explicit Holder(Arguments&&... arguments) : value(std::forward<Arguments>(arguments)...) {}
    T value;
  };
  struct Entry {
    const std::type_info* type;
    std::string name;
    std::unique_ptr<TypedValue> value;
  };

  void Put(const std::type_info& type, std::string_view name, std::unique_ptr<TypedValue> value);
  TypedValue* Get(const std::type_info& type, std::string_view name) const noexcept;
  std::unique_ptr<TypedValue> Take(const std::type_info& type, std::string_view name) noexcept;

  std::vector<Entry> entries_;  // in the order in which they were made
};

}  // namespace weft::detail
