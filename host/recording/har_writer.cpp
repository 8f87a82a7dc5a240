#include "host/recording/har_writer.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include <weft/http_cookie.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_utility.hpp>
#include "host/recording/encoding.hpp"
#include "host/recording/short_form.hpp"

namespace weft::host::recording {

namespace {

using nlohmann::ordered_json;

/// JSON holds UTF-8 alone: other bytes come as the characters of ISO 8859-1, which is what browsers make of them.
std::string AsText(std::string_view bytes) {
  if (IsUtf8(bytes)) {
    return std::string(bytes);
  }
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xc0 | (byte >> 6));
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

ordered_json Pair(std::string_view name, std::string_view value) {
  return {{"name", AsText(name)}, {"value", AsText(value)}};
}

std::string_view ValueOf(const Params& params, std::string_view name) {
  const auto found = std::ranges::find(params, name, &Params::value_type::first);
  return found == params.end() ? std::string_view() : found->second;
}

/// `a=1; b=2`, or `a=1&b=2`, as their values stand in the text.
ordered_json SplitPairs(std::string_view text, char separator, bool is_encoded) {
  auto list = ordered_json::array();
  while (!text.empty()) {
    auto pair = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    pair.remove_prefix(std::min(pair.find_first_not_of(' '), pair.size()));
    if (pair.empty()) {
      continue;
    }
    const auto equals = std::min(pair.find('='), pair.size());
    const auto name = pair.substr(0, equals);
    const auto value = pair.substr(std::min(equals + 1, pair.size()));
    list.push_back(is_encoded ? Pair(HttpUtility::UrlDecode(name), HttpUtility::UrlDecode(value))
                              : Pair(name, value));
  }
  return list;
}

std::string UrlOf(const Params& params) {
  auto host = ValueOf(params, "HTTP_HOST");
  if (host.empty()) {
    host = ValueOf(params, "SERVER_NAME");
  }
  const bool is_secure = ValueOf(params, "HTTPS") == "on" || ValueOf(params, "HTTPS") == "1" ||
                         ValueOf(params, "REQUEST_SCHEME") == "https";
  std::string target(ValueOf(params, "REQUEST_URI"));
  if (!target.starts_with('/')) {
    // A server that does not send it. What it was decoded from is not known, only what it stands for.
    target = HttpUtility::UrlPathEncode(
        std::string(ValueOf(params, "SCRIPT_NAME")).append(ValueOf(params, "PATH_INFO")));
    if (const auto query = ValueOf(params, "QUERY_STRING"); !query.empty()) {
      target.append("?").append(query);
    }
  }
  return AsText((is_secure ? "https://" : "http://") +
                std::string(host.empty() ? "localhost" : host) + target);
}

std::string ProtocolOf(const Params& params) {
  const auto protocol = ValueOf(params, "SERVER_PROTOCOL");
  return protocol.empty() ? "HTTP/1.1" : AsText(protocol);
}

ordered_json RequestOf(const Recording& recording) {
  const auto& params = recording.params;
  auto headers = ordered_json::array();
  for (const auto& [name, value] : params) {
    if (const auto field = FieldName(name); !field.empty() && !value.empty()) {
      headers.push_back(Pair(field, value));
    }
  }
  ordered_json request = {
      {"method", AsText(ValueOf(params, "REQUEST_METHOD"))},
      {"url", UrlOf(params)},
      {"httpVersion", ProtocolOf(params)},
      {"cookies", SplitPairs(ValueOf(params, "HTTP_COOKIE"), ';', false)},
      {"headers", std::move(headers)},
      {"queryString", SplitPairs(ValueOf(params, "QUERY_STRING"), '&', true)},
  };
  if (!recording.body.empty()) {
    const bool is_text = IsReadable(recording.body);
    ordered_json data = {{"mimeType", AsText(ValueOf(params, "CONTENT_TYPE"))},
                         {"text", is_text ? recording.body : EncodeBase64(recording.body)}};
    if (!is_text) {
      data["encoding"] = "base64";
    }
    request["postData"] = std::move(data);
  }
  request["headersSize"] = -1;
  request["bodySize"] = recording.body.size();
  return request;
}

ordered_json ResponseOf(const Recording& recording) {
  const ExpectedResponse none;
  const auto& response = recording.response ? *recording.response : none;
  auto headers = ordered_json::array();
  auto cookies = ordered_json::array();
  for (const auto& [name, value] : response.headers) {
    headers.push_back(Pair(name, value));
    if (EqualsIgnoreCase(name, "Set-Cookie")) {
      if (const auto cookie = HttpCookie::TryParse(value)) {
        cookies.push_back(Pair(cookie->name, cookie->value));
      }
    }
  }
  const auto type = response.headers.Find("Content-Type").value_or("x-unknown");
  const auto body = response.body.value_or("");
  ordered_json content = {{"size", body.size()}, {"mimeType", AsText(type)}};
  if (response.body) {
    const bool is_text = IsReadable(body);
    content["text"] = is_text ? body : EncodeBase64(body);
    if (!is_text) {
      content["encoding"] = "base64";
    }
  }
  return {{"status", response.status},
          {"statusText", response.status == 0 ? "" : StatusDescriptionOf(response.status)},
          {"httpVersion", ProtocolOf(recording.params)},
          {"cookies", std::move(cookies)},
          {"headers", std::move(headers)},
          {"content", std::move(content)},
          {"redirectURL", AsText(response.headers.Find("Location").value_or(""))},
          {"headersSize", -1},
          {"bodySize", response.body ? static_cast<std::int64_t>(body.size()) : -1}};
}

}  // namespace

std::string WriteHar(std::span<const Recording> recordings, std::string_view creator_version) {
  auto entries = ordered_json::array();
  for (const auto& recording : recordings) {
    // The same file for the same recordings: when they were made is not told by them.
    entries.push_back({{"startedDateTime", "1970-01-01T00:00:00.000Z"},
                       {"time", 0},
                       {"request", RequestOf(recording)},
                       {"response", ResponseOf(recording)},
                       {"cache", ordered_json::object()},
                       {"timings", {{"send", 0}, {"wait", 0}, {"receive", 0}}}});
  }
  const ordered_json har = {{"log",
                             {{"version", "1.2"},
                              {"creator", {{"name", "weft"}, {"version", creator_version}}},
                              {"entries", std::move(entries)},
                              {"comment", "Of Weft's recordings, which have no times."}}}};
  return har.dump(2) + "\n";
}

}  // namespace weft::host::recording
