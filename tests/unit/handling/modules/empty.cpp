// A module without a class.
#include <weft/module.hpp>

WEFT_MODULE(registry) {}
