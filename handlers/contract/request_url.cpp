#include "handlers/contract/request_url.hpp"

#include <algorithm>

#include <weft/http_exception.hpp>
#include <weft/http_headers.hpp>
#include "handlers/contract/field_text.hpp"
#include "handlers/contract/forwarded_client.hpp"
#include "handlers/contract/percent_encoding.hpp"

namespace weft {

namespace {

/// What may stand in a path (RFC 3986, section 3.3), percent-encoded bytes apart.
constexpr detail::ByteSet kPathCharacters = detail::AlphanumericAnd("-._~!$&'()*+,;=:@/");

/// Appends the text, with every other byte percent-encoded. `is_encoded`: percent-encoded bytes in it stay, and so does
/// the query.
void AppendEncoded(std::string& url, std::string_view text, bool is_encoded) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (detail::Contains(kPathCharacters, c) ||
        (is_encoded && (c == '?' || detail::IsEscape(text, at)))) {
      url += c;
    } else {
      detail::AppendEscape(url, c, detail::kCapitalDigits);
    }
  }
}

/// In small letters, without an empty port and the scheme's own.
std::string NormalHost(std::string_view host, std::string_view scheme) {
  const auto colon = host.rfind(':');
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
    const auto port = host.substr(colon + 1);
    if (port.empty() || port == (scheme == "https" ? "443" : "80")) {
      host = host.substr(0, colon);
    }
  }
  std::string normal(host);
  std::transform(normal.begin(), normal.end(), normal.begin(), detail::ToLower);
  return normal;
}

std::string HostOf(const ServerVariableCollection& variables, std::string_view scheme,
                   std::string_view forwarded_host) {
  if (!forwarded_host.empty()) {
    return NormalHost(forwarded_host, scheme);
  }
  if (const auto host = variables.Get("HTTP_HOST"); !host.empty()) {
    if (!IsHostAndPort(host)) {
      throw HttpException(400, "The Host field is malformed.", std::string(host))
          .WithCause(cause::kHostMalformed);
    }
    return NormalHost(host, scheme);
  }
  // HTTP/1.0, or a client that sent an empty one.
  std::string host(variables.Get("SERVER_NAME"));
  if (host.find(':') != std::string::npos && host.front() != '[') {
    host = "[" + host + "]";
  }
  if (const auto port = variables.Get("SERVER_PORT"); !port.empty()) {
    host.append(":").append(port);
  }
  return IsHostAndPort(host) ? NormalHost(host, scheme) : std::string();
}

}  // namespace

std::string RawUrlOf(std::string_view path, std::string_view query) {
  std::string url;
  AppendEncoded(url, path, /*is_encoded=*/false);
  if (!query.empty()) {
    url.append("?").append(query);
  }
  return url;
}

std::string RequestUrl(const ServerVariableCollection& variables, std::string_view scheme,
                       std::string_view forwarded_host, std::string_view raw_url) {
  const auto host = HostOf(variables, scheme, forwarded_host);
  if (host.empty()) {
    return {};
  }
  std::string url;
  url.append(scheme).append("://").append(host);
  auto target = raw_url;
  if (target == "*") {
    return url;  // of the server itself (RFC 9110, section 7.1)
  }
  if (target.empty() || target.front() != '/') {
    // The absolute form, in which clients ask proxies: its host is the Host field's (RFC 9112, section 3.2.2).
    const auto authority = target.find("://");
    const auto begin =
        authority == std::string_view::npos ? authority : target.find_first_of("/?", authority + 3);
    target = begin == std::string_view::npos ? std::string_view() : target.substr(begin);
  }
  AppendEncoded(url, target, /*is_encoded=*/true);
  return url;
}

}  // namespace weft
