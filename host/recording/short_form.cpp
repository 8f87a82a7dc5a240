#include "host/recording/short_form.hpp"

#include <algorithm>
#include <boost/algorithm/string/replace.hpp>
#include <stdexcept>
#include <utility>

#include <weft/http_exception.hpp>
#include <weft/name_value_collection.hpp>
#include "host/recording/encoding.hpp"
#include "mappings/host_name.hpp"

namespace weft::host::recording {

namespace {

/// Those of every registered method; the long form can have any other.
constexpr std::string_view kMethodCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";
constexpr std::size_t kMaxPortDigits = 5;

bool IsTargetCharacter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte != 0x7f && c != '#';
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// What stands behind the colon of `www.example.org:8080`.
std::string_view PortOf(std::string_view authority) {
  const auto colon = authority.rfind(':');
  return colon == std::string_view::npos || authority.ends_with(']') ? std::string_view()
                                                                     : authority.substr(colon + 1);
}

bool IsAuthority(std::string_view text) {
  const auto port = PortOf(text);
  const auto name = text.substr(0, text.size() - (port.empty() ? 0 : port.size() + 1));
  return mappings::IsHostName(name) && port.size() <= kMaxPortDigits &&
         std::ranges::all_of(port, IsDigit);
}

std::string DecodePath(std::string_view path) {
  // The contract's decoder reads form text, in which these three are more than themselves.
  auto form = boost::algorithm::replace_all_copy(std::string(path), "+", "%2B");
  boost::algorithm::replace_all(form, "&", "%26");
  boost::algorithm::replace_all(form, "=", "%3D");
  std::string decoded;
  try {
    decoded = ParseQueryString(form).begin()->first;
  } catch (const HttpException&) {
    throw std::invalid_argument(
        "The path holds a broken percent-escape. Write % itself as \"%25\".");
  }
  if (decoded.find('\0') != std::string::npos) {
    throw std::invalid_argument("The path holds %00, which no web server passes on.");
  }
  return decoded;
}

/// "Accept-Encoding" becomes "HTTP_ACCEPT_ENCODING" (RFC 3875, section 4.1.18).
std::string VariableName(std::string_view field) {
  std::string name = "HTTP_";
  for (const char c : field) {
    name += c == '-' ? '_' : (c >= 'a' && c <= 'z') ? static_cast<char>(c - 32) : c;
  }
  return name == "HTTP_CONTENT_TYPE" || name == "HTTP_CONTENT_LENGTH" ? name.substr(5) : name;
}

const std::string* FindParam(const Params& params, std::string_view name) {
  const auto found = std::ranges::find(params, name, &Params::value_type::first);
  return found == params.end() ? nullptr : &found->second;
}

}  // namespace

std::optional<RequestLine> ParseRequestLine(std::string_view text) {
  RequestLine line;
  line.method = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(line.method.size() + 1, text.size()));
  for (const std::string_view scheme : {"http", "https"}) {
    if (text.starts_with(std::string(scheme) + "://")) {
      text.remove_prefix(scheme.size() + 3);
      line.scheme = scheme;
      line.authority = text.substr(0, text.find('/'));
      text.remove_prefix(line.authority.size());
      if (!IsAuthority(line.authority)) {
        return std::nullopt;
      }
      break;
    }
  }
  line.target = text;
  if (line.method.empty() ||
      line.method.find_first_not_of(kMethodCharacters) != std::string_view::npos ||
      !text.starts_with('/') || !std::ranges::all_of(text, IsTargetCharacter)) {
    return std::nullopt;
  }
  return line;
}

Params MakeParams(const RequestLine& line, const HttpHeaders& headers,
                  std::optional<std::size_t> body_bytes) {
  const auto target = line.target;
  const auto question = target.find('?');
  const auto query =
      question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  const std::string_view own_host = line.authority.empty() ? "localhost" : line.authority;
  const auto host = headers.Find("Host").value_or(own_host);
  const bool is_secure = line.scheme == "https";
  const auto port = PortOf(line.authority);
  Params params = {
      {"QUERY_STRING", std::string(query)},
      {"REQUEST_METHOD", std::string(line.method)},
      {"SCRIPT_NAME", DecodePath(target.substr(0, question))},
      {"REQUEST_URI", std::string(target)},
      {"SERVER_PROTOCOL", "HTTP/1.1"},
      {"REQUEST_SCHEME", is_secure ? "https" : "http"},
  };
  if (is_secure) {
    params.emplace_back("HTTPS", "on");
  }
  params.insert(params.end(), {{"GATEWAY_INTERFACE", "CGI/1.1"},
                               {"REMOTE_ADDR", "127.0.0.1"},
                               {"SERVER_ADDR", "127.0.0.1"},
                               {"SERVER_PORT", !port.empty() ? std::string(port)
                                               : is_secure   ? "443"
                                                             : "80"},
                               {"SERVER_NAME", std::string(mappings::HostName(host))}});
  if (!headers.Contains("Host")) {
    params.emplace_back("HTTP_HOST", host);  // HTTP/1.1 has no request without it
  }
  if (body_bytes && !headers.Contains("Content-Length")) {
    params.emplace_back("CONTENT_LENGTH", std::to_string(*body_bytes));
  }
  for (const auto& [field, value] : headers) {
    const auto name = VariableName(field);
    const auto present = std::find_if(params.begin(), params.end(),
                                      [&](const auto& param) { return param.first == name; });
    if (present == params.end()) {
      params.emplace_back(name, value);
    } else {
      present->second += (name == "HTTP_COOKIE" ? "; " : ", ") + value;
    }
  }
  return params;
}

std::string FieldName(std::string_view variable) {
  if (variable == "CONTENT_TYPE" || variable == "CONTENT_LENGTH") {
    return variable == "CONTENT_TYPE" ? "Content-Type" : "Content-Length";
  }
  if (!variable.starts_with("HTTP_")) {
    return {};
  }
  std::string name;
  for (const char c : variable.substr(5)) {
    const bool is_first = name.empty() || name.back() == '-';
    name += c == '_' ? '-' : (c >= 'A' && c <= 'Z' && !is_first) ? static_cast<char>(c + 32) : c;
  }
  return name;
}

std::optional<ShortForm> FindShortForm(const Recording& recording) {
  const auto& params = recording.params;
  const auto* const method = FindParam(params, "REQUEST_METHOD");
  const auto* const target = FindParam(params, "REQUEST_URI");
  const auto* const scheme = FindParam(params, "REQUEST_SCHEME");
  const auto* const port = FindParam(params, "SERVER_PORT");
  const auto* const host = FindParam(params, "HTTP_HOST");
  auto rest = std::ranges::find(params, "SERVER_NAME", &Params::value_type::first);
  if (method == nullptr || target == nullptr || scheme == nullptr || port == nullptr ||
      host == nullptr || rest == params.end()) {
    return std::nullopt;
  }
  ShortForm form;
  const bool is_absolute = *scheme != "http" || *port != "80" || *host != "localhost";
  form.request = *method + " " + (is_absolute ? *scheme + "://" + *host : "") + *target;
  const auto line = ParseRequestLine(form.request);
  if (!line || !IsUtf8(form.request)) {
    return std::nullopt;
  }
  ++rest;
  // What is made where no header says it.
  if (rest != params.end() && rest->first == "HTTP_HOST") {
    ++rest;
  }
  const auto bytes = recording.body.size();
  form.has_body = bytes != 0;
  if (rest != params.end() && rest->first == "CONTENT_LENGTH" &&
      rest->second == std::to_string(bytes)) {
    form.has_body = true;
    ++rest;
  }
  try {
    for (; rest != params.end(); ++rest) {
      form.headers.Append(FieldName(rest->first), rest->second);
    }
    // Whatever was guessed wrong shows here: duplicates, another order, names with small letters.
    if (MakeParams(*line, form.headers, form.has_body ? std::optional(bytes) : std::nullopt) !=
        params) {
      return std::nullopt;
    }
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
  return form;
}

}  // namespace weft::host::recording
