// A library that has our names for something of its own. Its entry point must not be called.
#include <cstdlib>

#include <weft/module.hpp>

extern "C" {
extern WEFT_API const weft::detail::ModuleStamp weft_module_stamp;
const weft::detail::ModuleStamp weft_module_stamp = {
    0, weft::detail::kContractVersion, weft::detail::kCompilerAbi, weft::detail::kBuildType};
WEFT_API void weft_module_register(weft::IHandlerRegistry&);
}

void weft_module_register(weft::IHandlerRegistry&) { std::abort(); }
