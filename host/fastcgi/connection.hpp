#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/fastcgi/channel.hpp"
#include "host/fastcgi/record_parser.hpp"

namespace weft::host::fastcgi {

/// What a Connection needs of its socket. None of it calls back but to ask WantsToRead().
class IConnectionSocket {
 public:
  virtual ~IConnectionSocket() = default;
  /// Takes bytes without waiting; returns how many. 0: none now. -1: the peer is gone.
  virtual std::ptrdiff_t Send(std::string_view bytes) = 0;
  /// The same with bytes that lie apart: at most kMaxPieces of them, taken in their order.
  virtual std::ptrdiff_t SendPieces(std::span<const std::string_view> pieces) = 0;
  static constexpr std::size_t kMaxPieces = 16;
  /// The same with bytes of a pipe behind others; the pipe holds that many. What is not taken stays there.
  virtual std::ptrdiff_t SendPiped(std::string_view before, int pipe, std::size_t bytes) = 0;
  /// Has OnWritable() called once, when Send() takes bytes again.
  virtual void NotifyWhenWritable() = 0;
  /// What WantsToRead() says may have changed.
  virtual void ReadingChanged() = 0;
  enum class Ending {
    kNow,  ///< nothing is left to read, or nothing of it matters
    kLinger,  ///< the peer may still be sending: take its bytes for a while, lest they reset what it reads
    kReset,  ///< the peer must see that what it got is not whole: by a reset on TCP, by the missing
             ///< END_REQUEST on a Unix socket
  };
  /// The connection is over; the socket calls it no more, and destroys it soon, but not now.
  virtual void End(Ending ending) = 0;
};

/// What becomes of a request that no fiber ever served.
struct RefusedRequest {
  int status;
  std::string detail;
};

/// Bounds of a connection; the options of these names say what they are for.
struct ConnectionLimits {
  std::size_t max_requests = 1024;
  std::size_t max_params_bytes = 128 * 1024;
  std::size_t max_params = 1024;
  std::size_t stdin_buffer_bytes = 256 * 1024;
  std::uint64_t max_request_bytes = 30'000'000;
  std::size_t output_buffer_bytes = 64 * 1024;
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds idle_timeout{120'000};
  std::chrono::milliseconds send_timeout{60'000};
  /// What GET_VALUES is answered with: of the whole application, all workers together.
  std::size_t application_max_connections = 0;
  std::size_t application_max_requests = 0;
};

/// One connection from a web server: owns the record framing, gives each request id its own channel, answers
/// what is not for a request, and decides when the connection ends.
///
/// It has no socket and no thread of its own: bytes are given to OnBytes(), and leave through the socket's
/// interface; time is told by Overdue(). Unit tests drive it the same way.
///
/// Threads: the reactor's.
class Connection final : private RecordParser::IVisitor {
 public:
  using Clock = std::chrono::steady_clock;
  using RefusalLog = void (*)(void* context, const RefusedRequest& refused);

  /// `socket`, `server` and `limits` must outlive the connection. `log_refusal` is told of each request that
  /// is answered here with an error.
  Connection(IConnectionSocket& socket, IRequestServer& server, const ConnectionLimits& limits,
             RefusalLog log_refusal, void* log_context, Clock::time_point now);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  /// Cancels what is still running.
  ~Connection() override;

  // The socket's calls.

  /// The next bytes of the stream, all of which are taken.
  void OnBytes(std::string_view bytes, Clock::time_point now);
  /// No more bytes are there for now: who waits for them gets what came.
  void OnAllRead() noexcept;
  /// Send() takes bytes again.
  void OnWritable(Clock::time_point now);
  /// The peer will send no more. `half_closed`: it still reads; else it has gone, and its requests are
  /// cancelled.
  void OnEndOfStream(bool half_closed);
  /// The socket failed: as a peer that has gone.
  void OnSocketError();
  /// False while enough was read that no handler has asked for.
  bool WantsToRead() const noexcept;
  /// Why the connection has waited too long for its peer at `now`, as a phrase for the log; null: it has not.
  const char* Overdue(Clock::time_point now) const noexcept;
  /// Ends the connection as soon as no request is in flight on it.
  void Drain();
  /// Nothing is in flight, and no byte is waiting here: whoever has the socket may go on with it.
  bool IsAtRest() const noexcept;
  /// Since when it has not been used, if it is at rest.
  Clock::time_point IdleSince() const noexcept { return idle_since_; }
  /// As if another process had the socket now: nothing is sent or taken any more.
  void Forget() noexcept { ended_ = true; }
  /// While it is on nothing is read as long as requests are in flight that have come whole, so that it may come to rest.
  /// ReadingChanged() is the caller's to do.
  void HoldBack(bool on) noexcept { held_back_ = on; }
  /// Ends it now; what is in flight is cancelled.
  void Abandon(IConnectionSocket::Ending ending);

  std::size_t RequestsInFlight() const noexcept { return running_; }
  /// Requests whose parameters have not all come.
  std::size_t RequestsReceiving() const noexcept {
    const auto begun = running_ + failed_;
    return channels_.size() > begun ? channels_.size() - begun : 0;
  }

  // The channels' calls.

  /// Queues records of libfcgi's. True: END_REQUEST was among them, and no more will be written; the channel is let
  /// go, unless its answer is cut.
  bool WriteRecords(Channel& channel, std::string_view records);
  /// Sends bytes of a channel's STDOUT behind what is queued, in records that are made here; what the socket takes is not
  /// copied. Returns how many were taken, the rest of a record that has begun among them: it is queued. 0: wait for
  /// NotifyWritable().
  std::size_t SendStdout(Channel& channel, std::string_view bytes);
  /// The same with bytes of a pipe, which holds that many.
  std::size_t SendPiped(Channel& channel, int pipe, std::size_t bytes);
  /// Sends what is queued.
  void Flush();
  /// More output is queued than may be.
  bool OutputFull() const noexcept {
    return output_.size() - output_sent_ > limits_.output_buffer_bytes;
  }
  /// NotifyWritable() once there is room.
  void WaitForOutput(Channel& channel) { waiting_for_output_.push_back(&channel); }
  /// Bytes of STDIN of its only request that wait until reading stops.
  std::size_t StdinBufferBytes() const noexcept { return limits_.stdin_buffer_bytes; }
  /// libfcgi took bytes of STDIN.
  void StdinDrained();
  /// The fiber has gone, and the peer did not get END_REQUEST. The id stays in use: the peer holds the request for
  /// running until it aborts it, or the connection ends.
  void OnFailed(Channel& channel);

 private:
  bool OnRecordStart(const RecordHeader& header) override;
  bool OnContent(std::string_view bytes) override;
  bool OnRecordEnd() override;

  bool OnBegin();
  void OnParams(std::string_view bytes);
  void OnParamsEnd();
  void OnGetValues();

  Channel* FindChannel(std::uint16_t id) const noexcept;
  void LetGo(Channel& channel);
  /// As the peer's ABORT_REQUEST asks, for what no fiber serves.
  void EndAborted(Channel& channel);
  void Refuse(std::uint16_t id, bool keep, int status, const std::string& detail,
              ProtocolStatus protocol_status = ProtocolStatus::kRequestComplete);
  void RefuseChannel(Channel& channel, int status, const std::string& detail);
  void QueueControl(std::string_view bytes);
  /// Sends what is queued as far as the socket takes it. False: the peer has gone, and the connection is over.
  bool SendQueued();
  /// All that was queued is sent.
  void ReleaseOutput() noexcept;
  void QueueRest(std::string_view bytes, std::size_t& sent);
  /// Queues bytes of a pipe. False: they cannot be read.
  [[nodiscard]] bool QueuePiped(int pipe, std::size_t bytes);
  /// The socket takes no more for now.
  void WaitUntilWritable();
  void EndIfDone();
  void End(IConnectionSocket::Ending ending);
  void WakeWriters();

  IConnectionSocket& socket_;
  IRequestServer& server_;
  const ConnectionLimits& limits_;
  RefusalLog log_refusal_;
  void* log_context_;

  RecordParser parser_;
  RecordHeader record_{};              // the one that is being read
  Channel* record_channel_ = nullptr;  // whose it is; null where it is ignored
  std::string control_;                // content of a BEGIN_REQUEST or a management record

  std::vector<Channel*> channels_;   // sorted by id: begun, and not ended
  std::size_t running_ = 0;          // those of them that a fiber serves
  std::size_t failed_ = 0;           // those of them that ended without END_REQUEST
  std::size_t params_gathered_ = 0;  // bytes, of the others
  std::vector<Channel*> waiting_for_output_;

  std::string output_;
  std::size_t output_sent_ = 0;
  std::size_t control_queued_ = 0;  // bytes of output that no handler wrote, at most
  bool waits_writable_ = false;
  bool end_when_done_ = false;
  bool held_back_ = false;
  bool read_closed_ = false;
  bool unread_stdin_ = false;  // a request ended before its STDIN did
  // Two requests were on it at once: the peer goes by END_REQUEST, and a reset would destroy what it has not
  // read yet of answers that are whole.
  bool multiplexed_ = false;
  bool ended_ = false;

  Clock::time_point now_{};               // of the bytes that are being read
  Clock::time_point idle_since_;          // the last bytes, or the last answer
  Clock::time_point request_ended_at_{};  // the last answer
  Clock::time_point partial_since_{};     // a record was begun that is not whole yet
  std::uint64_t partial_record_ = 0;      // which one
  Clock::time_point send_since_{};        // output waits for the peer
};

}  // namespace weft::host::fastcgi
