#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include <weft/asio.hpp>
#include <weft/weft.hpp>

/// Waits on the host's own io_context.
class Timer : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    boost::asio::steady_timer timer(weft::GetAsioExecutor(), std::chrono::milliseconds(1));
    timer.async_wait(weft::yield);
    context.Response().SetContentType("text/plain; charset=utf-8");
    context.Response().Write("waited");
  }
  bool IsReusable() const override { return true; }
};

WEFT_MODULE(registry) { weft::AddHandler<Timer>(registry, "Timer"); }
