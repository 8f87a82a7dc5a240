#include "handlers/builtin/status_handlers.hpp"

#include <string>

#include <weft/http_exception.hpp>

namespace weft::builtin {

void StatusHandler::ProcessRequest(HttpContext& context) {
  auto& response = context.Response();
  response.SetStatusCode(status_);
  response.SetContentType("text/plain; charset=utf-8");
  response.Write(std::to_string(status_) + " " + std::string(StatusDescriptionOf(status_)) + "\n");
}

}  // namespace weft::builtin
