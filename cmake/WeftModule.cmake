# weft_add_handler_module(NAME SOURCES ...): a module of handlers, NAME.so, for `"type": "Class, NAME"`.
# Hidden symbols but for the entry point that WEFT_MODULE defines; linked against the contract alone. Its frames
# touch every page that they take, so that none steps over the guard of a fiber's stack. Its statics are its own: without
# -fno-gnu-unique an inline variable, or a static of an inline function, that is not hidden would be one and the same in
# every module that has one of this name, whatever each means by it.
function(weft_add_handler_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINKS")
  add_library(${name} MODULE ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE weft::contract ${arg_LINKS})
  set_target_properties(${name} PROPERTIES
    PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/modules)
  target_compile_options(${name} PRIVATE -fstack-clash-protection
    $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
  target_link_options(${name} PRIVATE -Wl,-z,defs)
endfunction()
