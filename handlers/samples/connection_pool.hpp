#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>

namespace samples {

/// At most so many connections to one server. Made and used by async handlers alone, which are never at it at once.
template <typename Connection>
class ConnectionPool {
 public:
  using Clock = std::chrono::steady_clock;

  /// A place in the pool, with an idle connection if there is one. When it goes, the connection is closed, unless
  /// Keep() said that it is good for the next: what throws in between never leaves a half-read one behind.
  class Lease {
   public:
    Lease(Lease&& other) noexcept
        : connection(std::move(other.connection)),
          pool_(std::move(other.pool_)),
          keep_(std::exchange(other.keep_, false)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (!pool_) {
        return;
      }
      if (keep_ && connection) {
        pool_->idle_.push_back(std::move(connection));
      }
      connection.reset();
      pool_->places_.TryPush(Place());
    }

    void Keep() noexcept { keep_ = true; }
    /// Closes it, and those that are idle: the server has gone, and they are no better.
    void Drop() noexcept {
      connection.reset();
      pool_->idle_.clear();
    }

    /// Null: to be made by who has the place.
    std::unique_ptr<Connection> connection;

   private:
    friend class ConnectionPool;
    explicit Lease(std::shared_ptr<ConnectionPool> pool) : pool_(std::move(pool)) {
      if (!pool_->idle_.empty()) {
        connection = std::move(pool_->idle_.back());
        pool_->idle_.pop_back();
      }
    }

    std::shared_ptr<ConnectionPool> pool_;
    bool keep_ = false;
  };

  explicit ConnectionPool(std::size_t size) : places_(size) {
    idle_.reserve(size);
    for (std::size_t i = 0; i < size; ++i) {
      places_.TryPush(Place());
    }
  }

  /// Waits for a place. Throws HttpException(503) when `time` comes first.
  static Lease Borrow(const std::shared_ptr<ConnectionPool>& pool, Clock::time_point time) {
    if (!pool->places_.Pop(time)) {
      throw weft::HttpException(503, {}, "every connection of the pool was busy for too long");
    }
    return Lease(pool);
  }

 private:
  struct Place {};

  weft::Channel<Place> places_;
  std::vector<std::unique_ptr<Connection>> idle_;  // the last that came back is the first to go
};

/// What a handler keeps for each of its sections' texts: its settings, and its pool. In the worker's application state.
template <typename Value>
class PerSection {
 public:
  /// Makes it for a text that is new, and forgets those of other texts that no request uses: of a section that was changed.
  template <typename Make>
  std::shared_ptr<Value> Get(std::string_view text, Make make) {
    if (const auto found = values_.find(text); found != values_.end()) {
      return found->second;
    }
    auto value = std::make_shared<Value>(make(text));
    std::erase_if(values_, [](const auto& entry) { return entry.second.use_count() == 1; });
    values_.emplace(std::string(text), value);
    return value;
  }

 private:
  std::map<std::string, std::shared_ptr<Value>, std::less<>> values_;
};

}  // namespace samples
