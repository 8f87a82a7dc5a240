#include <charconv>
#include <chrono>
#include <ctime>
#include <string>

#include <weft/weft.hpp>

namespace samples {

/// /clock.ashx?seconds=N: streams one line a second, until the client leaves.
class Clock : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto text = context.Request().QueryString().Get("seconds", "10");
    int seconds = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || end != text.data() + text.size() || seconds < 1 || seconds > 3600) {
      throw weft::HttpException(400, "seconds is to be a number from 1 to 3600.");
    }
    auto& response = context.Response();
    response.SetContentType("text/plain");
    response.SetHeader("X-Accel-Buffering", "no");  // nginx: pass each line on as it comes
    auto next = std::chrono::steady_clock::now();
    for (int i = 0; i < seconds; ++i) {
      if (i != 0) {
        next += std::chrono::seconds(1);
        weft::SleepUntil(next);
      }
      response.Write(TimeOfDay());
      response.Flush();
    }
  }
  bool IsReusable() const override { return true; }

 private:
  static std::string TimeOfDay() {
    const auto now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char line[16];
    const auto length = std::strftime(line, sizeof line, "%H:%M:%S\n", &utc);
    return std::string(line, length);
  }
};

}  // namespace samples

WEFT_MODULE(registry) { weft::AddHandler<samples::Clock>(registry, "samples::Clock"); }
