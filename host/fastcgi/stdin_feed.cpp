#include "host/fastcgi/stdin_feed.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

namespace weft::host::fastcgi {

namespace {

/// Who got so much at once is sent more in large pieces: it is woken for half of the ring, or after this time.
constexpr std::size_t kLargePiece = 32 * 1024;
constexpr std::chrono::microseconds kGatherTime{1000};

}  // namespace

StdinFeed::StdinFeed(boost::asio::io_context& io, std::size_t capacity,
                     std::function<void()> on_room)
    : io_(io),
      capacity_(capacity),
      bytes_(std::make_unique_for_overwrite<char[]>(capacity)),
      on_room_(std::move(on_room)) {}

std::size_t StdinFeed::Take(std::span<char> buffer, std::chrono::microseconds patience) noexcept {
  std::unique_lock lock(mutex_);
  const bool gathers = last_count_ >= kLargePiece;
  wanted_ = gathers ? std::min(capacity_ / 2, buffer.size()) : 1;
  if (size_ < wanted_ && !fiber_knows_more_ && !closed_ && patience.count() != 0) {
    reader_waits_ = true;
    woken_ = false;
    static_cast<void>(arrived_.wait_for(lock, gathers ? std::min(patience, kGatherTime) : patience,
                                        [this] { return woken_; }));
    reader_waits_ = false;
  }
  if (closed_) {
    return 0;
  }
  const auto count = last_count_ = std::min(size_, buffer.size());
  if (count == 0) {
    return 0;
  }
  const auto at = head_;
  // Nobody writes there meanwhile: it still counts.
  lock.unlock();
  const auto first = std::min(count, capacity_ - at);
  std::memcpy(buffer.data(), bytes_.get() + at, first);
  std::memcpy(buffer.data() + first, bytes_.get(), count - first);
  lock.lock();
  if (closed_) {
    return 0;
  }
  head_ = (at + count) % capacity_;
  size_ -= count;
  if (!room_is_wanted_ || size_ > capacity_ / 2) {
    return count;
  }
  room_is_wanted_ = false;
  lock.unlock();
  try {
    boost::asio::post(io_, [self = shared_from_this()] {
      if (self->on_room_) {
        self->on_room_();
      }
    });
  } catch (const std::exception&) {
    // No memory. The fiber, which is asked when nothing is left here, has reading go on.
  }
  return count;
}

std::size_t StdinFeed::Append(std::string_view bytes) noexcept {
  std::unique_lock lock(mutex_);
  if (closed_) {
    return 0;
  }
  const auto count = std::min(bytes.size(), capacity_ - size_);
  const auto at = (head_ + size_) % capacity_;
  lock.unlock();
  const auto first = std::min(count, capacity_ - at);
  std::memcpy(bytes_.get() + at, bytes.data(), first);
  std::memcpy(bytes_.get(), bytes.data() + first, count - first);
  lock.lock();
  size_ += count;
  if (size_ >= capacity_ / 2) {
    NotifyReader();
  }
  return count;
}

void StdinFeed::NotifyReader() noexcept {
  if (reader_waits_ && !woken_) {
    woken_ = true;
    arrived_.notify_one();
  }
}

void StdinFeed::Wake() noexcept {
  const std::lock_guard lock(mutex_);
  if (size_ >= wanted_) {
    NotifyReader();
  }
}

std::size_t StdinFeed::Size() const noexcept {
  const std::lock_guard lock(mutex_);
  return size_;
}

bool StdinFeed::HasRoom(std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  room_is_wanted_ = capacity_ - size_ < bytes;
  return !room_is_wanted_;
}

void StdinFeed::SetFiberKnowsMore(bool knows_more) noexcept {
  const std::lock_guard lock(mutex_);
  fiber_knows_more_ = knows_more;
  if (knows_more) {
    NotifyReader();
  }
}

void StdinFeed::Close() noexcept {
  on_room_ = nullptr;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  size_ = 0;
  NotifyReader();
}

}  // namespace weft::host::fastcgi
