// refused: increment of member ‘Handler::served_’ in read-only object
#include <weft/weft.hpp>

class Handler : public weft::IHttpSharedHandler {
 public:
  void ProcessRequest(weft::HttpContext&) const override { ++served_; }

 private:
  int served_ = 0;
};

WEFT_MODULE(registry) { weft::AddSharedHandler<Handler>(registry, "Handler"); }
