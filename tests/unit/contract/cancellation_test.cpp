#include <weft/cancellation.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/doctest_values.hpp"

namespace weft {
namespace {

/// A thread that cancels one source after the other, for a deadline, each while the test does something else.
class Canceller {
 public:
  Canceller() : thread_([this] { Run(); }) {}
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;
  ~Canceller() {
    Begin(nullptr);
    thread_.join();
  }

  void Begin(CancellationSource* source) {
    source_ = source;
    barrier_.arrive_and_wait();
  }
  void End() { barrier_.arrive_and_wait(); }

 private:
  void Run() {
    for (;;) {
      barrier_.arrive_and_wait();
      if (source_ == nullptr) {
        return;
      }
      source_->Cancel(CancellationReason::kDeadline);
      barrier_.arrive_and_wait();
    }
  }

  std::barrier<> barrier_{2};
  CancellationSource* source_ = nullptr;
  std::thread thread_;
};

TEST_CASE("CancellationToken: one by itself is never cancelled, and keeps no callback") {
  const CancellationToken token;
  CHECK_FALSE(token.IsCancellationRequested());
  CHECK(token.Reason() == CancellationReason::kNone);
  CHECK_NOTHROW(token.ThrowIfCancellationRequested());
  const auto captured = std::make_shared<int>();
  const auto registration = token.Register([captured] {});
  CHECK(captured.use_count() == 1);
}

TEST_CASE("CancellationToken: it tells the reason with which its source was cancelled") {
  for (const auto reason : {CancellationReason::kClientGone, CancellationReason::kDeadline,
                            CancellationReason::kShutdown}) {
    CancellationSource source;
    const auto token = source.Token();
    CHECK_FALSE(token.IsCancellationRequested());
    source.Cancel(reason);
    CHECK(token.IsCancellationRequested());
    CHECK(token.Reason() == reason);
    CHECK(source.Token().Reason() == reason);
    try {
      token.ThrowIfCancellationRequested();
      FAIL_CHECK("it did not throw");
    } catch (const OperationCancelled& cancelled) {
      CHECK(cancelled.Reason() == reason);
      CHECK(std::string(cancelled.what()) == std::string("request cancelled: ") + ToString(reason));
    }
  }
}

TEST_CASE("CancellationReason: each has a name of its own") {
  CHECK(std::string(ToString(CancellationReason::kNone)) == "not cancelled");
  CHECK(std::string(ToString(CancellationReason::kClientGone)) == "client gone");
  CHECK(std::string(ToString(CancellationReason::kDeadline)) == "deadline passed");
  CHECK(std::string(ToString(CancellationReason::kShutdown)) == "shutdown");
  CHECK(std::string(ToString(CancellationReason::kAborted)) == "aborted");
  CHECK(std::string(ToString(CancellationReason::kAnswered)) == "answered");
}

TEST_CASE(
    "CancellationSource: the first reason stays, and cancelling without a reason does nothing") {
  CancellationSource source;
  int calls = 0;
  const auto registration = source.Token().Register([&calls] { ++calls; });
  source.Cancel(CancellationReason::kNone);
  CHECK_FALSE(source.Token().IsCancellationRequested());
  CHECK(calls == 0);
  source.Cancel(CancellationReason::kDeadline);
  source.Cancel(CancellationReason::kClientGone);
  CHECK(source.Token().Reason() == CancellationReason::kDeadline);
  CHECK(calls == 1);
}

TEST_CASE("CancellationSource: its tokens outlive it, uncancelled") {
  std::optional<CancellationSource> source(std::in_place);
  const auto token = source->Token();
  int calls = 0;
  const auto registration = token.Register([&calls] { ++calls; });
  source.reset();
  CHECK_FALSE(token.IsCancellationRequested());
  CHECK(calls == 0);
}

TEST_CASE("CancellationSource: it moves, and what it was moved from cancels nothing") {
  CancellationSource from;
  const auto token = from.Token();
  CancellationSource to(std::move(from));
  // NOLINTNEXTLINE(bugprone-use-after-move): this is what is tested.
  from.Cancel(CancellationReason::kShutdown);
  CHECK_FALSE(token.IsCancellationRequested());
  CHECK_FALSE(from.Token().IsCancellationRequested());
  CancellationSource again;
  again = std::move(to);
  again.Cancel(CancellationReason::kDeadline);
  CHECK(token.Reason() == CancellationReason::kDeadline);
}

TEST_CASE(
    "CancellationToken: callbacks run once, in the order of their registration, on the thread that "
    "cancels") {
  CancellationSource source;
  std::vector<int> order;
  std::thread::id thread;
  const auto first = source.Token().Register([&] {
    order.push_back(1);
    thread = std::this_thread::get_id();
  });
  const auto second = source.Token().Register([&] { order.push_back(2); });
  const auto third = source.Token().Register([&] { order.push_back(3); });
  source.Cancel(CancellationReason::kDeadline);
  CHECK(order == std::vector<int>{1, 2, 3});
  CHECK(thread == std::this_thread::get_id());
}

TEST_CASE("CancellationToken: a callback sees the reason") {
  CancellationSource source;
  const auto token = source.Token();
  auto seen = CancellationReason::kNone;
  const auto registration = token.Register([&] { seen = token.Reason(); });
  source.Cancel(CancellationReason::kShutdown);
  CHECK(seen == CancellationReason::kShutdown);
}

TEST_CASE("CancellationToken: a callback registered after the cancellation runs now and here") {
  CancellationSource source;
  source.Cancel(CancellationReason::kDeadline);
  int calls = 0;
  {
    const auto registration = source.Token().Register([&calls] { ++calls; });
    CHECK(calls == 1);
  }
  source.Cancel(CancellationReason::kDeadline);
  CHECK(calls == 1);
}

TEST_CASE("CancellationToken: a callback may register another, which runs at once") {
  CancellationSource source;
  const auto token = source.Token();
  std::vector<int> order;
  CancellationRegistration inner;
  const auto outer = token.Register([&] {
    order.push_back(1);
    inner = token.Register([&order] { order.push_back(2); });
    order.push_back(3);
  });
  source.Cancel(CancellationReason::kDeadline);
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("CancellationToken: a callback may cancel again, which does nothing") {
  CancellationSource source;
  int calls = 0;
  const auto registration = source.Token().Register([&] {
    ++calls;
    source.Cancel(CancellationReason::kShutdown);
  });
  source.Cancel(CancellationReason::kDeadline);
  CHECK(calls == 1);
  CHECK(source.Token().Reason() == CancellationReason::kDeadline);
}

TEST_CASE("CancellationToken: a callback may drop the last owner of its source") {
  auto source = std::make_unique<CancellationSource>();
  int calls = 0;
  const auto keep_until_called = source->Token().Register([&] {
    ++calls;
    source.reset();
  });
  const auto second = source->Token().Register([&calls] { ++calls; });
  source->Cancel(CancellationReason::kDeadline);
  CHECK(calls == 2);
}

TEST_CASE("CancellationRegistration: a callback whose registration has died is not called") {
  CancellationSource source;
  int calls = 0;
  const auto captured = std::make_shared<int>();
  {
    const auto registration = source.Token().Register([&calls, captured] { ++calls; });
    CHECK(captured.use_count() == 2);
  }
  CHECK(captured.use_count() == 1);
  source.Cancel(CancellationReason::kDeadline);
  CHECK(calls == 0);
}

TEST_CASE("CancellationRegistration: what a callback captured goes with the cancellation") {
  CancellationSource source;
  const auto captured = std::make_shared<int>();
  const auto registration = source.Token().Register([captured] {});
  source.Cancel(CancellationReason::kDeadline);
  CHECK(captured.use_count() == 1);
}

TEST_CASE("CancellationRegistration: what a callback captured is gone when the next is called") {
  CancellationSource source;
  const auto captured = std::make_shared<int>();
  long owners = 0;
  const auto first = source.Token().Register([captured] {});
  const auto second = source.Token().Register([&] { owners = captured.use_count(); });
  source.Cancel(CancellationReason::kDeadline);
  CHECK(owners == 1);
}

TEST_CASE(
    "CancellationRegistration: removed inside another callback, what it captured is gone at once") {
  CancellationSource source;
  const auto captured = std::make_shared<int>();
  long owners = 0;
  std::optional<CancellationRegistration> second;
  const auto first = source.Token().Register([&] {
    second.reset();
    owners = captured.use_count();
  });
  second = source.Token().Register([captured] {});
  source.Cancel(CancellationReason::kDeadline);
  CHECK(owners == 1);
}

TEST_CASE("CancellationRegistration: what a callback captured may be its own registration") {
  CancellationSource source;
  auto own = std::make_shared<CancellationRegistration>();
  const std::weak_ptr<CancellationRegistration> watched = own;
  int calls = 0;
  *own = source.Token().Register([own, &calls] { ++calls; });
  own.reset();
  source.Cancel(CancellationReason::kDeadline);
  CHECK(calls == 1);
  CHECK(watched.expired());
}

TEST_CASE("CancellationRegistration: it moves, and only the last owner removes the callback") {
  CancellationSource source;
  int calls = 0;
  CancellationRegistration outer;
  {
    auto inner = source.Token().Register([&calls] { ++calls; });
    outer = std::move(inner);
  }
  CancellationRegistration last(std::move(outer));
  auto& alias = last;
  last = std::move(alias);
  source.Cancel(CancellationReason::kDeadline);
  CHECK(calls == 1);
}

TEST_CASE("CancellationRegistration: assigning another removes the callback that it held") {
  CancellationSource source;
  std::vector<int> order;
  auto registration = source.Token().Register([&order] { order.push_back(1); });
  registration = source.Token().Register([&order] { order.push_back(2); });
  auto third = source.Token().Register([&order] { order.push_back(3); });
  third = CancellationRegistration();
  source.Cancel(CancellationReason::kDeadline);
  CHECK(order == std::vector<int>{2});
}

TEST_CASE("CancellationRegistration: inside a callback it may die itself") {
  CancellationSource source;
  const auto captured = std::make_shared<int>(0);
  std::optional<CancellationRegistration> registration;
  registration = source.Token().Register([&registration, captured] {
    registration.reset();
    // What was captured is still there.
    ++*captured;
  });
  source.Cancel(CancellationReason::kDeadline);
  CHECK(*captured == 1);
  CHECK_FALSE(registration.has_value());
}

TEST_CASE(
    "CancellationRegistration: inside a callback others may die, and those to come are passed "
    "over") {
  CancellationSource source;
  const auto token = source.Token();
  std::vector<int> order;
  std::optional<CancellationRegistration> first;
  std::optional<CancellationRegistration> third;
  std::optional<CancellationRegistration> fourth;
  first = token.Register([&] { order.push_back(1); });
  const auto second = token.Register([&] {
    order.push_back(2);
    first.reset();
    third.reset();
  });
  third = token.Register([&] { order.push_back(3); });
  fourth = token.Register([&] { order.push_back(4); });
  source.Cancel(CancellationReason::kDeadline);
  CHECK(order == std::vector<int>{1, 2, 4});
}

TEST_CASE("CancellationRegistration: one of another source may die inside a callback") {
  CancellationSource source;
  CancellationSource other;
  int calls = 0;
  std::optional<CancellationRegistration> of_other = other.Token().Register([&calls] { ++calls; });
  const auto registration = source.Token().Register([&of_other] { of_other.reset(); });
  source.Cancel(CancellationReason::kDeadline);
  other.Cancel(CancellationReason::kDeadline);
  CHECK(calls == 0);
}

TEST_CASE(
    "CancellationRegistration: its destructor waits for a callback that runs on another thread") {
  for (int round = 0; round < 50; ++round) {
    CancellationSource source;
    std::binary_semaphore entered{0};
    std::binary_semaphore about_to_destroy{0};
    std::atomic<bool> finished = false;
    std::optional<CancellationRegistration> registration = source.Token().Register([&] {
      entered.release();
      about_to_destroy.acquire();
      for (int i = 0; i < 200; ++i) {
        std::this_thread::yield();  // gives a destructor that does not wait the time to be caught
      }
      finished = true;
    });
    std::thread canceller([&] { source.Cancel(CancellationReason::kClientGone); });
    entered.acquire();
    about_to_destroy.release();
    registration.reset();
    CHECK(finished);
    canceller.join();
  }
}

TEST_CASE(
    "CancellationRegistration: its destructor waits until what the callback captured is "
    "destroyed") {
  // Destroys itself slowly: a destructor that does not wait for it is caught.
  struct Captured {
    explicit Captured(std::atomic<bool>& is_gone) : gone(is_gone) {}
    ~Captured() {
      for (int i = 0; i < 200; ++i) {
        std::this_thread::yield();
      }
      gone = true;
    }
    std::atomic<bool>& gone;
  };
  for (int round = 0; round < 50; ++round) {
    CancellationSource source;
    std::binary_semaphore entered{0};
    std::binary_semaphore about_to_destroy{0};
    std::atomic<bool> gone = false;
    std::optional<CancellationRegistration> registration =
        source.Token().Register([&, captured = std::make_shared<Captured>(gone)] {
          entered.release();
          about_to_destroy.acquire();
        });
    std::thread canceller([&] { source.Cancel(CancellationReason::kClientGone); });
    entered.acquire();
    about_to_destroy.release();
    registration.reset();
    CHECK(gone);
    canceller.join();
  }
}

TEST_CASE(
    "CancellationRegistration: a callback that is yet to come is removed without waiting for one "
    "that runs") {
  CancellationSource source;
  std::binary_semaphore entered{0};
  std::binary_semaphore removed{0};
  std::atomic<int> calls = 0;
  const auto captured = std::make_shared<int>();
  const auto first = source.Token().Register([&] {
    entered.release();
    removed.acquire();
  });
  std::optional<CancellationRegistration> second =
      source.Token().Register([&calls, captured] { ++calls; });
  std::thread canceller([&] { source.Cancel(CancellationReason::kClientGone); });
  entered.acquire();
  second.reset();
  CHECK(captured.use_count() == 1);
  removed.release();
  canceller.join();
  CHECK(calls == 0);
}

TEST_CASE(
    "CancellationRegistration: dying while another thread cancels, its callback runs before or "
    "never") {
  // What the callback uses is freed as soon as the registration is gone: a late call would be a use after
  // free, which the address sanitizer sees, and the count below too.
  struct Resource {
    std::atomic<bool> alive = true;
  };
  std::atomic<int> calls = 0;
  std::atomic<int> late = 0;
  constexpr int kRounds = 2000;
  Canceller canceller;
  for (int round = 0; round < kRounds; ++round) {
    CancellationSource source;
    auto resource = std::make_unique<Resource>();
    auto* const raw = resource.get();
    std::optional<CancellationRegistration> registration =
        source.Token().Register([raw, &calls, &late] {
          ++calls;
          if (!raw->alive) {
            ++late;
          }
        });
    const auto other = source.Token().Register([] {});
    canceller.Begin(&source);
    for (int i = 0; i < round % 8; ++i) {
      std::this_thread::yield();
    }
    registration.reset();
    raw->alive = false;
    resource.reset();
    canceller.End();
  }
  CHECK(late == 0);
  CHECK(calls <= kRounds);
}

TEST_CASE(
    "CancellationToken: registering while another thread cancels, the callback runs exactly once") {
  constexpr int kRounds = 2000;
  Canceller canceller;
  int wrong = 0;
  for (int round = 0; round < kRounds; ++round) {
    CancellationSource source;
    std::atomic<int> calls = 0;
    canceller.Begin(&source);
    const auto registration = source.Token().Register([&calls] { ++calls; });
    canceller.End();
    wrong += calls == 1 ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("CancellationSource: of two threads that cancel, one wins, and callbacks run once") {
  constexpr int kRounds = 1000;
  Canceller canceller;
  int wrong = 0;
  for (int round = 0; round < kRounds; ++round) {
    CancellationSource source;
    const auto token = source.Token();
    std::atomic<int> calls = 0;
    auto seen = CancellationReason::kNone;
    const auto registration = token.Register([&] {
      ++calls;
      seen = token.Reason();
    });
    canceller.Begin(&source);
    source.Cancel(CancellationReason::kShutdown);
    canceller.End();
    wrong += calls == 1 && seen == token.Reason() ? 0 : 1;
  }
  CHECK(wrong == 0);
}

// The callback of one registration owns an object that holds another registration of the same source, as when
// an operation keeps its parts alive by shared_ptr. Removing the first destroys the second.
TEST_CASE(
    "CancellationRegistration: removing a callback may destroy another registration of the "
    "source") {
  CancellationSource source;
  int calls = 0;
  auto inner =
      std::make_shared<CancellationRegistration>(source.Token().Register([&calls] { ++calls; }));
  std::optional<CancellationRegistration> outer =
      source.Token().Register([inner, &calls] { ++calls; });
  inner.reset();
  outer.reset();
  source.Cancel(CancellationReason::kDeadline);
  CHECK(calls == 0);
}

}  // namespace
}  // namespace weft
