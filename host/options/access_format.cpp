#include "host/options/access_format.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <span>

#include "host/options/values.hpp"
#include "mappings/wording.hpp"

namespace weft::host::options {
namespace {

/// What stands in braces.
enum class Argument { kNone, kMay, kMust };

/// A placeholder of one letter.
struct Placeholder {
  char letter;
  AccessItem item;
  Argument argument;
};

constexpr std::string_view kApacheTime = "[%d/%b/%Y:%H:%M:%S %z]";
constexpr std::string_view kFpmTime = "%d/%b/%Y:%H:%M:%S %z";
constexpr std::string_view kCommon = "%h %l %u %t \"%r\" %>s %b";
constexpr std::string_view kCombined =
    "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"";

constexpr auto kApache = std::to_array<Placeholder>({
    {'a', AccessItem::kRemoteHost, Argument::kMay},
    {'A', AccessItem::kServerAddress, Argument::kNone},
    {'b', AccessItem::kBodyBytesOrDash, Argument::kNone},
    {'B', AccessItem::kBodyBytes, Argument::kNone},
    {'C', AccessItem::kCookie, Argument::kMust},
    {'D', AccessItem::kDuration, Argument::kNone},
    {'e', AccessItem::kVariable, Argument::kMust},
    {'f', AccessItem::kScriptFile, Argument::kNone},
    {'h', AccessItem::kRemoteHost, Argument::kNone},
    {'H', AccessItem::kProtocol, Argument::kNone},
    {'i', AccessItem::kRequestField, Argument::kMust},
    {'I', AccessItem::kBodyBytesReceived, Argument::kNone},
    {'k', AccessItem::kKeptRequests, Argument::kNone},
    {'l', AccessItem::kRemoteLogname, Argument::kNone},
    {'L', AccessItem::kRequestId, Argument::kNone},
    {'m', AccessItem::kMethod, Argument::kNone},
    {'o', AccessItem::kResponseField, Argument::kMust},
    {'O', AccessItem::kBytesSent, Argument::kNone},
    {'p', AccessItem::kServerPort, Argument::kMay},
    {'P', AccessItem::kProcess, Argument::kMay},
    {'q', AccessItem::kQueryWithMark, Argument::kNone},
    {'r', AccessItem::kRequestLine, Argument::kNone},
    {'R', AccessItem::kHandler, Argument::kNone},
    {'s', AccessItem::kStatus, Argument::kNone},
    {'t', AccessItem::kTime, Argument::kMay},
    {'T', AccessItem::kDuration, Argument::kMay},
    {'u', AccessItem::kRemoteUser, Argument::kNone},
    {'U', AccessItem::kUrlPath, Argument::kNone},
    {'v', AccessItem::kServerName, Argument::kNone},
    {'V', AccessItem::kServerName, Argument::kNone},
    {'X', AccessItem::kConnectionState, Argument::kNone},
});

constexpr auto kFpm = std::to_array<Placeholder>({
    {'d', AccessItem::kDuration, Argument::kMay},
    {'e', AccessItem::kVariable, Argument::kMust},
    {'f', AccessItem::kScriptFile, Argument::kNone},
    {'l', AccessItem::kContentLength, Argument::kNone},
    {'m', AccessItem::kMethod, Argument::kNone},
    {'o', AccessItem::kResponseField, Argument::kMust},
    {'p', AccessItem::kProcess, Argument::kNone},
    {'P', AccessItem::kParentProcess, Argument::kNone},
    {'q', AccessItem::kQuery, Argument::kNone},
    {'Q', AccessItem::kQuestionMark, Argument::kNone},
    {'r', AccessItem::kUrlPath, Argument::kNone},
    {'R', AccessItem::kRemoteHost, Argument::kNone},
    {'s', AccessItem::kStatus, Argument::kNone},
    {'t', AccessItem::kTime, Argument::kMay},
    {'T', AccessItem::kTime, Argument::kMay},
    {'u', AccessItem::kRemoteUser, Argument::kNone},
});

/// `%{name}w`: Weft's own, in both.
struct Own {
  std::string_view name;
  AccessItem item;
  AccessUnit unit = AccessUnit::kText;
};
constexpr auto kOwn = std::to_array<Own>({
    {"request_id", AccessItem::kRequestId},
    {"number", AccessItem::kRequestNumber},
    {"handler", AccessItem::kHandler},
    {"entry", AccessItem::kEntry},
    {"cause", AccessItem::kCause},
    {"outcome", AccessItem::kOutcome},
    {"log", AccessItem::kLogText},
    {"duration_ms", AccessItem::kDuration, AccessUnit::kMilliseconds},
    {"queue_ms", AccessItem::kQueueTime, AccessUnit::kMilliseconds},
});
constexpr char kOwnLetter = 'w';

const Placeholder* Find(std::span<const Placeholder> known, char letter) {
  const auto found = std::ranges::find(known, letter, &Placeholder::letter);
  return found == known.end() ? nullptr : &*found;
}

/// Why a placeholder of Apache's or of php-fpm's is not one here; empty: it is none of theirs.
std::string_view WhyNot(bool is_fpm, char letter) {
  if (is_fpm && (letter == 'C' || letter == 'M')) {
    return "what of a processor and of memory one request used cannot be told where many are "
           "served at once: leave it "
           "out";
  }
  if (is_fpm && letter == 'n') return "there are no pools here: leave it out";
  if (!is_fpm && letter == 'n') return "there are no notes of Apache's modules here: leave it out";
  if (!is_fpm && letter == 'S')
    return "bytes of the connection are the web server's to know: leave it out";
  if (!is_fpm && letter == '^') return "trailers do not come through FastCGI: leave it out";
  return {};
}

class Compiler {
 public:
  Compiler(std::string_view text, bool is_fpm, std::size_t offset)
      : text_(text), is_fpm_(is_fpm), offset_(offset) {}

  std::vector<AccessPart> Compile() {
    while (at_ < text_.size()) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        Escape();
      } else if (text_[at_] != '%') {
        Literal(text_[at_++]);
      } else {
        begin_ = at_++;
        ReadPlaceholder();
      }
    }
    return std::move(parts_);
  }

 private:
  [[noreturn]] void Refuse(const std::string& what) const {
    throw BadValue(Quoted(text_.substr(begin_, at_ - begin_)) + " at character " +
                   std::to_string(offset_ + begin_ + 1) + " of the format " + what);
  }

  void Literal(char c) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
      begin_ = at_ - 1;
      Refuse("is a control character: a record is one line");
    }
    if (parts_.empty() || parts_.back().item != AccessItem::kLiteral) parts_.push_back({});
    parts_.back().argument += c;
  }

  void Escape() {
    begin_ = at_;
    const char escaped = text_[at_ + 1];
    at_ += 2;
    if (escaped == 't') return Literal('\t');
    if (escaped == '"' || escaped == '\'' || escaped == '\\') return Literal(escaped);
    Refuse(escaped == 'n' ? "would end the line: leave it out, each record is one line"
                          : "is no escape: \\t, \\\" and \\\\ are");
  }

  void ReadPlaceholder() {
    AccessPart part;
    ReadConditions(part);
    std::optional<std::string> argument;
    if (at_ < text_.size() && text_[at_] == '{') {
      const auto end = text_.find('}', at_);
      if (end == std::string_view::npos) {
        at_ = text_.size();
        Refuse("has no closing brace");
      }
      argument = std::string(text_.substr(at_ + 1, end - at_ - 1));
      at_ = end + 1;
      // Apache takes > and < here as well.
      if (!is_fpm_) ReadConditions(part);
    }
    if (at_ == text_.size()) Refuse("ends the format: write %% for a percent sign");
    const char letter = text_[at_++];
    if (letter == '%' && !argument) return Literal('%');
    if (letter == kOwnLetter) {
      FillOwn(part, argument);
    } else {
      Fill(part, letter, argument);
    }
    parts_.push_back(std::move(part));
  }

  /// `%!200,304`, `%>`, `%<`: there is one request here, the last is the first.
  void ReadConditions(AccessPart& part) {
    while (!is_fpm_ && at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '!') {
        part.but_these = true;
        ++at_;
      } else if (c == '>' || c == '<' || c == ',') {
        ++at_;
      } else if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
        int status = 0;
        for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0 &&
               status < 1000;
             ++at_) {
          status = status * 10 + (text_[at_] - '0');
        }
        part.statuses.push_back(status);
      } else {
        break;
      }
    }
  }

  void FillOwn(AccessPart& part, const std::optional<std::string>& argument) const {
    std::vector<std::string_view> names;
    for (const Own& own : kOwn) names.push_back(own.name);
    if (!argument) Refuse("lacks a name: write it like %{request_id}w");
    const auto found = std::ranges::find(kOwn, std::string_view(*argument), &Own::name);
    if (found == kOwn.end()) {
      const auto nearest = mappings::NearestName(*argument, names);
      Refuse("is not known: " + (nearest ? "did you mean %{" + std::string(*nearest) + "}w?"
                                         : "there are " + mappings::Listed(names)));
    }
    part.item = found->item;
    part.unit = found->unit;
    part.has_decimals = true;
  }

  void Fill(AccessPart& part, char letter, std::optional<std::string>& argument) const {
    const auto known = is_fpm_ ? std::span<const Placeholder>(kFpm) : kApache;
    const Placeholder* const found = Find(known, letter);
    if (found == nullptr) RefuseLetter(letter);
    if (found->argument == Argument::kNone && argument) {
      Refuse("takes nothing in braces: write %" + std::string(1, letter));
    }
    if (found->argument == Argument::kMust && (!argument || argument->empty())) {
      Refuse("lacks a name: write it like %{Name}" + std::string(1, letter));
    }
    part.item = found->item;
    switch (found->item) {
      case AccessItem::kTime:
        FillTime(part, letter, argument);
        break;
      case AccessItem::kDuration:
        FillDuration(part, letter, argument);
        break;
      case AccessItem::kRequestField:
        part.argument = VariableOf(*argument);
        break;
      case AccessItem::kRemoteHost:
        if (argument && *argument != "c") Refuse("is not known: %a and %{c}a are");
        if (argument) part.item = AccessItem::kPeerAddress;
        break;
      case AccessItem::kServerPort:
        if (argument && *argument == "remote") {
          part.item = AccessItem::kRemotePort;
        } else if (argument && *argument != "canonical" && *argument != "local") {
          Refuse("is not known: %p, %{canonical}p, %{local}p and %{remote}p are");
        }
        break;
      case AccessItem::kProcess:
        if (argument && *argument != "pid") Refuse("is not known: %P and %{pid}P are");
        break;
      default:
        part.argument = argument.value_or("");
        break;
    }
  }

  [[noreturn]] void RefuseLetter(char letter) const {
    if (const auto why = WhyNot(is_fpm_, letter); !why.empty()) {
      Refuse("cannot be told: " + std::string(why));
    }
    const auto known = is_fpm_ ? std::span<const Placeholder>(kFpm) : kApache;
    const auto other = is_fpm_ ? std::span<const Placeholder>(kApache) : kFpm;
    const auto byte = static_cast<unsigned char>(letter);
    const auto swapped =
        static_cast<char>(std::isupper(byte) != 0 ? std::tolower(byte) : std::toupper(byte));
    // Who writes %d in one of Apache's formats has php-fpm's in mind.
    if (Find(other, letter) != nullptr) {
      Refuse(is_fpm_
                 ? "is not php-fpm's but Apache's: leave the fpm: out, and use Apache's alone"
                 : "is not Apache's but php-fpm's: begin the format with fpm:, and use its alone");
    }
    if (Find(known, swapped) != nullptr) {
      Refuse("is not known: did you mean %" + std::string(1, swapped) + "?");
    }
    std::string letters;
    for (const Placeholder& placeholder : known) {
      letters += " %" + std::string(1, placeholder.letter);
    }
    Refuse("is not known: there are" + letters + ", %{NAME}w and %%");
  }

  void FillTime(AccessPart& part, char letter, const std::optional<std::string>& argument) const {
    // php-fpm's %T: when the line is written.
    part.of_end = is_fpm_ && letter == 'T';
    std::string_view pattern = argument ? std::string_view(*argument) : std::string_view();
    if (!is_fpm_) {
      if (pattern.starts_with("end:")) part.of_end = true;
      if (pattern.starts_with("begin:") || pattern.starts_with("end:")) {
        pattern.remove_prefix(pattern.find(':') + 1);
      }
      constexpr std::array<std::pair<std::string_view, AccessUnit>, 5> kTokens{{
          {"sec", AccessUnit::kSeconds},
          {"msec", AccessUnit::kMilliseconds},
          {"usec", AccessUnit::kMicroseconds},
          {"msec_frac", AccessUnit::kMillisecondsOfSecond},
          {"usec_frac", AccessUnit::kMicrosecondsOfSecond},
      }};
      for (const auto& [token, unit] : kTokens) {
        if (pattern == token) {
          part.unit = unit;
          return;
        }
      }
    }
    part.argument = pattern.empty() ? (is_fpm_ ? kFpmTime : kApacheTime) : pattern;
    if (part.argument.find_first_of("\n\t") != std::string::npos ||
        part.argument.find("%n") != std::string::npos) {
      Refuse("would end the line: each record is one line");
    }
  }

  void FillDuration(AccessPart& part, char letter,
                    const std::optional<std::string>& argument) const {
    part.has_decimals = is_fpm_;
    if (!argument) {
      part.unit = !is_fpm_ && letter == 'D' ? AccessUnit::kMicroseconds : AccessUnit::kSeconds;
      return;
    }
    struct Named {
      std::string_view name;
      AccessUnit unit;
    };
    constexpr std::array<Named, 3> kOfApache{{{"s", AccessUnit::kSeconds},
                                              {"ms", AccessUnit::kMilliseconds},
                                              {"us", AccessUnit::kMicroseconds}}};
    // With the spelling that php-fpm knows beside the right one.
    constexpr std::array<Named, 6> kOfFpm{{{"seconds", AccessUnit::kSeconds},
                                           {"milliseconds", AccessUnit::kMilliseconds},
                                           {"miliseconds", AccessUnit::kMilliseconds},
                                           {"milli", AccessUnit::kMilliseconds},
                                           {"microseconds", AccessUnit::kMicroseconds},
                                           {"micro", AccessUnit::kMicroseconds}}};
    for (const Named& named : is_fpm_ ? std::span<const Named>(kOfFpm) : kOfApache) {
      if (named.name == *argument) {
        part.unit = named.unit;
        return;
      }
    }
    Refuse(std::string("has no known unit: give ") +
           (is_fpm_ ? "seconds, milliseconds or microseconds" : "s, ms or us"));
  }

  /// The variable that a header field comes as.
  static std::string VariableOf(std::string_view field) {
    std::string variable;
    for (const char c : field) {
      variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    // RFC 3875, section 4.1: these two have no HTTP_.
    const bool is_bare = variable == "CONTENT_TYPE" || variable == "CONTENT_LENGTH";
    return is_bare ? variable : "HTTP_" + variable;
  }

  const std::string_view text_;
  const bool is_fpm_;
  const std::size_t offset_;
  std::size_t at_ = 0;
  std::size_t begin_ = 0;
  std::vector<AccessPart> parts_;
};

}  // namespace

AccessFormat ParseAccessFormat(std::string_view text) {
  using Style = AccessFormat::Style;
  constexpr std::string_view kFpmPrefix = "fpm:";
  constexpr std::string_view kApachePrefix = "apache:";
  if (text == "text") return {};
  if (text == "json") return {.style = Style::kJson};
  if (text == "common") text = kCommon;
  if (text == "combined") text = kCombined;
  const bool is_fpm = text.starts_with(kFpmPrefix);
  const std::size_t prefix = is_fpm                            ? kFpmPrefix.size()
                             : text.starts_with(kApachePrefix) ? kApachePrefix.size()
                                                               : 0;
  const std::string_view format = text.substr(prefix);
  if (format.find('%') == std::string_view::npos) {
    constexpr std::array<std::string_view, 4> kNames{"text", "json", "common", "combined"};
    const auto nearest = mappings::NearestName(text, kNames);
    throw BadValue(Quoted(text) + " is no format" +
                   (nearest ? ": did you mean " + Quoted(*nearest) + "?"
                            : ": give text, json, common, combined, or placeholders like %h"));
  }
  return {.style = Style::kParts, .parts = Compiler(format, is_fpm, prefix).Compile()};
}

}  // namespace weft::host::options
