#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include <weft/http_handler.hpp>
#include <weft/module.hpp>
#include "mappings/type_name.hpp"

namespace weft::host::handling {

/// The name of a handler's class as its source has it, for logs. Lifetime: of the process. Threads: the reactor's.
std::string_view NameOf(const std::type_info& type);

/// No handler was made where one was asked for, and nothing was thrown.
class NoHandlerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How long instances of a class live.
enum class Lifetime : std::uint8_t {
  kInstance,  ///< lent to one request at a time, and kept for another where it is reusable
  kShared,    ///< one, for all requests at once
  kFactory,   ///< what the class's factory decides
};

/// `instance`, `shared` or `factory`.
std::string_view ToString(Lifetime lifetime) noexcept;

/// What a class lends: exactly one of the two is set. The shared one lives as long as the process.
struct Loan {
  std::unique_ptr<IHttpHandler> own;
  const IHttpSharedHandler* shared = nullptr;
};

/// A class that mappings may name, as the pipeline uses it: something that lends handlers.
///
/// Threads: the reactor's, on a request's fiber.
class HandlerClass {
 public:
  virtual ~HandlerClass() = default;

  /// Lends a handler for one request. Throws what the class's own code throws, and NoHandlerError where that made
  /// none.
  virtual Loan Borrow(HttpContext& context) = 0;
  /// A handler for who asks by name at run time (a `.ashx` file): one of its own, or what stands for the shared one,
  /// which a factory's loan then is. Throws what the class's own code throws, NoHandlerError where that made none,
  /// and TypeError for a factory.
  virtual std::unique_ptr<IHttpHandler> Create() = 0;
  /// Whether an instance may be returned, entered or not. Throws what its own code throws; it may not, then.
  /// Threads: where it served.
  virtual bool MayServeAgain(const IHttpHandler& handler) const = 0;
  /// Makes an instance that was entered ready for another request. Throws what its own code throws; it may not be
  /// returned then. Threads: where it served.
  virtual void Reset(IHttpHandler& handler) const = 0;
  /// Takes back what may serve again.
  virtual void Return(std::unique_ptr<IHttpHandler> handler) = 0;

  virtual Lifetime LifetimeOfInstances() const noexcept = 0;
  /// Absent where the type of its handlers is not known before there is one.
  virtual std::optional<HandlerTraits> Traits() const noexcept = 0;
};

/// A handler on loan to one request; returns it when it dies.
///
/// Threads: the reactor's, but for ProcessRequest().
class HandlerLease {
 public:
  /// Throws what HandlerClass::Borrow() throws. Both must outlive the lease.
  HandlerLease(HandlerClass& handler_class, HttpContext& context);
  HandlerLease(const HandlerLease&) = delete;
  HandlerLease& operator=(const HandlerLease&) = delete;
  ~HandlerLease();

  /// The handler's own class. Lifetime: of the process.
  const std::type_info& Type() const noexcept { return type_; }
  /// It runs on the fiber; any other on a thread of the pool.
  bool IsAsync() const noexcept { return is_async_; }
  /// It reads the body as it arrives.
  bool IsBufferless() const noexcept { return is_bufferless_; }

  /// Has the handler answer the request, at most once in a lease. Throws what the handler throws. An instance
  /// that is not to serve again is destroyed here; whatever it throws after ProcessRequest() is logged, and the
  /// instance dropped.
  ///
  /// Threads: any one, while the reactor's waits for it.
  void ProcessRequest(HttpContext& context);

  /// The instance that is lent; null for a shared one, and once it is destroyed.
  IHttpHandler* Instance() const noexcept { return loan_.own.get(); }

 private:
  HandlerClass& class_;
  const HttpContext& context_;
  Loan loan_;
  const std::type_info& type_;
  bool is_async_;
  bool is_bufferless_;
  bool is_ready_ = false;  // it was entered, may serve again, and was reset
};

/// The classes of one module, or those built in.
class HandlerRegistry final : public IHandlerRegistry {
 public:
  /// `pool` bounds the instances that each class keeps for reuse.
  explicit HandlerRegistry(std::size_t pool = kDefaultPool) : pool_(pool) {}
  static constexpr std::size_t kDefaultPool = 64;

  void AddHandler(std::string_view class_name,
                  std::function<std::unique_ptr<IHttpHandler>()> create) override;
  void AddHandler(std::string_view class_name,
                  std::function<std::unique_ptr<IHttpHandler>()> create,
                  const HandlerTraits& traits) override;
  void AddSharedHandler(std::string_view class_name,
                        std::shared_ptr<const IHttpSharedHandler> handler) override;
  void AddFactory(std::string_view class_name,
                  std::unique_ptr<IHttpHandlerFactory> factory) override;

  void OnStart(std::function<void(HttpApplicationState&)> hook) override;
  void OnStop(std::function<void(HttpApplicationState&)> hook) override;

  using Hooks = std::vector<std::function<void(HttpApplicationState&)>>;
  const Hooks& StartHooks() const noexcept { return start_hooks_; }
  const Hooks& StopHooks() const noexcept { return stop_hooks_; }

  /// Null where there is none of exactly that name.
  HandlerClass* Find(std::string_view class_name) const noexcept;
  /// In the order of the alphabet.
  std::vector<std::string> ClassNames() const;

 private:
  void Add(std::string_view class_name, std::unique_ptr<HandlerClass> handler_class);
  void AddPooled(std::string_view class_name, std::function<std::unique_ptr<IHttpHandler>()> create,
                 std::optional<HandlerTraits> traits);

  std::size_t pool_;
  std::map<std::string, std::unique_ptr<HandlerClass>, std::less<>> classes_;
  Hooks start_hooks_;
  Hooks stop_hooks_;
};

}  // namespace weft::host::handling
