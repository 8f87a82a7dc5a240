#include "host/recording/redaction.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "host/observe/secret_fields.hpp"
#include "host/recording/encoding.hpp"
#include "mappings/ascii.hpp"

namespace weft::host::recording {

namespace {

using nlohmann::ordered_json;
using observe::kMasked;
using Names = std::set<std::string>;

/// What is nested deeper is searched as a text: the search of a tree is recursive.
constexpr int kMaxJsonDepth = 256;

/// `accessToken` as `access_token`.
std::string SnakeCase(std::string_view name) {
  std::string snake;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z' && !snake.empty() && snake.back() >= 'a' && snake.back() <= 'z') {
      snake += '_';
    }
    snake += mappings::ToLower(c);
  }
  return snake;
}

bool IsSecretName(std::string_view name) {
  return observe::IsSecretField(name) || observe::IsSecretParameter(name) ||
         observe::IsSecretParameter(SnakeCase(name));
}

std::string MaskedText(std::string_view text, std::string_view where, Names& names) {
  auto masked = observe::WithoutSecrets(text);
  if (masked != text) {
    names.emplace(where);
  }
  return masked;
}

/// `a=1&password=secret`, of a query or a form.
std::string MaskedForm(std::string_view form, Names& names) {
  std::string masked;
  while (true) {
    const auto end = form.find('&');
    const auto pair = form.substr(0, end);
    const auto equals = std::min(pair.find('='), pair.size());
    const auto name = pair.substr(0, equals);
    // The whole value, whatever it holds.
    if (equals + 1 < pair.size() && pair.substr(equals + 1) != kMasked &&
        (IsSecretName(name) || observe::WithoutSecrets(pair) != pair)) {
      masked.append(name).append("=").append(kMasked);
      names.emplace(name);
    } else {
      masked += pair;
    }
    if (end == std::string_view::npos) {
      return masked;
    }
    masked += '&';
    form.remove_prefix(end + 1);
  }
}

std::string MaskedUri(std::string_view uri, Names& names) {
  const auto question = std::min(uri.find('?'), uri.size());
  auto masked = MaskedText(uri.substr(0, question), "path", names);
  return question == uri.size() ? masked
                                : masked + "?" + MaskedForm(uri.substr(question + 1), names);
}

void MaskJson(ordered_json& value, Names& names) {
  for (const auto& item : value.items()) {
    auto& part = item.value();
    if (value.is_object() && IsSecretName(item.key()) && !part.is_null() && part != "" &&
        part != kMasked) {
      part = std::string(kMasked);
      names.insert(item.key());
    } else if (part.is_structured()) {
      MaskJson(part, names);
    } else if (part.is_string()) {
      part = MaskedText(part.get_ref<const std::string&>(), value.is_object() ? item.key() : "body",
                        names);
    }
  }
}

/// Absent where the text is no JSON. It is written anew only where something is masked.
std::optional<std::string> MaskedJson(const std::string& text, Names& names) {
  bool too_deep = false;
  const auto is_bearable = [&](int depth, ordered_json::parse_event_t, const ordered_json&) {
    too_deep = too_deep || depth > kMaxJsonDepth;
    return !too_deep;
  };
  auto value = ordered_json::parse(text, is_bearable, /*allow_exceptions=*/false);
  if (too_deep || value.is_discarded()) {
    return std::nullopt;
  }
  Names found;
  MaskJson(value, found);
  names.insert(found.begin(), found.end());
  return found.empty() ? text : value.dump();
}

/// `form-data; name="password"` has the name `password`.
std::string_view PartName(std::string_view headers) {
  constexpr std::string_view kName = "name=\"";
  for (auto at = headers.find(kName); at != std::string_view::npos;
       at = headers.find(kName, at + 1)) {
    if (at > 0 && (headers[at - 1] == ' ' || headers[at - 1] == ';')) {
      const auto value = headers.substr(at + kName.size());
      return value.substr(0, value.find('"'));
    }
  }
  return {};
}

/// multipart/form-data (RFC 7578), its lines ended as they may be in files that people have edited.
std::string MaskedMultipart(std::string_view body, std::string_view type, Names& names) {
  constexpr std::string_view kBoundary = "boundary=";
  const auto at = type.find(kBoundary);
  auto boundary =
      at == std::string_view::npos ? std::string_view() : type.substr(at + kBoundary.size());
  boundary = boundary.substr(0, boundary.find(';'));
  if (boundary.size() > 1 && boundary.starts_with('"') && boundary.ends_with('"')) {
    boundary = boundary.substr(1, boundary.size() - 2);
  }
  if (boundary.empty()) {
    return MaskedText(body, "body", names);
  }
  const std::string delimiter = "--" + std::string(boundary);
  std::string masked;
  for (std::size_t from = 0;; from = delimiter.size()) {
    const auto next = body.find(delimiter, from);
    const auto part = body.substr(0, next);
    const auto crlf = part.find("\r\n\r\n");
    const auto lf = part.find("\n\n");
    const auto head = std::min(crlf == std::string_view::npos ? crlf : crlf + 4,
                               lf == std::string_view::npos ? lf : lf + 2);
    const auto name =
        head == std::string_view::npos ? std::string_view() : PartName(part.substr(0, head));
    const auto end =
        part.ends_with("\r\n") ? part.size() - 2 : part.size() - (part.ends_with('\n') ? 1 : 0);
    if (!name.empty() && IsSecretName(name) &&
        part.substr(head, end - std::min(head, end)) != kMasked) {
      masked.append(part.substr(0, head)).append(kMasked);
      masked += part.substr(std::max(head, end));
      names.emplace(name);
    } else {
      masked += part;
    }
    if (next == std::string_view::npos) {
      return masked;
    }
    body.remove_prefix(next);
  }
}

std::string MediaType(std::string_view type) {
  type = type.substr(0, type.find(';'));
  return mappings::LowerCase(type.substr(0, type.find_last_not_of(" \t") + 1));
}

std::string MaskedBody(const std::string& body, std::string_view type, Names& names) {
  const auto media_type = MediaType(type);
  if (media_type == "application/x-www-form-urlencoded") {
    return MaskedForm(body, names);
  }
  if (media_type == "multipart/form-data") {
    return MaskedMultipart(body, type, names);
  }
  if (!IsReadable(body) || media_type == "text/css" ||
      media_type.find("javascript") != std::string::npos) {
    return body;
  }
  if (media_type.ends_with("json")) {
    if (auto masked = MaskedJson(body, names)) {
      return *masked;
    }
  }
  return MaskedText(body, "body", names);
}

const std::string& ValueOf(const Params& params, std::string_view name) {
  static const std::string kNone;
  const auto found = std::ranges::find(params, name, &Params::value_type::first);
  return found == params.end() ? kNone : found->second;
}

/// "HTTP_X_API_KEY" as "X-API-KEY": how people know it.
std::string ShownName(std::string_view variable) {
  std::string name(variable.starts_with("HTTP_") ? variable.substr(5) : variable);
  std::ranges::replace(name, '_', '-');
  return name;
}

void RedactRequest(Recording& recording, Names& names) {
  const auto bytes = std::to_string(recording.body.size());
  recording.body = MaskedBody(recording.body, ValueOf(recording.params, "CONTENT_TYPE"), names);
  for (auto& [name, value] : recording.params) {
    if (name == "QUERY_STRING") {
      value = MaskedForm(value, names);
    } else if (name == "REQUEST_URI") {
      value = MaskedUri(value, names);
    } else if (name == "CONTENT_LENGTH" && value == bytes) {
      value = std::to_string(recording.body.size());
    } else if (auto shown = observe::ShownValue(name, value); shown != value) {
      names.insert(ShownName(name));
      value = std::move(shown);
    }
  }
}

void RedactResponse(ExpectedResponse& response, Names& names) {
  HttpHeaders kept;
  for (const auto& [name, value] : response.headers) {
    if (observe::ShownValue(name, value) == value) {
      kept.Append(name, value);
    } else {
      names.insert(name);
    }
  }
  if (response.body) {
    Names found;
    static_cast<void>(
        MaskedBody(*response.body, response.headers.Find("Content-Type").value_or(""), found));
    if (!found.empty()) {
      response.body.reset();
      names.insert(found.begin(), found.end());
    }
  }
  response.headers = std::move(kept);
}

}  // namespace

std::set<std::string> Redact(Recording& recording) {
  Names names;
  RedactRequest(recording, names);
  if (recording.response) {
    RedactResponse(*recording.response, names);
  }
  return names;
}

}  // namespace weft::host::recording
