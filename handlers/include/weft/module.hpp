#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include <weft/export.hpp>
#include <weft/http_handler.hpp>

namespace weft {

/// Where a module names its classes, for the `Class` of a mapping's `"type": "Class, module"`.
///
/// Throws std::invalid_argument for an empty name or one that was added before.
class IHandlerRegistry {
 public:
  virtual ~IHandlerRegistry() = default;

  /// A class of handlers. Instances are made as they are needed, and lent to one request at a time; those
  /// that say IsReusable() serve again.
  virtual void AddHandler(std::string_view class_name,
                          std::function<std::unique_ptr<IHttpHandler>()> create) = 0;
  /// One instance for all requests at once, by its own word safe for that.
  virtual void AddSharedHandler(std::string_view class_name,
                                std::shared_ptr<IHttpHandler> handler) = 0;
  /// A factory, which decides itself about the life of its handlers.
  virtual void AddFactory(std::string_view class_name,
                          std::unique_ptr<IHttpHandlerFactory> factory) = 0;
};

/// Adds `Handler` under `class_name`; it needs a default constructor.
template <typename Handler>
void AddHandler(IHandlerRegistry& registry, std::string_view class_name) {
  static_assert(std::is_base_of_v<IHttpHandler, Handler>,
                "a handler derives from weft::IHttpHandler");
  registry.AddHandler(class_name, [] { return std::make_unique<Handler>(); });
}

namespace detail {

/// Raised with each change of the public headers that a module built before it would not survive.
inline constexpr std::uint32_t kContractVersion = 1;
inline constexpr std::uint32_t kModuleMagic = 0x57656674;  // "Weft"

/// What a module was built against; the host compares it before it calls anything in the module.
struct ModuleStamp {
  std::uint32_t magic;
  std::uint32_t contract_version;
  const char* compiler_abi;
};

#define WEFT_DETAIL_TEXT2(x) #x
#define WEFT_DETAIL_TEXT(x) WEFT_DETAIL_TEXT2(x)
/// What decides whether two objects agree on layout and names: the C++ ABI's version, libstdc++'s string, and
/// whether the address sanitizer changes what containers look like.
#if defined(__SANITIZE_ADDRESS__)
#define WEFT_DETAIL_SANITIZER " asan"
#else
#define WEFT_DETAIL_SANITIZER ""
#endif
inline constexpr const char* kCompilerAbi =
    "gxx-abi " WEFT_DETAIL_TEXT(__GXX_ABI_VERSION) " cxx11-strings " WEFT_DETAIL_TEXT(
        _GLIBCXX_USE_CXX11_ABI) WEFT_DETAIL_SANITIZER;

}  // namespace detail
}  // namespace weft

/// Defines the entry point of a module. Use it once in a module, at namespace scope:
///
///     WEFT_MODULE(registry) { weft::AddHandler<shop::Hello>(registry, "shop::Hello"); }
#define WEFT_MODULE(registry)                                                              \
  extern "C" {                                                                             \
  extern WEFT_API const ::weft::detail::ModuleStamp weft_module_stamp;                     \
  const ::weft::detail::ModuleStamp weft_module_stamp = {::weft::detail::kModuleMagic,     \
                                                         ::weft::detail::kContractVersion, \
                                                         ::weft::detail::kCompilerAbi};    \
  WEFT_API void weft_module_register(::weft::IHandlerRegistry&);                           \
  }                                                                                        \
  void weft_module_register([[maybe_unused]] ::weft::IHandlerRegistry& registry)
