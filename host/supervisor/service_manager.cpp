#include "host/supervisor/service_manager.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "host/options/values.hpp"
#include "host/supervisor/file_descriptor.hpp"

namespace weft::host::supervisor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Until what there was no room for is sent again.
constexpr milliseconds kRetry{100};

std::optional<std::uint64_t> Number(const char* text) {
  std::uint64_t number = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

std::string MonotonicMicroseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::to_string(std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000);
}

/// The protocol's messages are lines.
std::string OnOneLine(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

ServiceManager::ServiceManager(bool spawned, Warn warn, Stage told)
    : warn_(std::move(warn)), stage_(told), told_stage_(told) {
  // NOLINTBEGIN(concurrency-mt-unsafe): there is one thread.
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (path != nullptr && !spawned) {
    SetAddress(path);
    const char* const interval = std::getenv("WATCHDOG_USEC");
    if (interval != nullptr && IsThere()) SetWatchdog(interval, std::getenv("WATCHDOG_PID"));
  }
  for (const char* const name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    if (const char* const value = std::getenv(name)) {
      variables_.push_back(std::string(name) + "=" + value);
    }
    ::unsetenv(name);
  }
  // NOLINTEND(concurrency-mt-unsafe)
}

void ServiceManager::SetAddress(std::string_view path) {
  if (path.empty()) return;
  // vsock: is systemd's for virtual machines, whose first process it is for.
  const bool is_abstract = path.front() == '@';
  if (!is_abstract && path.front() != '/') {
    WarnOf("NOTIFY_SOCKET " + options::Quoted(path) +
           " is no path from the root and no abstract name: the service manager is told nothing");
    return;
  }
  // The end of a path is a zero byte, which an abstract name does not have.
  if (path.size() + (is_abstract ? 0 : 1) > sizeof(address_.sun_path)) {
    WarnOf("NOTIFY_SOCKET " + options::Quoted(path) +
           " is too long for a Unix socket: the service manager is told nothing");
    return;
  }
  address_.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address_.sun_path);
  if (is_abstract) address_.sun_path[0] = '\0';
  address_length_ =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1));
}

void ServiceManager::SetWatchdog(const char* microseconds_text, const char* pid) {
  const auto interval = Number(microseconds_text);
  constexpr auto kMost =
      static_cast<std::uint64_t>(microseconds(std::chrono::hours(24 * 365)).count());
  if (!interval || *interval == 0 || *interval > kMost) {
    WarnOf("WATCHDOG_USEC " + options::Quoted(microseconds_text) +
           " is no time in microseconds: the service manager gets no signs of life");
    return;
  }
  if (pid != nullptr && Number(pid) != static_cast<std::uint64_t>(::getpid())) {
    return;  // another process is to give them
  }
  beat_interval_ = std::max(microseconds(static_cast<std::int64_t>(*interval / 2)),
                            microseconds(milliseconds(1)));
  next_beat_ = Clock::now();
}

void ServiceManager::WarnOf(const std::string& sentence) const {
  if (warn_) warn_(options::LogLevel::kWarning, sentence);
}

void ServiceManager::Tell(Stage stage, std::string_view status, milliseconds stop_within) {
  if (!IsThere()) return;
  const std::lock_guard lock(mutex_);
  status_ = OnOneLine(status);
  if (stage_ != Stage::kStopping) stage_ = stage;
  stop_within_ = stop_within;
  TellWanted();
}

void ServiceManager::TellWanted() {
  retry_at_ = Clock::time_point::max();
  // It has been started before it can reload.
  if (told_stage_ == Stage::kStarting && stage_ == Stage::kReloading) {
    if (!Send("READY=1")) return;
    told_stage_ = Stage::kServing;
  }
  std::string message;
  if (stage_ != told_stage_) {
    switch (stage_) {
      case Stage::kStarting:
        break;
      case Stage::kServing:
        message = "READY=1\n";
        break;
      case Stage::kReloading:
        message = "RELOADING=1\nMONOTONIC_USEC=" + MonotonicMicroseconds() + "\n";
        break;
      case Stage::kStopping:
        message = "STOPPING=1\nEXTEND_TIMEOUT_USEC=" +
                  std::to_string(microseconds(stop_within_).count()) + "\n";
        break;
    }
  }
  if (status_ != told_status_) message += "STATUS=" + status_ + "\n";
  if (message.empty() || !Send(message)) return;
  told_stage_ = stage_;
  told_status_ = status_;
}

void ServiceManager::Beat(Clock::time_point now) noexcept {
  const std::lock_guard lock(mutex_);
  if (now >= retry_at_) {
    try {
      TellWanted();
    } catch (const std::bad_alloc&) {
      retry_at_ = now + kRetry;
    }
  }
  // Then its socket has no room.
  if (retry_at_ != Clock::time_point::max() || now < next_beat_) return;
  if (Send("WATCHDOG=1")) next_beat_ = now + beat_interval_;
}

ServiceManager::Clock::time_point ServiceManager::NextCall() const noexcept {
  const std::lock_guard lock(mutex_);
  // A beat that found no room is due already, and waits like the rest.
  return retry_at_ == Clock::time_point::max() ? next_beat_ : retry_at_;
}

/// False: it is to be sent again. One that fails for good is not: nobody is there any more.
bool ServiceManager::Send(std::string_view message) noexcept {
  const Outcome outcome = TrySend(message);
  retry_at_ = outcome == Outcome::kNoRoom ? Clock::now() + kRetry : Clock::time_point::max();
  if (outcome == Outcome::kFailed && !std::exchange(has_warned_, true)) {
    const int error = errno;
    try {
      WarnOf("the service manager cannot be told anything (NOTIFY_SOCKET): " +
             std::generic_category().message(error));
    } catch (const std::exception&) {
      // No memory for a warning.
    }
  }
  return outcome != Outcome::kNoRoom;
}

ServiceManager::Outcome ServiceManager::TrySend(std::string_view message) const noexcept {
  // A socket each time: none is left to the workers, who would inherit it.
  const FileDescriptor descriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ssize_t sent = -1;
  do {
    sent =
        ::sendto(descriptor.Number(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&address_), address_length_);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return Outcome::kSent;
  const bool may_pass = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ||
                        // There was no descriptor to be had.
                        !descriptor.IsOpen();
  return may_pass ? Outcome::kNoRoom : Outcome::kFailed;
}

std::string ServiceStatusText(const HostStatus& status) {
  using State = WorkerStatus::State;
  constexpr std::array<std::pair<State, std::string_view>, 5> kStates{
      {{State::kReady, "ready"},
       {State::kStarting, "starting"},
       {State::kWaiting, "to be started"},
       {State::kRetiring, "retiring"},
       {State::kEnding, "ending"}}};
  std::string text;
  for (const auto& [state, name] : kStates) {
    const auto count =
        std::count_if(status.workers.begin(), status.workers.end(),
                      [&](const WorkerStatus& worker) { return worker.state == state; });
    const bool is_stopping = status.stage != HostStatus::Stage::kRunning;
    if (count == 0 && (state != State::kReady || is_stopping)) continue;
    if (!text.empty()) text += ", ";
    text += std::to_string(count);
    if (text.find(' ') == std::string::npos) text += count == 1 ? " worker" : " workers";
    text += " " + std::string(name);
  }
  if (text.empty()) text = "all workers have ended";
  const bool waits_for_demand =
      status.stage == HostStatus::Stage::kRunning && !status.workers.empty() &&
      std::all_of(status.workers.begin(), status.workers.end(),
                  [](const WorkerStatus& worker) { return worker.state == State::kVacant; });
  if (waits_for_demand) text = "no worker is needed: the next request starts one";
  const bool was_refused = status.mappings != nullptr &&
                           status.mappings->LastOutcome() == MappingsState::Outcome::kRefused;
  if (was_refused && status.stage == HostStatus::Stage::kRunning) {
    const std::size_t problems = status.mappings->ProblemCount();
    text += "; the mapping files were refused, with " + std::to_string(problems) +
            (problems == 1 ? " problem" : " problems") + ": those of before serve on";
  }
  return text;
}

}  // namespace weft::host::supervisor
