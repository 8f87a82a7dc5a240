#pragma once

#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

#include "host/pipeline/exchange.hpp"

namespace weft::host::fastcgi {

/// Bytes of a request's STDIN on their way from the reactor to the thread that runs its handler: a ring that the one fills
/// while the other works on what it took before.
///
/// It carries bytes and nothing else. The body's end, its failures and its time-outs are known on the request's fiber, which
/// the thread asks when it finds nothing here.
///
/// Threads: Take() from one at a time, the handler's, or the reactor while that one waits for it; the rest on the reactor.
/// Lifetime: shared, for the handler's thread may outlive the request's channel.
class StdinFeed final : public pipeline::IReadAhead,
                        public std::enable_shared_from_this<StdinFeed> {
 public:
  /// `on_room` is called on the reactor when HasRoom() said no and there is room again, until Close(). `io` must outlive what
  /// takes.
  StdinFeed(boost::asio::io_context& io, std::size_t capacity, std::function<void()> on_room);
  StdinFeed(const StdinFeed&) = delete;
  StdinFeed& operator=(const StdinFeed&) = delete;

  // IReadAhead
  std::size_t Take(std::span<char> buffer, std::chrono::microseconds patience) noexcept override;

  /// Copies as many as there is room for, and returns how many. Who waits for them sleeps on, until Wake() or until half of
  /// the ring is full.
  std::size_t Append(std::string_view bytes) noexcept;
  /// All that came at once has been appended: who waits shall have it.
  void Wake() noexcept;
  std::size_t Size() const noexcept;
  std::size_t Capacity() const noexcept { return capacity_; }
  /// Whether `bytes` more fit. Where they do not, `on_room` is called once half of the ring is free.
  [[nodiscard]] bool HasRoom(std::size_t bytes) noexcept;
  /// While it is so, a thread that finds nothing here does not wait: the fiber knows more.
  void SetFiberKnowsMore(bool knows_more) noexcept;
  /// Drops what is there, for good.
  void Close() noexcept;

 private:
  /// With the lock.
  void NotifyReader() noexcept;

  boost::asio::io_context& io_;
  const std::size_t capacity_;
  const std::unique_ptr<char[]> bytes_;
  std::function<void()> on_room_;  // the reactor's

  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::size_t head_ = 0;  // of what is there; the reader moves it
  std::size_t size_ = 0;
  std::size_t wanted_ = 1;      // by who waits
  std::size_t last_count_ = 0;  // that was taken
  bool reader_waits_ = false;
  bool woken_ = false;
  bool room_is_wanted_ = false;
  bool fiber_knows_more_ = false;
  bool closed_ = false;
};

}  // namespace weft::host::fastcgi
