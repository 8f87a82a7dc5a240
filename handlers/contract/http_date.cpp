#include <weft/http_date.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>

namespace weft {

namespace {

constexpr std::array<std::string_view, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::size_t kShortDay = 3;

/// Reads a text from its front. Once something was not there, nothing more is, and Done() is false.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : rest_(text) {}

  void Text(std::string_view expected) {
    if (!rest_.starts_with(expected)) {
      sound_ = false;
      return;
    }
    rest_.remove_prefix(expected.size());
  }

  /// Exactly so many digits; `blank`: the first of them may be a blank.
  int Number(std::size_t digits, bool blank = false) {
    int number = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const char c = i < rest_.size() ? rest_[i] : '\0';
      if (blank && i == 0 && c == ' ') {
        continue;
      }
      if (c < '0' || c > '9') {
        sound_ = false;
        return 0;
      }
      number = number * 10 + (c - '0');
    }
    rest_.remove_prefix(digits);
    return number;
  }

  unsigned Month() {
    const auto* const month = std::find(kMonths.begin(), kMonths.end(), rest_.substr(0, 3));
    if (month == kMonths.end()) {
      sound_ = false;
      return 0;
    }
    rest_.remove_prefix(3);
    return static_cast<unsigned>(month - kMonths.begin()) + 1;
  }

  /// One of the days' names, or of their first three letters.
  void Day(bool whole) {
    for (const auto day : kDays) {
      const auto name = whole ? day : day.substr(0, kShortDay);
      if (rest_.starts_with(name)) {
        rest_.remove_prefix(name.size());
        return;
      }
    }
    sound_ = false;
  }

  bool Done() const noexcept { return sound_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool sound_ = true;
};

struct Fields {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

void ReadTime(Scanner& scanner, Fields& fields) {
  fields.hour = scanner.Number(2);
  scanner.Text(":");
  fields.minute = scanner.Number(2);
  scanner.Text(":");
  fields.second = scanner.Number(2);
}

/// Absent where no such moment is.
std::optional<std::chrono::sys_seconds> MomentOf(const Fields& fields) {
  const std::chrono::year_month_day date{std::chrono::year(fields.year),
                                         std::chrono::month(fields.month),
                                         std::chrono::day(fields.day)};
  if (!date.ok() || fields.hour > 23 || fields.minute > 59 || fields.second > 60) {
    return std::nullopt;
  }
  const std::chrono::sys_seconds moment =
      std::chrono::sys_days(date) + std::chrono::hours(fields.hour) +
      std::chrono::minutes(fields.minute) + std::chrono::seconds(std::min(fields.second, 59));
  // Comparing it with the clock's nanoseconds would overflow.
  using Clock = std::chrono::system_clock;
  return std::clamp(moment, std::chrono::ceil<std::chrono::seconds>(Clock::time_point::min()),
                    std::chrono::floor<std::chrono::seconds>(Clock::time_point::max()));
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
std::optional<std::chrono::sys_seconds> ParseImfFixdate(std::string_view text) {
  Scanner scanner(text);
  Fields fields;
  scanner.Day(/*whole=*/false);
  scanner.Text(", ");
  fields.day = static_cast<unsigned>(scanner.Number(2));
  scanner.Text(" ");
  fields.month = scanner.Month();
  scanner.Text(" ");
  fields.year = scanner.Number(4);
  scanner.Text(" ");
  ReadTime(scanner, fields);
  scanner.Text(" GMT");
  return scanner.Done() ? MomentOf(fields) : std::nullopt;
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
std::optional<std::chrono::sys_seconds> ParseRfc850(std::string_view text,
                                                    std::chrono::system_clock::time_point now) {
  Scanner scanner(text);
  Fields fields;
  scanner.Day(/*whole=*/true);
  scanner.Text(", ");
  fields.day = static_cast<unsigned>(scanner.Number(2));
  scanner.Text("-");
  fields.month = scanner.Month();
  scanner.Text("-");
  const int year = scanner.Number(2);
  scanner.Text(" ");
  ReadTime(scanner, fields);
  scanner.Text(" GMT");
  if (!scanner.Done()) {
    return std::nullopt;
  }
  const std::chrono::year_month_day today(std::chrono::floor<std::chrono::days>(now));
  const int this_year = static_cast<int>(today.year());
  fields.year = this_year - this_year % 100 + year;
  if (fields.year > this_year + 50) {
    fields.year -= 100;
  } else if (fields.year <= this_year - 50) {
    fields.year += 100;
  }
  const auto moment = MomentOf(fields);
  if (moment && fields.year == this_year + 50 && *moment > now + std::chrono::years(50)) {
    fields.year -= 100;
    return MomentOf(fields);
  }
  return moment;
}

/// `Sun Nov  6 08:49:37 1994`
std::optional<std::chrono::sys_seconds> ParseAsctime(std::string_view text) {
  Scanner scanner(text);
  Fields fields;
  scanner.Day(/*whole=*/false);
  scanner.Text(" ");
  fields.month = scanner.Month();
  scanner.Text(" ");
  fields.day = static_cast<unsigned>(scanner.Number(2, /*blank=*/true));
  scanner.Text(" ");
  ReadTime(scanner, fields);
  scanner.Text(" ");
  fields.year = scanner.Number(4);
  return scanner.Done() ? MomentOf(fields) : std::nullopt;
}

}  // namespace

std::string FormatHttpDate(std::chrono::system_clock::time_point time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto days = std::chrono::floor<std::chrono::days>(seconds);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss clock(seconds - days);
  const auto weekday = kDays[std::chrono::weekday(days).c_encoding()].substr(0, kShortDay);
  std::array<char, 64> text{};
  std::snprintf(
      text.data(), text.size(), "%.3s, %02u %.3s %04d %02d:%02d:%02d GMT", weekday.data(),
      static_cast<unsigned>(date.day()), kMonths[static_cast<unsigned>(date.month()) - 1].data(),
      static_cast<int>(date.year()), static_cast<int>(clock.hours().count()),
      static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()));
  return text.data();
}

std::optional<std::chrono::sys_seconds> ParseHttpDate(std::string_view text,
                                                      std::chrono::system_clock::time_point now) {
  if (const auto date = ParseImfFixdate(text)) {
    return date;
  }
  if (const auto date = ParseRfc850(text, now)) {
    return date;
  }
  return ParseAsctime(text);
}

}  // namespace weft
