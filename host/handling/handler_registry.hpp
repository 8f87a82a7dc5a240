#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
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

/// A class that mappings may name, as the pipeline uses it: something that lends handlers.
///
/// Threads: the reactor's, on a request's fiber.
class HandlerClass {
 public:
  virtual ~HandlerClass() = default;

  /// Lends a handler for one request. Never null. Throws what the class's own code throws, and
  /// HttpException(500) for a factory that returned null.
  virtual IHttpHandler& Borrow(HttpContext& context, std::unique_ptr<IHttpHandler>& owned) = 0;
  /// A handler of its own for who asks by name at run time (a `.ashx` file). Throws HttpException(500) for a
  /// class that is no plain class of handlers.
  virtual std::unique_ptr<IHttpHandler> Create() = 0;
  /// Takes it back. `failed`: ProcessRequest threw, and the instance serves no more.
  virtual void Return(std::unique_ptr<IHttpHandler> owned, bool failed) = 0;
};

/// A handler on loan to one request; returns it when it dies.
class HandlerLease {
 public:
  HandlerLease(HandlerClass& handler_class, HttpContext& context)
      : class_(handler_class), handler_(handler_class.Borrow(context, owned_)) {}
  HandlerLease(const HandlerLease&) = delete;
  HandlerLease& operator=(const HandlerLease&) = delete;
  ~HandlerLease();

  IHttpHandler& Handler() const noexcept { return handler_; }
  /// ProcessRequest threw: the instance must not serve again.
  void MarkFailed() noexcept { failed_ = true; }

 private:
  HandlerClass& class_;
  std::unique_ptr<IHttpHandler> owned_;
  IHttpHandler& handler_;
  bool failed_ = false;
};

/// The classes of one module, or those built in.
class HandlerRegistry final : public IHandlerRegistry {
 public:
  /// `max_idle` bounds the instances that each class keeps for reuse.
  explicit HandlerRegistry(std::size_t max_idle = 64) : max_idle_(max_idle) {}

  void AddHandler(std::string_view class_name,
                  std::function<std::unique_ptr<IHttpHandler>()> create) override;
  void AddSharedHandler(std::string_view class_name,
                        std::shared_ptr<IHttpHandler> handler) override;
  void AddFactory(std::string_view class_name,
                  std::unique_ptr<IHttpHandlerFactory> factory) override;

  /// Null where there is none of exactly that name.
  HandlerClass* Find(std::string_view class_name) const noexcept;
  std::vector<std::string> ClassNames() const;

 private:
  void Add(std::string_view class_name, std::unique_ptr<HandlerClass> handler_class);

  std::size_t max_idle_;
  std::map<std::string, std::unique_ptr<HandlerClass>, std::less<>> classes_;
};

}  // namespace weft::host::handling
