// A module that has its stamp, and no entry point.
#include <weft/module.hpp>

extern "C" {
extern WEFT_API const weft::detail::ModuleStamp weft_module_stamp;
const weft::detail::ModuleStamp weft_module_stamp = {
    weft::detail::kModuleMagic, weft::detail::kContractVersion, weft::detail::kCompilerAbi,
    weft::detail::kBuildType};
}
