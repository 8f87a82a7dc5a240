#pragma once

#include <optional>

#include <weft/cause.hpp>
#include <weft/conditional_request.hpp>
#include <weft/http_cache_policy.hpp>
#include <weft/http_response.hpp>

namespace weft {

/// What few responses have.
struct HttpResponse::Details {
  std::optional<HttpCachePolicy> cache;
  CauseName cause;
  /// What the conditions of the request have made of the answer.
  PreconditionResult precondition = PreconditionResult::kHolds;
};

}  // namespace weft
