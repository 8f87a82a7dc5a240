#pragma once

#include <string>
#include <string_view>

#include <weft/http_context.hpp>
#include "host/handling/handler_table.hpp"
#include "mappings/mapping_table.hpp"

namespace weft::host::pipeline {

/// What a request is mapped to.
struct MappedRequest {
  /// Null: the response is a redirect to the folder that the path names. Lifetime: the table's.
  const mappings::Entry* entry = nullptr;
  const mappings::FolderSettings* settings = nullptr;  ///< Not null. Lifetime: the table's.
};

/// Finds the entry for a request, and gives the request the path that it was found by: normalised, split as the
/// mapping splits it, a default document in place of its folder.
///
/// Sets `cause` to what came of it. Throws HttpException with 400, 404, 405 (and Allow among the response's header
/// fields) or 414, which has a cause of its own where it is not the mapping's.
///
/// Threads: on the request's fiber; it waits where the disk has to be asked.
[[nodiscard]] MappedRequest MapRequest(HttpContext& context, const handling::HandlerTable& handlers,
                                       std::string_view& cause);

/// The same inside another handler: for a folder without its slash the entry of the folder, not a redirect. `allow` is
/// what a 405 is to say; the response is left alone.
[[nodiscard]] MappedRequest MapNestedRequest(HttpContext& context,
                                             const handling::HandlerTable& handlers,
                                             std::string_view& cause, std::string& allow);

}  // namespace weft::host::pipeline
