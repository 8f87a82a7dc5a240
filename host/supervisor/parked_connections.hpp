#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

#include "host/supervisor/file_descriptor.hpp"

namespace weft::host::supervisor {

/// Connections that web servers keep, of a host that has no worker at the moment. Nothing is in flight on them, and nothing is read
/// from them: what comes waits in the socket for the worker that it has started.
///
/// Threads: one.
class ParkedConnections {
 public:
  using Clock = std::chrono::steady_clock;

  /// Beyond it a worker stays to hold them. 512: the pool of a web server has some tens, and half of the usual limit of open files
  /// (1024).
  static constexpr std::size_t kMostRoom = 512;
  /// As much of that as the process's limit of open files leaves.
  [[nodiscard]] static std::size_t Room() noexcept;

  /// One on which nothing comes for `idle_timeout` is closed, as a worker does.
  ParkedConnections(std::size_t room, std::chrono::milliseconds idle_timeout);

  /// Takes over those that a program before this one had.
  void Adopt(const std::vector<int>& descriptors, Clock::time_point now);
  [[nodiscard]] std::vector<int> Descriptors() const;

  [[nodiscard]] bool Empty() const noexcept { return parked_.empty(); }
  [[nodiscard]] std::size_t FreeRoom() const noexcept {
    return room_ - (parked_.size() < room_ ? parked_.size() : room_);
  }

  /// Takes those that workers pass on there, as many as there is room for. False: there is no room for more, if there are more.
  [[nodiscard]] bool TakeFrom(int passing, Clock::time_point now);
  /// Passes them on to workers; those that the socket does not take now stay.
  void GiveTo(int passing) noexcept;
  /// Ends all, or, in a process that was forked, its copies of them.
  void Close() noexcept { parked_.clear(); }

  /// One for each, in order.
  void AppendEvents(std::vector<pollfd>& events) const;
  /// Of what AppendEvents() has appended. Closes those whose web server has closed them. True: something has come on one.
  [[nodiscard]] bool Handle(std::span<const pollfd> events);
  void CloseOverdue(Clock::time_point now);
  [[nodiscard]] Clock::time_point NextDeadline() const;

 private:
  struct Parked {
    FileDescriptor descriptor;
    Clock::time_point until;
  };
  std::size_t room_;
  std::chrono::milliseconds idle_timeout_;
  std::vector<Parked> parked_;  ///< the one that was parked first is first
};

}  // namespace weft::host::supervisor
