#pragma once

#include <string_view>
#include <utility>

#include <weft/detail/typed_values.hpp>
#include <weft/export.hpp>

namespace weft {

/// What the modules of a worker share: values kept by their types, and by names where a type has several. Modules fill it
/// in what they give to IHandlerRegistry::OnStart(); from then on it does not change. HttpContext::Application().
///
/// Two modules that name a type alike mean the same value: it must be the same type in both, of a header they share.
///
/// Lifetime: of the worker; each worker has its own. Values go after the handlers that were registered, the newest first.
/// Threads: Find() from any once the worker is ready; what it finds is used by many at once, and guards itself.
class WEFT_API HttpApplicationState {
 public:
  HttpApplicationState() = default;

  /// Keeps `value`, in place of another of its type. Throws std::logic_error once the worker is ready, as do the two below.
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
    RequireStarting();
    return values_.Emplace<T>(name, std::forward<Arguments>(arguments)...);
  }
  /// Null where there is none of exactly this type and name: one of a derived type is not found by its base.
  template <typename T>
  T* Find(std::string_view name = {}) const noexcept {
    return values_.Find<T>(name);
  }

  /// From now on nothing is added. The host does so when every module has started.
  void Seal() noexcept { is_sealed_ = true; }

 private:
  void RequireStarting() const;

  detail::TypedValues values_;
  bool is_sealed_ = false;
};

}  // namespace weft
