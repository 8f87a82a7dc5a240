// refused: is added by weft::AddSharedHandler
#include <weft/weft.hpp>

class Handler : public weft::IHttpSharedHandler {
 public:
  void ProcessRequest(weft::HttpContext&) const override {}
};

WEFT_MODULE(registry) { weft::AddHandler<Handler>(registry, "Handler"); }
