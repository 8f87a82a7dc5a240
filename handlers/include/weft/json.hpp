#pragma once

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include <weft/cause.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_headers.hpp>
#include <weft/http_request.hpp>
#include <weft/http_response.hpp>

/// JSON bodies, with nlohmann/json, 3.11 or newer: optional, and the one header that needs it. Link
/// nlohmann_json::nlohmann_json.

namespace weft {

/// Objects and arrays in one another. 64, as in ASP.NET: deeper than what is meant, and far from what the stack of a fiber
/// bears where values are written, copied or compared, which nlohmann/json does by recursion.
inline constexpr std::size_t kMaxJsonDepth = 64;

namespace detail {

/// `application/json`, `text/json`, or `application/problem+json` and its like; in UTF-8, for JSON has no other encoding
/// (RFC 8259, section 8.1).
inline bool IsJsonType(std::string_view content_type) {
  auto type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) {
    type.remove_suffix(1);
  }
  const auto slash = type.find('/');
  if (slash == std::string_view::npos || !IsToken(type.substr(0, slash)) ||
      !IsToken(type.substr(slash + 1))) {
    return false;
  }
  constexpr std::string_view kSuffix = "+json";
  return EqualsIgnoreCase(type, "application/json") || EqualsIgnoreCase(type, "text/json") ||
         (type.size() - slash - 1 > kSuffix.size() &&
          EqualsIgnoreCase(type.substr(type.size() - kSuffix.size()), kSuffix));
}

[[noreturn]] inline void ThrowMalformedJson(std::string_view text, std::size_t offset,
                                            const std::string& what) {
  const auto before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto place = "line " + std::to_string(line) + ", column " +
                     std::to_string(before.size() - line_start + 1) + " (byte " +
                     std::to_string(before.size()) + ")";
  throw HttpException(400, "The body is no valid JSON: " + place + ".", what)
      .WithCause(cause::kJsonMalformed);
}

/// Says where brackets first stand deeper than that in one another; npos: nowhere. For all that is JSON, and for
/// nothing else, this is the depth of its values.
inline std::size_t FindTooDeep(std::string_view text, std::size_t max_depth) {
  std::size_t depth = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        at += text[at] == '\\' ? 1 : 0;
      }
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth) {
        return at;
      }
    } else if ((c == ']' || c == '}') && depth != 0) {
      --depth;
    }
  }
  return std::string_view::npos;
}

/// Goes no deeper than that itself.
template <typename Json>
bool IsDeeper(const Json& json, std::size_t max_depth) {
  if (!json.is_structured()) {
    return false;
  }
  return max_depth == 0 || std::any_of(json.begin(), json.end(), [max_depth](const Json& item) {
           return IsDeeper(item, max_depth - 1);
         });
}

}  // namespace detail

/// Parses JSON that a peer sent. Throws HttpException(400) (cause `json_malformed`) for what is none, with line, column and
/// byte, the columns counted in bytes; for what is not UTF-8; and for more than `max_depth` objects and arrays in one another,
/// before anything is made of them.
///
/// Of members with one name the last one counts (RFC 8259, section 4, leaves it open).
template <typename Json = nlohmann::json>
Json ParseJson(std::string_view text, std::size_t max_depth = kMaxJsonDepth) {
  if (const auto at = detail::FindTooDeep(text, max_depth); at != std::string_view::npos) {
    detail::ThrowMalformedJson(
        text, at, "more than " + std::to_string(max_depth) + " objects and arrays in one another");
  }
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::parse_error& error) {
    // It counts the byte that it has read last.
    detail::ThrowMalformedJson(text, error.byte == 0 ? 0 : error.byte - 1, error.what());
  } catch (const nlohmann::json::exception& error) {
    // A number that is out of range.
    throw HttpException(400, "The body is no valid JSON.", error.what())
        .WithCause(cause::kJsonMalformed);
  }
}

/// The body as JSON. Throws HttpException(415) (cause `content_type_unsupported`) unless its Content-Type is
/// `application/json`, `text/json`, or ends with `+json`, and names no other encoding than UTF-8; as ParseJson(); and as
/// HttpRequest::Body(). Its size is bounded as every body's is.
template <typename Json = nlohmann::json>
Json ReadJson(HttpRequest& request, std::size_t max_depth = kMaxJsonDepth) {
  const auto charset = request.ContentEncoding();
  if (!detail::IsJsonType(request.ContentType()) || (!charset.empty() && charset != "utf-8")) {
    throw HttpException(
        415, "The body must be JSON: Content-Type: application/json.",
        "the Content-Type is '" + std::string(request.ContentType().substr(0, 200)) + "'")
        .WithCause(cause::kContentTypeUnsupported);
  }
  return ParseJson<Json>(request.Body(), max_depth);
}

/// Writes `json`, and says so in Content-Type, unless the handler has set one of JSON's. `indent` as
/// nlohmann::json::dump() has it. Bytes that are no UTF-8 become U+FFFD: a text that came from elsewhere does not fail the
/// whole answer. Throws std::invalid_argument, and writes nothing, for more than 500 objects and arrays in one another, beyond
/// which the stack of a fiber may have no room.
template <typename Json>
void WriteJson(HttpResponse& response, const Json& json, int indent = -1) {
  constexpr std::size_t kMaxDepth = 500;
  if (detail::IsDeeper(json, kMaxDepth)) {
    throw std::invalid_argument("WriteJson: more than " + std::to_string(kMaxDepth) +
                                " objects and arrays in one another");
  }
  const auto text = json.dump(indent, ' ', false, Json::error_handler_t::replace);
  const auto type = response.Headers().Find("Content-Type");
  if (!type || !detail::IsJsonType(*type)) {
    response.SetContentType("application/json");
  }
  response.Write(text);
}

}  // namespace weft
