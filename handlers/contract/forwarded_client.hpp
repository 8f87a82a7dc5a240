#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <weft/http_request_settings.hpp>
#include <weft/server_variables.hpp>

namespace weft {

/// What proxies that are trusted say of a request's client. Each text is empty where they do not say.
struct ForwardedClient {
  std::string address;  ///< an IP address in its usual form
  std::string scheme;   ///< `http` or `https`
  std::string host;     ///< a host, and a port if one was sent; well-formed
  /// A field that they sent cannot be read; what it says counts for nothing.
  bool malformed = false;
};

/// Reads the fields that `settings` believes, if the peer (REMOTE_ADDR) is a trusted proxy.
///
/// The addresses are those that each proxy saw its own client have, the nearest proxy's last. From the end the first
/// one that is no trusted proxy is the client, for nobody whom it could have told what to write stands behind it.
ForwardedClient FindForwardedClient(const ServerVariableCollection& variables,
                                    const HttpRequestSettings& settings);

/// Whether a text is a host with an optional port (RFC 3986, sections 3.2.2 and 3.2.3), fit for an http URL.
bool IsHostAndPort(std::string_view text) noexcept;

/// The values of all variables of that name, joined; some servers send one for each field of a name. `joined` keeps
/// the text where there are several. Absent where there is none.
std::optional<std::string_view> JoinedField(const ServerVariableCollection& variables,
                                            std::string_view name, std::string_view separator,
                                            std::string& joined);

}  // namespace weft
