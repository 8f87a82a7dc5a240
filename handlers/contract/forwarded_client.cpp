#include "handlers/contract/forwarded_client.hpp"

#include <algorithm>
#include <boost/url/authority_view.hpp>
#include <boost/url/parse.hpp>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <weft/http_headers.hpp>
#include "handlers/contract/field_cursor.hpp"
#include "handlers/contract/field_text.hpp"
#include "handlers/contract/ip_address.hpp"

namespace weft {

namespace {

/// More proxies in a row than this are no real ones.
constexpr std::size_t kMostHops = 64;

/// What a proxy says its client was: an address, or something without one.
struct Node {
  std::optional<IpAddress> address;
  bool is_unix = false;
};

bool IsPort(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// `_` and letters, digits, dots, underscores and hyphens (RFC 7239, section 6.3).
bool IsObfuscated(std::string_view text) noexcept {
  return text.size() > 1 && text.front() == '_' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '.' || c == '_' || c == '-';
         });
}

/// A node of RFC 7239, section 6; `is_x`: X-Forwarded-For's, where an IPv6 address may stand without brackets. Absent
/// where it is malformed.
std::optional<Node> ParseNode(std::string_view text, bool is_x) {
  if (IsUnixPeer(text)) {
    return text.empty() ? std::nullopt : std::optional(Node{{}, true});
  }
  if (is_x) {
    if (const auto address = ParseIpAddress(text)) {
      return Node{address};
    }
  }
  auto name = text;
  if (const auto colon = text.rfind(':');
      colon != std::string_view::npos && (text.front() != '[' || text[colon - 1] == ']')) {
    name = text.substr(0, colon);
    const auto port = text.substr(colon + 1);
    if (!IsPort(port) && !IsObfuscated(port)) {
      return std::nullopt;
    }
  }
  if (EqualsIgnoreCase(name, "unknown") || IsObfuscated(name)) {
    return Node{};
  }
  const bool bracketed = name.size() > 2 && name.front() == '[' && name.back() == ']';
  if (bracketed) {
    name = name.substr(1, name.size() - 2);
  }
  const auto address = ParseIpAddress(name);
  if (!address || bracketed != (name.find(':') != std::string_view::npos)) {
    return std::nullopt;
  }
  return Node{address};
}

bool IsTrusted(const Node& node, const PeerSet& proxies) {
  // The text of a Unix peer was looked at already.
  return node.address ? proxies.Contains(ToText(*node.address))
                      : node.is_unix && proxies.Contains("unix:");
}

std::optional<std::string> ParseScheme(std::string_view text) {
  for (const std::string_view scheme : {"http", "https"}) {
    if (EqualsIgnoreCase(text, scheme)) {
      return std::string(scheme);
    }
  }
  return std::nullopt;
}

/// Takes the last item off a list that commas divide.
std::string_view TakeLast(std::string_view& list) {
  const auto comma = list.rfind(',');
  const auto item = comma == std::string_view::npos ? list : list.substr(comma + 1);
  list = list.substr(0, comma == std::string_view::npos ? 0 : comma);
  return detail::Trim(item);
}

/// The item at that place from the end, counted from 1; where there are less, the first one: a proxy further away
/// wrote it, and those between let it stand.
std::string_view ItemFromEnd(std::string_view list, std::size_t place) {
  std::string_view item;
  for (; place != 0 && !list.empty(); --place) {
    item = TakeLast(list);
  }
  return item;
}

/// One proxy's element of Forwarded.
struct Element {
  std::optional<std::string> node;
  std::optional<std::string> scheme;
  std::optional<std::string> host;
};

/// Takes an element up to its comma; false where it is malformed (RFC 7239, section 4).
bool TakeElement(FieldCursor& cursor, Element& element) {
  std::optional<std::string> by;
  while (true) {
    cursor.SkipBlanks();
    if (cursor.AtEnd() || cursor.Next() == ',') {
      return true;
    }
    if (cursor.Take(';')) {
      continue;
    }
    const auto name = cursor.TakeToken();
    if (name.empty() || !cursor.Take('=')) {
      return false;
    }
    const auto value = cursor.TakeTokenOrQuotedString();
    if (value.empty()) {
      return false;
    }
    cursor.SkipBlanks();
    if (!cursor.AtEnd() && cursor.Next() != ',' && cursor.Next() != ';') {
      return false;
    }
    std::optional<std::string>* place = nullptr;
    if (EqualsIgnoreCase(name, "for")) {
      place = &element.node;
    } else if (EqualsIgnoreCase(name, "proto")) {
      place = &element.scheme;
    } else if (EqualsIgnoreCase(name, "host")) {
      place = &element.host;
    } else if (EqualsIgnoreCase(name, "by")) {
      place = &by;
    } else {
      continue;
    }
    if (*place) {
      return false;  // each parameter stands at most once
    }
    *place = Unquoted(value);
  }
}

std::optional<std::vector<Element>> ParseForwarded(std::string_view text) {
  std::vector<Element> elements;
  FieldCursor cursor(text);
  while (true) {
    cursor.SkipBlanks();
    if (cursor.AtEnd()) {
      return elements;
    }
    if (cursor.Take(',')) {
      continue;
    }
    if (elements.size() == kMostHops || !TakeElement(cursor, elements.emplace_back())) {
      return std::nullopt;
    }
  }
}

ForwardedClient FromForwarded(std::string_view text, const PeerSet& proxies) {
  ForwardedClient client;
  const auto elements = ParseForwarded(text);
  if (!elements) {
    client.malformed = true;
    return client;
  }
  const Element* chosen = nullptr;
  for (auto element = elements->rbegin(); element != elements->rend(); ++element) {
    chosen = &*element;
    if (!element->node) {
      client.address.clear();  // it does not say: the one that it hides may be anybody
      break;
    }
    const auto node = ParseNode(*element->node, /*is_x=*/false);
    if (!node) {
      client = {};
      client.malformed = true;
      return client;
    }
    client.address = node->address ? ToText(*node->address) : std::string();
    if (!IsTrusted(*node, proxies)) {
      break;
    }
  }
  if (chosen != nullptr) {
    if (chosen->scheme) {
      const auto scheme = ParseScheme(*chosen->scheme);
      client.malformed |= !scheme;
      client.scheme = scheme.value_or("");
    }
    if (chosen->host) {
      const bool valid = IsHostAndPort(*chosen->host);
      client.malformed |= !valid;
      client.host = valid ? *chosen->host : "";
    }
  }
  return client;
}

/// The field of that variable, which several proxies may have written to; absent where it cannot be told from another.
///
/// CGI has one name for X-Forwarded-For, X_Forwarded_For and X.Forwarded.For, of which a proxy sets the first and lets
/// its client's others pass. nginx and HAProxy drop those, and pass every field of the true name on by itself. Apache
/// and lighttpd join these, so that a second variable is another field, and lighttpd passes it on, in an order that the
/// client chooses.
std::optional<std::string_view> BelievedField(const ServerVariableCollection& variables,
                                              std::string_view name, std::string& joined) {
  joined.clear();
  const auto value = JoinedField(variables, name, ",", joined).value_or(std::string_view());
  if (!joined.empty()) {
    const auto software = variables.Get("SERVER_SOFTWARE");
    if (!software.starts_with("nginx") && !software.starts_with("HAProxy")) {
      return std::nullopt;
    }
  }
  return value;
}

/// Reads X-Forwarded-For; the place of the client's item from its end, counted from 1.
std::size_t FindClientAddress(std::string_view list, const PeerSet& proxies,
                              ForwardedClient& client) {
  std::size_t place = 0;
  for (std::size_t seen = 0; !list.empty(); ++seen) {
    const auto item = TakeLast(list);
    if (item.empty()) {
      continue;
    }
    ++place;
    const auto node = seen < kMostHops ? ParseNode(item, /*is_x=*/true) : std::nullopt;
    if (!node) {
      client.malformed = true;
      client.address.clear();
      return 1;
    }
    client.address = node->address ? ToText(*node->address) : std::string();
    if (!IsTrusted(*node, proxies)) {
      break;
    }
  }
  return std::max<std::size_t>(place, 1);
}

}  // namespace

ForwardedClient FindForwardedClient(const ServerVariableCollection& variables,
                                    const HttpRequestSettings& settings) {
  const auto& proxies = settings.trusted_proxies;
  ForwardedClient client;
  if (proxies.empty() || !proxies.Contains(variables.Get("REMOTE_ADDR"))) {
    return client;
  }
  const auto& fields = settings.forwarded_fields;
  std::string joined;
  if (fields.forwarded) {
    return FromForwarded(
        JoinedField(variables, "HTTP_FORWARDED", ",", joined).value_or(std::string_view()),
        proxies);
  }
  std::size_t place = 1;
  if (fields.x_forwarded_for) {
    if (const auto list = BelievedField(variables, "HTTP_X_FORWARDED_FOR", joined)) {
      place = FindClientAddress(*list, proxies, client);
    } else {
      client.malformed = true;
    }
  }
  if (fields.x_forwarded_proto) {
    const auto list = BelievedField(variables, "HTTP_X_FORWARDED_PROTO", joined);
    if (!list || !list->empty()) {
      const auto scheme = list ? ParseScheme(ItemFromEnd(*list, place)) : std::nullopt;
      client.malformed |= !scheme;
      client.scheme = scheme.value_or("");
    }
  }
  if (fields.x_forwarded_host) {
    const auto list = BelievedField(variables, "HTTP_X_FORWARDED_HOST", joined);
    if (!list || !list->empty()) {
      const auto host = list ? ItemFromEnd(*list, place) : std::string_view();
      const bool valid = IsHostAndPort(host);
      client.malformed |= !valid;
      client.host = valid ? std::string(host) : std::string();
    }
  }
  return client;
}

bool IsHostAndPort(std::string_view text) noexcept {
  const auto authority =
      boost::urls::parse_authority(boost::urls::string_view(text.data(), text.size()));
  constexpr std::size_t kLongestHost = 255;
  if (!authority || authority->has_userinfo() || authority->encoded_host().empty() ||
      authority->encoded_host().size() > kLongestHost) {
    return false;
  }
  const std::string_view port(authority->port().data(), authority->port().size());
  std::uint16_t number = 0;
  return port.empty() ||
         (std::from_chars(port.data(), port.data() + port.size(), number).ec == std::errc() &&
          number != 0);
}

std::optional<std::string_view> JoinedField(const ServerVariableCollection& variables,
                                            std::string_view name, std::string_view separator,
                                            std::string& joined) {
  std::optional<std::string_view> value;
  for (const auto& [variable, text] : variables) {
    if (variable != name) {
      continue;
    }
    if (!value) {
      value = text;
      continue;
    }
    if (joined.empty()) {
      joined = *value;
    }
    joined.append(separator).append(text);
    value = joined;
  }
  return value;
}

}  // namespace weft
