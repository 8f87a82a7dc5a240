// A module whose entry point throws what is no exception.
#include <weft/module.hpp>

WEFT_MODULE(registry) { throw 42; }
