#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/conditional_request.hpp>
#include <weft/http_date.hpp>
#include <weft/http_request.hpp>
#include "handlers/contract/content_encoder.hpp"
#include "handlers/contract/http_response_details.hpp"

namespace weft {

namespace {

using Clock = std::chrono::system_clock;

constexpr std::string_view kWeak = "W/";

/// What says something about a content, and so nothing about an answer without that (RFC 9110, sections 8 and 14.3).
bool IsAboutContent(std::string_view name) {
  constexpr std::string_view kPrefix = "Content-";
  if (EqualsIgnoreCase(name.substr(0, kPrefix.size()), kPrefix)) {
    constexpr std::array<std::string_view, 3> kOthers = {
        "Content-Location", "Content-Security-Policy", "Content-Security-Policy-Report-Only"};
    return std::none_of(kOthers.begin(), kOthers.end(),
                        [name](std::string_view other) { return EqualsIgnoreCase(name, other); });
  }
  constexpr std::array<std::string_view, 3> kFields = {"Accept-Ranges", "Digest", "Repr-Digest"};
  return std::any_of(kFields.begin(), kFields.end(),
                     [name](std::string_view field) { return EqualsIgnoreCase(name, field); });
}

void RemoveContentFields(HttpHeaders& headers) {
  std::vector<std::string> names;
  for (const auto& [name, value] : headers) {
    if (IsAboutContent(name)) {
      names.push_back(name);
    }
  }
  for (const auto& name : names) {
    headers.Remove(name);
  }
}

}  // namespace

HttpResponse::Details& HttpResponse::Lazy() {
  if (!details_) {
    details_ = std::make_unique<Details>();
  }
  return *details_;
}

HttpCachePolicy& HttpResponse::Cache() {
  RequireHeadersNotWritten("Cache()");
  auto& cache = Lazy().cache;
  if (!cache) {
    cache.emplace();
  }
  return *cache;
}

std::string_view HttpResponse::Cause() const noexcept {
  return details_ ? details_->cause.Text() : std::string_view();
}

void HttpResponse::SetCause(CauseName cause) { Lazy().cause = cause; }

PreconditionResult HttpResponse::CheckedPreconditions() const {
  if (is_unconditional_ || status_ < 200 || status_ > 299) {
    return PreconditionResult::kHolds;
  }
  const auto* const policy = details_ && details_->cache ? &*details_->cache : nullptr;
  const auto etag = headers_.Find("ETag");
  const auto last_modified = headers_.Find("Last-Modified");
  if (!etag && !last_modified &&
      (policy == nullptr || (!policy->ETag() && !policy->LastModified()))) {
    return PreconditionResult::kHolds;
  }
  const auto method = request_.HttpMethod();
  if (!head_ && method != "GET") {
    return PreconditionResult::kHolds;
  }
  const RequestConditions conditions(request_);
  if (!conditions.HasPrecondition()) {
    is_unconditional_ = true;
    return PreconditionResult::kHolds;
  }
  const auto now = Clock::now();
  Validators current;
  if (etag) {
    // If-Match is about the state that the handler names (RFC 9110, section 13.1.1). The compression of the bytes on their
    // way, for which the tag became weak, is none of it: else who has that state by its strong tag would get a 412. nginx
    // and Apache compare in front of their compression as well.
    const bool weakened = etag_weakened_ && etag->starts_with(kWeak);
    current.etag = EntityTag::Parse(etag->substr(weakened ? kWeak.size() : 0));
  } else if (policy != nullptr) {
    current.etag = policy->ETag();
  }
  if (last_modified) {
    current.last_modified = ParseHttpDate(*last_modified, now);
  } else if (policy != nullptr && policy->LastModified()) {
    current.last_modified = std::min(*policy->LastModified(), now);
  }
  return EvaluatePreconditions(method, conditions, current, now);
}

bool HttpResponse::IsBodyWanted() const {
  if (head_ || suppress_content_ || !StatusAllowsBody()) {
    return false;
  }
  return headers_written_ || CheckedPreconditions() == PreconditionResult::kHolds;
}

void HttpResponse::PrepareHeaders(std::optional<std::uint64_t> length) {
  if (details_ && details_->cache && details_->precondition != PreconditionResult::kFailed) {
    details_->cache->WriteTo(headers_, Clock::now());
  }
  // First, for it changes the validators that the client has.
  const auto coding = BeginCompression(length);
  AnswerPrecondition(CheckedPreconditions());
  if (coding && encoded_ && !head_) {
    encoder_ = detail::MakeContentEncoder(*coding);
  }
  if (details_ && details_->precondition == PreconditionResult::kNotModified &&
      headers_.Contains("ETag")) {
    headers_.Remove("Last-Modified");  // RFC 9110, section 15.4.5: it says nothing more
  }
}

void HttpResponse::AnswerPrecondition(PreconditionResult result) {
  if (result == PreconditionResult::kHolds) {
    return;
  }
  Lazy().precondition = result;
  ClearContent();
  encoder_.reset();
  encoded_ = false;
  suppress_content_ = true;
  description_.clear();
  RemoveContentFields(headers_);
  if (result == PreconditionResult::kNotModified) {
    status_ = 304;
    return;
  }
  status_ = 412;
  SetCause(cause::kPreconditionFailed);
  // Neither is about this answer, and no cache shall keep it.
  for (const auto* const name : {"ETag", "Last-Modified", "Expires", "Cache-Control"}) {
    headers_.Remove(name);
  }
  headers_.Set("Content-Type", "");  // none
  headers_.Set("Content-Length", "0");
}

}  // namespace weft
