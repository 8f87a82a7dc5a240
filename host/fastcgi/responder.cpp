#include "host/fastcgi/responder.hpp"

#include <fcgiapp.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include <weft/http_exception.hpp>
#include "host/fastcgi/params.hpp"
#include "host/pipeline/exchange.hpp"

namespace weft::host::fastcgi {

namespace {

constexpr std::size_t kMaxInt = std::numeric_limits<int>::max();
/// A usual header block fits; a larger one grows.
constexpr std::size_t kUsualHeaderBytes = 512;
/// Bodies in pieces of at least this are sent beside libfcgi's stream, which would copy them twice, into records of 8 KiB: a
/// 1 GiB file took twice as long. Smaller pieces are better gathered there. The same for what is read of a request's body.
constexpr std::size_t kDirectBytes = 16 * 1024;

/// One request's body and response, through libfcgi's streams.
class FastCgiExchange final : public pipeline::IExchange {
 public:
  FastCgiExchange(boost::asio::io_context& io, Channel& channel, FCGX_Request& request,
                  const pipeline::BodyBudget& bodies, std::chrono::milliseconds body_timeout)
      : io_(io),
        channel_(channel),
        request_(request),
        bodies_(bodies),
        body_timeout_(body_timeout) {}

  std::size_t ReadBody(std::span<char> buffer) override {
    const auto held = channel_.StdinOfLibfcgi() - consumed_of_libfcgi_;
    std::size_t count = 0;
    bool timed_out = false;
    if (held == 0 && (buffer.size() >= kDirectBytes || channel_.FeedsStdin())) {
      const auto taken = channel_.TakeStdin(buffer, body_timeout_);
      count = taken.count;
      timed_out = taken.timed_out;
    } else if (held + channel_.StdinBuffered() == 0) {
      // libfcgi's reads wait until the whole buffer is full. So wait here, for anything, and ask it for no more than has
      // come.
      timed_out = !channel_.WaitForStdin(body_timeout_);
    }
    if (timed_out) {
      throw HttpException(408, {},
                          "no byte of the body came for " + std::to_string(body_timeout_.count()) +
                              " ms (--body-timeout)")
          .WithCause(cause::kBodyTimeout);
    }
    switch (channel_.StdinLost()) {
      case Channel::StdinLoss::kNone:
        break;
      case Channel::StdinLoss::kTooLarge:
        throw HttpException(413, {}, "the body has more bytes than --max-request-bytes")
            .WithCause(cause::kBodyTooLarge);
      case Channel::StdinLoss::kNoRoom:
        throw bodies_.Exceeded();
    }
    if (count != 0) {
      return count;
    }
    // Of a large buffer only what libfcgi holds: it copies the rest once less.
    const auto there =
        held + (buffer.size() < kDirectBytes || held == 0 ? channel_.StdinBuffered() : 0);
    if (there == 0) {
      channel_.Cancellation().Token().ThrowIfCancellationRequested();
      if (channel_.StdinCut()) {
        throw HttpException(400, "The body was cut short.",
                            "the web server stopped inside the body")
            .WithCause(cause::kBodyTooShort);
      }
      return 0;
    }
    const auto wanted = std::min({there, std::uint64_t{buffer.size()}, std::uint64_t{kMaxInt}});
    count =
        static_cast<std::size_t>(FCGX_GetStr(buffer.data(), static_cast<int>(wanted), request_.in));
    consumed_of_libfcgi_ += count;
    if (count == 0) {
      channel_.Cancellation().Token().ThrowIfCancellationRequested();
      throw HttpException(400, {}, "the body's stream is broken").WithCause(cause::kBodyTooShort);
    }
    return count;
  }

  std::shared_ptr<pipeline::IReadAhead> ReadAhead() override {
    // What libfcgi holds comes first.
    return channel_.StdinOfLibfcgi() == consumed_of_libfcgi_ ? channel_.FeedStdin(io_) : nullptr;
  }

  void SendHeaders(int status, std::string_view description, const HttpHeaders& headers) override {
    std::string block;
    block.reserve(kUsualHeaderBytes);
    const auto append = [&block](std::string_view name, std::string_view value) {
      block.append(name).append(": ").append(value).append("\r\n");
    };
    // In front of the status, which holds whatever a web server makes of a Location (RFC 3875, 6.2.3).
    const auto location = headers.Find("Location");
    if (location) {
      append("Location", *location);
    }
    block.append("Status: ").append(std::to_string(status)).append(" ");
    block.append(description).append("\r\n");
    for (const auto& [name, value] : headers) {
      if (!location || !EqualsIgnoreCase(name, "Location")) {
        append(name, value);
      }
    }
    block.append("\r\n");
    SendBody(block);
  }

  void SendBody(std::string_view bytes) override {
    if (bytes.size() >= kDirectBytes) {
      SendBesideLibfcgi([&] { return channel_.SendStdout(bytes); });
      return;
    }
    while (!bytes.empty()) {
      const auto piece = bytes.substr(0, kMaxInt);
      if (FCGX_PutStr(piece.data(), static_cast<int>(piece.size()), request_.out) < 0) {
        throw OperationCancelled(CancellationReason::kClientGone);
      }
      bytes.remove_prefix(piece.size());
    }
    if (channel_.Aborted()) {
      throw OperationCancelled(CancellationReason::kClientGone);
    }
  }

  void SendPiped(int pipe, std::size_t bytes) override {
    SendBesideLibfcgi([&] { return channel_.SendPiped(pipe, bytes); });
  }

  void Flush() override {
    // A stream that failed before says so by its error alone.
    if (FCGX_FFlush(request_.out) < 0 || FCGX_GetError(request_.out) != 0 || channel_.Aborted()) {
      throw OperationCancelled(CancellationReason::kClientGone);
    }
    channel_.Flush();
  }

  bool Finish() noexcept override {
    finished_ = true;
    // END_REQUEST goes out, and the channel with it: nothing of either is touched any more.
    FCGX_Finish_r(&request_);
    return true;
  }
  bool Finished() const noexcept { return finished_; }

  void OnCancelled() noexcept override {
    if (!finished_) {
      channel_.NotifyCancelled();
    }
  }

  void Abort() noexcept override {
    // A request that the web server aborted is ended as it asked, with END_REQUEST.
    if (!finished_ && !channel_.Aborted()) {
      channel_.Cut();
    }
  }

 private:
  template <typename Send>
  void SendBesideLibfcgi(Send&& send) {
    if (FCGX_FFlush(request_.out) < 0 || FCGX_GetError(request_.out) != 0) {
      throw OperationCancelled(CancellationReason::kClientGone);
    }
    if (!send()) {
      channel_.Cancellation().Token().ThrowIfCancellationRequested();
      throw OperationCancelled(CancellationReason::kClientGone);
    }
  }

  boost::asio::io_context& io_;
  Channel& channel_;
  FCGX_Request& request_;
  const pipeline::BodyBudget& bodies_;
  std::chrono::milliseconds body_timeout_;
  std::uint64_t consumed_of_libfcgi_ = 0;  // of what it has read of the body
  bool finished_ = false;
};

}  // namespace

Responder::Responder(runtime::Runtime& runtime, pipeline::Pipeline& pipeline,
                     std::chrono::milliseconds body_timeout)
    : runtime_(runtime), pipeline_(pipeline), body_timeout_(body_timeout) {
  if (FCGX_Init() != 0) {
    throw std::runtime_error("libfcgi cannot be initialised");
  }
}

void Responder::Start(Channel& channel) { runtime_.Spawn(channel); }

void Responder::Serve(Channel& channel) noexcept {
  if (!channel.TryOpen()) {
    return;  // no memory; the channel has ended itself
  }
  const auto began = pipeline_.Traces() ? std::chrono::steady_clock::now()
                                        : std::chrono::steady_clock::time_point();
  FCGX_Request request;
  if (FCGX_InitRequest(&request, channel.Number(), 0) != 0 || FCGX_Accept_r(&request) != 0) {
    // libfcgi has closed the channel, and so ended it.
    return;
  }
  {
    FastCgiExchange exchange(runtime_.Io(), channel, request, Bodies(), body_timeout_);
    try {
      pipeline_.Process(exchange, ReadParams(request.envp, channel.ParamsBytes()),
                        channel.Cancellation(), began);
    } catch (...) {
      // No memory for the parameters.
      exchange.Abort();
    }
    if (exchange.Finished()) {
      return;
    }
  }
  // Writes END_REQUEST, and closes the channel, which may be gone after it.
  FCGX_Finish_r(&request);
}

}  // namespace weft::host::fastcgi
