// runtime-bench: what the fibers of host/runtime cost, in processor time, beside the same done by callbacks of Asio.
//
// Each measurement does one thing over and over for --iterations times, on the reactor of a runtime as a worker has it, and
// takes the process's processor time (CLOCK_PROCESS_CPUTIME_ID) before and after. "By callbacks" is the same chain of
// handlers and system calls without a fiber in it: what Asio and the kernel take in any case. Both are measured in turn,
// --rounds times; cells are the median with (smallest–largest), and what is added is taken within each round.
#include <getopt.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <weft/asio.hpp>
#include <weft/async.hpp>
#include "host/runtime/fiber_event.hpp"
#include "host/runtime/runtime.hpp"

namespace {

using weft::host::runtime::FiberEvent;
using weft::host::runtime::ITask;
using weft::host::runtime::Runtime;

double ProcessNanoseconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
}

class FunctionTask final : public ITask {
 public:
  explicit FunctionTask(std::function<void()> function) : function_(std::move(function)) {}
  void Run() noexcept override { function_(); }

 private:
  std::function<void()> function_;
};

/// What a measurement has: the reactor, how often it is to be done, and what is called on a fiber at its end.
struct Bench {
  Runtime& runtime;
  long iterations;
};
using Measurement = std::function<void(const Bench&)>;

/// Runs it on a fiber of a runtime of its own; nanoseconds of processor time each time.
double Measure(const Measurement& measurement, long iterations) {
  Runtime runtime({});
  double used = 0;
  FunctionTask task([&] {
    const Bench few{runtime, iterations / 20 + 1};
    measurement(few);  // caches, and the memory that Asio keeps
    const Bench bench{runtime, iterations};
    const double before = ProcessNanoseconds();
    measurement(bench);
    used = ProcessNanoseconds() - before;
    runtime.Stop();
  });
  runtime.Spawn(task);
  runtime.Run();
  return used / static_cast<double>(iterations);
}

/// Calls itself through the reactor until it was done often enough.
class Chain {
 public:
  explicit Chain(const Bench& bench) : bench_(bench), left_(bench.iterations) {}
  virtual ~Chain() = default;
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  void RunAll() {
    Next();
    ended_.Wait();
  }

 protected:
  /// Done once: on the reactor, or on a fiber.
  void Done() {
    if (--left_ == 0) {
      ended_.Notify();
    } else {
      Next();
    }
  }
  boost::asio::io_context& Io() const { return bench_.runtime.Io(); }
  Runtime& TheRuntime() const { return bench_.runtime; }

 private:
  /// Begins once.
  virtual void Next() = 0;

  const Bench& bench_;
  long left_;
  FiberEvent ended_;
};

// ---- A switch and a wake-up

/// Two fibers that wake each other in turn: each time one wake-up, and one switch to the other.
void BetweenFibers(const Bench& bench) {
  FiberEvent mine;
  FiberEvent others;
  FiberEvent ended;
  FunctionTask other([&] {
    for (long i = 0; i < bench.iterations / 2; ++i) {
      others.Wait();
      mine.Notify();
    }
    ended.Notify();
  });
  bench.runtime.Spawn(other);
  for (long i = 0; i < bench.iterations / 2; ++i) {
    others.Notify();
    mine.Wait();
  }
  ended.Wait();
}

/// A handler of the reactor wakes a fiber, which has the next one posted and waits: two switches, there and back.
void FromReactor(const Bench& bench) {
  FiberEvent event;
  for (long i = 0; i < bench.iterations; ++i) {
    boost::asio::post(bench.runtime.Io(), [&] { event.Notify(); });
    event.Wait();
  }
}

class PostedChain final : public Chain {
 public:
  using Chain::Chain;

 private:
  void Next() override {
    boost::asio::post(Io(), [this] { Done(); });
  }
};

// ---- Waits of handlers

void YieldedPosts(const Bench& bench) {
  const auto executor = weft::GetAsioExecutor();
  for (long i = 0; i < bench.iterations; ++i) {
    boost::asio::post(executor, weft::yield);
  }
}

int OpenEvent() {
  const int descriptor = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  return descriptor;
}

void MakeReady(int event) {
  const std::uint64_t one = 1;
  if (::write(event, &one, sizeof one) != sizeof one) {
    std::abort();
  }
}
void Drain(int event) {
  std::uint64_t count = 0;
  if (::read(event, &count, sizeof count) != sizeof count) {
    std::abort();
  }
}

void WatchedDescriptor(const Bench& bench) {
  const int event = OpenEvent();
  {
    weft::DescriptorWatch watch(event);
    for (long i = 0; i < bench.iterations; ++i) {
      MakeReady(event);
      watch.WaitReadable();
      Drain(event);
    }
  }
  ::close(event);
}

class DescriptorChain final : public Chain {
 public:
  explicit DescriptorChain(const Bench& bench)
      : Chain(bench), event_(bench.runtime.Io(), OpenEvent()) {}

 private:
  void Next() override {
    MakeReady(event_.native_handle());
    event_.async_wait(event_.wait_read, [this](const boost::system::error_code&) {
      Drain(event_.native_handle());
      Done();
    });
  }

  boost::asio::posix::stream_descriptor event_;
};

// ---- Requests

/// What becomes of each request: a task is given to a fiber, runs, and ends.
class SpawnChain : public Chain {
 public:
  explicit SpawnChain(const Bench& bench) : Chain(bench), task_([this] { Serve(); }) {}

 protected:
  virtual void Serve() { Done(); }

 private:
  void Next() override {
    boost::asio::post(Io(), [this] { TheRuntime().Spawn(task_); });
  }

  FunctionTask task_;
};

/// The same, with a handler that waits once.
class WaitingSpawnChain final : public SpawnChain {
 public:
  using SpawnChain::SpawnChain;

 private:
  void Serve() override {
    boost::asio::post(Io().get_executor(), weft::yield);
    Done();
  }
};

class TwicePostedChain final : public Chain {
 public:
  using Chain::Chain;

 private:
  void Next() override {
    boost::asio::post(Io(), [this] { boost::asio::post(Io(), [this] { Done(); }); });
  }
};

template <typename Kind>
void RunChain(const Bench& bench) {
  Kind(bench).RunAll();
}

// ---- The table

struct Row {
  const char* what;
  Measurement with_fibers;
  Measurement by_callbacks;  // none: there is nothing to compare with
};

std::string Summary(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  const double median =
      values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  char text[96];
  std::snprintf(text, sizeof text, "%.0f (%.0f–%.0f)", median, values.front(), values.back());
  return text;
}

void Print(const Row& row, int rounds, long iterations) {
  std::vector<double> fibers;
  std::vector<double> callbacks;
  std::vector<double> added;
  for (int round = 0; round < rounds; ++round) {
    fibers.push_back(Measure(row.with_fibers, iterations));
    if (row.by_callbacks) {
      callbacks.push_back(Measure(row.by_callbacks, iterations));
      added.push_back(fibers.back() - callbacks.back());
    }
  }
  std::printf("| %s | %s | %s | %s |\n", row.what, Summary(fibers).c_str(),
              row.by_callbacks ? Summary(callbacks).c_str() : "–",
              Summary(row.by_callbacks ? added : fibers).c_str());
  std::fflush(stdout);
}

int Run(int rounds, long iterations) {
  const std::vector<Row> rows = {
      {"a fiber wakes another, and it runs", BetweenFibers, nullptr},
      {"the reactor wakes a fiber, it runs and waits again", FromReactor, RunChain<PostedChain>},
      {"`weft::yield`: an operation that ends in the next turn", YieldedPosts,
       RunChain<PostedChain>},
      {"`DescriptorWatch`: a descriptor that is made ready, and read", WatchedDescriptor,
       RunChain<DescriptorChain>},
      {"a request: its task gets a fiber, runs and ends", RunChain<SpawnChain>,
       RunChain<PostedChain>},
      {"a request that waits once, by `weft::yield`", RunChain<WaitingSpawnChain>,
       RunChain<TwicePostedChain>},
  };
  std::puts("| what | with fibers, ns | by callbacks, ns | added by the runtime, ns |");
  std::puts("|---|---|---|---|");
  for (const auto& row : rows) {
    Print(row, rounds, iterations);
  }
  return 0;
}

int Usage() {
  std::fputs("usage: runtime-bench [--rounds N (7)] [--iterations N (500000)]\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 7;
  long iterations = 500'000;
  const option options[] = {{"rounds", required_argument, nullptr, 'r'},
                            {"iterations", required_argument, nullptr, 'i'},
                            {nullptr, 0, nullptr, 0}};
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  for (int c = 0; (c = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    switch (c) {
      case 'r':
        rounds = std::atoi(optarg);
        break;
      case 'i':
        iterations = std::atol(optarg);
        break;
      default:
        return Usage();
    }
  }
  if (optind != argc || rounds < 1 || iterations < 2) {
    return Usage();
  }
  try {
    return Run(rounds, iterations);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "runtime-bench: %s\n", error.what());
    return 1;
  }
}
