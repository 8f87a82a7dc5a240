# weft_add_handler_module(NAME SOURCES ... [LINKS ...]): a module of handlers, NAME.so, for `"type": "Class, NAME"`.
# The same in Weft's own build and behind find_package(weft). It lands in the folder `modules` of the build, which is what
# `weft serve --modules` wants; a project installs it with
#
#   install(TARGETS NAME DESTINATION ${weft_MODULE_DIR})
#
# Hidden symbols but for the entry point that WEFT_MODULE defines; linked against the contract alone. Its frames
# touch every page that they take, so that none steps over the guard of a fiber's stack. Its statics are its own: without
# -fno-gnu-unique an inline variable, or a static of an inline function, that is not hidden would be one and the same in
# every module that has one of this name, whatever each means by it. What it lacks is told when it is linked (-z defs).
function(weft_add_handler_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINKS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
    message(FATAL_ERROR "write weft_add_handler_module(NAME SOURCES file.cpp... [LINKS library...])")
  endif()
  add_library(${name} MODULE ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE weft::weft ${arg_LINKS})
  set_target_properties(${name} PROPERTIES
    PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/modules)
  target_compile_options(${name} PRIVATE -fstack-clash-protection
    $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
  target_link_options(${name} PRIVATE LINKER:-z,defs)
endfunction()
