// One of each kind, as it is meant: shows that the others are refused for what they say, and nothing else.
#include <atomic>
#include <memory>

#include <weft/weft.hpp>

class Plain : public weft::IHttpHandler, public weft::IHttpResettableHandler {
 public:
  explicit Plain(int) {}
  void ProcessRequest(weft::HttpContext&) override {}
  bool IsReusable() const override { return true; }
  void Reset() override {}
};

class Shared : public weft::IHttpSharedAsyncHandler, public weft::IHttpBufferlessHandler {
 public:
  void ProcessRequest(weft::HttpContext&) const override { ++served_; }

 private:
  mutable std::atomic<int> served_ = 0;
};

class Factory : public weft::IHttpHandlerFactory {
 public:
  std::unique_ptr<weft::IHttpHandler> GetHandler(weft::HttpContext&, std::string_view,
                                                 std::string_view, std::string_view) override {
    return std::make_unique<Plain>(1);
  }
  void ReleaseHandler(std::unique_ptr<weft::IHttpHandler>) override {}
};

WEFT_MODULE(registry) {
  weft::AddHandler<Plain>(registry, "Plain", [] { return std::make_unique<Plain>(1); });
  weft::AddSharedHandler<Shared>(registry, "Shared");
  weft::AddSharedHandler(registry, "Shared2", std::make_shared<Shared>());
  weft::AddSharedHandler(registry, "Shared3", std::make_shared<const Shared>());
  weft::AddFactory<Factory>(registry, "Factory");
}
