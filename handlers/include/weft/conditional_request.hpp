#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <weft/entity_tag.hpp>
#include <weft/export.hpp>

namespace weft {

class HttpRequest;

/// What a condition of a request is compared with: the state in which its resource is now.
struct Validators {
  std::optional<EntityTag> etag{};
  /// When it was last changed; parts of a second do not count.
  std::optional<std::chrono::system_clock::time_point> last_modified{};
  /// False: there is no such resource yet, and a PUT would make it.
  bool exists = true;
};

/// The fields with which a client makes its request conditional (RFC 9110, section 13.1), as HttpRequest::FindField() has
/// them: If-Match and If-None-Match are lists, which may come in several lines; If-Range that does holds for nothing, and
/// dates that do count for nothing. Absent where it sent none. Lifetime: the request's.
struct RequestConditions {
  std::optional<std::string_view> if_match{};
  std::optional<std::string_view> if_none_match{};
  std::optional<std::string_view> if_modified_since{};
  std::optional<std::string_view> if_unmodified_since{};
  std::optional<std::string_view> if_range{};

  RequestConditions() = default;
  explicit WEFT_API RequestConditions(const HttpRequest& request);

  /// Whether there is one that EvaluatePreconditions() looks at. A handler that wants to keep two clients from
  /// overwriting each other's changes answers 428 where there is none (RFC 6585, section 3).
  bool HasPrecondition() const noexcept {
    return if_match || if_none_match || if_modified_since || if_unmodified_since;
  }
};

/// What a conditional request is to be answered with.
enum class PreconditionResult : std::uint8_t {
  kHolds,        ///< as if it had no conditions
  kNotModified,  ///< 304: the client has what it asks for
  kFailed,       ///< 412: the resource is not in the state that the client took it for
};

/// Evaluates the conditions in the order of RFC 9110, section 13.2.2: If-Match or else If-Unmodified-Since, then
/// If-None-Match or else If-Modified-Since. `method` decides between 304 (GET and HEAD) and 412. To be asked before a
/// handler changes anything, and only where the answer without conditions would be 2xx.
///
/// Dates that are none are passed over, as section 13.1 has it. An If-Match that is no list of entity tags holds for
/// nothing behind what is malformed; such an If-None-Match is passed over for GET and HEAD, whose whole answer is never
/// wrong, and fails for other methods, which might overwrite what the client meant to spare. Linear in the fields; it
/// keeps nothing.
WEFT_API PreconditionResult EvaluatePreconditions(
    std::string_view method, const RequestConditions& conditions, const Validators& current,
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

/// Whether If-Range lets a part be sent (RFC 9110, section 13.1.5); true where the request has none. An entity tag must be
/// strong on both sides. A date must be the very one of Last-Modified, and its second be over at `now`: within it the
/// resource could change once more.
WEFT_API bool IfRangeHolds(const RequestConditions& conditions, const Validators& current,
                           std::chrono::system_clock::time_point now);

}  // namespace weft
