#include <time.h>

#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <string_view>

#include <weft/asio.hpp>
#include <weft/weft.hpp>

/// What `scripts/bench overload` and `scripts/bench timers` ask.

namespace bench {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

std::int64_t Number(const weft::HttpRequest& request, std::string_view name, std::int64_t most) {
  const auto text = request.QueryString().Get(name);
  std::int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0 || number > most) {
    throw weft::HttpException(
        400, std::string(name) + " is to be a number up to " + std::to_string(most) + ".");
  }
  return number;
}

nanoseconds ThreadTime() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

/// A timer that goes off once a period, for the worker's life.
class Repeating {
 public:
  Repeating(weft::AsioExecutor executor, milliseconds first, milliseconds period,
            std::uint64_t& expiries)
      : timer_(executor), period_(period), expiries_(expiries) {
    timer_.expires_after(first);
    Wait();
  }

 private:
  void Wait() {
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) {
        return;  // it is being destroyed
      }
      ++expiries_;
      timer_.expires_at(timer_.expiry() + period_);
      Wait();
    });
  }

  boost::asio::steady_timer timer_;
  const milliseconds period_;
  std::uint64_t& expiries_;
};

struct RepeatingTimers {
  std::uint64_t expiries = 0;
  std::deque<Repeating> timers{};
};

}  // namespace

/// /compute?us=N: uses so much processor time of the thread that it is called on, and waits for nothing. Async: of the reactor's.
class Compute : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto until =
        ThreadTime() + std::chrono::microseconds(Number(context.Request(), "us", 1'000'000));
    while (ThreadTime() < until) {
    }
    context.Response().SetContentType("text/plain");
    context.Response().Write("computed\n");
  }
  bool IsReusable() const override { return true; }
};

/// /timers?count=N&ms=PERIOD: makes so many timers of Asio's, no fiber each, of which each goes off once a period, at a moment of
/// its own. Answers how often any of those that there are has gone off.
class Timers : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto& request = context.Request();
    const auto count = Number(request, "count", 10'000'000);
    const milliseconds period(Number(request, "ms", 3'600'000));
    auto& all = *context.Application().Find<RepeatingTimers>();
    std::uniform_int_distribution<std::int64_t> first(1, std::max<std::int64_t>(period.count(), 1));
    std::mt19937_64 random(1);
    for (std::int64_t i = 0; i < count; ++i) {
      all.timers.emplace_back(weft::GetAsioExecutor(), milliseconds(first(random)), period,
                              all.expiries);
    }
    context.Response().SetContentType("text/plain");
    context.Response().Write(std::to_string(all.expiries) + "\n");
  }
  bool IsReusable() const override { return true; }
};

}  // namespace bench

WEFT_MODULE(registry) {
  registry.OnStart([](weft::HttpApplicationState& application) {
    application.Emplace<bench::RepeatingTimers>({});
  });
  weft::AddHandler<bench::Compute>(registry, "bench::Compute");
  weft::AddHandler<bench::Timers>(registry, "bench::Timers");
}
