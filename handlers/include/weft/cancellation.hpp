#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>

#include <weft/export.hpp>

namespace weft {

/// Why a request should stop.
enum class CancellationReason : std::uint8_t {
  kNone = 0,
  kClientGone,  ///< the web server closed the connection, or sent FCGI_ABORT_REQUEST
  kDeadline,    ///< executionTimeout passed
  kShutdown,    ///< the worker stops and its drain time is over
  kAborted,     ///< the handler called HttpRequest::Abort(); no token has this reason
  kAnswered,  ///< the answer is whole, and its handler ends with it: ServerSentEvents for HEAD; no token has this reason
  kCancelled,  ///< of a Task alone: its maker called Task::Cancel(), or let it go
};

/// "client gone", "deadline passed", "shutdown", "aborted", "answered", "cancelled", or "not cancelled". Lifetime: static
/// storage.
WEFT_API const char* ToString(CancellationReason reason) noexcept;

/// Thrown by a wait, a read or a write whose request was cancelled.
///
/// A handler lets it pass: the host knows what to answer.
class WEFT_API OperationCancelled : public std::runtime_error {
 public:
  explicit OperationCancelled(CancellationReason reason);
  ~OperationCancelled() override;

  CancellationReason Reason() const noexcept { return reason_; }

 private:
  CancellationReason reason_;
};

namespace detail {
class CancellationState;
}

/// Keeps a callback registered.
///
/// When its destructor has returned, the callback has ended or will never be called, and what it captured is
/// destroyed: where another thread is calling it, the destructor waits. Inside the callback itself the
/// destructor does not wait, and what was captured goes when the callback returns.
/// Threads: no thread may destroy it with a lock held that the callback, or the destructor of what it
/// captured, takes.
class WEFT_API CancellationRegistration {
 public:
  CancellationRegistration() noexcept;
  CancellationRegistration(CancellationRegistration&& other) noexcept;
  CancellationRegistration& operator=(CancellationRegistration&& other) noexcept;
  ~CancellationRegistration();

 private:
  friend class CancellationToken;
  CancellationRegistration(std::shared_ptr<detail::CancellationState> state,
                           std::uint64_t id) noexcept;
  void Reset() noexcept;

  std::shared_ptr<detail::CancellationState> state_;
  std::uint64_t id_ = 0;
};

/// Tells whether a request should stop: its client left, its deadline passed, or the worker stops.
///
/// Threads: every member from any thread. Lifetime: a token may outlive its request.
class WEFT_API CancellationToken {
 public:
  /// A token that is never cancelled.
  CancellationToken() noexcept;

  bool IsCancellationRequested() const noexcept { return Reason() != CancellationReason::kNone; }
  CancellationReason Reason() const noexcept;

  /// Throws OperationCancelled when cancelled.
  void ThrowIfCancellationRequested() const;

  /// Calls `callback` once, on the thread that cancels (the worker's reactor), or now and here when the
  /// token is cancelled already; then destroys it. The callback must be short, must not block and must not
  /// throw, and nor must the destructors of what it captured.
  [[nodiscard]] CancellationRegistration Register(std::function<void()> callback) const;

 private:
  friend class CancellationSource;
  explicit CancellationToken(std::shared_ptr<detail::CancellationState> state) noexcept;

  std::shared_ptr<detail::CancellationState> state_;
};

/// The host's end of a token.
///
/// Threads: Cancel() from any thread; the first reason stays.
class WEFT_API CancellationSource {
 public:
  CancellationSource();
  CancellationSource(CancellationSource&&) noexcept;
  CancellationSource& operator=(CancellationSource&&) noexcept;
  ~CancellationSource();

  CancellationToken Token() const noexcept { return CancellationToken(state_); }
  void Cancel(CancellationReason reason) noexcept;

 private:
  std::shared_ptr<detail::CancellationState> state_;
};

}  // namespace weft
