// refused: a shared handler's function is `void ProcessRequest(weft::HttpContext&) const override`
#include <weft/weft.hpp>

class Handler : public weft::IHttpSharedHandler {
 public:
  void ProcessRequest(weft::HttpContext&) {}
};

WEFT_MODULE(registry) { weft::AddSharedHandler<Handler>(registry, "Handler"); }
