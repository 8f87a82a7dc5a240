// refused: a handler derives from weft::IHttpHandler
#include <weft/weft.hpp>

class Handler {
 public:
  void ProcessRequest(weft::HttpContext&) {}
};

WEFT_MODULE(registry) { weft::AddHandler<Handler>(registry, "Handler"); }
