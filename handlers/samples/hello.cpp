#include <weft/weft.hpp>

namespace samples {

/// Runs on a thread of the blocking pool.
class Hello : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    context.Response().SetContentType("text/plain");
    context.Response().Write("Hello, world");
  }
  bool IsReusable() const override { return true; }
};

/// The same on a fiber.
class HelloAsync : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    context.Response().SetContentType("text/plain");
    context.Response().Write("Hello, world");
  }
  bool IsReusable() const override { return true; }
};

}  // namespace samples

WEFT_MODULE(registry) {
  weft::AddHandler<samples::Hello>(registry, "samples::Hello");
  weft::AddHandler<samples::HelloAsync>(registry, "samples::HelloAsync");
}
