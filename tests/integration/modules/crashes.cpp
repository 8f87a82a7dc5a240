// Handlers that end their worker, each in a way of its own: ?how=. CRASHES_AT names one for while the module is loaded, or
// started.
#undef NDEBUG  // for the assertion that is to fail
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cassert>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <weft/async.hpp>
#include <weft/weft.hpp>

namespace crashes {

/// What no optimiser looks through.
template <typename T>
T Hidden(T value) {
  asm volatile("" : "+r"(value));
  return value;
}

[[gnu::noinline]] void DereferenceNull() { *Hidden<volatile int*>(nullptr) = 1; }

[[gnu::noinline]] void CallNull() { Hidden<void (*)()>(nullptr)(); }

[[gnu::noinline]] int Recurse(int depth) {
  volatile char room[512];
  std::memset(const_cast<char*>(room), depth, sizeof room);
  return depth == -1 ? 0 : Recurse(depth + 1) + room[depth % 512];
}

struct Base {
  Base() { CallIt(); }
  virtual ~Base() = default;
  [[gnu::noinline]] void CallIt() { Hidden(this)->Call(); }
  virtual void Call() = 0;
};
struct Derived : Base {
  void Call() override {}
};

/// The heap's own lists, so that the next that takes memory of this size follows a pointer of ours, with the heap's lock held or
/// not.
[[gnu::noinline]] void CrashInMalloc() {
  // More than what each thread keeps without a lock.
  std::vector<void*> pieces;
  for (int i = 0; i < 20; ++i) {
    pieces.push_back(std::malloc(2'000));
    pieces.push_back(std::malloc(32));
  }
  for (std::size_t i = 0; i < pieces.size(); i += 2) {
    std::free(pieces[i]);
  }
  for (std::size_t i = 0; i < pieces.size(); i += 2) {
    auto** const links = Hidden(static_cast<void**>(pieces[i]));
    links[0] = reinterpret_cast<void*>(0x10);
    links[1] = reinterpret_cast<void*>(0x10);
  }
  for (int i = 0; i < 100; ++i) {
    Hidden(std::malloc(2'000));
    Hidden(std::malloc(100'000));
  }
  std::abort();
}

[[gnu::noinline]] void TakeAllMemory() {
  for (;;) {
    std::memset(Hidden(new char[1 << 20]), 1, 1 << 20);
  }
}

void CrashInTwoThreads() {
  std::atomic<int> ready{0};
  const auto crash = [&ready] {
    ++ready;
    while (ready.load() != 2) {
    }
    DereferenceNull();
  };
  std::thread one(crash);
  std::thread other(crash);
  one.join();
  other.join();
}

[[gnu::noinline]] void Crash(std::string_view how) {
  if (how == "null") {
    DereferenceNull();
  } else if (how == "call") {
    CallNull();
  } else if (how == "overflow") {
    Recurse(0);
  } else if (how == "abort") {
    std::abort();
  } else if (how == "assert") {
    assert(how == "never");
  } else if (how == "throw") {
    std::thread([] { throw std::runtime_error("nobody\ncatches this"); }).join();
  } else if (how == "terminate") {
    std::terminate();
  } else if (how == "pure") {
    Derived();
  } else if (how == "double") {
    void* const memory = std::malloc(2'000);
    std::free(Hidden(memory));
    std::free(Hidden(memory));
  } else if (how == "malloc") {
    CrashInMalloc();
  } else if (how == "memory") {
    std::thread(TakeAllMemory).join();
  } else if (how == "two") {
    CrashInTwoThreads();
  } else if (how == "divide") {
    std::_Exit(Hidden(1) / Hidden(0));
  } else if (how == "trap") {
    __builtin_trap();
  } else if (how == "default") {
    std::signal(SIGSEGV, SIG_DFL);
    DereferenceNull();
  } else if (how == "own") {
    struct sigaction action {};
    action.sa_handler = [](int) { ::_exit(3); };
    ::sigaction(SIGSEGV, &action, nullptr);
    DereferenceNull();
  } else if (how == "closefrom") {
    ::closefrom(3);
  } else if (how == "exit") {
    std::_Exit(0);
  } else if (how == "cpu") {
    ::raise(SIGXCPU);
  }
}

class Plain : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    Crash(context.Request().QueryString().Get("how"));
  }
  bool IsReusable() const override { return true; }
};

class Async : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    if (context.Request().QueryString().Get("after") == "sleep") {
      weft::SleepFor(std::chrono::milliseconds(1));
    }
    Crash(context.Request().QueryString().Get("how"));
  }
  bool IsReusable() const override { return true; }
};

/// Is there, until the worker is not.
class Hold : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    context.Response().Write("held\n");
    context.Response().Flush();
    weft::SleepFor(std::chrono::minutes(10));
  }
  bool IsReusable() const override { return true; }
};

void CrashAt(std::string_view moment) {
  const char* const wanted = std::getenv("CRASHES_AT");
  if (wanted != nullptr && wanted == moment) {
    DereferenceNull();
  }
}

}  // namespace crashes

WEFT_MODULE(registry) {
  crashes::CrashAt("load");
  weft::AddHandler<crashes::Plain>(registry, "crashes::Plain");
  weft::AddHandler<crashes::Async>(registry, "crashes::Async");
  weft::AddHandler<crashes::Hold>(registry, "crashes::Hold");
  registry.OnStart([](weft::HttpApplicationState&) { crashes::CrashAt("start"); });
}
