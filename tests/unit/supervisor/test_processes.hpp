#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "host/options/settings.hpp"
#include "host/supervisor/file_descriptor.hpp"

namespace weft::host::supervisor {

/// Far above what any wait here should take.
inline constexpr int kPatienceMilliseconds = 30'000;

/// Lines from any number of processes to the one that created it. All of them share one pipe, so
/// its end says that every one of them is gone.
class EventPipe {
 public:
  EventPipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      throw std::system_error(errno, std::system_category());
    read_end_ = FileDescriptor(ends[0]);
    write_end_ = FileDescriptor(ends[1]);
  }

  /// In a child: keeps the writing end alone, at a number that no test uses for something else.
  void BecomeWriter() {
    constexpr int kOutOfTheWay = 100;
    read_end_.Close();
    write_end_ = FileDescriptor(::fcntl(write_end_.Number(), F_DUPFD_CLOEXEC, kOutOfTheWay));
  }

  /// In the parent, once the children are forked.
  void BecomeReader() { write_end_.Close(); }

  /// One write() of less than PIPE_BUF: lines of several processes do not mix.
  void Say(std::string line) const {
    line += '\n';
    if (::write(write_end_.Number(), line.data(), line.size()) < 0) ::_exit(99);
  }

  /// The next line that contains `part`; throws, with all that came instead, when it does not come.
  std::string Await(std::string_view part) {
    std::string others;
    for (std::string line; NextLine(line);) {
      if (line.find(part) != std::string::npos) return line;
      others += "\n  " + line;
    }
    throw std::runtime_error("'" + std::string(part) + "' did not come, but:" + others);
  }

  /// For each of `parts` a line that contains it, in whatever order they come; returned in the order of `parts`.
  std::vector<std::string> AwaitEach(const std::vector<std::string>& parts) {
    std::vector<std::string> found(parts.size());
    for (std::size_t missing = parts.size(); missing > 0;) {
      std::string line;
      if (!NextLine(line)) throw std::runtime_error("not all of what was awaited came");
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (found[i].empty() && line.find(parts[i]) != std::string::npos) {
          found[i] = line;
          --missing;
          break;
        }
      }
    }
    return found;
  }

  /// Everything up to the end of the last process.
  std::string AwaitEnd() {
    std::string all;
    for (std::string line; NextLine(line);) all += line + "\n";
    if (!ended_) throw std::runtime_error("no end, but:\n" + all);
    return all;
  }

 private:
  /// False at the end, and when nothing comes for long.
  bool NextLine(std::string& line) {
    while (true) {
      const std::size_t end = buffer_.find('\n');
      if (end != std::string::npos) {
        line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return true;
      }
      pollfd event{.fd = read_end_.Number(), .events = POLLIN, .revents = 0};
      if (::poll(&event, 1, kPatienceMilliseconds) <= 0) return false;
      std::array<char, 4096> bytes{};
      const ssize_t count = ::read(read_end_.Number(), bytes.data(), bytes.size());
      ended_ = count == 0;
      if (count <= 0) return false;
      buffer_.append(bytes.data(), static_cast<std::size_t>(count));
    }
  }

  FileDescriptor read_end_;
  FileDescriptor write_end_;
  std::string buffer_;
  bool ended_ = false;
};

/// Lets processes pass, each once for each time that it was opened.
class Gate {
 public:
  Gate() : counter_(::eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC)) {}

  void Open(std::uint64_t times = 1) const {
    if (::write(counter_.Number(), &times, sizeof(times)) != ssize_t{sizeof(times)}) ::_exit(99);
  }

  /// Ends the process when the gate stays closed: a failed test leaves nobody behind.
  void Pass() const {
    pollfd event{.fd = counter_.Number(), .events = POLLIN, .revents = 0};
    if (::poll(&event, 1, kPatienceMilliseconds) != 1) ::_exit(99);
    std::uint64_t one = 0;
    if (::read(counter_.Number(), &one, sizeof(one)) != ssize_t{sizeof(one)}) ::_exit(99);
  }

  [[nodiscard]] bool TryPass() const {
    pollfd event{.fd = counter_.Number(), .events = POLLIN, .revents = 0};
    if (::poll(&event, 1, 0) != 1) return false;
    Pass();
    return true;
  }

 private:
  FileDescriptor counter_;
};

/// fork(), with nothing in the buffers of standard output that the child could print again.
inline pid_t ForkWithoutOutput() {
  std::cout.flush();
  std::fflush(nullptr);
  return ::fork();
}

/// So many workers.
inline options::Settings Workers(std::size_t count) {
  options::Settings settings;
  settings.workers = count;
  settings.drain_timeout = std::chrono::milliseconds{600'000};  // none of the waits may be for this
  return settings;
}

/// A supervisor in a process of its own. What it logs, and its workers say, arrives in `events`, in order, and ends when the
/// last of these processes is gone.
class HostProcess {
 public:
  HostProcess(const HostProcess&) = delete;
  HostProcess& operator=(const HostProcess&) = delete;

  void Signal(int signal) const { ::kill(pid_, signal); }

  /// The exit code of the supervisor, once all its processes are gone; -1: it was killed.
  int AwaitExit() {
    rest_ = events.AwaitEnd();
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  /// What came before the end, and nobody awaited.
  [[nodiscard]] const std::string& Rest() const { return rest_; }

  EventPipe events;

 protected:
  HostProcess() = default;
  ~HostProcess() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  /// What `run` returns is the exit code of the process.
  void Start(const std::function<int()>& run) {
    pid_ = ForkWithoutOutput();
    if (pid_ == 0) {
      events.BecomeWriter();
      ::_exit(run());
    }
    events.BecomeReader();
  }

  /// In the process: what `supervise` returns, 97 when it leaves a child behind, 98 for an exception, which is told.
  int Supervised(const std::function<int()>& supervise) {
    try {
      const int exit_code = supervise();
      const bool is_childless = ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
      return is_childless ? exit_code : 97;
    } catch (const std::exception& error) {
      events.Say(std::string("exception: ") + error.what());
      return 98;
    }
  }

  /// For Supervise().
  void Log(std::string_view line) { events.Say("log: " + std::string(line)); }

 private:
  pid_t pid_ = -1;
  std::string rest_;
};

/// What `report` returns in a child process of its own: for what changes the process (descriptors
/// with fixed numbers, the environment, the user).
inline std::string InChild(const std::function<std::string()>& report) {
  EventPipe events;
  const pid_t pid = ForkWithoutOutput();
  if (pid == 0) {
    events.BecomeWriter();
    std::string text;
    try {
      text = report();
    } catch (const std::exception& error) {
      text = std::string("exception: ") + error.what();
    }
    events.Say(text);
    ::_exit(0);
  }
  events.BecomeReader();
  std::string text = events.AwaitEnd();
  ::waitpid(pid, nullptr, 0);
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace weft::host::supervisor
