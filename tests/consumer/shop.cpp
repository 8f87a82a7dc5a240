#include <string>

#include <weft/json.hpp>
#include <weft/weft.hpp>

namespace shop {

/// Adds up the prices of the JSON that it is sent: {"prices": [1, 2]}.
class Total : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    int total = 0;
    const auto order = weft::ParseJson(context.Request().Body());
    for (const auto& price : order.at("prices")) total += price.get<int>();
    context.Response().SetContentType("text/plain; charset=utf-8");
    context.Response().Write(std::to_string(total));
  }
  bool IsReusable() const override { return true; }
};

}  // namespace shop

WEFT_MODULE(registry) { weft::AddHandler<shop::Total>(registry, "shop::Total"); }
