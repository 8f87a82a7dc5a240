#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "host/options/settings.hpp"
#include "host/supervisor/status.hpp"

namespace weft::host::supervisor {

/// What a host is at, as its service manager sees it.
enum class ServiceStage { kStarting, kServing, kReloading, kStopping };

/// Tells the service manager that has started the host how it comes along: systemd, or whatever else speaks the protocol of
/// sd_notify(3), datagrams on a Unix socket. Where there is none, nothing is told. It is never waited for: what its socket
/// has no room for is sent by a later call, as NextCall() asks for it.
///
/// Why not libsystemd: docs/decisions/0019-notify-protocol.md.
///
/// Threads: any.
class ServiceManager {
 public:
  using Clock = std::chrono::steady_clock;
  using Warn = std::function<void(options::LogLevel, std::string_view)>;
  /// What the host is at.
  using Stage = ServiceStage;

  /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment: handlers, and programs that
  /// they start, must not speak for the host. `spawned`: by a web server, whose they are then; nothing is told.
  ///
  /// `warn` gets one line for each thing that is wrong. Call while there is one thread, before any worker is forked.
  ///
  /// `told`: what the program before this one has told last, which the process was (Handover).
  explicit ServiceManager(bool spawned, Warn warn = {}, Stage told = Stage::kStarting);
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  /// False: all that follows does nothing.
  [[nodiscard]] bool IsThere() const noexcept { return address_length_ != 0; }

  /// Sends what has changed since the last call. READY=1 when it serves, also after a reload; RELOADING=1, with MONOTONIC_USEC;
  /// STOPPING=1, with EXTEND_TIMEOUT_USEC for `stop_within`; STATUS= with `status`, a line for people. From kStopping
  /// there is no way back. Throws std::bad_alloc.
  void Tell(Stage stage, std::string_view status, std::chrono::milliseconds stop_within = {});

  /// Sends what Tell() could not, and WATCHDOG=1 if it is due, which it is twice in the time of WATCHDOG_USEC. Call it when
  /// NextCall() has come: whoever does not get there has told that the host is not sound.
  void Beat(Clock::time_point now) noexcept;

  /// For another program that this process becomes: what was taken out of the environment, `NAME=VALUE`, and what was told.
  [[nodiscard]] const std::vector<std::string>& Variables() const noexcept { return variables_; }
  [[nodiscard]] Stage Told() const noexcept { return told_stage_; }

  /// When Beat() is to be called; max(): there is no such time yet.
  [[nodiscard]] Clock::time_point NextCall() const noexcept;

 private:
  enum class Outcome { kSent, kNoRoom, kFailed };

  void TellWanted();
  void SetAddress(std::string_view path);
  void SetWatchdog(const char* microseconds, const char* pid);
  [[nodiscard]] bool Send(std::string_view message) noexcept;
  [[nodiscard]] Outcome TrySend(std::string_view message) const noexcept;
  void WarnOf(const std::string& sentence) const;

  mutable std::mutex mutex_;
  std::vector<std::string> variables_;
  Warn warn_;
  sockaddr_un address_{};
  socklen_t address_length_ = 0;  ///< 0: there is none
  bool has_warned_ = false;
  Stage stage_ = Stage::kStarting;
  Stage told_stage_ = Stage::kStarting;
  std::string status_;
  std::string told_status_;
  std::chrono::milliseconds stop_within_{};
  std::chrono::microseconds beat_interval_{};  ///< 0: none is wanted
  Clock::time_point next_beat_ = Clock::time_point::max();
  Clock::time_point retry_at_ = Clock::time_point::max();
};

/// The line for people: "2 workers ready, 1 starting; the mapping files were refused, with 1 problem: those of before serve on".
/// Throws std::bad_alloc.
[[nodiscard]] std::string ServiceStatusText(const HostStatus& status);

}  // namespace weft::host::supervisor
