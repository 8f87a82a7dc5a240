#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/supervisor/file_descriptor.hpp"
#include "host/supervisor/listener.hpp"

namespace weft::host::supervisor {

/// Answers requests from within a poll(2) loop: one in, one answer out, and the connection ends. A request is a line on a Unix
/// socket, or the head of an HTTP request (http_answers.hpp).
///
/// Nobody can hold it up. Nothing here blocks, and a round does a bounded amount of work. There are at most kMaxClients
/// connections, each for kPatience; one more takes the place of the one that has kept its request back for longest.
/// What fails (no memory, no descriptors) ends a connection, or delays the next, and nothing else.
///
/// Threads: one.
class ControlSocket {
 public:
  using Clock = std::chrono::steady_clock;

  /// What to answer to a request, without its end. May throw; then the connection ends without an answer.
  using Answer = std::function<std::string(std::string_view request)>;
  /// What to answer to a line that is too long.
  static constexpr std::size_t kMaxRequestBytes = 256;
  /// How far a request goes.
  struct Framing {
    std::string_view end = "\n";  ///< Static storage.
    std::size_t max_bytes = kMaxRequestBytes;
  };
  /// 16: people, a script or two, and room for those that hang.
  static constexpr std::size_t kMaxClients = 16;
  /// From the first byte to the last. Between two processes of one machine it takes microseconds.
  static constexpr std::chrono::milliseconds kPatience{5'000};
  /// How long it accepts nobody where the system refuses (no descriptors): a loop that tried on would spin.
  static constexpr std::chrono::milliseconds kPause{1'000};

  /// A request that is too long is given to `answer` cut after Framing::max_bytes + 1.
  /// Throws std::bad_alloc, and nothing that follows does.
  ControlSocket(Listener listener, Answer answer)
      : ControlSocket(std::move(listener), std::move(answer), Framing()) {}
  ControlSocket(Listener listener, Answer answer, const Framing& framing);

  /// The most that AppendEvents() appends.
  static constexpr std::size_t kMaxEvents = kMaxClients + 1;
  /// Appends what poll(2) is to watch. Allocates nothing where `events` has room for kMaxEvents.
  void AppendEvents(std::vector<pollfd>& events, Clock::time_point now) const;
  /// How many that are now.
  [[nodiscard]] std::size_t Events() const noexcept { return 1 + clients_.size(); }
  /// Who connects from now on waits, until AcceptAgain(), or until another takes over the socket.
  void AcceptNoMore() noexcept { accepts_ = false; }
  void AcceptAgain() noexcept { accepts_ = true; }
  /// Nobody waits for an answer.
  [[nodiscard]] bool IsIdle() const noexcept { return clients_.empty(); }
  [[nodiscard]] const Listener& Socket() const noexcept { return listener_; }
  /// Does what can be done. `events`: as the last AppendEvents() made them, and poll(2) filled in.
  void Handle(std::span<const pollfd> events, Clock::time_point now) noexcept;
  /// When to call Handle() again though nothing happens. `now`: as for AppendEvents().
  [[nodiscard]] Clock::time_point NextDeadline(Clock::time_point now) const noexcept;

 private:
  struct Client {
    enum class Stage { kReading, kWriting, kLingering };
    FileDescriptor socket;
    Clock::time_point deadline;
    Stage stage = Stage::kReading;
    std::string text;  // the request so far, then the answer
    std::size_t written = 0;
  };

  void Accept(Clock::time_point now) noexcept;
  void MakeRoom() noexcept;
  [[nodiscard]] bool Serve(Client& client) const noexcept;
  [[nodiscard]] bool Read(Client& client) const;
  [[nodiscard]] static bool Write(Client& client) noexcept;
  [[nodiscard]] static bool Linger(const Client& client) noexcept;

  Listener listener_;
  Answer answer_;
  Framing framing_;
  std::vector<Client> clients_;  // the oldest first; has room for kMaxClients
  Clock::time_point paused_until_{};
  bool accepts_ = true;
};

}  // namespace weft::host::supervisor
