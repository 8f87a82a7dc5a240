// A module that names two classes alike.
#include <stdexcept>

#include <weft/module.hpp>

namespace {

class Plain final : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext&) override {}
  bool IsReusable() const override { return true; }
};

}  // namespace

WEFT_MODULE(registry) {
  weft::AddHandler<Plain>(registry, "test::Plain");
  weft::AddHandler<Plain>(registry, "test::Plain");
}
