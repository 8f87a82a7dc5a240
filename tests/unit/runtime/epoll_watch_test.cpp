#include "host/runtime/epoll_watch.hpp"

#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

namespace weft::host::runtime {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST_CASE("TellWaits: it is seen whether the reactor waits, and a long wait is a rest") {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const int event = ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  REQUIRE(::epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted) == 0);
  observe::Figure waits;
  std::thread reactor([&] {
    TellWaits(&waits);
    std::this_thread::sleep_for(20ms);
    // To a reactor that is busy each wait brings something at once.
    epoll_event happened{};
    CHECK(::epoll_wait(epoll, &happened, 1, -1) == 1);
    const auto now = Clock::now();
    CHECK(ReactorBusyFor(now) > 2ms);
    std::uint64_t number = 0;
    CHECK(::read(event, &number, sizeof number) == sizeof number);
    CHECK(waits.Value() == 0);
    CHECK(::epoll_wait(epoll, &happened, 1, -1) == 1);
    CHECK(waits.Value() == 0);
    CHECK(ReactorBusyFor(g_reactor_watch.busy_since) == 0ns);
    CHECK(g_reactor_watch.busy_since > now + 10ms);
    TellWaits(nullptr);
    SetReactorThread(false);
  });
  while (waits.Value() == 0 || ::epoll_wait(epoll, &wanted, 1, 0) != 0) {
    std::this_thread::sleep_for(1ms);
  }
  std::this_thread::sleep_for(20ms);
  CHECK(waits.Value() == 1);
  const std::uint64_t one = 1;
  REQUIRE(::write(event, &one, sizeof one) == sizeof one);
  reactor.join();
  ::close(event);
  ::close(epoll);
}

}  // namespace weft::host::runtime
