#include <cstdint>
#include <string>
#include <string_view>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_request.hpp>
#include <weft/http_response.hpp>
#include <weft/http_worker_request.hpp>
#include "handlers/contract/content_encoder.hpp"
#include "handlers/contract/content_type.hpp"
#include "handlers/contract/field_text.hpp"

namespace weft {

namespace {

/// Below it the header fields weigh more than what is saved: nginx's gzip_min_length in use, and one packet's size.
constexpr std::uint64_t kLeastBytes = 1024;
/// What is compressed at a time: less than a millisecond's work.
constexpr std::size_t kSliceBytes = 32 * 1024;
/// Less is compressed on the spot, also on a fiber: a thread's turn would cost more.
constexpr std::size_t kOnTheSpotBytes = 4 * 1024;

/// Whether a field that lists tokens has this one.
bool HasToken(const HttpHeaders& headers, std::string_view name, std::string_view token) {
  for (const auto& [field, value] : headers) {
    if (!EqualsIgnoreCase(field, name)) {
      continue;
    }
    std::string_view rest = value;
    while (!rest.empty()) {
      const auto comma = rest.find(',');
      if (EqualsIgnoreCase(detail::Trim(rest.substr(0, comma)), token)) {
        return true;
      }
      rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return false;
}

}  // namespace

std::optional<ContentCoding> HttpResponse::BeginCompression(std::optional<std::uint64_t> length) {
  if (compression_decided_) {
    return std::nullopt;
  }
  compression_decided_ = true;
  static const std::vector<ContentCoding> kAll = {ContentCoding::kBrotli, ContentCoding::kZstd,
                                                  ContentCoding::kGzip};
  static const std::vector<ContentCoding> kNone;
  const auto& of_host = settings_ == nullptr ? kNone : settings_->compression;
  if (compression_ == Compression::kOff ||
      (compression_ == Compression::kAsHost && of_host.empty())) {
    return std::nullopt;
  }
  if (const auto announced = AnnouncedLength()) {
    length = announced;
  }
  const auto type = headers_.Find("Content-Type");
  // What is not compressed itself tells what the 200 would (RFC 9110, sections 9.3.2, 15.3.7 and 15.4.5): a part, a 304, and
  // a HEAD for which its handler made no body.
  const bool is_not_modified = status_ == 304;
  const bool has_no_body_yet = head_ && length && *length == 0 && headers_.Contains("ETag");
  const bool is_part = status_ == 206;
  if (!is_not_modified && (!StatusAllowsBody() || suppress_content_)) {
    return std::nullopt;
  }
  if (!is_not_modified && !is_part &&
      ((length && *length < kLeastBytes && !has_no_body_yet) ||
       headers_.Contains("Content-Range"))) {
    return std::nullopt;
  }
  // What the parts of several ranges are of stands in them.
  const bool is_parts = is_part && type && type->starts_with("multipart/byteranges");
  if ((type && !is_parts && !IsCompressible(*type)) || headers_.Contains("Content-Encoding") ||
      HasToken(headers_, "Cache-Control", "no-transform") || headers_.Contains("Content-Digest") ||
      headers_.Contains("Digest") || headers_.Contains("Content-MD5")) {
    return std::nullopt;
  }
  // From here on it is the client's field that decides, also against it.
  if (!HasToken(headers_, "Vary", "Accept-Encoding") && !HasToken(headers_, "Vary", "*")) {
    headers_.Append("Vary", "Accept-Encoding");
  }
  if (is_part) {
    return std::nullopt;
  }
  const auto codings =
      AcceptedCodings(request_.FindField("HTTP_ACCEPT_ENCODING"), of_host.empty() ? kAll : of_host);
  if (codings.empty()) {
    return std::nullopt;
  }
  if (const auto tag = headers_.Find("ETag"); tag && !tag->starts_with("W/")) {
    // RFC 9110, section 8.8.3.3: a strong one would name the bytes.
    headers_.Set("ETag", "W/" + std::string(*tag));
    etag_weakened_ = true;
  }
  if (is_not_modified || has_no_body_yet) {
    return std::nullopt;
  }
  const auto coding = codings.front();
  headers_.Set("Content-Encoding", NameOf(coding));
  headers_.Remove("Content-Length");
  headers_.Remove("Accept-Ranges");  // ranges are of what is sent, and that is never the same again
  encoded_ = true;
  return coding;
}

void HttpResponse::Encode(std::string_view bytes, bool finish, std::string& to) {
  using Then = detail::ContentEncoder::Then;
  do {
    const auto slice = bytes.substr(0, kSliceBytes);
    bytes.remove_prefix(slice.size());
    const auto then = finish && bytes.empty() ? Then::kFinish : Then::kGoOn;
    const auto encode = [&] { encoder_->Encode(slice, then, to); };
    if (slice.size() < kOnTheSpotBytes) {
      encode();
      continue;
    }
    try {
      Offload(encode);
    } catch (const HttpException& error) {
      if (error.StatusCode() != 503) {
        throw;
      }
      // No thread has room for it: half an answer may have left, and it blocks nothing.
      encode();
    }
  } while (!bytes.empty());
}

void HttpResponse::EncodeBuffer() {
  std::string encoded;
  Encode(buffer_, true, encoded);
  buffer_ = std::move(encoded);
  encoder_.reset();
}

void HttpResponse::SendBytes(std::string_view bytes) {
  if (encoder_ == nullptr) {
    Send(bytes);
    return;
  }
  std::string encoded;
  while (!bytes.empty()) {
    const auto slice = bytes.substr(0, kSliceBytes);
    bytes.remove_prefix(slice.size());
    encoded.clear();
    Encode(slice, false, encoded);
    if (!encoded.empty()) {
      Send(encoded);
    }
  }
}

void HttpResponse::FlushEncoder(bool finish) {
  using Then = detail::ContentEncoder::Then;
  if (encoder_ == nullptr) {
    return;
  }
  std::string encoded;
  encoder_->Encode({}, finish ? Then::kFinish : Then::kFlush, encoded);
  if (finish) {
    encoder_.reset();
  }
  if (!encoded.empty()) {
    Send(encoded);
  }
}

}  // namespace weft
