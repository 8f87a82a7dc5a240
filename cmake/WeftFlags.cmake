# weft_warnings, weft_sanitizers: interface targets that every target of ours links privately, so that
# nothing of them reaches a consumer.
add_library(weft_warnings INTERFACE)
target_compile_options(weft_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast -Wundef
  -Wimplicit-fallthrough $<$<BOOL:${WEFT_WERROR}>:-Werror>)

add_library(weft_sanitizers INTERFACE)
if(WEFT_SANITIZE)
  target_compile_options(weft_sanitizers INTERFACE
    -fsanitize=${WEFT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(weft_sanitizers INTERFACE -fsanitize=${WEFT_SANITIZE})
endif()

# weft_target(NAME): our warnings and sanitizers for a target, and includes from the repository's root.
function(weft_target name)
  target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:weft_warnings> $<BUILD_INTERFACE:weft_sanitizers>)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
endfunction()

# weft_library(NAME SOURCES ... LINKS ...): a static library of one folder. LINKS names only folders to its
# left in the order of docs/architecture.md; a symbol from elsewhere does not link.
function(weft_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINKS")
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC ${arg_LINKS})
  weft_target(${name})
endfunction()
