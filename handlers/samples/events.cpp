#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>

#include <weft/http_date.hpp>
#include <weft/server_sent_events.hpp>
#include <weft/weft.hpp>

namespace samples {

/// /events.ashx?every=MS&heartbeat=MS: an event with the time, again and again, as a stream that browsers read by
/// `new EventSource("/events.ashx")`. Where nothing else happens for a heartbeat a comment keeps the stream open.
class Events : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    using Clock = std::chrono::steady_clock;
    const auto every = Milliseconds(context, "every", "1000");
    const auto heartbeat = Milliseconds(context, "heartbeat", "15000");
    weft::ServerSentEvents events(context);
    auto number = Number(events.LastEventId());
    auto next_event = Clock::now();
    for (;;) {
      if (Clock::now() >= next_event) {
        const auto id = std::to_string(++number);
        const auto now = weft::FormatHttpDate(std::chrono::system_clock::now());
        events.Send({.event = "time", .data = now, .id = id});
        next_event += every;
      } else {
        events.Comment();
      }
      // Ends the handler when the client has left, the deadline has passed, or the worker stops.
      weft::SleepUntil(std::min(next_event, Clock::now() + heartbeat));
    }
  }
  bool IsReusable() const override { return true; }

 private:
  static std::chrono::milliseconds Milliseconds(const weft::HttpContext& context,
                                                std::string_view name, std::string_view usual) {
    constexpr int kMost = 3'600'000;
    const auto text = context.Request().QueryString().Get(name, usual);
    int milliseconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
    if (error != std::errc() || end != text.data() + text.size() || milliseconds < 10 ||
        milliseconds > kMost) {
      throw weft::HttpException(400, std::string(name) + " is to be a number from 10 to 3600000.");
    }
    return std::chrono::milliseconds(milliseconds);
  }

  /// Of the last event that the client has seen; 0 for what is none of ours.
  static std::uint32_t Number(std::string_view id) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
    return error == std::errc() && end == id.data() + id.size() ? number : 0;
  }
};

}  // namespace samples

WEFT_MODULE(registry) { weft::AddHandler<samples::Events>(registry, "samples::Events"); }
