#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <weft/cancellation.hpp>
#include <weft/http_worker_request.hpp>
#include "host/pipeline/exchange.hpp"
#include "host/runtime/runtime.hpp"

namespace weft::host::pipeline {

/// Bytes of request bodies that a worker holds in memory, and their bound.
struct BodyBudget {
  std::size_t max_bytes;
  std::size_t used_bytes = 0;
};

/// What stands between a request's HttpContext and its exchange: holds the body to what was announced and
/// allowed, and carries the calls of a handler that runs on a thread of the pool to the request's fiber.
class RequestIo final : public HttpWorkerRequest {
 public:
  RequestIo(IExchange& exchange, const CancellationToken& cancellation, BodyBudget& budget)
      : exchange_(exchange), cancellation_(cancellation), budget_(budget) {}
  RequestIo(const RequestIo&) = delete;
  RequestIo& operator=(const RequestIo&) = delete;
  ~RequestIo() override { budget_.used_bytes -= held_; }

  /// Throws HttpException(400) when `announced` is no number of bytes, and HttpException(413) when it is over
  /// `max_bytes`. Before the first ReadBody().
  void SetBodyBounds(std::string_view announced, std::uint64_t max_bytes);
  /// Whether what is read from now on is kept in memory, and counts for the budget.
  void CountAgainstBudget(bool count) noexcept { count_ = count; }
  /// While set, calls come from the gateway's thread.
  void SetGateway(runtime::IFiberGateway* gateway) noexcept { gateway_ = gateway; }

  std::size_t ReadBody(std::span<char> buffer) override;
  void SendHeaders(int status, std::string_view description, const HttpHeaders& headers) override;
  void SendBody(std::string_view bytes) override;
  void Flush() override;

 private:
  template <typename F>
  void OnFiber(F&& function);

  IExchange& exchange_;
  const CancellationToken& cancellation_;
  BodyBudget& budget_;
  runtime::IFiberGateway* gateway_ = nullptr;
  std::optional<std::uint64_t> announced_;
  std::uint64_t max_bytes_ = 0;
  std::uint64_t received_ = 0;
  std::size_t held_ = 0;
  bool count_ = false;
};

}  // namespace weft::host::pipeline
