#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include <weft/detail/typed_values.hpp>

namespace weft {

/// Values that belong to one request, kept by their types, and by names where a type has several. HttpContext::Items().
///
/// Two modules that name a type alike mean the same value: it must be the same type in both, of a header they share.
/// A type of an unnamed namespace is its module's own.
///
/// Lifetime: of the request; a value is destroyed when it is replaced or removed, and otherwise, the newest first, when
/// the response is complete, where the handler ran: on the pool for a plain one, where destructors may block.
/// Threads: one at a time, the handler's.
class HttpItemCollection {
 public:
  /// Keeps `value`, in place of another of its type. The reference is valid as long as the value.
  template <typename T>
  T& Set(T value) {
    return Emplace<T>({}, std::move(value));
  }
  /// Keeps `value` under a name, in place of another of its type and name.
  template <typename T>
  T& Set(std::string_view name, T value) {
    return Emplace<T>(name, std::move(value));
  }
  /// Makes a value in its place, of a type that cannot be moved say; an empty name is none.
  template <typename T, typename... Arguments>
  T& Emplace(std::string_view name, Arguments&&... arguments) {
    return values_.Emplace<T>(name, std::forward<Arguments>(arguments)...);
  }
  /// Null where there is none of exactly this type and name: one of a derived type is not found by its base.
  template <typename T>
  T* Find(std::string_view name = {}) noexcept {
    return values_.Find<T>(name);
  }
  template <typename T>
  const T* Find(std::string_view name = {}) const noexcept {
    return values_.Find<T>(name);
  }
  /// Destroys the value. False where there was none.
  template <typename T>
  bool Remove(std::string_view name = {}) noexcept {
    return values_.Remove<T>(name);
  }
  /// Destroys all, the newest first.
  void Clear() noexcept { values_.Clear(); }
  bool empty() const noexcept { return values_.size() == 0; }
  std::size_t size() const noexcept { return values_.size(); }

 private:
  detail::TypedValues values_;
};

}  // namespace weft
