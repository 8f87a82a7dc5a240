#include "host/options/values.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "mappings/host_name.hpp"
#include "mappings/wording.hpp"

namespace weft::host::options {
namespace {

constexpr std::size_t kKibi = 1024;
constexpr std::size_t kLongestQuote = 120;

[[noreturn]] void Refuse(std::string_view text, std::string_view what, std::string_view advice) {
  throw BadValue(Quoted(text) + " " + std::string(what) + ": " + std::string(advice));
}

/// The number that all of `digits` spell in `base`; nothing for anything else, and for one that
/// does not fit.
std::optional<std::size_t> ReadNumber(std::string_view digits, int base = 10) {
  std::size_t number = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number, base);
  if (digits.empty() || error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

/// number * factor, unless that is more than a size can say.
std::optional<std::size_t> Multiply(std::size_t number, std::size_t factor) {
  if (number > std::numeric_limits<std::size_t>::max() / factor) return std::nullopt;
  return number * factor;
}

std::pair<std::string_view, std::string_view> SplitAfterDigits(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  return {text.substr(0, end), text.substr(end)};
}

constexpr std::array<std::pair<LogLevel, std::string_view>, 4> kLogLevels{{
    {LogLevel::kDebug, "debug"},
    {LogLevel::kInfo, "info"},
    {LogLevel::kWarning, "warning"},
    {LogLevel::kError, "error"},
}};

ListenAddress ParseUnixAddress(std::string_view text, std::string_view path) {
  // A relative path would mean another file to each web server that starts us in its own folder.
  if (!path.starts_with('/')) {
    Refuse(text, "has no absolute path", "write it like unix:/run/weft.sock");
  }
  if (path.find('\0') != std::string_view::npos) {
    Refuse(text, "holds a NUL byte", "write it like unix:/run/weft.sock");
  }
  return UnixAddress{std::string(path)};
}

ListenAddress ParseTcpAddress(std::string_view text, std::string_view rest) {
  constexpr std::string_view kExamples = "write it like tcp:127.0.0.1:9000 or tcp:[::1]:9000";
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) {
    Refuse(text, "lacks the host or the port",
           "write it like tcp:127.0.0.1:9000, or tcp:*:9000 for every address");
  }
  std::string_view host = rest.substr(0, colon);
  const std::string_view port_text = rest.substr(colon + 1);
  if (host.empty()) {
    // ":9000" opens a port to the world in some programs and to the machine alone in others.
    Refuse(text, "names no host",
           "write it like tcp:127.0.0.1:9000, or tcp:*:9000 for every address");
  }
  if (host.starts_with('[')) {
    if (!host.ends_with(']') || host.size() < 3) Refuse(text, "has unmatched brackets", kExamples);
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) {
      Refuse(text, "has brackets around what is no IPv6 address", kExamples);
    }
  } else if (host.find(':') != std::string_view::npos) {
    Refuse(text, "has an IPv6 address without brackets", kExamples);
  }
  // What getaddrinfo() would take for a shorter name must not get there.
  if (host.find_first_of(std::string_view(" \t\0[]/", 6)) != std::string_view::npos) {
    Refuse(text, "names no possible host", kExamples);
  }
  const std::optional<std::size_t> port = ReadNumber(port_text);
  if (!port || *port > std::numeric_limits<std::uint16_t>::max()) {
    Refuse(text, "has no port from 0 to 65535", kExamples);
  }
  return TcpAddress{std::string(host), static_cast<std::uint16_t>(*port)};
}

ListenAddress ParseDescriptorAddress(std::string_view text, std::string_view rest) {
  const std::optional<std::size_t> number = ReadNumber(rest);
  if (!number || *number > std::size_t{std::numeric_limits<int>::max()}) {
    Refuse(text, "names no descriptor", "write it like fd:3");
  }
  if (*number == 1 || *number == 2) {
    Refuse(text, "is an output stream", "pass the socket on descriptor 0, or on 3 or above");
  }
  return DescriptorAddress{static_cast<int>(*number)};
}

}  // namespace

std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text.substr(0, kLongestQuote)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      quoted += c;
    } else {
      mappings::AppendEscaped(quoted, c);
    }
  }
  if (text.size() > kLongestQuote) quoted += "...";
  return quoted + "'";
}

std::size_t ParseCount(std::string_view text) {
  const std::optional<std::size_t> number = ReadNumber(text);
  if (!number) Refuse(text, "is not a whole number", "write it like 1024");
  return *number;
}

std::size_t ParseSize(std::string_view text) {
  const auto [digits, unit] = SplitAfterDigits(text);
  std::size_t factor = 0;
  if (unit.empty()) factor = 1;
  if (unit == "K" || unit == "k") factor = kKibi;
  if (unit == "M" || unit == "m") factor = kKibi * kKibi;
  if (unit == "G" || unit == "g") factor = kKibi * kKibi * kKibi;
  const std::optional<std::size_t> number = ReadNumber(digits);
  const std::optional<std::size_t> bytes =
      number && factor != 0 ? Multiply(*number, factor) : std::nullopt;
  if (!bytes) {
    Refuse(text, "is not a size", "write bytes (65536), or a number with K, M or G (64K)");
  }
  return *bytes;
}

std::string FormatSize(std::size_t bytes) {
  for (const auto& [factor, suffix] :
       {std::pair{kKibi * kKibi * kKibi, "G"}, {kKibi * kKibi, "M"}, {kKibi, "K"}}) {
    if (bytes != 0 && bytes % factor == 0) return std::to_string(bytes / factor) + suffix;
  }
  return std::to_string(bytes);
}

std::chrono::milliseconds ParseDuration(std::string_view text) {
  const auto [digits, unit] = SplitAfterDigits(text);
  const std::optional<std::size_t> number = ReadNumber(digits);
  if (number && unit.empty()) {
    Refuse(text, "has no unit", "write " + std::string(digits) + "s for seconds, or ms, m, h");
  }
  std::size_t factor = 0;
  if (unit == "ms") factor = 1;
  if (unit == "s") factor = 1'000;
  if (unit == "m") factor = 60'000;
  if (unit == "h") factor = 3'600'000;
  const std::optional<std::size_t> milliseconds =
      number && factor != 0 ? Multiply(*number, factor) : std::nullopt;
  // A bound far below where adding it to a time point overflows; the options' own are lower still.
  constexpr std::size_t kLongest = std::size_t{3'600'000} * 24 * 365 * 100;
  if (!milliseconds || *milliseconds > kLongest) {
    Refuse(text, "is not a duration", "write a whole number with ms, s, m or h (10s, 500ms)");
  }
  return std::chrono::milliseconds{static_cast<std::chrono::milliseconds::rep>(*milliseconds)};
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  const auto count = duration.count();
  if (count % 1'000 != 0) return std::to_string(count) + "ms";
  if (count != 0 && count % 3'600'000 == 0) return std::to_string(count / 3'600'000) + "h";
  return std::to_string(count / 1'000) + "s";
}

unsigned ParseFileMode(std::string_view text) {
  const std::optional<std::size_t> mode = ReadNumber(text, 8);
  if (!mode || *mode > 0777) {
    Refuse(text, "is not a file mode", "write octal digits from 0 to 0777 (0660)");
  }
  return static_cast<unsigned>(*mode);
}

std::string FormatFileMode(unsigned mode) {
  std::string digits = "0";
  for (const unsigned shift : {6U, 3U, 0U}) {
    digits += static_cast<char>('0' + ((mode >> shift) & 7U));
  }
  return digits;
}

ResourceLimit ParseResourceLimit(std::string_view text) {
  struct Name {
    std::string_view name;
    int resource;
  };
  static constexpr std::array<Name, 15> kNames{{{"as", RLIMIT_AS},
                                                {"core", RLIMIT_CORE},
                                                {"cpu", RLIMIT_CPU},
                                                {"data", RLIMIT_DATA},
                                                {"fsize", RLIMIT_FSIZE},
                                                {"locks", RLIMIT_LOCKS},
                                                {"memlock", RLIMIT_MEMLOCK},
                                                {"msgqueue", RLIMIT_MSGQUEUE},
                                                {"nice", RLIMIT_NICE},
                                                {"nofile", RLIMIT_NOFILE},
                                                {"nproc", RLIMIT_NPROC},
                                                {"rtprio", RLIMIT_RTPRIO},
                                                {"rttime", RLIMIT_RTTIME},
                                                {"sigpending", RLIMIT_SIGPENDING},
                                                {"stack", RLIMIT_STACK}}};
  const auto equals = text.find('=');
  const auto name = text.substr(0, equals);
  const auto* const known =
      std::find_if(kNames.begin(), kNames.end(), [&](const Name& one) { return one.name == name; });
  if (equals == std::string_view::npos || known == kNames.end()) {
    std::string names;
    for (const Name& one : kNames) {
      names += (names.empty() ? "" : ", ") + std::string(one.name);
    }
    throw BadValue(Quoted(text) +
                   " is no limit: write it like nofile=65536 or core=0:unlimited, with one of " +
                   names);
  }
  const auto value = [&](std::string_view digits) -> std::uint64_t {
    if (digits == "unlimited") {
      return RLIM_INFINITY;
    }
    try {
      return ParseSize(digits);
    } catch (const BadValue&) {
      throw BadValue(Quoted(text) + ": " + Quoted(digits) +
                     " is no limit: give a number, with K, M or G for sizes, or unlimited");
    }
  };
  const auto values = text.substr(equals + 1);
  const auto colon = values.find(':');
  ResourceLimit limit{.resource = known->resource, .name = known->name};
  limit.soft = value(values.substr(0, colon));
  limit.hard = colon == std::string_view::npos ? limit.soft : value(values.substr(colon + 1));
  if (limit.soft > limit.hard) {
    throw BadValue(Quoted(text) + " has a soft limit above the hard one: give the lower one first");
  }
  return limit;
}

ProcessModel ParseProcessModel(std::string_view text) {
  for (const ProcessModel model :
       {ProcessModel::kStatic, ProcessModel::kDynamic, ProcessModel::kOnDemand}) {
    if (text == FormatProcessModel(model)) return model;
  }
  throw BadValue(Quoted(text) + " is no process model: give static, dynamic or ondemand");
}

std::string_view FormatProcessModel(ProcessModel model) {
  switch (model) {
    case ProcessModel::kStatic:
      return "static";
    case ProcessModel::kDynamic:
      return "dynamic";
    case ProcessModel::kOnDemand:
      return "ondemand";
  }
  return {};
}

CrashLimit ParseCrashLimit(std::string_view text) {
  constexpr std::size_t kMostCrashes = 100'000;
  constexpr std::chrono::hours kLongest{24};
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    throw BadValue(Quoted(text) + " has no time: write it like 10/1m, ten within a minute");
  }
  const CrashLimit limit{.crashes = ParseCount(text.substr(0, slash)),
                         .within = ParseDuration(text.substr(slash + 1))};
  if (limit.crashes == 0 || limit.crashes > kMostCrashes ||
      limit.within < std::chrono::seconds(1) || limit.within > kLongest) {
    throw BadValue(Quoted(text) + " is out of bounds: give 1 to " + std::to_string(kMostCrashes) +
                   " within 1s to 24h");
  }
  return limit;
}

bool ParseSwitch(std::string_view text) {
  if (text == "on" || text == "yes" || text == "true" || text == "1") return true;
  if (text == "off" || text == "no" || text == "false" || text == "0") return false;
  Refuse(text, "is neither on nor off", "write on or off");
}

LogLevel ParseLogLevel(std::string_view text) {
  for (const auto& [level, name] : kLogLevels) {
    if (text == name) return level;
  }
  Refuse(text, "is not a level", "write debug, info, warning or error");
}

std::string FormatLogLevel(LogLevel level) {
  for (const auto& [known, name] : kLogLevels) {
    if (level == known) return std::string(name);
  }
  return {};
}

LogTarget ParseLogTarget(std::string_view text) {
  using Kind = LogTarget::Kind;
  constexpr std::string_view kJournald = "journald";
  constexpr std::size_t kLongestSocketPath = 107;  // of sockaddr_un
  if (text == "stderr" || text == "-") return {};
  if (text == kJournald) return {.kind = Kind::kJournald, .path = "/run/systemd/journal/socket"};
  if (text.starts_with(kJournald) && text.substr(kJournald.size()).starts_with(":")) {
    const std::string_view path = text.substr(kJournald.size() + 1);
    if (!path.starts_with('/')) {
      Refuse(text, "has no absolute path", "write it like journald:/run/systemd/journal/socket");
    }
    if (path.size() > kLongestSocketPath) {
      Refuse(text, "is too long for a socket", "give a path of at most 107 bytes");
    }
    return {.kind = Kind::kJournald, .path = std::string(path)};
  }
  return {.kind = Kind::kFile, .path = std::string(text)};
}

ListenAddress ParseListenAddress(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  if (colon != std::string_view::npos) {
    const std::string_view rest = text.substr(colon + 1);
    if (kind == "unix") return ParseUnixAddress(text, rest);
    if (kind == "tcp") return ParseTcpAddress(text, rest);
    if (kind == "fd") return ParseDescriptorAddress(text, rest);
  }
  Refuse(text, "is not an address", "write unix:/PATH, tcp:HOST:PORT or fd:N");
}

mappings::DocumentRoot ParseDocumentRoot(std::string_view text) {
  constexpr std::string_view kExamples = "write it like /srv/www or www.example.org=/srv/www";
  std::string_view host = mappings::kDefaultSite;
  std::string_view directory = text;
  const std::size_t equals = text.find('=');
  if (equals != std::string_view::npos && !text.starts_with('/') && !text.starts_with('.')) {
    host = text.substr(0, equals);
    directory = text.substr(equals + 1);
    const std::string_view name = mappings::HostName(host);
    if (name != host && mappings::IsHostName(name)) {
      Refuse(text, "has a host with a port or a final dot", "name it " + Quoted(name));
    }
    if (!mappings::IsHostName(host)) {
      Refuse(text, "names no possible host before the =",
             std::string(kExamples) + "; a folder with a = in its path begins with / or ./");
    }
  }
  if (directory.empty()) Refuse(text, "names no folder", kExamples);
  return {std::string(host), directory};
}

}  // namespace weft::host::options
