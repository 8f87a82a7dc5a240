#include "host/worker/start_watch.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <system_error>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"

namespace weft::host::worker {

namespace {

constexpr int kForEver = -1;
constexpr int kEnded = 0;
constexpr int kTimePassed = -1;

int OpenStops(bool spawned) {
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTERM);
  sigaddset(&stops, SIGQUIT);
  // A web server that spawns sends SIGINT to its whole group and means itself; SIGUSR1 means this process.
  sigaddset(&stops, spawned ? SIGUSR1 : SIGINT);
  return signalfd(-1, &stops, SFD_NONBLOCK | SFD_CLOEXEC);
}

int Opened(int descriptor, const char* what) {
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), what);
  }
  return descriptor;
}

}  // namespace

StartWatch::StartWatch(const WorkerStart& start)
    : start_(start),
      signals_(Opened(OpenStops(start.spawned), "signalfd")),
      ended_(eventfd(0, EFD_CLOEXEC)) {
  try {
    Opened(ended_, "eventfd");
    thread_ = std::thread([this] { Watch(); });
  } catch (...) {
    close(signals_);
    close(ended_);
    throw;
  }
}

StartWatch::~StartWatch() {
  eventfd_write(ended_, 1);  // cannot fail: it is far from full
  thread_.join();
  close(signals_);
  close(ended_);
}

void StartWatch::SetModule(const std::filesystem::path& file) {
  const std::lock_guard lock(mutex_);
  module_ = file.string();
}

int StartWatch::WaitForStop(int timeout_ms) const {
  std::array<pollfd, 2> waits{pollfd{ended_, POLLIN, 0}, pollfd{signals_, POLLIN, 0}};
  int ready = 0;
  do {
    ready = poll(waits.data(), waits.size(), timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    return kTimePassed;
  }
  signalfd_siginfo info{};
  if (ready < 0 || waits[0].revents != 0 || read(signals_, &info, sizeof info) != sizeof info) {
    return kEnded;
  }
  return static_cast<int>(info.ssi_signo);
}

void StartWatch::Watch() {
  const int stop = WaitForStop(kForEver);
  if (stop == kEnded) {
    return;
  }
  if (stop != SIGINT) {
    const auto drain_time = start_.settings.DrainTimeout(start_.spawned).count();
    if (WaitForStop(static_cast<int>(
            std::min<std::int64_t>(drain_time, std::numeric_limits<int>::max()))) == kEnded) {
      kill(getpid(), stop);  // for who reads signals now
      return;
    }
  }
  EndProcess();
}

void StartWatch::EndProcess() {
  std::string module;
  {
    const std::lock_guard lock(mutex_);
    module = module_;
  }
  observe::WriteToStandardError(
      "weft: stopped before it was ready" +
      (module.empty() ? std::string() : ", as it loaded or started the module " + module) +
      "; the process ends without it\n");
  if (start_.on_stop) {
    start_.on_stop();
  }
  std::_Exit(options::kExitOk);
}

}  // namespace weft::host::worker
