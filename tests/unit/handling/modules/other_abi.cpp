// A module of another compiler. Its entry point must not be called.
#include <cstdlib>

#include <weft/module.hpp>

extern "C" {
extern WEFT_API const weft::detail::ModuleStamp weft_module_stamp;
const weft::detail::ModuleStamp weft_module_stamp = {
    weft::detail::kModuleMagic, weft::detail::kContractVersion, "gxx-abi 1001 cxx11-strings 0",
    weft::detail::kBuildType};
WEFT_API void weft_module_register(weft::IHandlerRegistry&);
}

void weft_module_register(weft::IHandlerRegistry&) { std::abort(); }
