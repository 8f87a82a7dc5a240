#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <weft/cancellation.hpp>
#include <weft/http_worker_request.hpp>
#include "host/observe/tracer.hpp"
#include "host/observe/worker_figures.hpp"
#include "host/pipeline/body_budget.hpp"
#include "host/pipeline/exchange.hpp"
#include "host/runtime/runtime.hpp"

namespace weft::host::pipeline {

/// Lets go of a request's peer: HttpResponse::Finish().
///
/// Threads: on the request's fiber.
class IFinisher {
 public:
  virtual ~IFinisher() = default;
  /// As HttpWorkerRequest::Finish().
  virtual bool Finish() = 0;
};

/// What stands between a request's HttpContext and its exchange: holds the body to what was announced and
/// allowed, and carries the calls of a handler that runs on a thread of the pool to the request's fiber.
class RequestIo final : public HttpWorkerRequest {
 public:
  /// What of the body is kept counts for `memory` or `files`.
  RequestIo(IExchange& exchange, const CancellationToken& cancellation, BodyBudget& memory,
            BodyBudget& files)
      : exchange_(exchange), cancellation_(cancellation), memory_(memory), files_(files) {}
  RequestIo(const RequestIo&) = delete;
  RequestIo& operator=(const RequestIo&) = delete;
  ~RequestIo() override {
    memory_.GiveBack(held_in_memory_);
    files_.GiveBack(held_in_files_);
  }

  /// Throws HttpException(400) when `announced` is no number of bytes, and HttpException(413) when it is over
  /// `max_bytes`. Before the first ReadBody().
  void SetBodyBounds(std::string_view announced, std::uint64_t max_bytes);
  /// From now on what is sent is the host's own answer, which a cancelled request gets too.
  void BeginErrorAnswer() noexcept { error_answer_ = true; }
  /// Who is asked to let go of the peer.
  void SetFinisher(IFinisher& finisher) noexcept { finisher_ = &finisher; }
  /// The peer has gone with its whole answer: from now on reading throws std::logic_error, too.
  void EndRequest() noexcept {
    answer_ended_ = true;
    request_ended_ = true;
  }
  /// The host has given the answer, or none, while the handler is still at work on a thread: whatever it reads or sends from
  /// now on throws OperationCancelled. On the request's fiber; the request is cancelled.
  void Abandon() noexcept { abandoned_ = true; }
  /// The answer is complete, or cut: from now on sending throws std::logic_error.
  void EndAnswer() noexcept { answer_ended_ = true; }
  /// The exchange was given a header block; whether it arrived nobody knows.
  bool HeadersSent() const noexcept { return headers_sent_; }
  std::uint64_t BodyBytesSent() const noexcept { return body_bytes_sent_; }
  /// Of the header block, as CGI has it.
  std::uint64_t HeaderBytesSent() const noexcept { return header_bytes_sent_; }
  std::uint64_t BodyBytesReceived() const noexcept { return received_; }
  /// While set, calls come from the gateway's thread.
  void SetGateway(runtime::IFiberGateway* gateway) noexcept { gateway_ = gateway; }

  runtime::IFiberGateway* Gateway() const noexcept { return gateway_; }
  /// Who is told what the request is at. It must outlive the calls.
  void SetCounted(observe::CountedRequest& counted) noexcept { counted_ = &counted; }
  /// Where the answer is noted, and how long the peer made it wait; null: nowhere. It must outlive the calls.
  void SetTrace(observe::RequestTrace* trace) noexcept { trace_ = trace; }

  std::size_t ReadBody(std::span<char> buffer) override;
  void HoldBody(std::size_t memory_bytes, std::uint64_t file_bytes) override;
  void SendHeaders(int status, std::string_view description, const HttpHeaders& headers) override;
  void SendBody(std::string_view bytes) override;
  void SendPiped(int pipe, std::size_t bytes) override;
  void Flush() override;
  bool Finish() override;

 private:
  template <typename F>
  void OnFiber(F&& function);
  void CheckNotCancelled() const;
  void CheckMaySend() const;
  /// On the fiber.
  void CheckNotAbandoned() const;
  /// On the fiber: calls `function`, which may wait for the peer.
  template <typename F>
  void While(observe::RequestState state, F&& function);

  IExchange& exchange_;
  const CancellationToken& cancellation_;
  BodyBudget& memory_;
  BodyBudget& files_;
  runtime::IFiberGateway* gateway_ = nullptr;
  std::optional<std::uint64_t> announced_;
  std::uint64_t max_bytes_ = 0;
  std::uint64_t received_ = 0;
  std::shared_ptr<IReadAhead> ahead_;  // where a thread reads a long body
  std::size_t held_in_memory_ = 0;
  std::size_t held_in_files_ = 0;
  std::uint64_t body_bytes_sent_ = 0;
  std::uint64_t header_bytes_sent_ = 0;
  bool error_answer_ = false;
  bool answer_ended_ = false;
  bool headers_sent_ = false;
  bool request_ended_ = false;
  bool abandoned_ = false;  // the fiber's, as the exchange is
  IFinisher* finisher_ = nullptr;
  observe::CountedRequest* counted_ = nullptr;
  observe::RequestTrace* trace_ = nullptr;
};

}  // namespace weft::host::pipeline
