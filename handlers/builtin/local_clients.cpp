#include "handlers/builtin/local_clients.hpp"

#include <string>

#include <weft/cause.hpp>
#include <weft/http_exception.hpp>

namespace weft::builtin {

bool IsForEverybody(const HttpContext& context, std::string_view section) {
  const auto said = context.GetSection(section);
  if (!said || *said == "\"local\"") {
    return false;
  }
  if (*said == "\"all\"") {
    return true;
  }
  throw HttpException(500, {},
                      "the section " + std::string(section) + " of this folder is " +
                          std::string(*said) + ": write \"local\" or \"all\"");
}

void CheckIsLocal(const HttpContext& context, std::string_view section, std::string_view what) {
  if (!context.Request().IsLocal()) {
    throw HttpException(403, {},
                        std::string(what) + " for clients of this machine, unless the section " +
                            std::string(section) + " of a mapping file is \"all\"")
        .WithCause(cause::kClientNotLocal);
  }
}

}  // namespace weft::builtin
