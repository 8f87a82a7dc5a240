// A library that has nothing to do with Weft.
#include <weft/export.hpp>

extern "C" WEFT_API int answer();
int answer() { return 42; }
