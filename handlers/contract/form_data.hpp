#pragma once

#include <cstddef>
#include <string_view>

#include <weft/http_posted_file.hpp>
#include <weft/http_request_settings.hpp>
#include <weft/multipart_reader.hpp>
#include <weft/name_value_collection.hpp>
#include "handlers/contract/body_store.hpp"

namespace weft {

/// What a form has sent.
struct FormData {
  NameValueCollection fields;
  HttpFileCollection files;
  std::size_t field_bytes = 0;  ///< of names and values
};

/// The bounds of a multipart body.
MultipartLimits BoundsOf(const HttpRequestSettings& settings) noexcept;

/// What `body`, which is whole and outlives the result, holds by its Content-Type: nothing where that is not a form's. Throws
/// as HttpRequest::Form(). Time and memory are linear in the body and its bounds; the body is read once, in pieces.
FormData ParseForm(const detail::BodyStore& body, std::string_view content_type,
                   const HttpRequestSettings& settings);

}  // namespace weft
