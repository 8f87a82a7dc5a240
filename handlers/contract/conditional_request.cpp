#include <weft/conditional_request.hpp>

#include <weft/http_date.hpp>
#include <weft/http_request.hpp>
#include "handlers/contract/entity_tag_list.hpp"

namespace weft {

namespace {

using std::chrono::floor;
using std::chrono::seconds;
using Clock = std::chrono::system_clock;

/// Absent where there is nothing to compare: no such field, no date, or none of the resource.
std::optional<bool> IsUnchangedSince(const std::optional<std::string_view>& field,
                                     const Validators& current, Clock::time_point now) {
  if (!field || !current.exists || !current.last_modified) {
    return std::nullopt;
  }
  const auto date = ParseHttpDate(*field, now);
  if (!date) {
    return std::nullopt;
  }
  return floor<seconds>(*current.last_modified) <= *date;
}

}  // namespace

RequestConditions::RequestConditions(const HttpRequest& request)
    : if_match(request.FindField("HTTP_IF_MATCH")),
      if_none_match(request.FindField("HTTP_IF_NONE_MATCH")),
      if_modified_since(request.FindField("HTTP_IF_MODIFIED_SINCE")),
      if_unmodified_since(request.FindField("HTTP_IF_UNMODIFIED_SINCE")),
      if_range(request.FindField("HTTP_IF_RANGE")) {}

PreconditionResult EvaluatePreconditions(std::string_view method,
                                         const RequestConditions& conditions,
                                         const Validators& current, Clock::time_point now) {
  const bool reads = method == "GET" || method == "HEAD";
  const auto* const tag = current.exists && current.etag ? &*current.etag : nullptr;
  if (conditions.if_match) {
    const auto match = MatchEntityTagList(*conditions.if_match, tag, EntityTagComparison::kStrong);
    if (!(match.is_any ? current.exists : match.has_tag)) {
      return PreconditionResult::kFailed;
    }
  } else if (IsUnchangedSince(conditions.if_unmodified_since, current, now) == false) {
    return PreconditionResult::kFailed;
  }
  if (conditions.if_none_match) {
    const auto match =
        MatchEntityTagList(*conditions.if_none_match, tag, EntityTagComparison::kWeak);
    if (match.is_any ? current.exists : match.has_tag) {
      return reads ? PreconditionResult::kNotModified : PreconditionResult::kFailed;
    }
    if (match.is_malformed && !reads) {
      return PreconditionResult::kFailed;
    }
  } else if (reads && IsUnchangedSince(conditions.if_modified_since, current, now) == true) {
    return PreconditionResult::kNotModified;
  }
  return PreconditionResult::kHolds;
}

bool IfRangeHolds(const RequestConditions& conditions, const Validators& current,
                  Clock::time_point now) {
  if (!conditions.if_range) {
    return true;
  }
  auto text = *conditions.if_range;
  if (const auto tag = TakeEntityTag(text)) {
    return text.empty() && !tag->is_weak && current.etag && !current.etag->IsWeak() &&
           current.etag->Opaque() == tag->opaque;
  }
  const auto date = ParseHttpDate(*conditions.if_range, now);
  if (!date || !current.last_modified) {
    return false;
  }
  return floor<seconds>(*current.last_modified) == *date && now >= *date + seconds(1);
}

}  // namespace weft
