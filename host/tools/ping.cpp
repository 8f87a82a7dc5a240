#include "host/tools/ping.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "host/fastcgi/name_value_pairs.hpp"
#include "host/fastcgi/protocol.hpp"
#include "host/fastcgi/record_parser.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/options/version.hpp"
#include "host/tools/client_socket.hpp"
#include "host/tools/request_url.hpp"
#include "mappings/ascii.hpp"

namespace weft::host::tools {
namespace {

using Clock = std::chrono::steady_clock;
using fastcgi::RecordType;
using std::chrono::milliseconds;

constexpr std::uint16_t kRequestId = 1;
/// The header fields of an answer; what comes beyond is not looked at.
constexpr std::size_t kMaxHeadBytes = 64 * 1024;

/// One that has answered, but not as it should.
constexpr int kExitNotWell = 1;

/// Ends the asking of one address.
struct Refusal {
  int exit_code;
  std::string sentence;
};

[[noreturn]] void Fail(int error) {
  switch (error) {
    case EAGAIN:
    case ETIMEDOUT:
    case EINPROGRESS:
      throw Refusal{options::kExitUnavailable,
                    "nobody answers in time: its workers are busy, stopped, or still starting"};
    case ECONNREFUSED:
    case ENOENT:
    case ENOTDIR:
      throw Refusal{options::kExitUnavailable, "nobody listens there: is the host running?"};
    case ECONNRESET:
    case EPIPE:
      throw Refusal{options::kExitUnavailable, "the connection was ended without an answer"};
    case EACCES:
    case EPERM:
      throw Refusal{options::kExitNoPermission, "this user may not: see --socket-mode"};
    default:
      throw Refusal{options::kExitUnavailable, std::system_category().message(error)};
  }
}

/// The time that is left, for each call that may wait.
void LimitWait(const ClientSocket& socket, Clock::time_point until) {
  if (const int error = socket.LimitWait(until)) Fail(error);
}

std::unique_ptr<ClientSocket> Connect(const sockaddr* name, socklen_t size,
                                      Clock::time_point until) {
  auto socket =
      std::make_unique<ClientSocket>(::socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket->Number() < 0) Fail(errno);
  LimitWait(*socket, until);
  if (::connect(socket->Number(), name, size) != 0) Fail(errno);
  return socket;
}

std::unique_ptr<ClientSocket> Connect(const options::UnixAddress& address,
                                      Clock::time_point until) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (address.path.size() >= sizeof(name.sun_path)) {
    throw Refusal{options::kExitUsage, "the path is longer than one of a socket can be"};
  }
  address.path.copy(name.sun_path, address.path.size());
  return Connect(reinterpret_cast<const sockaddr*>(&name), sizeof(name), until);
}

/// A name may stand for several addresses: the first one that takes the connection answers for it.
std::unique_ptr<ClientSocket> Connect(const options::TcpAddress& address, Clock::time_point until) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  // The host listens on every address of its machine: it is asked on this one.
  const std::string host = address.host == "*" ? "localhost" : address.host;
  const int error =
      ::getaddrinfo(host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) throw Refusal{options::kExitUnavailable, ::gai_strerror(error)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  for (const addrinfo* entry = found;; entry = entry->ai_next) {
    try {
      return Connect(entry->ai_addr, entry->ai_addrlen, until);
    } catch (const Refusal&) {
      if (entry->ai_next == nullptr) throw;
    }
  }
}

std::unique_ptr<ClientSocket> Connect(const options::ListenAddress& address,
                                      Clock::time_point until) {
  if (const auto* const unix_address = std::get_if<options::UnixAddress>(&address)) {
    return Connect(*unix_address, until);
  }
  if (const auto* const tcp = std::get_if<options::TcpAddress>(&address)) {
    return Connect(*tcp, until);
  }
  throw Refusal{options::kExitUsage,
                "it is inherited by the host, and cannot be connected to: give the address that it "
                "is bound to"};
}

/// What came back.
class Answer final : private fastcgi::RecordParser::IVisitor {
 public:
  /// False: that is not FastCGI.
  [[nodiscard]] bool Feed(std::string_view bytes) { return parser_.Feed(bytes, *this); }
  [[nodiscard]] bool HasValues() const noexcept { return has_values_; }
  /// END_REQUEST, and of what kind.
  [[nodiscard]] std::optional<fastcgi::ProtocolStatus> End() const noexcept { return end_; }
  /// What the request was answered with; nothing: no whole block of header fields.
  [[nodiscard]] std::optional<int> Status() const {
    std::string_view rest = head_;
    std::optional<int> status;
    while (true) {
      const std::size_t end = rest.find('\n');
      if (end == std::string_view::npos) return std::nullopt;
      std::string_view line = rest.substr(0, end);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty()) return status.value_or(200);
      constexpr std::string_view kField = "Status:";
      if (mappings::EqualsIgnoringCase(line.substr(0, kField.size()), kField)) {
        line.remove_prefix(std::min(line.find_first_not_of(' ', kField.size()), line.size()));
        int number = 0;
        std::from_chars(line.data(), line.data() + line.size(), number);
        status = number;
      }
      rest.remove_prefix(end + 1);
    }
  }

 private:
  bool OnRecordStart(const fastcgi::RecordHeader& header) override {
    record_ = header;
    content_.clear();
    return true;
  }
  bool OnContent(std::string_view bytes) override {
    if (record_.type == RecordType::kStdout) {
      head_.append(bytes.substr(0, kMaxHeadBytes - std::min(kMaxHeadBytes, head_.size())));
    } else if (record_.type == RecordType::kEndRequest) {
      content_.append(bytes);
    }
    return true;
  }
  bool OnRecordEnd() override {
    if (record_.type == RecordType::kGetValuesResult) has_values_ = true;
    if (record_.type == RecordType::kEndRequest && record_.id == kRequestId &&
        content_.size() >= 5) {
      end_ = static_cast<fastcgi::ProtocolStatus>(content_[4]);
    }
    return true;
  }

  fastcgi::RecordParser parser_;
  fastcgi::RecordHeader record_{};
  std::string content_;
  std::string head_;
  bool has_values_ = false;
  std::optional<fastcgi::ProtocolStatus> end_;
};

std::string ValuesRequest() {
  std::string names;
  fastcgi::AppendPair(names, "FCGI_MAX_CONNS", "");
  std::string bytes;
  fastcgi::AppendRecord(bytes, RecordType::kGetValues, fastcgi::kManagementId, names);
  return bytes;
}

/// As a web server sends it.
std::string UrlRequest(const options::Settings& settings, const RequestUrl& url) {
  const std::string host = settings.host.empty() ? "localhost" : settings.host;
  std::string params;
  const auto add = [&params](std::string_view name, std::string_view value) {
    fastcgi::AppendPair(params, name, value);
  };
  add("GATEWAY_INTERFACE", "CGI/1.1");
  add("SERVER_SOFTWARE", "weft-ping/" + std::string(options::Version()));
  add("SERVER_PROTOCOL", "HTTP/1.1");
  add("SERVER_NAME", host);
  add("SERVER_PORT", "80");
  add("REMOTE_ADDR", "127.0.0.1");
  add("REQUEST_METHOD", "GET");
  add("REQUEST_URI", settings.ping_path);
  add("QUERY_STRING", url.query);
  add("SCRIPT_NAME", url.path);
  if (!settings.document_root.empty()) {
    add("DOCUMENT_ROOT", settings.document_root.string());
    add("SCRIPT_FILENAME", settings.document_root.string() + url.path);
  }
  add("HTTP_HOST", host);
  add("HTTP_USER_AGENT", "weft-ping/" + std::string(options::Version()));

  std::string begin(8, '\0');
  begin[1] = static_cast<char>(fastcgi::Role::kResponder);
  std::string bytes;
  fastcgi::AppendRecord(bytes, RecordType::kBeginRequest, kRequestId, begin);
  // An option of the command line may be long.
  constexpr std::size_t kStep = 32 * 1024;
  for (std::string_view rest = params; !rest.empty();
       rest.remove_prefix(std::min(kStep, rest.size()))) {
    fastcgi::AppendRecord(bytes, RecordType::kParams, kRequestId, rest.substr(0, kStep));
  }
  fastcgi::AppendRecord(bytes, RecordType::kParams, kRequestId, {});
  fastcgi::AppendRecord(bytes, RecordType::kStdin, kRequestId, {});
  return bytes;
}

/// Until what was asked for has come.
Answer Ask(const ClientSocket& socket, std::string_view request, bool for_values,
           Clock::time_point until) {
  while (!request.empty()) {
    LimitWait(socket, until);
    const ssize_t count = ::send(socket.Number(), request.data(), request.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) Fail(errno);
    request.remove_prefix(static_cast<std::size_t>(count));
  }
  Answer answer;
  std::array<char, 16 * 1024> piece;
  bool any = false;
  while (for_values ? !answer.HasValues() : !answer.End()) {
    LimitWait(socket, until);
    const ssize_t count = ::recv(socket.Number(), piece.data(), piece.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && !(any && errno == ECONNRESET)) Fail(errno);
    if (count <= 0) {
      if (!any) Fail(ECONNRESET);
      throw Refusal{kExitNotWell, "the connection was ended in the middle of the answer"};
    }
    any = true;
    if (!answer.Feed(std::string_view(piece.data(), static_cast<std::size_t>(count)))) {
      throw Refusal{options::kExitUnavailable, "what answers there does not speak FastCGI"};
    }
  }
  return answer;
}

std::string Milliseconds(Clock::duration time) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  std::string text = std::to_string(us / 1000) + "." + std::to_string(us % 1000 / 100);
  return text + " ms";
}

/// Throws Refusal where all is not well.
std::string Line(const options::Settings& settings, const options::ListenAddress& address,
                 const std::optional<RequestUrl>& url) {
  const auto begun = Clock::now();
  const auto until = begun + settings.ping_timeout;
  const std::unique_ptr<ClientSocket> socket = Connect(address, until);
  const Answer answer =
      Ask(*socket, url ? UrlRequest(settings, *url) : ValuesRequest(), !url, until);
  const std::string after = " after " + Milliseconds(Clock::now() - begun);
  if (!url) return "a worker has answered" + after;
  if (*answer.End() != fastcgi::ProtocolStatus::kRequestComplete) {
    throw Refusal{kExitNotWell, "the host has refused the request" + after};
  }
  const std::optional<int> status = answer.Status();
  if (!status) throw Refusal{kExitNotWell, "the answer has no header block"};
  const std::string line = settings.ping_path + ": " + std::to_string(*status) + after;
  if (*status < 100 || *status >= 500) throw Refusal{kExitNotWell, line};
  return line;
}

/// Of two exit codes the one that says more: nobody answers, before somebody does badly.
int Worse(int one, int other) {
  if (one == options::kExitOk || (one == kExitNotWell && other != options::kExitOk)) return other;
  return one;
}

}  // namespace

int Ping(const options::Settings& settings) {
  if (settings.listen.empty()) {
    std::cerr << "weft: whom to ask is not known: give --listen ADDRESS, or WEFT_LISTEN, or the "
                 "host's --config, as for 'weft serve'\n";
    return options::kExitUsage;
  }
  std::optional<RequestUrl> url;
  if (!settings.ping_path.empty()) {
    url = ParseRequestUrl(settings.ping_path);
    if (!url) {
      std::cerr << "weft: --path: " + options::Quoted(settings.ping_path) +
                       " has a broken percent-escape: write it like /health.ashx?full=1\n";
      return options::kExitUsage;
    }
  }
  int exit_code = options::kExitOk;
  for (const options::ListenAddress& address : settings.listen) {
    const std::string prefix = options::ToString(address) + ": ";
    try {
      std::cout << prefix + Line(settings, address, url) + "\n";
    } catch (const Refusal& refusal) {
      std::cerr << "weft: " + prefix + refusal.sentence + "\n";
      exit_code = Worse(exit_code, refusal.exit_code);
    }
  }
  std::cout << std::flush;
  return std::cout.good() ? exit_code : options::kExitInputOutput;
}

}  // namespace weft::host::tools
