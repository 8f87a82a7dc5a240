// refused: a handler is either shared or lent to one request at a time
#include <weft/weft.hpp>

class Handler : public weft::IHttpHandler, public weft::IHttpSharedHandler {
 public:
  void ProcessRequest(weft::HttpContext&) override {}
  void ProcessRequest(weft::HttpContext&) const override {}
  bool IsReusable() const override { return true; }
};

WEFT_MODULE(registry) { weft::AddSharedHandler<Handler>(registry, "Handler"); }
