#include <weft/http_context.hpp>

#include <utility>

namespace weft {

HttpContext::HttpContext(ServerVariableCollection variables, HttpWorkerRequest& worker_request,
                         CancellationToken cancellation, std::size_t response_buffer_bytes,
                         const HttpRequestSettings* settings)
    : request_(std::move(variables), worker_request, settings),
      response_(worker_request, request_.HttpMethod(), response_buffer_bytes),
      cancellation_(std::move(cancellation)) {}

}  // namespace weft
