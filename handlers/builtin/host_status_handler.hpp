#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <weft/http_handler.hpp>

namespace weft::builtin {

/// What the host tells of itself. Threads: a worker's reactor. Empty functions: it tells nothing.
struct HostStatusPages {
  std::function<std::string()> json{};
  std::function<std::string()> open_metrics{};
  std::string_view open_metrics_type{};  ///< Static storage.
  /// Empty: it is ready.
  std::function<std::string()> why_not_ready{};
};

/// `weft::StatusHandler`: tells how the host is, what it counts as JSON or OpenMetrics, by `?format=json`, `?format=openmetrics` or
/// Accept; and with `?ping`, whether it is ready (200, or 503 and the reason), with `?ping=live` that it lives.
///
/// Clients of the web server's own machine alone are answered, others get 403, unless the folder's section `weft.status` is `"all"`.
///
/// It runs on the fiber, so that it answers while all threads are busy, and for no body.
class HostStatusHandler final : public IHttpAsyncHandler, public IHttpBufferlessHandler {
 public:
  explicit HostStatusHandler(std::shared_ptr<const HostStatusPages> pages) noexcept
      : pages_(std::move(pages)) {}
  void ProcessRequest(HttpContext& context) override;
  bool IsReusable() const override { return true; }

 private:
  std::shared_ptr<const HostStatusPages> pages_;
};

}  // namespace weft::builtin
