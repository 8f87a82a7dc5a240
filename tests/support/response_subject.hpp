#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include <weft/http_request.hpp>
#include <weft/http_response.hpp>
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft::test {

/// A response and the peer that it goes to. The buffer is small, so that it is soon outgrown.
struct ResponseSubject {
  /// `more`: variables of the request.
  explicit ResponseSubject(std::string_view method = "GET", std::size_t buffer_bytes = 16,
                           VariableList more = {})
      : request((more.emplace_back("REQUEST_METHOD", method), MakeVariables(more)), exchange),
        response(exchange, request, buffer_bytes) {}

  MemoryExchange exchange;
  HttpRequest request;
  HttpResponse response;
};

}  // namespace weft::test
