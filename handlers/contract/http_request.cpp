#include <weft/http_request.hpp>

#include <algorithm>
#include <boost/url/parse.hpp>
#include <map>
#include <utility>

#include <weft/cancellation.hpp>
#include <weft/http_cookie.hpp>
#include <weft/http_worker_request.hpp>
#include "handlers/contract/field_cursor.hpp"
#include "handlers/contract/field_text.hpp"
#include "handlers/contract/forwarded_client.hpp"
#include "handlers/contract/ip_address.hpp"
#include "handlers/contract/percent_encoding.hpp"
#include "handlers/contract/request_body.hpp"
#include "handlers/contract/request_url.hpp"
#include "handlers/contract/site_path.hpp"

namespace weft {

namespace {

/// "ACCEPT_ENCODING" becomes "Accept-Encoding".
std::string FieldName(std::string_view variable) {
  std::string name(variable);
  bool first = true;
  for (char& c : name) {
    if (c == '_') {
      c = '-';
      first = true;
    } else if (first) {
      first = false;
    } else {
      c = detail::ToLower(c);
    }
  }
  return name;
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// What mod_proxy_fcgi puts before the path (`proxy:fcgi://host:port`, `proxy:unix:/socket|fcgi://host`), and the
/// query behind it, are no part of a file's name.
std::string_view CleanScriptFilename(std::string_view name, std::string_view file_path) {
  if (name.substr(0, 6) != "proxy:") {
    return name;
  }
  const auto scheme = name.find("://");
  const auto slash = scheme == std::string_view::npos ? scheme : name.find('/', scheme + 3);
  name = slash == std::string_view::npos ? std::string_view() : name.substr(slash);
  // The slash that ends the address in the configuration, and the one that begins the file's name.
  while (name.substr(0, 2) == "//") {
    name.remove_prefix(1);
  }
  // A question mark of the path itself begins no query: what follows it may decide what the file is.
  return file_path.find('?') == std::string_view::npos ? name.substr(0, name.find('?')) : name;
}

const HttpRequestSettings kDefaultSettings;

/// As a view that Boost.URL takes.
boost::urls::string_view UrlText(std::string_view text) noexcept {
  return {text.data(), text.size()};
}

/// RFC 3986, section 4.1.
bool IsUriReference(std::string_view text) noexcept {
  // One character behind a scheme, as in `a:?` or `a:>`, is told here: Boost.URL (1.81) asserts that there is a path.
  if (text.size() > 2 && text.find_first_of(":/?#") == text.size() - 2 &&
      text[text.size() - 2] == ':') {
    constexpr detail::ByteSet kPathQueryFragment = detail::AlphanumericAnd("-._~!$&'()*+,;=:@/?#");
    if (!detail::Contains(kPathQueryFragment, text.back())) {
      return false;
    }
    text.remove_suffix(1);
  }
  return static_cast<bool>(boost::urls::parse_uri_reference(UrlText(text)));
}

bool IsLoopbackText(std::string_view address) noexcept {
  const auto parsed = ParseIpAddress(address);
  return parsed && IsLoopback(*parsed);
}

}  // namespace

struct HttpRequest::Details {
  std::string raw_url;  // where there is no REQUEST_URI
  std::optional<std::string> request_type;
  std::optional<ForwardedClient> client;
  std::optional<std::string> url;
  std::map<std::string, std::string> joined_fields;  // that were sent several times
  std::optional<std::vector<QualityValue>> accept_types;
  std::optional<std::vector<QualityValue>> user_languages;
};

HttpRequest::HttpRequest(ServerVariableCollection variables, HttpWorkerRequest& source,
                         const HttpRequestSettings* settings)
    : variables_(std::move(variables)),
      settings_(settings != nullptr ? settings : &kDefaultSettings),
      method_(variables_.Get("REQUEST_METHOD")),
      source_(source) {
  const auto script_name = variables_.Get("SCRIPT_NAME");
  const auto path_info = variables_.Get("PATH_INFO");
  path_.reserve(script_name.size() + path_info.size());
  path_.append(script_name).append(path_info);
  file_path_length_ = script_name.size();
  if (!variables_.Find("REQUEST_URI")) {
    // Here, for the path will be another one.
    Lazy().raw_url = RawUrlOf(path_, variables_.Get("QUERY_STRING"));
  }
}

HttpRequest::~HttpRequest() = default;

HttpRequest::Details& HttpRequest::Lazy() const {
  if (!details_) {
    details_ = std::make_unique<Details>();
  }
  return *details_;
}

std::string_view HttpRequest::RequestType() const noexcept {
  return details_ && details_->request_type ? std::string_view(*details_->request_type) : method_;
}

void HttpRequest::SetRequestType(std::string_view type) {
  // A copy first: it may be what is there.
  std::string copy(type);
  Lazy().request_type = std::move(copy);
}

std::string_view HttpRequest::RawUrl() const noexcept {
  if (const auto uri = variables_.Find("REQUEST_URI")) {
    return *uri;
  }
  return details_->raw_url;
}

const NameValueCollection& HttpRequest::QueryString() const {
  if (!query_) {
    query_ = ParseQueryString(QueryStringText(), settings_->max_fields);
  }
  return *query_;
}

std::string HttpRequest::MapPath(std::string_view path) const {
  if (!path.empty() && !IsPlainPath(path)) {
    return MapPath(PlainPath(path));
  }
  const auto root = variables_.Get("DOCUMENT_ROOT");
  const auto script_name = variables_.Get("SCRIPT_NAME");
  auto script_file = CleanScriptFilename(variables_.Get("SCRIPT_FILENAME"), path_);
  // The web server's own translation holds (it knows of aliases) as far as it speaks of the same path.
  if (!script_file.empty()) {
    if (script_name == path) {
      return std::string(script_file);
    }
    const auto tail = script_name.substr(std::min(path.size(), script_name.size()));
    if (script_name.substr(0, path.size()) == path && EndsWith(script_file, tail)) {
      return std::string(script_file.substr(0, script_file.size() - tail.size()));
    }
  }
  if (root.empty()) {
    return {};
  }
  std::string file(root);
  while (!file.empty() && file.back() == '/') {
    file.pop_back();
  }
  return file.append(path);
}

const HttpHeaders& HttpRequest::Headers() const {
  if (headers_) {
    return *headers_;
  }
  HttpHeaders headers;
  for (const auto& [name, value] : variables_) {
    std::string field;
    if (name == "HTTP_CONTENT_TYPE" || name == "HTTP_CONTENT_LENGTH") {
      // Some servers send these twice, as every header and by their own names.
      if (!variables_.Get(name.substr(5)).empty()) {
        continue;
      }
      field = FieldName(name.substr(5));
    } else if (name.substr(0, 5) == "HTTP_") {
      field = FieldName(name.substr(5));
    } else if (name == "CONTENT_TYPE" || name == "CONTENT_LENGTH") {
      field = FieldName(name);
    } else {
      continue;
    }
    if (value.empty() && name.substr(0, 5) != "HTTP_") {
      continue;
    }
    try {
      if (const auto present = headers.Find(field)) {
        // Some servers repeat a parameter for a repeated field instead of joining the values.
        const auto* separator = field == "Cookie" ? "; " : ", ";
        headers.Set(field, std::string(*present) + separator + std::string(value));
      } else {
        headers.Append(field, value);
      }
    } catch (const std::invalid_argument&) {
      // No HTTP field has this name or value; it stays visible among the server variables.
    }
  }
  headers_ = std::move(headers);
  return *headers_;
}

std::optional<std::string_view> HttpRequest::FindField(std::string_view variable) const {
  std::string joined;
  const auto value = JoinedField(variables_, variable, ", ", joined);
  if (joined.empty()) {
    return value;
  }
  return Lazy().joined_fields.try_emplace(std::string(variable), std::move(joined)).first->second;
}

const NameValueCollection& HttpRequest::Cookies() const {
  if (!cookies_) {
    // Not out of Headers(), which leave out a field with a control character.
    std::string joined;
    cookies_ = ParseCookies(
        JoinedField(variables_, "HTTP_COOKIE", "; ", joined).value_or(std::string_view()),
        settings_->max_fields);
  }
  return *cookies_;
}

const std::vector<QualityValue>& HttpRequest::AcceptTypes() const {
  auto& types = Lazy().accept_types;
  if (!types) {
    types = ParseQualityList(FindField("HTTP_ACCEPT").value_or(std::string_view()),
                             QualityListKind::kMediaRanges);
  }
  return *types;
}

const std::vector<QualityValue>& HttpRequest::UserLanguages() const {
  auto& languages = Lazy().user_languages;
  if (!languages) {
    languages = ParseQualityList(FindField("HTTP_ACCEPT_LANGUAGE").value_or(std::string_view()),
                                 QualityListKind::kLanguageRanges);
  }
  return *languages;
}

std::string_view HttpRequest::UrlReferrer() const noexcept {
  const auto text = variables_.Get("HTTP_REFERER");
  return IsUriReference(text) ? text : std::string_view();
}

const ForwardedClient* HttpRequest::Client() const {
  if (settings_->trusted_proxies.empty()) {
    return nullptr;
  }
  auto& client = Lazy().client;
  if (!client) {
    client = FindForwardedClient(variables_, *settings_);
  }
  return &*client;
}

std::string_view HttpRequest::UserHostAddress() const {
  const auto* const client = Client();
  return client != nullptr && !client->address.empty() ? std::string_view(client->address)
                                                       : variables_.Get("REMOTE_ADDR");
}

std::string_view HttpRequest::UserHostName() const {
  const auto* const client = Client();
  if (client != nullptr && !client->address.empty()) {
    return client->address;  // REMOTE_HOST is the proxy's name
  }
  const auto name = variables_.Get("REMOTE_HOST");
  return name.empty() ? variables_.Get("REMOTE_ADDR") : name;
}

bool HttpRequest::IsLocal() const {
  const auto address = UserHostAddress();
  if (!IsLoopbackText(address) && (address.empty() || address != variables_.Get("SERVER_ADDR"))) {
    return false;
  }
  if (const auto* const client = Client(); client != nullptr && !client->address.empty()) {
    return true;
  }
  for (const std::string_view field :
       {"HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP"}) {
    if (variables_.Find(field)) {
      return false;
    }
  }
  return true;
}

bool HttpRequest::IsSecureConnection() const {
  if (const auto* const client = Client(); client != nullptr && !client->scheme.empty()) {
    return client->scheme == "https";
  }
  const auto https = variables_.Get("HTTPS");
  return https.empty() ? EqualsIgnoreCase(variables_.Get("REQUEST_SCHEME"), "https")
                       : !EqualsIgnoreCase(https, "off");
}

bool HttpRequest::HasMalformedForwardedFields() const {
  const auto* const client = Client();
  return client != nullptr && client->malformed;
}

const std::string& HttpRequest::Url() const {
  if (!details_ || !details_->url) {
    const auto* const client = Client();
    auto url = RequestUrl(variables_, IsSecureConnection() ? "https" : "http",
                          client != nullptr ? std::string_view(client->host) : std::string_view(),
                          RawUrl());
    Lazy().url = std::move(url);
  }
  return *details_->url;
}

std::string HttpRequest::AppRelativeCurrentExecutionFilePath() const {
  const auto file = FilePath();
  const std::string_view root = application_path_ == "/" ? std::string_view() : application_path_;
  const auto tail = file.substr(std::min(root.size(), file.size()));
  if (!EqualsIgnoreCase(file.substr(0, root.size()), root) ||
      (!tail.empty() && tail.front() != '/')) {
    return std::string(file);
  }
  return "~" + std::string(tail.empty() ? "/" : tail);
}

std::string HttpRequest::ContentEncoding() const {
  FieldCursor cursor(ContentType());
  cursor.SkipTo(';');
  while (cursor.Take(';')) {
    cursor.SkipBlanks();
    const auto name = cursor.TakeToken();
    if (!cursor.Take('=')) {
      cursor.SkipTo(';');
      continue;
    }
    const auto value = cursor.TakeTokenOrQuotedString();
    cursor.SkipBlanks();
    if (!EqualsIgnoreCase(name, "charset")) {
      cursor.SkipTo(';');
      continue;
    }
    auto charset = Unquoted(value);
    if (!IsToken(charset) || !(cursor.AtEnd() || cursor.Next() == ';')) {
      return {};
    }
    std::transform(charset.begin(), charset.end(), charset.begin(), detail::ToLower);
    return charset;
  }
  return {};
}

std::optional<std::uint64_t> HttpRequest::ContentLength() const noexcept {
  return detail::ParseNumber(variables_.Get("CONTENT_LENGTH"));
}

void HttpRequest::SetQueryStringText(std::string text) {
  query_text_ = std::move(text);
  query_.reset();
}

void HttpRequest::SwapPaths(Paths& paths) noexcept {
  path_.swap(paths.path);
  std::swap(file_path_length_, paths.file_path_length);
  application_path_.swap(paths.application_path);
  query_text_.swap(paths.query_text);
  query_.swap(paths.query);
}

void HttpRequest::Abort() { throw OperationCancelled(CancellationReason::kAborted); }

void HttpRequest::RewritePath(std::string_view file_path, std::string_view path_info) {
  if (path_.size() == file_path.size() + path_info.size() && FilePath() == file_path &&
      PathInfo() == path_info) {
    return;
  }
  std::string path;
  path.reserve(file_path.size() + path_info.size());
  path.append(file_path).append(path_info);
  path_ = std::move(path);
  file_path_length_ = file_path.size();
}

}  // namespace weft
