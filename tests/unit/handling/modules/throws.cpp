// A module that cannot begin, after it has named a class.
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
  throw std::runtime_error("the licence has expired");
}
