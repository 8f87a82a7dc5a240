// refused: a factory derives from weft::IHttpHandlerFactory
#include <weft/weft.hpp>

class Factory {};

WEFT_MODULE(registry) { weft::AddFactory<Factory>(registry, "Factory"); }
