#include "host/supervisor/trial.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <span>
#include <system_error>
#include <utility>
#include <variant>

#include "host/observe/descriptor_packet.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/supervisor/worker_exit.hpp"
#include "host/worker/message.hpp"

namespace weft::host::supervisor {
namespace {

using std::chrono::milliseconds;

/// In one round, of a trial that does not stop writing.
constexpr int kMaxPieces = 64;
/// A packet of that and descriptors: a file in memory with the verdict, then its sockets in their order.
constexpr std::string_view kVerdict = "verdict";

/// The exit code of the child that could not execute the program is not seen by anybody but Trial.
constexpr int kNotExecuted = 127;

std::system_error SystemError(const char* what) {
  return std::system_error(errno, std::system_category(), what);
}

[[noreturn]] void BecomeTrial(const Trial::Options& options, const Trial::Become& become,
                              int channel, int errors, pid_t parent) noexcept {
  try {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(options::kExitOk);
    if (options.own_group) ::setpgid(0, 0);
    ::dup2(errors, STDOUT_FILENO);
    ::dup2(errors, STDERR_FILENO);
    ::pthread_sigmask(SIG_SETMASK, &options.signals, nullptr);
    SetCloseOnExec(channel, false);
    const int error = become(channel);
    const std::string line =
        "cannot execute the program: " + std::system_category().message(error) + "\n";
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  } catch (const std::exception& error) {
    const std::string line = std::string("cannot execute the program: ") + error.what() + "\n";
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  }
  ::_exit(kNotExecuted);
}

}  // namespace

Trial::Trial(const Options& options, const Become& become, Output output)
    : options_(options), output_(std::move(output)) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw SystemError("socketpair");
  }
  channel_ = FileDescriptor(ends[0]);
  const FileDescriptor trials_end(ends[1]);
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw SystemError("pipe");
  errors_ = FileDescriptor(ends[0]);
  const FileDescriptor writing_end(ends[1]);
  ::fcntl(errors_.Number(), F_SETFL, O_NONBLOCK);
  const pid_t parent = ::getpid();
  std::fflush(nullptr);  // what is buffered would be written by the child once more
  pid_ = ::fork();
  if (pid_ < 0) throw SystemError("fork");
  if (pid_ == 0) {
    BecomeTrial(options_, become, trials_end.Number(), writing_end.Number(), parent);
  }
}

Trial::~Trial() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Trial::AppendEvents(std::vector<pollfd>& events) const {
  events.push_back({.fd = channel_.Number(), .events = POLLIN, .revents = 0});
  events.push_back({.fd = errors_.Number(), .events = POLLIN, .revents = 0});
}

void Trial::Handle(std::span<const pollfd> events) noexcept {
  try {
    if (events.size() == kMaxEvents && events[0].revents != 0) ReadChannel();
    if (events.size() == kMaxEvents && events[1].revents != 0) ReadOutput();
  } catch (const std::exception&) {
    // No memory: without its verdict it has not passed.
  }
}

Trial::Clock::time_point Trial::Deadline() const noexcept {
  return options_.timeout > milliseconds::zero() && !took_too_long_ ? started_ + options_.timeout
                                                                    : Clock::time_point::max();
}

void Trial::KillIfLate(Clock::time_point now) noexcept {
  if (now < Deadline()) return;
  took_too_long_ = true;
  Kill();
}

void Trial::Kill() noexcept {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

void Trial::CloseDescriptors() noexcept {
  channel_.Close();
  errors_.Close();
}

/// What it sends is bounded, and trusted no more than a start by hand would be.
void Trial::ReadChannel() {
  std::vector<char> packet(worker::kMaxMessageBytes);
  for (int i = 0; i < kMaxPieces && channel_.IsOpen(); ++i) {
    std::array<FileDescriptor, observe::kMaxPassedDescriptors> descriptors;
    const auto received = observe::ReceiveWithDescriptors(channel_.Number(), packet, descriptors);
    const ssize_t count = received.bytes;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      channel_.Close();
      return;
    }
    const std::string_view text(packet.data(), static_cast<std::size_t>(count));
    if (text == kVerdict) {
      OnVerdict(std::span(descriptors).first(received.descriptors));
      continue;
    }
    if (auto told = worker::Decode(text)) {
      if (auto* const loading = std::get_if<worker::Loading>(&*told)) {
        loading_ = std::move(loading->module);
      }
    }
  }
}

void Trial::OnVerdict(std::span<FileDescriptor> descriptors) {
  if (descriptors.empty()) return;
  const auto text = TextOf(descriptors.front().Number());
  auto verdict = text ? DecodeVerdict(*text) : std::nullopt;
  if (!verdict || verdict->sockets.size() + 1 != descriptors.size()) return;
  Passed passed{.sockets = {},
                .config = std::move(verdict->config),
                .identity = std::move(verdict->identity)};
  for (std::size_t i = 0; i < verdict->sockets.size(); ++i) {
    const PassedSocket& socket = verdict->sockets[i];
    std::optional<SocketFile> file;
    if (!socket.file.empty()) file.emplace(socket.file);
    Listener listener(std::move(descriptors[i + 1]), socket.address, std::move(file));
    listener.SetSource(socket.source);
    passed.sockets.push_back(std::move(listener));
  }
  passed_ = std::move(passed);
}

void Trial::ReadOutput() {
  std::array<char, 4096> piece;
  for (int i = 0; i < kMaxPieces && errors_.IsOpen(); ++i) {
    const ssize_t count = ::read(errors_.Number(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      errors_.Close();
      return;
    }
    std::string_view rest(piece.data(), static_cast<std::size_t>(count));
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      // A longer line is none.
      const std::size_t room = ReloadState::kMaxReasonBytes - line_.size();
      if (end == std::string_view::npos && rest.size() < room) {
        line_ += rest;
        break;
      }
      const bool is_whole = end <= room;
      line_ += rest.substr(0, is_whole ? end : room);
      rest.remove_prefix(is_whole ? end + 1 : room);
      KeepLine(std::exchange(line_, {}));
    }
  }
}

void Trial::KeepLine(std::string_view line) {
  if (output_) output_(std::string(line) + "\n");
  if (reasons_.size() < ReloadState::kMaxReasons - 1) reasons_.emplace_back(line);
}

std::optional<Trial::Passed> Trial::OnEnd(int status) {
  pid_ = -1;
  try {
    ReadChannel();
    ReadOutput();
  } catch (const std::system_error& error) {
    KeepLine(error.what());  // a new socket's file has gone
  }
  if (!line_.empty()) KeepLine(std::exchange(line_, {}));
  const bool is_well = WIFEXITED(status) && WEXITSTATUS(status) == options::kExitOk;
  if (is_well && passed_) return std::exchange(passed_, std::nullopt);

  std::string reason = "the trial of the new generation ";
  if (took_too_long_) {
    reason += "was not done within " + options::FormatDuration(options_.timeout) +
              " (--start-timeout)" + AsItLoads(loading_);
  } else if (is_well) {
    reason +=
        "ended without a verdict: a module or a handler ends the process, or the program "
        "is no weft";
  } else if (WIFEXITED(status)) {
    reason += "ended with exit code " + std::to_string(WEXITSTATUS(status)) + AsItLoads(loading_);
  } else {
    reason += "was ended by " + SignalName(WTERMSIG(status)) + AsItLoads(loading_);
  }
  reasons_.insert(reasons_.begin(), std::move(reason));
  return std::nullopt;
}

bool SendVerdict(int channel, const std::vector<Listener>& sockets,
                 const std::optional<options::ConfigText>& config,
                 const std::optional<Identity>& identity) {
  Verdict verdict{.sockets = {}, .config = config, .identity = identity};
  for (const Listener& socket : sockets) verdict.sockets.push_back(ToPassed(socket));
  const FileDescriptor text = TextInMemory(Encode(verdict));
  std::vector<int> numbers{text.Number()};
  for (const Listener& socket : sockets) numbers.push_back(socket.Descriptor());
  if (observe::SendWithDescriptors(channel, kVerdict, numbers, 0) >= 0) return true;
  if (errno == E2BIG) throw SystemError("new sockets");
  return false;
}

}  // namespace weft::host::supervisor
