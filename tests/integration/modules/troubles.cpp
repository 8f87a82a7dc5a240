// Handlers that do what handlers should not, for the tests of the real host.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <weft/weft.hpp>

namespace troubles {

namespace {

int Number(const weft::HttpRequest& request, std::string_view name) {
  const auto text = request.QueryString().Get(name, "0");
  int number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) {
    throw weft::HttpException(400, std::string(name) + " is to be a number.");
  }
  return number;
}

/// Some 1 KiB of stack for each level. Not a tail call, and no frame is left out.
__attribute__((noinline)) int Descend(int depth) {
  volatile char frame[1000];
  frame[0] = static_cast<char>(depth);
  return depth <= 1 ? 1 : Descend(depth - 1) + (frame[0] == static_cast<char>(depth) ? 1 : 0);
}

void AnswerDepth(weft::HttpContext& context) {
  const int depth = Number(context.Request(), "depth");
  context.Response().Write(std::to_string(Descend(depth)) + "\n");
}

}  // namespace

/// ?mb=N: takes that many MiB of memory, and never gives them back.
class Hoard : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    static std::vector<std::string> leaked;
    leaked.emplace_back(static_cast<std::size_t>(Number(context.Request(), "mb")) << 20, 'x');
    context.Response().Write(std::to_string(leaked.size()) + "\n");
  }
  bool IsReusable() const override { return true; }
};

/// ?depth=N: calls itself that often, on its fiber.
class Recurse : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { AnswerDepth(context); }
  bool IsReusable() const override { return true; }
};

/// The same on a thread.
class RecursePlain : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { AnswerDepth(context); }
  bool IsReusable() const override { return true; }
};

/// The same after it has waited, offloaded and thrown on the stack that it runs on.
class RecurseLater : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    weft::SleepFor(std::chrono::milliseconds(1));
    const int on_thread = weft::Offload([] { return Descend(3); });
    try {
      throw std::runtime_error("caught");
    } catch (const std::runtime_error&) {
      AnswerDepth(context);
    }
    context.Response().Write(std::to_string(on_thread) + "\n");
  }
  bool IsReusable() const override { return true; }
};

namespace {

/// Holds its thread; by a name that a stack shows, and no other thread has.
__attribute__((noinline)) void HoldTheThread(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_until(until);
  }
}

__attribute__((noinline)) void SpinOnTheThread(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
  }
}

}  // namespace

/// ?ms=N&spin=1: what no async handler may do: it blocks, or works on and on.
class Hold : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const std::chrono::milliseconds time(Number(context.Request(), "ms"));
    if (Number(context.Request(), "spin") != 0) {
      SpinOnTheThread(time);
    } else {
      HoldTheThread(time);
    }
    context.Response().Write("held\n");
  }
  bool IsReusable() const override { return true; }
};

/// ?ms=N&task=1: the same where it may; or a task of it does, on a thread of its own.
class HoldPlain : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const std::chrono::milliseconds time(Number(context.Request(), "ms"));
    if (Number(context.Request(), "task") != 0) {
      std::binary_semaphore has_begun(0);
      const auto task = weft::Async([&] {
        has_begun.release();
        HoldTheThread(time);
      });
      has_begun.acquire();  // whoever waits for a task that has no thread runs it
      task.Wait();
    } else {
      HoldTheThread(time);
    }
    context.Response().Write("held\n");
  }
  bool IsReusable() const override { return true; }
};

/// ?ms=N: leaves a task behind that does so, and that nobody ever waits for.
class Leak : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const std::chrono::milliseconds time(Number(context.Request(), "ms"));
    // Never destroyed: that would wait for it.
    static_cast<void>(new weft::Task<void>(weft::Async([time] { HoldTheThread(time); })));
    context.Response().Write("left\n");
  }
  bool IsReusable() const override { return true; }
};

namespace {

volatile int g_waits = 0;

// What they wait in is not their last call, which would take the place of their frames: no stack has those then.
__attribute__((noinline)) int WaitInAFunction(std::chrono::milliseconds time) {
  weft::SleepFor(time);
  g_waits = g_waits + 1;
  return g_waits;
}

__attribute__((noinline)) int OffloadInAFunction(std::chrono::milliseconds time) {
  weft::Offload([time] { HoldTheThread(time); });
  g_waits = g_waits + 1;
  return g_waits;
}

}  // namespace

/// ?ms=N: waits as it should; &offload=1: for a thread; &task=N: for N tasks, which wait for themselves.
class Wait : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const std::chrono::milliseconds time(Number(context.Request(), "ms"));
    const auto wait =
        Number(context.Request(), "offload") != 0 ? OffloadInAFunction : WaitInAFunction;
    if (Number(context.Request(), "task") != 0) {
      std::vector<weft::Task<void>> tasks;
      for (int i = Number(context.Request(), "task"); i > 0; --i) {
        tasks.push_back(weft::Async([time, wait] { wait(time); }));
      }
      weft::WaitAll(tasks);
    } else {
      wait(time);
    }
    context.Response().Write("waited\n");
  }
  bool IsReusable() const override { return true; }
};

namespace {

/// Adds a line to the file that the query names: what, and when by the clock that all processes of the machine share.
void Note(const weft::HttpContext& context, std::string_view what) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  std::ofstream file(std::string(context.Request().QueryString().Get("log", "")), std::ios::app);
  file << what << ' ' << std::chrono::nanoseconds(now).count() << std::endl;
}

void Beat(weft::HttpContext& context) {
  context.Response().Write(".\n");
  context.Response().Flush();
}

/// What the two below have in common.
template <typename Wait>
void WaitForCancellation(weft::HttpContext& context, Wait wait) {
  std::atomic<bool> called = false;
  const auto registration = context.Cancellation().Register([&] {
    Note(context, "callback");
    called = true;
    called.notify_one();
  });
  if (Number(context.Request(), "silent") != 0) {
    Note(context, "begun");
  } else {
    context.Response().Write("begun\n");
    context.Response().Flush();
  }
  try {
    wait();
    Note(context, "ended");
  } catch (const weft::OperationCancelled& cancelled) {
    // On a fiber it has been; a thread may see the cancellation before the reactor calls.
    called.wait(false);
    Note(context, std::string("thrown: ") + weft::ToString(cancelled.Reason()));
    Note(context, context.Response().IsClientConnected() ? "connected" : "disconnected");
    throw;
  }
}

}  // namespace

/// ?log=FILE: writes down how its request is cancelled while it waits, and, with &silent=1, that it has begun, which it answers
/// otherwise. With &heartbeat=MS it writes a line that often.
class Cancelled : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    WaitForCancellation(context, [&] {
      const std::chrono::milliseconds heartbeat(Number(context.Request(), "heartbeat"));
      do {
        weft::SleepFor(heartbeat.count() == 0 ? std::chrono::minutes(10) : heartbeat);
        Beat(context);
      } while (heartbeat.count() != 0);
    });
  }
  bool IsReusable() const override { return true; }
};

/// The same on a thread, which asks now and then.
class CancelledPlain : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    WaitForCancellation(context, [&] {
      const bool beats = Number(context.Request(), "heartbeat") != 0;
      while (context.Response().IsClientConnected()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        if (beats) {
          Beat(context);
        }
      }
      context.Cancellation().ThrowIfCancellationRequested();
    });
  }
  bool IsReusable() const override { return true; }
};

namespace {

/// ?how=: writes where handlers should not, in the ways that there are; &text=, &repeat=N of it in a line, &times=N lines.
void TalkAs(std::string_view how, const std::string& text) {
  if (how == "cerr") {
    std::cerr << text << ' ' << "in pieces" << std::endl;
  } else if (how == "stdio") {
    std::fprintf(stderr, "%s\n", text.c_str());
  } else if (how == "cout") {
    std::cout << text << std::endl;
  } else if (how == "descriptor") {
    const std::string line = text + "\n";
    static_cast<void>(!::write(2, line.data(), line.size()));
  } else if (how == "assert") {
    std::fprintf(stderr, "unfinished %s, ", text.c_str());
    __assert_fail("the_sky.is_blue()", "sky.cpp", 7, "void Look()");
  } else if (how == "terminate") {
    std::thread([&text] { throw std::runtime_error(text); }).join();
  }
}

void Talk(weft::HttpContext& context) {
  const auto& query = context.Request().QueryString();
  std::string text;
  for (int i = std::max(Number(context.Request(), "repeat"), 1); i > 0; --i) {
    text += query.Get("text", "said");
  }
  for (int i = std::max(Number(context.Request(), "times"), 1); i > 0; --i) {
    TalkAs(query.Get("how", ""), text);
  }
  context.Response().Write("talked\n");
}

}  // namespace

class TalkAsync : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { Talk(context); }
  bool IsReusable() const override { return true; }
};

class TalkPlain : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { Talk(context); }
  bool IsReusable() const override { return true; }
};

}  // namespace troubles

WEFT_MODULE(registry) {
  weft::AddHandler<troubles::Cancelled>(registry, "troubles::Cancelled");
  weft::AddHandler<troubles::CancelledPlain>(registry, "troubles::CancelledPlain");
  weft::AddHandler<troubles::Hold>(registry, "troubles::Hold");
  weft::AddHandler<troubles::HoldPlain>(registry, "troubles::HoldPlain");
  weft::AddHandler<troubles::TalkAsync>(registry, "troubles::TalkAsync");
  weft::AddHandler<troubles::TalkPlain>(registry, "troubles::TalkPlain");
  weft::AddHandler<troubles::Hoard>(registry, "troubles::Hoard");
  weft::AddHandler<troubles::Wait>(registry, "troubles::Wait");
  weft::AddHandler<troubles::Leak>(registry, "troubles::Leak");
  weft::AddHandler<troubles::Recurse>(registry, "troubles::Recurse");
  weft::AddHandler<troubles::RecurseLater>(registry, "troubles::RecurseLater");
  weft::AddHandler<troubles::RecursePlain>(registry, "troubles::RecursePlain");
}
