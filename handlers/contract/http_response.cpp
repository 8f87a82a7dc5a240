#include <weft/http_response.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>

#include <weft/http_exception.hpp>
#include <weft/http_request.hpp>
#include <weft/http_worker_request.hpp>
#include "handlers/contract/http_response_details.hpp"
#include "handlers/contract/http_response_files.hpp"

namespace weft {

namespace {

constexpr std::string_view kDefaultContentType = "text/html; charset=utf-8";
/// System.Web's bound on a status description.
constexpr std::size_t kMaxDescriptionBytes = 512;

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
  const auto is_control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  };
  if (description.size() > kMaxDescriptionBytes ||
      std::any_of(description.begin(), description.end(), is_control)) {
    throw std::invalid_argument(
        "a status description has at most 512 bytes and no control character");
  }
  description_ = description;
}

namespace {

/// Hop-by-hop fields belong to the web server's connection with its client (RFC 9110, section 7.6.1).
void RefuseHopByHop(std::string_view name) {
  for (const std::string_view hop : {"Connection", "Transfer-Encoding", "Status"}) {
    if (EqualsIgnoreCase(name, hop)) {
      throw std::invalid_argument("header '" + std::string(name) +
                                  "' is the web server's to send, not a handler's");
    }
  }
}

}  // namespace

void HttpResponse::SetHeader(std::string_view name, std::string_view value) {
  RequireHeadersNotWritten("SetHeader()");
  RefuseHopByHop(name);
  headers_.Set(name, value);
}

void HttpResponse::AppendHeader(std::string_view name, std::string_view value) {
  RequireHeadersNotWritten("AppendHeader()");
  RefuseHopByHop(name);
  headers_.Append(name, value);
}

bool HttpResponse::RemoveHeader(std::string_view name) {
  RequireHeadersNotWritten("RemoveHeader()");
  return headers_.Remove(name);
}

void HttpResponse::SetContentType(std::string_view content_type) {
  SetHeader("Content-Type", content_type);
}

void HttpResponse::AppendCookie(const HttpCookie& cookie) {
  AppendHeader("Set-Cookie", cookie.ToHeaderValue());
}

void HttpResponse::Write(std::string_view text) {
  if (completed_) {
    throw std::logic_error("HttpResponse::Write() after the response was completed");
  }
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
  SendBuffer();
  if (!HasBody()) {
    return;  // the header block has become a 304, or a 412
  }
  // What outgrows the buffer by itself is not copied into it.
  if (text.size() >= buffer_bytes_) {
    sink_.SendBody(text);
  } else {
    buffer_.append(text);
  }
}

void HttpResponse::BinaryWrite(std::span<const std::byte> bytes) {
  Write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void HttpResponse::Flush() {
  SendBuffer();
  sink_.Flush();
}

void HttpResponse::Clear() {
  RequireHeadersNotWritten("Clear()");
  status_ = 200;
  description_.clear();
  headers_.Clear();
  if (details_) {
    // The handler may hold a reference to the policy.
    if (details_->cache) {
      *details_->cache = {};
    }
    details_->cause = {};
    details_->precondition = PreconditionResult::kHolds;
  }
  suppress_content_ = false;
  ClearContent();
}

void HttpResponse::ClearContent() noexcept {
  buffer_.clear();
  files_.reset();
  head_bytes_ = 0;
}

void HttpResponse::Complete() {
  if (completed_) {
    return;
  }
  if (!headers_written_) {
    PrepareHeaders();
  }
  if (!headers_written_ && StatusAllowsBody() && !headers_.Contains("Content-Length")) {
    // The whole body is known. HEAD tells the length that GET would have (RFC 9110, section 9.3.2), unless
    // the handler wrote nothing because it knows the method.
    const auto length = head_ ? head_bytes_ : BufferedBytes();
    if (!head_ || length != 0) {
      std::array<char, 24> digits{};
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), length).ptr;
      headers_.Append(
          "Content-Length",
          std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
    }
  }
  SendBuffer();
  completed_ = true;
}

void HttpResponse::SendHeaders() {
  if (headers_written_) {
    return;
  }
  PrepareHeaders();
  if (!StatusAllowsBody()) {
    // What was written before the status was set is no answer's body (RFC 9110, section 6.4.1).
    ClearContent();
    headers_.Remove("Content-Type");
    if (status_ == 204) {
      headers_.Remove("Content-Length");  // section 8.6
    }
  } else if (const auto type = headers_.Find("Content-Type"); !type) {
    headers_.Append("Content-Type", kDefaultContentType);
  } else if (type->empty()) {
    headers_.Remove("Content-Type");
  }
  sink_.SendHeaders(status_, StatusDescription(), headers_);
  headers_written_ = true;
}

void HttpResponse::SendBuffer() {
  if (files_ != nullptr) {
    SendBufferWithFiles();
    return;
  }
  SendHeaders();
  if (!buffer_.empty()) {
    sink_.SendBody(buffer_);
    buffer_.clear();
  }
}

bool HttpResponse::StatusAllowsBody() const noexcept { return status_ != 204 && status_ != 304; }

}  // namespace weft
