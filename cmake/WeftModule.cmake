# weft_add_handler_module(NAME SOURCES ...): a module of handlers, NAME.so, for `"type": "Class, NAME"`.
# Hidden symbols but for the entry point that WEFT_MODULE defines; linked against the contract alone. Its frames
# touch every page that they take, so that none steps over the guard of a fiber's stack.
function(weft_add_handler_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINKS")
  add_library(${name} MODULE ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE weft::contract ${arg_LINKS})
  set_target_properties(${name} PROPERTIES
    PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/modules)
  target_compile_options(${name} PRIVATE -fstack-clash-protection)
  target_link_options(${name} PRIVATE -Wl,-z,defs)
endfunction()
