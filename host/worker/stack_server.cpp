#include "host/worker/stack_server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string_view>
#include <system_error>

#include "host/observe/log.hpp"
#include "host/runtime/fiber_stacks.hpp"
#include "host/runtime/thread_stack.hpp"
#include "host/worker/stack_socket.hpp"
#include "host/worker/stack_text.hpp"

namespace weft::host::worker {

namespace {

using runtime::FiberStack;

/// A thread that runs answers at once; one that waits in a system call is interrupted.
constexpr std::chrono::milliseconds kThreadPatience{200};
/// Who asks and does not read.
constexpr std::chrono::milliseconds kSendTimeout{5'000};
/// Of an answer, at once: it may be long, and who asks shall see that it goes on.
constexpr std::size_t kPieceBytes = 64 * 1024;
/// Who asks at once waits for the one before.
constexpr int kBacklog = 8;

std::string Seconds(std::chrono::steady_clock::duration time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", std::chrono::duration<double>(time).count());
  return text.data();
}

void AppendFrames(std::string& text, const std::vector<void*>& frames,
                  runtime::Symboliser& symboliser) {
  text += frames.empty() ? "  too little of its stack is left to look at it\n"
                         : WithoutCallers(symboliser.Symbolise(frames));
}

/// What a thread of the pool is at, for the fiber that waits for it, or by itself.
void AppendThread(std::string& text, pid_t thread, const std::string& what,
                  runtime::Symboliser& symboliser) {
  const auto captured = std::make_unique<runtime::CapturedStack>();
  text += "its thread " + std::to_string(thread);
  if (!runtime::CaptureStack(thread, *captured, kThreadPatience)) {
    text += " did not answer in time\n";
    return;
  }
  if (std::string_view(captured->note.data(), captured->note_bytes) != what) {
    text += " has ended it meanwhile\n";
    return;
  }
  text += ":\n" + WithoutCallers(symboliser.Symbolise({captured->frames.data(), captured->count}));
}

std::string Counted(std::size_t number, const char* what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

std::string Nameless(const std::string& what) {
  return what.empty() ? "what is no request" : observe::EscapedControls(what);
}

void AppendFiber(std::string& text, const FiberStack& stack, runtime::Symboliser& symboliser) {
  text += "\n" + Nameless(stack.what);
  if (stack.started != std::chrono::steady_clock::time_point()) {
    text += ", for " + Seconds(std::chrono::steady_clock::now() - stack.started);
  }
  if (!stack.waits_for.empty()) {
    text += ", waits for " + stack.waits_for;
  }
  text += ":\n";
  if (stack.thread != 0) {
    AppendThread(text, stack.thread, stack.what, symboliser);
    if (!stack.has_fiber) {
      return;
    }
    text += "its fiber:\n";
  }
  AppendFrames(text, stack.frames, symboliser);
}

}  // namespace

StackServer::StackServer(runtime::Runtime& runtime)
    : runtime_(runtime), reactor_(runtime::CurrentThreadId()) {
  runtime::PrepareStackCapture();
  const auto refuse = [this](const char* call) {
    const int error = errno;
    for (const int descriptor : {socket_, stop_}) {
      if (descriptor >= 0) {
        ::close(descriptor);
      }
    }
    throw std::system_error(error, std::generic_category(), call);
  };
  const auto name = StackSocketOf(::getpid());
  stop_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (stop_ < 0 || socket_ < 0) {
    refuse("socket");
  }
  if (::bind(socket_, reinterpret_cast<const sockaddr*>(&name.address), name.bytes) != 0) {
    refuse("bind");
  }
  if (::listen(socket_, kBacklog) != 0) {
    refuse("listen");
  }
  thread_ = std::thread([this] { Run(); });
}

StackServer::~StackServer() {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(stop_, &one, sizeof one));
  thread_.join();
  ::close(socket_);
  ::close(stop_);
}

void StackServer::Run() noexcept {
  for (;;) {
    std::array events{pollfd{socket_, POLLIN, 0}, pollfd{stop_, POLLIN, 0}};
    if (::poll(events.data(), events.size(), -1) < 0 && errno != EINTR) {
      return;
    }
    if (events[1].revents != 0) {
      return;
    }
    const int client = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        ::poll(&events[1], 1, 1'000);  // a loop that tried on would spin
      }
      continue;
    }
    try {
      Serve(client);
    } catch (const std::exception&) {
      // No memory: there is no answer.
    }
    ::close(client);
  }
}

void StackServer::Serve(int client) const {
  ucred asker{};
  socklen_t bytes = sizeof asker;
  if (::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &asker, &bytes) != 0 ||
      (asker.uid != 0 && asker.uid != ::geteuid())) {
    return;
  }
  Tell(client);
}

bool StackServer::Send(int client, std::string_view text) const {
  for (;;) {
    std::array events{pollfd{client, static_cast<short>(text.empty() ? 0 : POLLOUT), 0},
                      pollfd{stop_, POLLIN, 0}};
    const int ready = ::poll(events.data(), events.size(),
                             text.empty() ? 0 : static_cast<int>(kSendTimeout.count()));
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    if (events[1].revents != 0 || (events[0].revents & (POLLERR | POLLHUP)) != 0) {
      return false;
    }
    if (text.empty()) {
      return true;
    }
    if (ready <= 0) {
      return false;
    }
    const auto sent = ::send(client, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EINTR && errno != EAGAIN) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
  }
}

void StackServer::Tell(int client) const {
  auto text = "process " + std::to_string(::getpid()) + ", " +
              observe::Timestamp(std::chrono::system_clock::now()) + ": ";
  const auto fibers = runtime_.CollectStacks(kPatience);
  if (!fibers) {
    text += "its reactor's thread has been held up for " + Seconds(kPatience) +
            " or more, and all its requests wait; their stacks cannot be told. It runs ";
    const auto captured = std::make_unique<runtime::CapturedStack>();
    if (!runtime::CaptureStack(reactor_, *captured, kThreadPatience)) {
      text += "what does not answer to a signal: it may be stopped, or wait for a disk.\n";
    } else {
      text += Nameless({captured->note.data(), captured->note_bytes}) + ":\n" +
              WithoutCallers(runtime::Symbolise({captured->frames.data(), captured->count}));
    }
    Send(client, text);
    return;
  }
  const auto tasks = static_cast<std::size_t>(std::ranges::count_if(*fibers, &FiberStack::is_task));
  text += Counted(fibers->size() - tasks, "request");
  if (tasks != 0) {
    text += " and " + Counted(tasks, "task");
  }
  text += " at work\n";
  runtime::Symboliser symboliser;
  for (const auto& fiber : *fibers) {
    AppendFiber(text, fiber, symboliser);
    // Nobody waits for the rest when the client has gone, and everybody when the worker ends.
    const bool is_piece = text.size() >= kPieceBytes;
    if (!Send(client, is_piece ? std::string_view(text) : std::string_view())) {
      return;
    }
    if (is_piece) {
      text.clear();
    }
  }
  Send(client, text);
}

}  // namespace weft::host::worker
