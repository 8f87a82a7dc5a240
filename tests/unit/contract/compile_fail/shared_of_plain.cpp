// refused: a shared handler derives from weft::IHttpSharedHandler
#include <weft/weft.hpp>

class Handler : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext&) override {}
  bool IsReusable() const override { return true; }
};

WEFT_MODULE(registry) { weft::AddSharedHandler<Handler>(registry, "Handler"); }
