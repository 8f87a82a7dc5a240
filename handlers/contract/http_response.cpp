#include <weft/http_response.hpp>

#include <algorithm>
#include <locale>
#include <stdexcept>
#include <utility>

#include <weft/http_context.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_request.hpp>
#include <weft/http_utility.hpp>
#include <weft/http_worker_request.hpp>
#include "handlers/contract/content_encoder.hpp"
#include "handlers/contract/content_type.hpp"
#include "handlers/contract/field_text.hpp"
#include "handlers/contract/http_response_details.hpp"
#include "handlers/contract/http_response_files.hpp"
#include "handlers/contract/location.hpp"

namespace weft {

namespace {

constexpr std::string_view kDefaultContentType = "text/html; charset=utf-8";
constexpr std::string_view kDefaultCharset = "utf-8";
constexpr std::string_view kSetCookie = "Set-Cookie";
/// As --output-buffer-bytes.
constexpr std::size_t kUsualBufferBytes = 64 * 1024;
/// System.Web's bound on a status description.
constexpr std::size_t kMaxDescriptionBytes = 512;
/// For AppendToLog(): a few lines' worth, so that what a client sends cannot fill a disk.
constexpr std::size_t kMaxLogTextBytes = 1024;
constexpr std::string_view kLogTextCut = "...";

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

HttpResponse::HttpResponse(HttpWorkerRequest& sink, const HttpRequest& request,
                           std::size_t buffer_bytes)
    : sink_(sink),
      request_(request),
      head_(request.HttpMethod() == "HEAD"),
      buffer_bytes_(buffer_bytes) {}

HttpResponse::~HttpResponse() = default;

void HttpResponse::RequireHeadersNotWritten(const char* member) const {
  if (headers_written_) {
    throw std::logic_error(std::string("HttpResponse::") + member +
                           " after the header block was sent");
  }
}

void HttpResponse::SetStatusCode(int status) {
  RequireHeadersNotWritten("SetStatusCode()");
  if (status < 200 || status > 599) {
    throw std::invalid_argument("status " + std::to_string(status) + " is not from 200 to 599");
  }
  status_ = status;
  description_.clear();
}

std::string_view HttpResponse::StatusDescription() const noexcept {
  return description_.empty() ? StatusDescriptionOf(status_) : std::string_view(description_);
}

void HttpResponse::SetStatusDescription(std::string_view description) {
  RequireHeadersNotWritten("SetStatusDescription()");
  if (description.size() > kMaxDescriptionBytes ||
      std::any_of(description.begin(), description.end(), detail::IsControl)) {
    throw std::invalid_argument(
        "a status description has at most 512 bytes and no control character");
  }
  description_ = description;
}

std::string HttpResponse::Status() const {
  return std::to_string(status_).append(" ").append(StatusDescription());
}

void HttpResponse::SetStatus(std::string_view status) {
  const auto code = detail::ParseNumber(status.substr(0, 3));
  if (status.size() < 3 || !code || (status.size() > 3 && status[3] != ' ')) {
    throw std::invalid_argument("'" + std::string(status) +
                                "' is no status: give its three digits, a blank, its description");
  }
  const auto before = status_;
  SetStatusCode(static_cast<int>(*code));
  try {
    SetStatusDescription(status.substr(std::min<std::size_t>(status.size(), 4)));
  } catch (...) {
    status_ = before;
    throw;
  }
}

namespace {

/// Of the web server's connection with its client (RFC 9110, section 7.6.1), or of the body's form on it (section 6.5).
constexpr std::string_view kHopByHop[] = {"Connection", "Keep-Alive", "Proxy-Connection",
                                          "TE",         "Trailer",    "Transfer-Encoding",
                                          "Upgrade"};

void CheckField(std::string_view name, std::string_view value) {
  for (const auto hop : kHopByHop) {
    if (EqualsIgnoreCase(name, hop)) {
      throw std::invalid_argument(
          "header '" + std::string(name) +
          "' is about the web server's connection with its client, which that alone keeps (RFC "
          "9110, section 7.6.1): leave it out");
    }
  }
  if (EqualsIgnoreCase(name, "Status")) {
    throw std::invalid_argument("header '" + std::string(name) +
                                "' is how FastCGI sends the status: use SetStatusCode()");
  }
  if (EqualsIgnoreCase(name, "Content-Length") && !detail::ParseNumber(value)) {
    throw std::invalid_argument("'" + std::string(value) + "' is no Content-Length");
  }
}

/// Of which a message has one at most (RFC 9110, sections 5.3, 8 and 10).
bool StandsAlone(std::string_view name) {
  for (const std::string_view alone :
       {"Content-Type", "Content-Length", "ETag", "Last-Modified", "Location"}) {
    if (EqualsIgnoreCase(name, alone)) {
      return true;
    }
  }
  return false;
}

}  // namespace

void HttpResponse::SetHeader(std::string_view name, std::string_view value) {
  RequireHeadersNotWritten("SetHeader()");
  CheckField(name, value);
  headers_.Set(name, value);
}

void HttpResponse::AppendHeader(std::string_view name, std::string_view value) {
  RequireHeadersNotWritten("AppendHeader()");
  CheckField(name, value);
  if (StandsAlone(name)) {
    headers_.Set(name, value);
  } else {
    headers_.Append(name, value);
  }
}

bool HttpResponse::RemoveHeader(std::string_view name) {
  RequireHeadersNotWritten("RemoveHeader()");
  return headers_.Remove(name);
}

void HttpResponse::ClearHeaders() {
  RequireHeadersNotWritten("ClearHeaders()");
  status_ = 200;
  description_.clear();
  headers_.Clear();
  encoder_.reset();
  compression_decided_ = false;
  encoded_ = false;
  etag_weakened_ = false;
  if (details_) {
    details_->charset.reset();
    details_->cause = {};
    // The handler may hold a reference to the policy.
    if (details_->cache) {
      *details_->cache = {};
    }
    if (std::exchange(details_->precondition, PreconditionResult::kHolds) !=
        PreconditionResult::kHolds) {
      suppress_content_ = false;
    }
  }
}

std::string_view HttpResponse::ContentType() const noexcept {
  return headers_.Find("Content-Type").value_or(kDefaultContentType);
}

void HttpResponse::SetContentType(std::string_view content_type) {
  const auto named = FindCharset(content_type);
  if (named.Found() || !IsText(content_type)) {
    SetHeader("Content-Type", content_type);
    if (named.Found() && (details_ || !EqualsIgnoreCase(named.value, kDefaultCharset))) {
      Lazy().charset = named.value;
    }
    return;
  }
  // What is text and not of the type `text` says its encoding itself, as XML does, unless the handler says otherwise.
  std::string_view charset;
  if (details_ && details_->charset) {
    charset = *details_->charset;
  } else if (EqualsIgnoreCase(content_type.substr(0, 5), "text/")) {
    charset = kDefaultCharset;
  }
  if (charset.empty()) {
    SetHeader("Content-Type", content_type);
    return;
  }
  constexpr std::string_view kParameter = "; charset=";
  std::string text;
  text.reserve(content_type.size() + kParameter.size() + charset.size());
  SetHeader("Content-Type", text.append(content_type).append(kParameter).append(charset));
}

std::string_view HttpResponse::Charset() const noexcept { return FindCharset(ContentType()).value; }

void HttpResponse::SetCharset(std::string_view charset) {
  RequireHeadersNotWritten("SetCharset()");
  if (!charset.empty() && !IsToken(charset)) {
    throw std::invalid_argument("'" + std::string(charset) + "' is no name of a charset");
  }
  Lazy().charset = charset;
  std::string type(ContentType());
  if (const auto named = FindCharset(type); named.Found()) {
    type.erase(named.begin, named.end - named.begin);
  }
  SetContentType(type);
}

std::vector<HttpCookie> HttpResponse::Cookies() const {
  std::vector<HttpCookie> cookies;
  for (const auto& [name, value] : headers_) {
    if (EqualsIgnoreCase(name, kSetCookie)) {
      if (auto cookie = HttpCookie::TryParse(value)) {
        cookies.push_back(std::move(*cookie));
      }
    }
  }
  return cookies;
}

void HttpResponse::AppendCookie(const HttpCookie& cookie) {
  AppendHeader(kSetCookie, cookie.ToHeaderValue());
}

namespace {

/// The fields without the cookies that are `unwanted`; says whether there were any.
template <typename F>
bool RemoveCookies(HttpHeaders& headers, F&& unwanted) {
  HttpHeaders kept;
  for (const auto& [name, value] : headers) {
    if (EqualsIgnoreCase(name, kSetCookie)) {
      if (const auto cookie = HttpCookie::TryParse(value); cookie && unwanted(*cookie)) {
        continue;
      }
    }
    kept.Append(name, value);
  }
  const bool any = kept.size() != headers.size();
  headers = std::move(kept);
  return any;
}

}  // namespace

void HttpResponse::SetCookie(const HttpCookie& cookie) {
  RequireHeadersNotWritten("SetCookie()");
  const auto value = cookie.ToHeaderValue();
  RemoveCookies(headers_, [&](const HttpCookie& other) { return other.IsSameAs(cookie); });
  headers_.Append(kSetCookie, value);
}

bool HttpResponse::RemoveCookie(std::string_view name) {
  RequireHeadersNotWritten("RemoveCookie()");
  return RemoveCookies(headers_, [&](const HttpCookie& cookie) { return cookie.name == name; });
}

void HttpResponse::ExpireCookie(HttpCookie cookie) {
  cookie.value.clear();
  cookie.max_age = std::chrono::seconds(0);
  // For clients that know no Max-Age.
  cookie.expires = std::chrono::system_clock::time_point();
  SetCookie(cookie);
}

void HttpResponse::Write(std::string_view text) {
  if (completed_) {
    throw std::logic_error("HttpResponse::Write() after the response was completed");
  }
  RequireNotSendingHeaders("Write()");
  bytes_written_ += text.size();
  if (head_) {
    head_bytes_ += text.size();
    return;
  }
  if (!HasBody()) {
    return;
  }
  if (buffer_.size() + text.size() <= buffer_bytes_) {
    buffer_.append(text);
    return;
  }
  if (!headers_written_) {
    // While it can still be answered.
    CheckLength(BufferedBytes() + text.size());
  }
  SendBuffer();
  if (!HasBody()) {
    return;  // the header block has become a 304, or a 412
  }
  // What outgrows the buffer by itself is not copied into it.
  if (text.size() < buffer_bytes_) {
    buffer_.append(text);
    return;
  }
  SendBytes(text);
  if (buffer_bytes_ == 0) {
    FlushEncoder(false);
    sink_.Flush();
  }
}

void HttpResponse::BinaryWrite(std::span<const std::byte> bytes) {
  Write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::streamsize ResponseStreamBuffer::xsputn(const char* text, std::streamsize count) {
  response_.Write(std::string_view(text, static_cast<std::size_t>(count)));
  return count;
}

ResponseStreamBuffer::int_type ResponseStreamBuffer::overflow(int_type c) {
  if (!traits_type::eq_int_type(c, traits_type::eof())) {
    const char byte = traits_type::to_char_type(c);
    response_.Write(std::string_view(&byte, 1));
  }
  return traits_type::not_eof(c);
}

ResponseStream::ResponseStream(HttpResponse& response) : std::ostream(nullptr), buffer_(response) {
  rdbuf(&buffer_);
  imbue(std::locale::classic());
  exceptions(std::ios::badbit);
}

std::ostream& HttpResponse::Output() {
  auto& output = Lazy().output;
  if (!output) {
    output.emplace(*this);
  }
  return *output;
}

void HttpResponse::Flush() {
  RequireNotSendingHeaders("Flush()");
  SendBuffer();
  FlushEncoder(false);
  sink_.Flush();
}

void HttpResponse::SetCompression(Compression compression) {
  RequireHeadersNotWritten("SetCompression()");
  compression_ = compression;
}

void HttpResponse::SetBufferOutput(bool buffer_output) {
  if (buffer_output == BufferOutput()) {
    return;
  }
  if (buffer_output) {
    // Where it was never on the mapping said so, and no handler's word for a size is known.
    buffer_bytes_ = details_ && details_->suspended_buffer_bytes != 0
                        ? details_->suspended_buffer_bytes
                        : kUsualBufferBytes;
  } else {
    Lazy().suspended_buffer_bytes = std::exchange(buffer_bytes_, 0);
  }
}

void HttpResponse::ClearContent() noexcept {
  buffer_.clear();
  files_.reset();
  head_bytes_ = 0;
}

void HttpResponse::Redirect(std::string_view url, int status) {
  RequireHeadersNotWritten("Redirect()");
  if (!IsRedirect(status)) {
    throw std::invalid_argument("status " + std::to_string(status) +
                                " is none that redirects: 301, 302, 303, 307 or 308");
  }
  const auto location = LocationOf(ResolveUrl(url));
  if (location.empty()) {
    throw std::invalid_argument("an empty URL to redirect to");
  }
  SetStatusCode(status);
  ClearContent();
  // They were of the content that the page takes the place of.
  for (const auto* const name : {"Content-Length", "Content-Encoding", "Content-Range"}) {
    headers_.Remove(name);
  }
  headers_.Set("Location", location);
  SetContentType(kDefaultContentType);
  std::string page =
      "<!DOCTYPE html>\n<title>" + Status() + "</title>\n<p>" + std::string(StatusDescription());
  if (MayBeLinked(location)) {
    const auto encoded = HttpUtility::HtmlEncode(location);
    page += ": <a href=\"" + encoded + "\">" + encoded + "</a>";
  }
  Write(page + "</p>\n");
}

std::string_view HttpResponse::RedirectLocation() const noexcept {
  return headers_.Find("Location").value_or(std::string_view());
}

void HttpResponse::SetRedirectLocation(std::string_view url) {
  RequireHeadersNotWritten("SetRedirectLocation()");
  if (url.empty()) {
    headers_.Remove("Location");
  } else {
    headers_.Set("Location", LocationOf(ResolveUrl(url)));
  }
}

bool HttpResponse::IsRequestBeingRedirected() const noexcept {
  return IsRedirect(status_) && headers_.Contains("Location");
}

std::string HttpResponse::ResolveUrl(std::string_view url) const {
  if (url != "~" && url.substr(0, 2) != "~/") {
    return std::string(url);
  }
  std::string absolute = request_.ApplicationPath();
  if (absolute.empty() || absolute.back() != '/') {
    absolute += '/';
  }
  const auto rest = url.find_first_not_of("/\\", 1);
  return rest == std::string_view::npos ? absolute : absolute.append(url.substr(rest));
}

bool HttpResponse::IsLocalUrl(std::string_view url) noexcept {
  if (std::any_of(url.begin(), url.end(), detail::IsControl)) {
    return false;  // browsers leave some of them out
  }
  if (url.substr(0, 2) == "~/") {
    url.remove_prefix(1);
  }
  return url.substr(0, 1) == "/" && (url.size() == 1 || (url[1] != '/' && url[1] != '\\'));
}

bool HttpResponse::IsClientConnected() const noexcept {
  return !finished_ && (context_ == nullptr ||
                        context_->Cancellation().Reason() != CancellationReason::kClientGone);
}

CancellationToken HttpResponse::ClientDisconnectedToken() {
  if (context_ == nullptr) {
    throw std::logic_error("HttpResponse::ClientDisconnectedToken() without an HttpContext");
  }
  auto& details = Lazy();
  if (!details.client_gone) {
    details.client_gone.emplace();
    details.client_gone_registration = context_->Cancellation().Register(
        [&source = *details.client_gone, token = context_->Cancellation()] {
          if (token.Reason() == CancellationReason::kClientGone) {
            source.Cancel(CancellationReason::kClientGone);
          }
        });
  }
  return details.client_gone->Token();
}

void HttpResponse::AppendToLog(std::string_view text) {
  auto& log = Lazy().log_text;
  if (log.size() > kMaxLogTextBytes) {
    return;
  }
  const auto room = kMaxLogTextBytes - log.size();
  log.append(text.substr(0, room));
  if (text.size() > room) {
    log.append(kLogTextCut);
  }
}

std::string_view HttpResponse::LogText() const noexcept {
  return details_ ? std::string_view(details_->log_text) : std::string_view();
}

void HttpResponse::Close() { throw OperationCancelled(CancellationReason::kAborted); }

void HttpResponse::AddOnSendingHeaders(std::function<void(HttpContext&)> callback) {
  RequireHeadersNotWritten("AddOnSendingHeaders()");
  if (!callback) {
    throw std::invalid_argument("HttpResponse::AddOnSendingHeaders() of an empty function");
  }
  if (context_ == nullptr) {
    throw std::logic_error("HttpResponse::AddOnSendingHeaders() without an HttpContext");
  }
  Lazy().sending_headers.push_back(std::move(callback));
}

void HttpResponse::RequireNotSendingHeaders(const char* member) const {
  if (details_ && details_->sends_headers) {
    throw std::logic_error(std::string("HttpResponse::") + member +
                           " in a callback of AddOnSendingHeaders()");
  }
}

void HttpResponse::RunSendingHeaders() {
  if (!details_) {
    return;
  }
  auto& details = *details_;
  if (details.sending_error) {
    std::rethrow_exception(details.sending_error);
  }
  details.sends_headers = true;
  try {
    for (std::size_t i = 0; i < details.sending_headers.size(); ++i) {
      // Its own: one that it adds may move them.
      const auto callback = std::move(details.sending_headers[i]);
      callback(*context_);
    }
  } catch (...) {
    details.sending_error = std::current_exception();
  }
  details.sends_headers = false;
  details.sending_headers.clear();
  if (details.sending_error) {
    std::rethrow_exception(details.sending_error);
  }
}

bool HttpResponse::Finish() {
  if (!finish_called_) {
    Complete();
    finished_ = sink_.Finish();
    finish_called_ = true;
  }
  return finished_;
}

void HttpResponse::Complete() {
  if (completed_) {
    return;
  }
  RequireNotSendingHeaders("Complete()");
  if (!headers_written_) {
    RunSendingHeaders();
    if (files_ != nullptr && HandOverRoot() != nullptr) {
      compression_decided_ = true;  // it is the web server's affair
    }
    std::optional<std::uint64_t> length = head_ ? head_bytes_ : BufferedBytes();
    if (*length == 0 && CheckedPreconditions() != PreconditionResult::kHolds) {
      length
          .reset();  // IsBodyWanted() has said so to the handler: what it would have written nobody knows
    }
    PrepareHeaders(length);
    if (encoder_ != nullptr && files_ == nullptr) {
      EncodeBuffer();
    }
    AnnounceLength();
    if (files_ == nullptr) {
      SendPreparedHeaders();
    } else if (TryHandOverFile()) {
      SendPreparedHeaders();
      completed_ = true;
      return;
    }
  }
  SendBuffer();
  FlushEncoder(true);
  if (announced_ && body_bytes_sent_ != *announced_) {
    ThrowLengthDiffers(body_bytes_sent_);
  }
  completed_ = true;
}

/// The whole body is known.
void HttpResponse::AnnounceLength() {
  if (!StatusAllowsBody() || suppress_content_) {
    return;
  }
  if (const auto length = AnnouncedLength()) {
    if (!head_ && *length != BufferedBytes()) {
      ThrowLengthDiffers(BufferedBytes());
    }
    return;
  }
  if (encoded_ && (head_ || files_ != nullptr)) {
    return;  // it is known when it has been compressed
  }
  // HEAD tells the length that GET would have (RFC 9110, section 9.3.2), unless the handler wrote nothing because it knows
  // the method.
  const auto length = head_ ? head_bytes_ : BufferedBytes();
  if (!head_ || length != 0) {
    headers_.Append("Content-Length", std::to_string(length));
  }
}

std::optional<std::uint64_t> HttpResponse::AnnouncedLength() const noexcept {
  const auto field = headers_.Find("Content-Length");
  return field ? detail::ParseNumber(*field) : std::nullopt;
}

void HttpResponse::CheckLength(std::uint64_t bytes) const {
  if (const auto length = AnnouncedLength(); length && bytes > *length) {
    ThrowLengthDiffers(bytes);
  }
}

void HttpResponse::ThrowLengthDiffers(std::uint64_t bytes) const {
  const auto announced = announced_ ? *announced_ : AnnouncedLength().value_or(0);
  throw HttpException(500, {},
                      "the handler wrote " + std::to_string(bytes) +
                          " bytes of body, and its Content-Length is " + std::to_string(announced))
      .WithCause(bytes > announced ? cause::kAnswerTooLong : cause::kAnswerTooShort);
}

void HttpResponse::SendHeaders() {
  if (headers_written_) {
    return;
  }
  RunSendingHeaders();
  PrepareHeaders(std::nullopt);
  SendPreparedHeaders();
}

void HttpResponse::SendPreparedHeaders() {
  if (!StatusAllowsBody()) {
    // What was written before the status was set is no answer's body (RFC 9110, section 6.4.1).
    headers_.Remove("Content-Type");
    if (status_ == 204) {
      headers_.Remove("Content-Length");  // section 8.6
    }
  } else if (const auto type = headers_.Find("Content-Type"); !type) {
    headers_.Append("Content-Type", kDefaultContentType);
  } else if (type->empty()) {
    headers_.Remove("Content-Type");
  }
  if (!HasBody()) {
    buffer_.clear();
    files_.reset();
    if (status_ == 205 || (suppress_content_ && !head_ && StatusAllowsBody())) {
      headers_.Set("Content-Length", "0");  // section 15.3.6
    }
  } else {
    announced_ = AnnouncedLength();
  }
  sink_.SendHeaders(status_, StatusDescription(), headers_);
  headers_written_ = true;
}

void HttpResponse::SendBuffer() {
  if (details_ && details_->body_error) {
    std::rethrow_exception(details_->body_error);
  }
  if (files_ != nullptr) {
    SendBufferWithFiles();
    return;
  }
  SendHeaders();
  if (!buffer_.empty()) {
    SendBytes(buffer_);
    buffer_.clear();
  }
}

void HttpResponse::Send(std::string_view bytes) {
  if (!HasBody()) {
    return;
  }
  CheckLengthWith(bytes.size());
  sink_.SendBody(bytes);
  body_bytes_sent_ += bytes.size();
}

void HttpResponse::CheckLengthWith(std::size_t bytes) const {
  if (announced_ && bytes > *announced_ - body_bytes_sent_) {
    ThrowLengthDiffers(body_bytes_sent_ + bytes);
  }
}

bool HttpResponse::StatusAllowsBody() const noexcept {
  return status_ != 204 && status_ != 205 && status_ != 304;
}

}  // namespace weft
