#include <charconv>
#include <chrono>
#include <string>
#include <thread>

#include <weft/weft.hpp>

namespace samples {

namespace {

/// The `ms` of the query, at most an hour.
std::chrono::milliseconds Milliseconds(const weft::HttpRequest& request) {
  constexpr int kMost = 3'600'000;
  const auto text = request.QueryString().Get("ms", "1000");
  int milliseconds = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  if (error != std::errc() || end != text.data() + text.size() || milliseconds < 0 ||
      milliseconds > kMost) {
    throw weft::HttpException(400, "ms is to be a number from 0 to 3600000.");
  }
  return std::chrono::milliseconds(milliseconds);
}

}  // namespace

/// /wait.ashx?ms=N: waits with the runtime's sleep; the worker serves others meanwhile.
class Wait : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto time = Milliseconds(context.Request());
    weft::SleepFor(time);
    context.Response().SetContentType("text/plain");
    context.Response().Write("waited " + std::to_string(time.count()) + " ms\n");
  }
  bool IsReusable() const override { return true; }
};

/// /sleep.ashx?ms=N: blocks its thread, as a call to an old library would.
class Sleep : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto time = Milliseconds(context.Request());
    std::this_thread::sleep_for(time);
    context.Response().SetContentType("text/plain");
    context.Response().Write("slept " + std::to_string(time.count()) + " ms\n");
  }
  bool IsReusable() const override { return true; }
};

}  // namespace samples

WEFT_MODULE(registry) {
  weft::AddHandler<samples::Wait>(registry, "samples::Wait");
  weft::AddHandler<samples::Sleep>(registry, "samples::Sleep");
}
