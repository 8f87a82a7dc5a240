#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weft::host::options {

/// What stands for a placeholder of an access line. docs/guide/logs.md has the table of them.
enum class AccessItem : std::uint8_t {
  kLiteral,
  kRemoteHost,
  kPeerAddress,
  kServerAddress,
  kRemoteLogname,
  kRemoteUser,
  kTime,  ///< `argument`: for strftime(3), or one of kSec... of `unit`
  kRequestLine,
  kStatus,
  kBodyBytes,
  kBodyBytesOrDash,
  kBytesSent,
  kBodyBytesReceived,
  kContentLength,
  kDuration,
  kUrlPath,
  kQuery,
  kQueryWithMark,
  kQuestionMark,
  kMethod,
  kProtocol,
  kServerName,
  kServerPort,
  kRemotePort,
  kProcess,
  kParentProcess,
  kRequestField,
  kResponseField,
  kVariable,
  kCookie,
  kKeptRequests,
  kConnectionState,
  kScriptFile,
  kHandler,
  kRequestId,
  kRequestNumber,
  kEntry,
  kCause,
  kOutcome,
  kLogText,
  kQueueTime,
};

/// Of a time, or of a part of one.
enum class AccessUnit : std::uint8_t {
  kText,  ///< a time by its pattern
  kSeconds,
  kMilliseconds,
  kMicroseconds,
  kMillisecondsOfSecond,
  kMicrosecondsOfSecond,
};

struct AccessPart {
  AccessItem item = AccessItem::kLiteral;
  std::string argument{};  ///< the literal; a pattern; a name, of a header field as its variable
  AccessUnit unit = AccessUnit::kText;
  bool of_end = false;          ///< a time: when the request ended, not when it began
  bool has_decimals = false;    ///< a duration: three of them, of a second or a millisecond
  std::vector<int> statuses{};  ///< Only for these, or for all others; else a dash. Empty: for all.
  bool but_these = false;
};

/// How lines of the access log are written.
struct AccessFormat {
  enum class Style : std::uint8_t { kText, kJson, kParts };
  Style style = Style::kText;
  std::vector<AccessPart> parts{};
};

/// `text`, `json`, `common`, `combined`, or a format with Apache's placeholders, with `fpm:` before it php-fpm's.
/// Throws BadValue, which names the placeholder that is not known, its place, and the nearest that is.
[[nodiscard]] AccessFormat ParseAccessFormat(std::string_view text);

}  // namespace weft::host::options
