// A module as an author writes it, with one class of each kind.
#include <memory>
#include <string>

#include <weft/weft.hpp>

namespace {

int g_registrations = 0;

class Plain final : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    context.Response().Write("registered " + std::to_string(g_registrations));
  }
  bool IsReusable() const override { return true; }
};

class Async final : public weft::IHttpAsyncHandler, public weft::IHttpBufferlessHandler {
 public:
  void ProcessRequest(weft::HttpContext&) override {
    throw weft::HttpException(418, "short and stout", "from a module");
  }
  bool IsReusable() const override { return false; }
};

class Factory final : public weft::IHttpHandlerFactory {
 public:
  std::unique_ptr<weft::IHttpHandler> GetHandler(weft::HttpContext&, std::string_view,
                                                 std::string_view, std::string_view) override {
    return std::make_unique<Plain>();
  }
  void ReleaseHandler(std::unique_ptr<weft::IHttpHandler>) override {}
};

class Shared final : public weft::IHttpSharedHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) const override {
    context.Response().Write("registered " + std::to_string(g_registrations));
  }
};

}  // namespace

WEFT_MODULE(registry) {
  ++g_registrations;
  weft::AddHandler<Plain>(registry, "test::Plain");
  weft::AddHandler<Async>(registry, "test::Async");
  weft::AddSharedHandler<Shared>(registry, "test::Shared");
  weft::AddFactory<Factory>(registry, "test::Factory");
}
