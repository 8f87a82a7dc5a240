#pragma once

#include <cstddef>

#include <weft/trusted_proxies.hpp>

namespace weft {

/// What the host's options say of requests; it makes one for all of them.
struct HttpRequestSettings {
  /// Fields of a query, and cookies, of one request; beyond it reading them throws HttpException(400). ASP.NET's
  /// default, far above what a page sends: each field costs some hundred bytes of memory, and its client three.
  std::size_t max_fields = 1000;
  /// Whether clients on this machine are shown details of errors.
  bool debug = false;
  /// Whose word about the client is taken, and in which fields. Nobody's, unless the operator says so.
  TrustedProxies trusted_proxies{};
  ForwardedFields forwarded_fields{};
};

}  // namespace weft
