#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>

#include <weft/http_request.hpp>
#include <weft/http_response.hpp>
#include "host/observe/log.hpp"
#include "host/observe/request_record.hpp"

namespace weft::host::observe {

namespace {

using options::AccessFormat;
using options::AccessItem;
using options::AccessPart;
using options::AccessUnit;
using SystemClock = std::chrono::system_clock;

void AppendNumber(std::string& to, std::uint64_t number) {
  std::array<char, 24> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  to.append(text.data(), end);
}

/// With three decimals.
void AppendThousandths(std::string& to, std::int64_t thousandths) {
  thousandths = std::max<std::int64_t>(thousandths, 0);
  AppendNumber(to, static_cast<std::uint64_t>(thousandths / 1000));
  to.push_back('.');
  for (const int divisor : {100, 10, 1}) {
    to.push_back(static_cast<char>('0' + thousandths / divisor % 10));
  }
}

/// As Apache escapes what a client sent: quotes, backslashes, and all that is not printable ASCII.
void AppendApacheEscaped(std::string& to, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      to.push_back('\\');
      to.push_back(c);
    } else if (byte >= 0x20 && byte < 0x7f) {
      to.push_back(c);
    } else if (const auto at = std::string_view("\b\n\r\t\v").find(c);
               at != std::string_view::npos) {
      to.push_back('\\');
      to.push_back("bnrtv"[at]);
    } else {
      to.append("\\x").push_back(kHex[byte >> 4U]);
      to.push_back(kHex[byte & 15U]);
    }
  }
}

void AppendOrDash(std::string& to, std::string_view text) {
  if (text.empty()) {
    to.push_back('-');
  } else {
    AppendApacheEscaped(to, text);
  }
}

/// A time by a pattern of strftime(3), in the zone of the process. Most are of the same second as the one before.
void AppendTime(std::string& to, const std::string& pattern, std::time_t seconds) {
  struct Last {
    std::string pattern;
    std::time_t seconds = -1;
    std::string text;
  };
  thread_local Last last;
  if (last.seconds != seconds || last.pattern != pattern) {
    std::tm local{};
    ::localtime_r(&seconds, &local);
    std::array<char, 256> text{};
    last.text.assign(text.data(), std::strftime(text.data(), text.size(), pattern.c_str(), &local));
    std::erase_if(last.text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    last.pattern = pattern;
    last.seconds = seconds;
  }
  to += last.text;
}

/// A cookie as it was sent, without the checks that a handler asks for. Empty: there is none.
std::string_view FindCookie(std::string_view cookies, std::string_view name) {
  while (!cookies.empty()) {
    const auto end = std::min(cookies.find(';'), cookies.size());
    auto pair = cookies.substr(0, end);
    pair.remove_prefix(std::min(pair.find_first_not_of(' '), pair.size()));
    const auto equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) {
      return pair.substr(equals + 1);
    }
    cookies.remove_prefix(std::min(end + 1, cookies.size()));
  }
  return {};
}

std::string_view PathOf(std::string_view url) { return url.substr(0, url.find('?')); }
std::string_view QueryOf(std::string_view url) {
  const auto mark = url.find('?');
  return mark == std::string_view::npos ? std::string_view() : url.substr(mark + 1);
}

/// One line of placeholders.
class Line {
 public:
  explicit Line(const RequestRecord& record) : record_(record) { text_.reserve(256); }

  void Append(const AccessPart& part) {
    if (!part.statuses.empty()) {
      const bool is_listed =
          std::ranges::find(part.statuses, record_.status) != part.statuses.end();
      if (is_listed == part.but_these) {
        text_.push_back('-');
        return;
      }
    }
    AppendItem(part);
  }

  std::string Take() && { return std::move(text_); }

 private:
  std::string_view Variable(std::string_view name) const {
    return record_.request == nullptr ? std::string_view()
                                      : record_.request->ServerVariables().Get(name);
  }

  void AppendItem(const AccessPart& part) {
    switch (part.item) {
      case AccessItem::kLiteral:
        text_ += part.argument;
        break;
      case AccessItem::kRemoteHost:
        AppendOrDash(text_, record_.remote_address);
        break;
      case AccessItem::kPeerAddress:
        AppendOrDash(text_, Variable("REMOTE_ADDR"));
        break;
      case AccessItem::kServerAddress:
        AppendOrDash(text_, Variable("SERVER_ADDR"));
        break;
      case AccessItem::kRemoteLogname:
      case AccessItem::kKeptRequests:  // the web server's to know, both
        text_.push_back('-');
        break;
      case AccessItem::kRemoteUser:
        AppendOrDash(text_, Variable("REMOTE_USER"));
        break;
      case AccessItem::kTime:
        AppendMoment(part);
        break;
      case AccessItem::kRequestLine:
        AppendRequestLine();
        break;
      case AccessItem::kStatus:
        AppendNumber(text_, static_cast<std::uint64_t>(std::max(record_.status, 0)));
        break;
      case AccessItem::kBodyBytesOrDash:
        if (record_.body_bytes_sent == 0) {
          text_.push_back('-');
          break;
        }
        [[fallthrough]];
      case AccessItem::kBodyBytes:
        AppendNumber(text_, record_.body_bytes_sent);
        break;
      case AccessItem::kBytesSent:
        AppendNumber(text_, record_.header_bytes_sent + record_.body_bytes_sent);
        break;
      case AccessItem::kBodyBytesReceived:
        AppendNumber(text_, record_.body_bytes_received);
        break;
      case AccessItem::kContentLength: {
        const auto length = Variable("CONTENT_LENGTH");
        AppendOrDash(text_, length.empty() ? "0" : length);
        break;
      }
      case AccessItem::kDuration:
        AppendDuration(part, record_.duration);
        break;
      case AccessItem::kQueueTime:
        if (record_.queue_time.count() < 0) {
          text_.push_back('-');
        } else {
          AppendDuration(part, record_.queue_time);
        }
        break;
      case AccessItem::kUrlPath:
        AppendOrDash(text_, PathOf(record_.raw_url));
        break;
      case AccessItem::kQuery:
        AppendApacheEscaped(text_, QueryOf(record_.raw_url));
        break;
      case AccessItem::kQueryWithMark:
        AppendApacheEscaped(
            text_, std::string_view(record_.raw_url).substr(PathOf(record_.raw_url).size()));
        break;
      case AccessItem::kQuestionMark:
        text_ += QueryOf(record_.raw_url).empty() ? "" : "?";
        break;
      case AccessItem::kMethod:
        AppendOrDash(text_, record_.method);
        break;
      case AccessItem::kProtocol:
        AppendOrDash(text_, Variable("SERVER_PROTOCOL"));
        break;
      case AccessItem::kServerName:
        AppendOrDash(text_, Variable("SERVER_NAME"));
        break;
      case AccessItem::kServerPort:
        AppendOrDash(text_, Variable("SERVER_PORT"));
        break;
      case AccessItem::kRemotePort:
        AppendOrDash(text_, Variable("REMOTE_PORT"));
        break;
      case AccessItem::kProcess:
        AppendNumber(text_, static_cast<std::uint64_t>(::getpid()));
        break;
      case AccessItem::kParentProcess:
        AppendNumber(text_, static_cast<std::uint64_t>(::getppid()));
        break;
      case AccessItem::kRequestField:
      case AccessItem::kVariable:
        AppendOrDash(text_, Variable(part.argument));
        break;
      case AccessItem::kResponseField:
        AppendOrDash(text_, record_.response == nullptr
                                ? std::string_view()
                                : record_.response->Headers().Find(part.argument).value_or(""));
        break;
      case AccessItem::kCookie:
        AppendOrDash(text_, FindCookie(Variable("HTTP_COOKIE"), part.argument));
        break;
      case AccessItem::kConnectionState:
        // Whether the client's connection is kept, the web server alone knows.
        text_.push_back(
            record_.outcome == Outcome::kAborted || record_.outcome == Outcome::kClientGone ? 'X'
                                                                                            : '-');
        break;
      case AccessItem::kScriptFile:
        AppendOrDash(text_, Variable("SCRIPT_FILENAME"));
        break;
      case AccessItem::kHandler:
        AppendOrDash(text_, record_.type);
        break;
      case AccessItem::kRequestId:
        AppendOrDash(text_, record_.request_id);
        break;
      case AccessItem::kRequestNumber:
        AppendNumber(text_, record_.id);
        break;
      case AccessItem::kEntry:
        AppendOrDash(text_, record_.entry);
        break;
      case AccessItem::kCause:
        AppendOrDash(text_, record_.cause);
        break;
      case AccessItem::kOutcome:
        text_ += ToString(record_.outcome);
        break;
      case AccessItem::kLogText:
        AppendOrDash(text_, record_.log_text);
        break;
    }
  }

  void AppendRequestLine() {
    if (record_.method.empty()) {
      text_.push_back('-');
      return;
    }
    AppendApacheEscaped(text_, record_.method);
    text_.push_back(' ');
    AppendApacheEscaped(text_, record_.raw_url);
    if (const auto protocol = Variable("SERVER_PROTOCOL"); !protocol.empty()) {
      text_.push_back(' ');
      AppendApacheEscaped(text_, protocol);
    }
  }

  void AppendMoment(const AccessPart& part) {
    auto time = SystemClock::now();
    if (!part.of_end) {
      time -= std::chrono::duration_cast<SystemClock::duration>(record_.duration);
    }
    const auto microseconds =
        std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
    switch (part.unit) {
      case AccessUnit::kText:
        AppendTime(text_, part.argument, static_cast<std::time_t>(microseconds / 1'000'000));
        break;
      case AccessUnit::kSeconds:
        AppendNumber(text_, static_cast<std::uint64_t>(microseconds / 1'000'000));
        break;
      case AccessUnit::kMilliseconds:
        AppendNumber(text_, static_cast<std::uint64_t>(microseconds / 1'000));
        break;
      case AccessUnit::kMicroseconds:
        AppendNumber(text_, static_cast<std::uint64_t>(microseconds));
        break;
      case AccessUnit::kMillisecondsOfSecond:
        AppendPadded(microseconds / 1'000 % 1'000, 100);
        break;
      case AccessUnit::kMicrosecondsOfSecond:
        AppendPadded(microseconds % 1'000'000, 100'000);
        break;
    }
  }

  void AppendPadded(std::int64_t number, std::int64_t divisor) {
    for (; divisor != 0; divisor /= 10) {
      text_.push_back(static_cast<char>('0' + number / divisor % 10));
    }
  }

  void AppendDuration(const AccessPart& part, std::chrono::nanoseconds duration) {
    const auto microseconds = std::max<std::int64_t>(duration / std::chrono::microseconds(1), 0);
    if (part.unit == AccessUnit::kMicroseconds) {
      AppendNumber(text_, static_cast<std::uint64_t>(microseconds));
    } else if (part.has_decimals) {
      AppendThousandths(text_,
                        part.unit == AccessUnit::kSeconds ? microseconds / 1'000 : microseconds);
    } else {
      const std::int64_t unit = part.unit == AccessUnit::kSeconds ? 1'000'000 : 1'000;
      AppendNumber(text_, static_cast<std::uint64_t>(microseconds / unit));
    }
  }

  const RequestRecord& record_;
  std::string text_;
};

std::string JsonLine(const RequestRecord& record) {
  const auto variable = [&record](std::string_view name) {
    return record.request == nullptr ? std::string_view()
                                     : record.request->ServerVariables().Get(name);
  };
  std::string line;
  line.reserve(512);
  line.append(R"({"time":")").append(Timestamp()).append(R"(","pid":)");
  AppendNumber(line, static_cast<std::uint64_t>(::getpid()));
  line += R"(,"id":)";
  AppendNumber(line, record.id);
  const auto text = [&line](std::string_view name, std::string_view value) {
    if (!value.empty()) {
      line.append(",\"").append(name).append("\":");
      AppendJsonString(line, value);
    }
  };
  const auto thousandths = [&line](std::string_view name, std::chrono::nanoseconds time) {
    line.append(",\"").append(name).append("\":");
    AppendThousandths(line, time / std::chrono::microseconds(1));
  };
  text("request", record.request_id);
  text("remote", record.remote_address);
  text("user", variable("REMOTE_USER"));
  text("method", record.method);
  text("url", record.raw_url);
  text("protocol", variable("SERVER_PROTOCOL"));
  text("host", variable("HTTP_HOST"));
  text("referer", variable("HTTP_REFERER"));
  text("user_agent", variable("HTTP_USER_AGENT"));
  line += R"(,"status":)";
  AppendNumber(line, static_cast<std::uint64_t>(std::max(record.status, 0)));
  line += R"(,"bytes":)";
  AppendNumber(line, record.body_bytes_sent);
  thousandths("ms", record.duration);
  if (record.queue_time.count() >= 0) {
    thousandths("queue_ms", record.queue_time);
  }
  text("entry", record.entry);
  text("type", record.type);
  text("cause", record.cause);
  text("outcome", ToString(record.outcome));
  text("log", record.log_text);
  line += "}";
  return line;
}

}  // namespace

std::string FormatAccessLine(const AccessFormat& format, const RequestRecord& record) {
  switch (format.style) {
    case AccessFormat::Style::kText:
      return FormatAccessLine(record);
    case AccessFormat::Style::kJson:
      return JsonLine(record);
    case AccessFormat::Style::kParts:
      break;
  }
  Line line(record);
  for (const auto& part : format.parts) {
    line.Append(part);
  }
  return std::move(line).Take();
}

}  // namespace weft::host::observe
