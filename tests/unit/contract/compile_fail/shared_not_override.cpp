// refused: marked ‘override’, but does not override
#include <weft/weft.hpp>

class Handler : public weft::IHttpSharedHandler {
 public:
  void ProcessRequest(weft::HttpContext&) override {}
};

WEFT_MODULE(registry) { weft::AddSharedHandler<Handler>(registry, "Handler"); }
