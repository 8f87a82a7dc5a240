#include <weft/http_application.hpp>

#include <stdexcept>

namespace weft {

void HttpApplicationState::RequireStarting() const {
  if (is_sealed_) {
    throw std::logic_error(
        "HttpApplicationState is filled in IHandlerRegistry::OnStart() alone: requests read it");
  }
}

}  // namespace weft
