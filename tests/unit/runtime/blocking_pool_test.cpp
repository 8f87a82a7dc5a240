#include "host/runtime/blocking_pool.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <semaphore>
#include <vector>

namespace weft::host::runtime {

namespace {

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
    BlockingPool pool(3, 2);
    const auto post = [&] {
      tasks.push_back(std::make_unique<Held>(begun, may_end));
      return pool.TryPost(*tasks.back());
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
  BlockingPool pool(1, 0);
  for (int i = 0; i < 1000; ++i) {
    Held task(begun, may_end);
    REQUIRE(pool.TryPost(task));
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
    BlockingPool pool(1, 0);
    REQUIRE(pool.TryPost(first));
    begun.acquire();
    CHECK_FALSE(pool.TryPost(second));
    CHECK(pool.PostPastBound(second));
    CHECK_FALSE(pool.TryPost(third));
    may_end.release();
    begun.acquire();
    CHECK(first.ran);
    may_end.release();
  }
  CHECK(second.ran);
}

}  // namespace weft::host::runtime
