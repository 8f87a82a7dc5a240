# Compiles SOURCE as far as its syntax, and compares: with a line `// refused: SENTENCE` the compiler must fail and
# say that, without one it must take the source in silence.
file(STRINGS ${SOURCE} expected REGEX "^// refused: ")
string(REPLACE "// refused: " "" expected "${expected}")
execute_process(
  COMMAND ${COMPILER} -std=c++20 -fsyntax-only -Wall -Wextra -Werror -fmessage-length=0 -I${INCLUDE} ${SOURCE}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(expected STREQUAL "")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "it was refused:\n${output}")
  endif()
elseif(result EQUAL 0)
  message(FATAL_ERROR "it was taken, and should be refused with: ${expected}")
else()
  string(FIND "${output}" "${expected}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "it was refused, but not with: ${expected}\n${output}")
  endif()
endif()
