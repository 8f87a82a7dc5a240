#pragma once

#include <weft/http_handler.hpp>

namespace weft::builtin {

/// Answers every request with one status. It waits for nothing, so it stays on the fiber, and for no body.
class StatusHandler : public IHttpAsyncHandler, public IHttpBufferlessHandler {
 public:
  explicit StatusHandler(int status) noexcept : status_(status) {}
  void ProcessRequest(HttpContext& context) override;
  bool IsReusable() const override { return true; }

 private:
  int status_;
};

class HttpForbiddenHandler final : public StatusHandler {
 public:
  HttpForbiddenHandler() noexcept : StatusHandler(403) {}
};

class HttpNotFoundHandler final : public StatusHandler {
 public:
  HttpNotFoundHandler() noexcept : StatusHandler(404) {}
};

/// The host has set Allow from the mapping before it is called.
class HttpMethodNotAllowedHandler final : public StatusHandler {
 public:
  HttpMethodNotAllowedHandler() noexcept : StatusHandler(405) {}
};

}  // namespace weft::builtin
