#pragma once

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>

#include <weft/asio.hpp>

namespace samples {

/// Where an http:// URL leads to.
struct Upstream {
  std::string host;  // a name, or an address without brackets
  std::string port;
  std::string authority;  // for the field Host
  std::string target;     // path and query, encoded
};

/// Throws std::invalid_argument.
inline Upstream ParseUpstream(std::string_view text) {
  const auto url = boost::urls::parse_uri(text);
  if (!url || url->scheme() != "http" || url->encoded_host().empty() || url->has_userinfo()) {
    throw std::invalid_argument(std::string(text) + " is no http:// URL");
  }
  const std::string path(url->encoded_path());
  return {.host = std::string(url->host_address()),
          .port = url->has_port() ? std::string(url->port()) : "80",
          .authority = std::string(url->encoded_host_and_port()),
          .target = (path.empty() ? "/" : path) +
                    (url->has_query() ? "?" + std::string(url->encoded_query()) : "")};
}

/// Connects `stream`, whose time limit counts from here; the look-up of a name has the system's own. Throws
/// boost::system::system_error.
inline void Connect(boost::beast::tcp_stream& stream, const Upstream& upstream,
                    std::chrono::milliseconds limit) {
  boost::asio::ip::tcp::resolver resolver(weft::GetAsioExecutor());
  boost::system::error_code is_name;
  const auto address = boost::asio::ip::make_address(upstream.host, is_name);
  stream.expires_after(limit);
  if (!is_name) {
    stream.async_connect({address, static_cast<unsigned short>(std::stoi(upstream.port))},
                         weft::yield);
  } else {
    const auto found = resolver.async_resolve(upstream.host, upstream.port, weft::yield);
    stream.expires_after(limit);
    stream.async_connect(found, weft::yield);
  }
  stream.socket().set_option(boost::asio::ip::tcp::no_delay(true));
}

}  // namespace samples
