#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/supervisor/file_descriptor.hpp"
#include "host/supervisor/handover.hpp"
#include "host/supervisor/listener.hpp"

namespace weft::host::supervisor {

/// A process that tries out whether a new generation could start: a child that executes the program anew. It sends
/// messages of a worker (the modules that it loads), in the end a verdict, and ends. What it writes to its standard output and
/// error is passed on and kept.
///
/// Threads: one.
class Trial {
 public:
  using Clock = std::chrono::steady_clock;

  /// Executes the program, in the child; where it returns, it failed with that errno. The channel is to stay open.
  using Become = std::function<int(int channel)>;
  /// Gets what the trial writes, whole lines.
  using Output = std::function<void(std::string_view)>;

  struct Options {
    std::chrono::milliseconds timeout{0};  ///< 0: for ever.
    bool own_group = false;  ///< Away from signals for the supervisor's process group.
    sigset_t signals{};      ///< What it starts with blocked.
  };

  /// Throws std::system_error when there is no process to be had.
  Trial(const Options& options, const Become& become, Output output);
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  /// Kills it, if it still is.
  ~Trial();

  [[nodiscard]] pid_t Process() const noexcept { return pid_; }
  static constexpr std::size_t kMaxEvents = 2;
  void AppendEvents(std::vector<pollfd>& events) const;
  void Handle(std::span<const pollfd> events) noexcept;
  /// When KillIfLate() has something to do; max(): never.
  [[nodiscard]] Clock::time_point Deadline() const noexcept;
  void KillIfLate(Clock::time_point now) noexcept;
  void Kill() noexcept;
  /// In a process that was forked beside it, which has nothing to do with it.
  void CloseDescriptors() noexcept;

  struct Passed {
    std::vector<Listener> sockets;
    std::optional<options::ConfigText> config;
    std::optional<Identity> identity;
  };
  /// What came of it. The process has ended, and `status`, as waitpid(2) gives it, was collected.
  /// Nothing: it was refused, and Reasons() say why.
  [[nodiscard]] std::optional<Passed> OnEnd(int status);
  [[nodiscard]] const std::vector<std::string>& Reasons() const noexcept { return reasons_; }

 private:
  void ReadChannel();
  void OnVerdict(std::span<FileDescriptor> descriptors);
  void ReadOutput();
  void KeepLine(std::string_view line);

  pid_t pid_ = -1;
  const Options options_;
  Output output_;
  const Clock::time_point started_ = Clock::now();
  FileDescriptor channel_;
  FileDescriptor errors_;  // the reading end of its standard output and error
  std::string line_;       // what has come of the next one
  std::string loading_;
  bool took_too_long_ = false;
  std::optional<Passed> passed_;
  std::vector<std::string> reasons_;
};

/// In the trial: sends that it has passed, with the sockets that it has opened. False: the supervisor has gone.
/// Throws std::bad_alloc, std::system_error.
[[nodiscard]] bool SendVerdict(int channel, const std::vector<Listener>& sockets,
                               const std::optional<options::ConfigText>& config,
                               const std::optional<Identity>& identity);

}  // namespace weft::host::supervisor
