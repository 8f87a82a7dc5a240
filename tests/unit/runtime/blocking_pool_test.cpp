#include "host/runtime/blocking_pool.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

namespace weft::host::runtime {

namespace {

using Posted = BlockingPool::Posted;

/// Says that it has begun, then waits until it may end.
class Held final : public IBlockingTask {
 public:
  Held(std::counting_semaphore<>& begun, std::counting_semaphore<>& may_end)
      : begun_(begun), may_end_(may_end) {}
  void Run() noexcept override {
    begun_.release();
    may_end_.acquire();
  }
  void Ended() noexcept override { ran = true; }
  std::atomic<bool> ran = false;

 private:
  std::counting_semaphore<>& begun_;
  std::counting_semaphore<>& may_end_;
};

}  // namespace

TEST_CASE(
    "BlockingPool: it runs as many tasks at once as it has threads, queues as many as it may, and "
    "no more") {
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> may_end(0);
  std::vector<std::unique_ptr<Held>> tasks;
  {
    BlockingPool pool({.max_threads = 3, .max_queue = 2});
    const auto post = [&] {
      tasks.push_back(std::make_unique<Held>(begun, may_end));
      return pool.Post(*tasks.back()) != Posted::kRefused;
    };
    for (int i = 0; i < 3; ++i) {
      REQUIRE(post());
      begun.acquire();  // on a thread of its own
    }
    CHECK(post());
    CHECK(post());
    CHECK_FALSE(post());
    CHECK_FALSE(begun.try_acquire());
    may_end.release(1);
    begun.acquire();  // a thread took one from the queue
    CHECK(post());
    may_end.release(100);
  }
  // The destructor waited for all that were accepted.
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    CHECK(tasks[i]->ran == (i != 5));
  }
}

TEST_CASE("BlockingPool: who learns that a task has ended finds its thread free") {
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> may_end(0);
  BlockingPool pool({.max_threads = 1, .max_queue = 0});
  for (int i = 0; i < 1000; ++i) {
    Held task(begun, may_end);
    REQUIRE(pool.Post(task) == Posted::kGiven);
    begun.acquire();
    may_end.release();
    while (!task.ran) {
      std::this_thread::yield();
    }
  }
}

TEST_CASE("BlockingPool: past its bound a queue takes what must not be refused, in order") {
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> may_end(0);
  Held first(begun, may_end);
  Held second(begun, may_end);
  Held third(begun, may_end);
  {
    BlockingPool pool({.max_threads = 1, .max_queue = 0});
    REQUIRE(pool.Post(first) == Posted::kGiven);
    begun.acquire();
    CHECK(pool.Post(second) == Posted::kRefused);
    CHECK(pool.PostPastBound(second) == Posted::kQueued);
    CHECK(pool.Post(third) == Posted::kRefused);
    may_end.release();
    begun.acquire();
    CHECK(first.ran);
    may_end.release();
  }
  CHECK(second.ran);
}

namespace {

std::atomic<int> g_thread_locals{0};

struct CountedThreadLocal {
  CountedThreadLocal() { ++g_thread_locals; }
  ~CountedThreadLocal() { --g_thread_locals; }
};

/// Uses a thread-local object, as a library does, and notes its thread.
class UsesThreadLocal final : public IBlockingTask {
 public:
  void Run() noexcept override {
    thread_local const CountedThreadLocal counted;
    static_cast<void>(&counted);
    thread = std::this_thread::get_id();
  }
  void Ended() noexcept override { ended.release(); }

  std::thread::id thread;
  std::binary_semaphore ended{0};
};

}  // namespace

TEST_CASE(
    "BlockingPool: threads without work end, with their thread-local objects, and others start") {
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> may_end(0);
  BlockingPool pool(
      {.max_threads = 4, .max_queue = 0, .idle_timeout = std::chrono::milliseconds(1)});
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<Held>> tasks;
    for (int i = 0; i < 4; ++i) {
      tasks.push_back(std::make_unique<Held>(begun, may_end));
      // Those of the last round may be about to end, but they count until they have.
      while (pool.Post(*tasks.back()) == Posted::kRefused) {
        std::this_thread::yield();
      }
      begun.acquire();
    }
    CHECK(pool.Threads() == 4);
    may_end.release(4);
    UsesThreadLocal last;
    while (pool.Post(last) == Posted::kRefused) {
      std::this_thread::yield();
    }
    last.ended.acquire();
    while (pool.Threads() != 0 || g_thread_locals != 0) {
      std::this_thread::yield();
    }
    for (const auto& task : tasks) {
      CHECK(task->ran);
    }
  }
}

TEST_CASE("BlockingPool: the thread that was busy last is the next") {
  BlockingPool pool({.max_threads = 8, .max_queue = 0, .idle_timeout = std::chrono::hours(1)});
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> may_end(0);
  std::vector<std::unique_ptr<Held>> tasks;
  for (int i = 0; i < 8; ++i) {
    tasks.push_back(std::make_unique<Held>(begun, may_end));
    REQUIRE(pool.Post(*tasks.back()) == Posted::kGiven);
    begun.acquire();
  }
  may_end.release(8);
  for (const auto& task : tasks) {
    while (!task->ran) {
      std::this_thread::yield();
    }
  }
  std::thread::id first;
  for (int i = 0; i < 100; ++i) {
    UsesThreadLocal task;
    REQUIRE(pool.Post(task) == Posted::kGiven);
    task.ended.acquire();
    if (i == 0) {
      first = task.thread;
    }
    CHECK(task.thread == first);
  }
  CHECK(pool.Threads() == 8);
}

TEST_CASE(
    "BlockingPool: what would wait too long is shed once all did, but not what must not be "
    "refused") {
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> may_end(0);
  std::vector<std::unique_ptr<Held>> tasks;
  {
    BlockingPool pool({.max_threads = 1,
                       .max_queue = 1'000'000,
                       .shed = {.target = std::chrono::milliseconds(1),
                                .interval = std::chrono::milliseconds(2)}});
    const auto post = [&] {
      tasks.push_back(std::make_unique<Held>(begun, may_end));
      return pool.Post(*tasks.back());
    };
    REQUIRE(post() == Posted::kGiven);
    begun.acquire();
    // Each round two come and one goes, after more than the target.
    auto posted = Posted::kQueued;
    while (posted == Posted::kQueued) {
      REQUIRE(post() != Posted::kRefused);
      posted = post();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      may_end.release();
      begun.acquire();
    }
    CHECK(posted == Posted::kShed);
    tasks.push_back(std::make_unique<Held>(begun, may_end));
    CHECK(pool.PostPastBound(*tasks.back()) == Posted::kQueued);
    may_end.release(1'000'000);
    while (!tasks.back()->ran) {
      std::this_thread::yield();
    }
    // Nobody waits any more.
    while (post() != Posted::kGiven) {
      std::this_thread::yield();
    }
  }
}

TEST_CASE("BlockingPool: a burst is borne where the queue was too long before all threads ended") {
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> may_end(0);
  std::vector<std::unique_ptr<Held>> tasks;
  {
    BlockingPool pool({.max_threads = 1,
                       .max_queue = 1'000'000,
                       .idle_timeout = std::chrono::milliseconds(1),
                       .shed = {.target = std::chrono::milliseconds(1),
                                .interval = std::chrono::milliseconds(2)}});
    const auto post = [&] {
      tasks.push_back(std::make_unique<Held>(begun, may_end));
      return pool.Post(*tasks.back());
    };
    REQUIRE(post() == Posted::kGiven);
    begun.acquire();
    std::size_t queued = 0;
    for (;;) {
      const auto posted = post();
      if (posted == Posted::kShed) {
        break;
      }
      ++queued;
      if (queued % 2 == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        may_end.release();
        begun.acquire();
      }
    }
    may_end.release(1'000'000);
    while (pool.Threads() != 0) {
      std::this_thread::yield();
    }
    while (may_end.try_acquire()) {
    }
    while (begun.try_acquire()) {
    }
    REQUIRE(post() == Posted::kGiven);  // a thread is started for it
    begun.acquire();
    std::size_t borne = 0;
    while (borne < 1'000 && post() == Posted::kQueued) {
      ++borne;
    }
    CHECK(borne == 1'000);
    may_end.release(1'000'000);
  }
}

TEST_CASE("BlockingPool: a task that no thread has is taken back, and never runs") {
  std::counting_semaphore<> begun(0);
  std::counting_semaphore<> may_end(0);
  Held first(begun, may_end);
  Held second(begun, may_end);
  Held third(begun, may_end);
  {
    BlockingPool pool({.max_threads = 1, .max_queue = 2});
    REQUIRE(pool.Post(first) == Posted::kGiven);
    begun.acquire();
    REQUIRE(pool.Post(second) == Posted::kQueued);
    REQUIRE(pool.Post(third) == Posted::kQueued);
    CHECK(pool.Queued() == 2);
    CHECK_FALSE(pool.TryWithdraw(first));
    CHECK(pool.TryWithdraw(second));
    CHECK_FALSE(pool.TryWithdraw(second));
    CHECK(pool.Queued() == 1);
    may_end.release(2);
  }
  CHECK_FALSE(second.ran);
  CHECK(third.ran);
}

}  // namespace weft::host::runtime
