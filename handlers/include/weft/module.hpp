#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <weft/export.hpp>
#include <weft/http_application.hpp>
#include <weft/http_handler.hpp>

namespace weft {

/// What a class of handlers is, as far as its type tells without an instance.
struct HandlerTraits {
  bool is_async = false;       ///< IHttpAsyncHandler, or IHttpSharedAsyncHandler
  bool is_bufferless = false;  ///< IHttpBufferlessHandler
  bool is_resettable = false;  ///< IHttpResettableHandler
};

/// The traits of a class.
template <typename Handler>
inline constexpr HandlerTraits kHandlerTraits{
    .is_async = std::is_base_of_v<IHttpAsyncHandler, Handler> ||
                std::is_base_of_v<IHttpSharedAsyncHandler, Handler>,
    .is_bufferless = std::is_base_of_v<IHttpBufferlessHandler, Handler>,
    .is_resettable = std::is_base_of_v<IHttpResettableHandler, Handler>};

/// Where a module names its classes, for the `Class` of a mapping's `"type": "Class, module"`. The functions
/// below, AddHandler<T>() and its like, are what a module usually calls.
///
/// Throws std::invalid_argument for an empty name, one that was added before, or nothing to add or to call.
class IHandlerRegistry {
 public:
  virtual ~IHandlerRegistry() = default;

  /// A class of handlers. `create` makes an instance whenever one is needed, on the reactor's thread; each is lent
  /// to one request at a time, and those that say IsReusable() are kept, up to `--handler-pool` of them.
  virtual void AddHandler(std::string_view class_name,
                          std::function<std::unique_ptr<IHttpHandler>()> create) = 0;
  /// The same, for a class of which more is known; `weft modules` shows it.
  virtual void AddHandler(std::string_view class_name,
                          std::function<std::unique_ptr<IHttpHandler>()> create,
                          const HandlerTraits& traits) = 0;
  /// One instance for all requests at once, to the end of the process.
  virtual void AddSharedHandler(std::string_view class_name,
                                std::shared_ptr<const IHttpSharedHandler> handler) = 0;
  /// A factory, which decides itself about the life of its handlers.
  virtual void AddFactory(std::string_view class_name,
                          std::unique_ptr<IHttpHandlerFactory> factory) = 0;

  /// Has `hook` called in each worker before it is ready: the modules in the order in which they are loaded (folder by folder,
  /// by name), the hooks of one in the order of these calls. It runs on the worker's first thread, where it may block, within
  /// `--start-timeout`, and fills the application's state. What it throws is logged with the module's name, and the worker
  /// does not start: exit code 78. `weft modules` and `weft check` call none; `weft trial`, which comes before each reload of
  /// a host, calls them, and those of OnStop(), in a process that takes no requests.
  virtual void OnStart(std::function<void(HttpApplicationState& application)> hook) = 0;
  /// Has `hook` called in each worker whose module has started, when its last request is over; the last one first. It runs
  /// on a thread of its own, where it may block until 1.5 s after the drain time; the process ends without it then, and
  /// also where a request does not end. What it throws is logged, and the others run.
  virtual void OnStop(std::function<void(HttpApplicationState& application)> hook) = 0;
};

namespace detail {

template <typename Handler>
constexpr void CheckHandler() {
  static_assert(
      !std::is_base_of_v<IHttpSharedHandler, Handler>,
      "a handler that derives from weft::IHttpSharedHandler is added by weft::AddSharedHandler");
  static_assert(std::is_base_of_v<IHttpHandler, Handler>,
                "a handler derives from weft::IHttpHandler");
}

template <typename Handler>
constexpr void CheckSharedHandler() {
  static_assert(std::is_base_of_v<IHttpSharedHandler, Handler>,
                "a shared handler derives from weft::IHttpSharedHandler (or "
                "IHttpSharedAsyncHandler): one instance "
                "serves many requests at once, and has to say that this is safe");
  static_assert(!std::is_base_of_v<IHttpHandler, Handler>,
                "a handler is either shared or lent to one request at a time: derive from "
                "weft::IHttpSharedHandler or from weft::IHttpHandler, not from both");
  static_assert(!std::is_base_of_v<IHttpResettableHandler, Handler>,
                "a shared handler is never reset, for there is no moment between its requests");
  static_assert(!std::is_abstract_v<Handler>,
                "a shared handler's function is `void ProcessRequest(weft::HttpContext&) const "
                "override`: const, "
                "for many requests are in it at once");
}

}  // namespace detail

/// Adds `Handler` under `class_name`; it needs a default constructor.
template <typename Handler>
void AddHandler(IHandlerRegistry& registry, std::string_view class_name) {
  detail::CheckHandler<Handler>();
  registry.AddHandler(
      class_name, [] { return std::make_unique<Handler>(); }, kHandlerTraits<Handler>);
}

/// Adds `Handler` under `class_name`; `create` makes the instances, and captures what they need.
template <typename Handler>
void AddHandler(IHandlerRegistry& registry, std::string_view class_name,
                std::function<std::unique_ptr<Handler>()> create) {
  detail::CheckHandler<Handler>();
  registry.AddHandler(class_name, std::move(create), kHandlerTraits<Handler>);
}

/// Adds one instance of `Handler`, made here by its default constructor, for all requests at once.
template <typename Handler>
void AddSharedHandler(IHandlerRegistry& registry, std::string_view class_name) {
  detail::CheckSharedHandler<Handler>();
  registry.AddSharedHandler(class_name, std::make_shared<const Handler>());
}

/// Adds this instance for all requests at once. It lives as long as the worker, whoever else holds it.
template <typename Handler>
void AddSharedHandler(IHandlerRegistry& registry, std::string_view class_name,
                      std::shared_ptr<Handler> handler) {
  detail::CheckSharedHandler<Handler>();
  registry.AddSharedHandler(class_name, std::move(handler));
}

/// Adds a factory, made here by its default constructor.
template <typename Factory>
void AddFactory(IHandlerRegistry& registry, std::string_view class_name) {
  static_assert(std::is_base_of_v<IHttpHandlerFactory, Factory>,
                "a factory derives from weft::IHttpHandlerFactory");
  registry.AddFactory(class_name, std::make_unique<Factory>());
}

namespace detail {

/// Raised with each change of the public headers that a module built before it would not survive.
inline constexpr std::uint32_t kContractVersion = 5;
inline constexpr std::uint32_t kModuleMagic = 0x57656674;  // "Weft"

/// What a module was built against; the host compares it before it calls anything in the module. The first two
/// fields are the same in every version of the contract, the others may only be read where the version is ours.
struct ModuleStamp {
  std::uint32_t magic;
  std::uint32_t contract_version;
  const char* compiler_abi;
  const char* build_type;
};

#define WEFT_DETAIL_TEXT2(x) #x
#define WEFT_DETAIL_TEXT(x) WEFT_DETAIL_TEXT2(x)
/// What decides whether two objects agree on layout and names: the C++ ABI's version, libstdc++'s string, and
/// whether its debug mode or the address sanitizer changes what containers look like.
#if defined(__SANITIZE_ADDRESS__)
#define WEFT_DETAIL_SANITIZER " asan"
#else
#define WEFT_DETAIL_SANITIZER ""
#endif
#if defined(_GLIBCXX_DEBUG)
#define WEFT_DETAIL_DEBUG_MODE " glibcxx-debug"
#else
#define WEFT_DETAIL_DEBUG_MODE ""
#endif
inline constexpr const char* kCompilerAbi =
    "gxx-abi " WEFT_DETAIL_TEXT(__GXX_ABI_VERSION) " cxx11-strings " WEFT_DETAIL_TEXT(
        _GLIBCXX_USE_CXX11_ABI) WEFT_DETAIL_DEBUG_MODE WEFT_DETAIL_SANITIZER;

/// How it was built, for people: `release` is without assert(), and the rest is what slows it down beside.
#if defined(NDEBUG)
#define WEFT_DETAIL_ASSERTIONS "release"
#else
#define WEFT_DETAIL_ASSERTIONS "debug"
#endif
#if defined(__OPTIMIZE__)
#define WEFT_DETAIL_OPTIMIZED ""
#else
#define WEFT_DETAIL_OPTIMIZED " not-optimized"
#endif
#if defined(__SANITIZE_THREAD__)
#define WEFT_DETAIL_OTHER_SANITIZER " tsan"
#else
#define WEFT_DETAIL_OTHER_SANITIZER ""
#endif
inline constexpr const char* kBuildType =
    WEFT_DETAIL_ASSERTIONS WEFT_DETAIL_OPTIMIZED WEFT_DETAIL_SANITIZER WEFT_DETAIL_OTHER_SANITIZER;

}  // namespace detail
}  // namespace weft

/// Defines the entry point of a module. Use it once in a module, at namespace scope:
///
///     WEFT_MODULE(registry) { weft::AddHandler<shop::Hello>(registry, "shop::Hello"); }
#define WEFT_MODULE(registry)                                          \
  extern "C" {                                                         \
  extern WEFT_API const ::weft::detail::ModuleStamp weft_module_stamp; \
  const ::weft::detail::ModuleStamp weft_module_stamp = {              \
      ::weft::detail::kModuleMagic, ::weft::detail::kContractVersion,  \
      ::weft::detail::kCompilerAbi, ::weft::detail::kBuildType};       \
  WEFT_API void weft_module_register(::weft::IHandlerRegistry&);       \
  }                                                                    \
  void weft_module_register([[maybe_unused]] ::weft::IHandlerRegistry& registry)
