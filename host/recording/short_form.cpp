#include "host/recording/short_form.hpp"

#include <algorithm>
#include <boost/algorithm/string/replace.hpp>
#include <stdexcept>
#include <string>

#include <weft/http_exception.hpp>
#include <weft/name_value_collection.hpp>
#include "mappings/host_name.hpp"

namespace weft::host::recording {

namespace {

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

}  // namespace

Params MakeParams(std::string_view method, std::string_view target, const HttpHeaders& headers,
                  std::optional<std::size_t> body_bytes) {
  const auto question = target.find('?');
  const auto query =
      question == std::string_view::npos ? std::string_view() : target.substr(question + 1);
  const auto host = headers.Find("Host").value_or("localhost");
  Params params = {
      {"QUERY_STRING", std::string(query)},
      {"REQUEST_METHOD", std::string(method)},
      {"SCRIPT_NAME", DecodePath(target.substr(0, question))},
      {"REQUEST_URI", std::string(target)},
      {"SERVER_PROTOCOL", "HTTP/1.1"},
      {"REQUEST_SCHEME", "http"},
      {"GATEWAY_INTERFACE", "CGI/1.1"},
      {"REMOTE_ADDR", "127.0.0.1"},
      {"SERVER_ADDR", "127.0.0.1"},
      {"SERVER_PORT", "80"},
      {"SERVER_NAME", std::string(mappings::HostName(host))},
  };
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

}  // namespace weft::host::recording
