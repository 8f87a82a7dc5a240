// A module that was linked without what it needs.
#include <weft/module.hpp>

extern "C" void weft_test_symbol_of_nobody();

WEFT_MODULE(registry) { weft_test_symbol_of_nobody(); }
