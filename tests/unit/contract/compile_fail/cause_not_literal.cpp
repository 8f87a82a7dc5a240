// refused: is not a constant expression
#include <string>

#include <weft/weft.hpp>

void Refuse(const std::string& cause) { throw weft::HttpException(404).WithCause(cause.c_str()); }
