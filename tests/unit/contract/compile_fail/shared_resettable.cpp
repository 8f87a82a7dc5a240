// refused: a shared handler is never reset
#include <weft/weft.hpp>

class Handler : public weft::IHttpSharedHandler, public weft::IHttpResettableHandler {
 public:
  void ProcessRequest(weft::HttpContext&) const override {}
  void Reset() override {}
};

WEFT_MODULE(registry) { weft::AddSharedHandler<Handler>(registry, "Handler"); }
