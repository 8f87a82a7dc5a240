// refused: a cause is lower-case words, digits too, joined by underscores
#include <weft/weft.hpp>

void Refuse() { throw weft::HttpException(404).WithCause("Order unknown"); }
