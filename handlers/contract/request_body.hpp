#pragma once

#include <exception>
#include <optional>

#include <weft/http_request.hpp>
#include "handlers/contract/body_store.hpp"
#include "handlers/contract/form_data.hpp"

namespace weft {

/// What a request has of its body.
struct HttpRequest::BodyState {
  BodyState(HttpRequest& request, const HttpRequestSettings& settings)
      : store(settings.body_memory_bytes, settings.temporary_folder), stream(request) {}

  detail::BodyStore store;
  std::exception_ptr failure;  // of a read: what is there is no body
  HttpInputStream stream;
  std::optional<HttpBodyStream> input_stream;
  std::optional<FormData> form;
};

}  // namespace weft
