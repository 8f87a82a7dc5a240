#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <weft/cancellation.hpp>
#include "host/fastcgi/protocol.hpp"
#include "host/fastcgi/stdin_feed.hpp"
#include "host/pipeline/body_budget.hpp"
#include "host/runtime/fiber_event.hpp"
#include "host/runtime/task.hpp"

namespace weft::host::fastcgi {

class Channel;
class Connection;

/// Serves a request whose parameters have come.
class IRequestServer {
 public:
  virtual ~IRequestServer() = default;
  /// On the reactor: has Serve() called on a fiber soon. Throws when there is none to be had.
  virtual void Start(Channel& channel) = 0;
  /// On the request's fiber, from its first byte to its END_REQUEST.
  virtual void Serve(Channel& channel) noexcept = 0;
  /// What the bodies count for that wait in channels. It outlives them.
  virtual pipeline::BodyBudget& Bodies() noexcept = 0;
};

/// One request's byte stream, between the connection that it came on and libfcgi, which takes the channel's
/// number for a descriptor.
///
/// What libfcgi reads here is whole and in order whatever the web server sent: BEGIN_REQUEST, the checked
/// parameters, and the request's own STDIN. What libfcgi writes goes to the connection.
///
/// Lifetime: the connection holds it until the request ended, the fiber until libfcgi closed it; the last one
/// destroys it. Threads: the reactor's.
class Channel final : public runtime::ITask {
 public:
  Channel(IRequestServer& server, Connection& connection, std::uint16_t id, Role role,
          bool keep_connection, std::chrono::steady_clock::time_point begun_at);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() override {
    CloseFeed();
    GiveBackStdin();
  }

  std::uint16_t Id() const noexcept { return id_; }
  bool KeepConnection() const noexcept { return keep_connection_; }
  std::chrono::steady_clock::time_point BegunAt() const noexcept { return begun_at_; }
  CancellationSource& Cancellation() noexcept { return cancellation_; }

  // For libfcgi, through the OS port, on the request's fiber. Errors as of read(2) and write(2): -1 and a
  // positive errno.

  /// Gives the channel its number, until Close(). False: there is no memory, and the channel has closed.
  [[nodiscard]] bool TryOpen() noexcept;
  int Number() const noexcept { return number_; }
  static Channel* Find(int number) noexcept;
  /// True the first time: the channel is handed to libfcgi once.
  bool TakeAccept() noexcept { return !std::exchange(accepted_, true); }
  /// Waits for bytes. 0: the end.
  int Read(char* buffer, std::size_t size) noexcept;
  /// Takes whole records; waits while the connection's output is full and the request is not cancelled. -1: nobody
  /// will read them.
  int Write(const char* records, std::size_t size) noexcept;
  /// libfcgi is done: gives up the fiber's hold.
  void Close() noexcept;

  // For what reads the body and writes the response beside libfcgi, on the request's fiber.

  /// Waits until STDIN has bytes that nobody read yet, or has ended, or `time` passes, or the request is cancelled. False:
  /// the time passed.
  [[nodiscard]] bool WaitForStdin(std::chrono::milliseconds time) noexcept;
  /// Copies at most `buffer.size()` bytes of STDIN that wait; where none do, waits as WaitForStdin() does, and what comes is
  /// copied there alone. Not while libfcgi holds some that its reader did not get. 0: the reason is as WaitForStdin()'s.
  struct Taken {
    std::size_t count;
    bool timed_out;
  };
  [[nodiscard]] Taken TakeStdin(std::span<char> buffer, std::chrono::milliseconds time) noexcept;
  /// What comes of STDIN goes into a ring from now on, out of which a thread takes it, and TakeStdin(). libfcgi reads nothing
  /// more of it. The ring counts whole for all bodies until the channel closes. Null: --stdin-buffer-bytes is too small
  /// for one, or there is no room.
  std::shared_ptr<StdinFeed> FeedStdin(boost::asio::io_context& io);
  bool FeedsStdin() const noexcept { return feed_ != nullptr; }
  /// STDIN bytes that libfcgi has read.
  std::uint64_t StdinOfLibfcgi() const noexcept { return stdin_of_libfcgi_; }
  /// Bytes of the request's parameters, lengths included.
  std::size_t ParamsBytes() const noexcept { return params_bytes_; }
  enum class StdinLoss {
    kNone,
    kTooLarge,  ///< it went over its own bound
    kNoRoom,    ///< all bodies together went over theirs
  };
  /// Why STDIN is no longer whole: what waited, and what came after, is lost.
  StdinLoss StdinLost() const noexcept { return stdin_lost_; }
  /// What came is not the whole body.
  bool StdinCut() const noexcept { return stdin_cut_; }
  /// Sends bytes of STDOUT behind what libfcgi has written, without a copy; waits as Write() does. False: not all of them
  /// will be read, because the peer has gone, or the request was cancelled.
  [[nodiscard]] bool SendStdout(std::string_view bytes) noexcept;
  /// The same with bytes that are in a pipe, which holds that many.
  [[nodiscard]] bool SendPiped(int pipe, std::size_t bytes) noexcept;
  /// Has the connection send what was written so far.
  void Flush() noexcept;
  /// The response must not look complete: no END_REQUEST is sent until the web server asks for it by
  /// ABORT_REQUEST; the connection is reset when it carries no other request.
  void Cut() noexcept { cut_ = true; }

  // For the connection.

  /// So many bytes of parameters will come, by the word of a record's header.
  void ExpectParams(std::size_t bytes) {
    prologue_.reserve(prologue_.size() + bytes + kHeaderBytes);
  }
  void AppendParams(std::string_view bytes) { prologue_.append(bytes); }
  std::string_view Params() const noexcept;
  /// The parameters are whole and checked: makes the stream that libfcgi reads first.
  void SealParams();
  void AppendStdin(std::string_view bytes, std::size_t max_buffered);
  void EndStdin() noexcept;
  /// The peer stopped sending before STDIN's end.
  void CutStdin() noexcept {
    stdin_cut_ = true;
    EndStdin();
  }
  /// Bytes of STDIN that wait here, beside those in the ring.
  std::size_t StdinBuffered() const noexcept { return stdin_.size() - stdin_head_; }
  /// Whether fewer than `max_buffered` bytes of STDIN wait.
  bool WantsStdin(std::size_t max_buffered) const noexcept;
  /// All that came at once has been appended.
  void StdinCame() noexcept {
    if (feed_ != nullptr) {
      feed_->Wake();
    }
  }
  bool StdinEnded() const noexcept { return stdin_ended_; }
  bool WaitsToWrite() const noexcept { return waits_to_write_; }
  bool Aborted() const noexcept { return aborted_; }
  bool IsCut() const noexcept { return cut_; }
  void Abort() noexcept;
  /// The request was cancelled: what waits here shall look.
  void NotifyCancelled() noexcept {
    NotifyReader();
    writable_.Notify();
  }
  /// There is room for output again, or the connection has gone.
  void NotifyWritable() noexcept { writable_.Notify(); }
  /// The connection lets go: the request has ended, or its peer has gone.
  void Detach() noexcept;

  /// How far the request is. The connection moves it to kRunning, its fiber to kEnded.
  enum class Phase {
    kParams,   ///< its parameters are gathered
    kRunning,  ///< a fiber has, or will have, a hold
    kEnded,    ///< the fiber has gone; where the connection still holds it, without END_REQUEST
  };
  Phase phase = Phase::kParams;

  void Run() noexcept override { server_.Serve(*this); }

 private:
  void WaitForOutput();
  /// There is what the ring does not tell.
  void NotifyReader() noexcept;
  void RefillFeed() noexcept;
  void CloseFeed() noexcept;
  /// `send_some` says how many bytes it has taken, of those that are left; 0: wait.
  template <typename SendSome>
  bool SendAll(std::size_t bytes, SendSome send_some) noexcept;
  void DeleteIfUnheld() noexcept;
  void LoseStdin(StdinLoss loss) noexcept;
  void DropStdin() noexcept;
  /// So many of the bytes that wait were copied.
  void ConsumeStdin(std::size_t count) noexcept;
  void GiveBackStdin() noexcept { server_.Bodies().GiveBack(StdinBuffered()); }

  IRequestServer& server_;
  Connection* connection_;
  std::uint16_t id_;
  bool keep_connection_;
  bool stdin_ended_ = false;
  StdinLoss stdin_lost_ = StdinLoss::kNone;
  bool stdin_cut_ = false;
  bool stdin_end_read_ = false;
  bool accepted_ = false;
  bool aborted_ = false;
  bool cut_ = false;
  bool waits_to_write_ = false;
  int number_ = -1;
  std::chrono::steady_clock::time_point begun_at_;
  std::size_t params_bytes_ = 0;
  std::string prologue_;
  std::size_t prologue_read_ = 0;
  std::string stdin_;
  std::size_t stdin_head_ = 0;
  std::size_t record_left_ = 0;  // of the STDIN record that libfcgi reads
  std::uint64_t stdin_of_libfcgi_ = 0;
  std::shared_ptr<StdinFeed> feed_;  // in front of stdin_
  std::span<char> taker_;            // where TakeStdin() waits for bytes
  std::size_t taken_ = 0;            // of it
  runtime::FiberEvent readable_;
  runtime::FiberEvent writable_;
  CancellationSource cancellation_;
};

}  // namespace weft::host::fastcgi
