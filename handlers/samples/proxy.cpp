#include <array>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <weft/weft.hpp>
#include "handlers/samples/connection_pool.hpp"
#include "handlers/samples/upstream.hpp"

namespace samples {

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kPieceBytes = 32 * 1024;
constexpr std::string_view kAccel = "X-Accel-";
/// Of an answer, before it is understood. Its header block may have 8 KiB; what frames its body has no bound of its own.
constexpr std::size_t kBufferBytes = 64 * 1024;

/// The section `proxy` of the mapping files.
struct ProxySettings {
  Upstream upstream;
  std::size_t connections;
  std::chrono::milliseconds timeout;  // of each wait for the upstream
};

ProxySettings ParseProxySettings(std::string_view text) {
  const auto json = nlohmann::json::parse(text);
  return {.upstream = ParseUpstream(json.value("upstream", "")),
          .connections = json.value("connections", std::size_t{32}),
          .timeout = std::chrono::milliseconds(json.value("timeoutMilliseconds", 30'000))};
}

struct UpstreamConnection {
  explicit UpstreamConnection(const ProxySettings& settings) : stream(weft::GetAsioExecutor()) {
    Connect(stream, settings.upstream, settings.timeout);
  }

  /// An idle connection on which something comes is one that the upstream has closed.
  bool IsQuiet() {
    boost::system::error_code error;
    char byte = 0;
    auto& socket = stream.socket();
    socket.non_blocking(true, error);
    if (!error) {
      socket.receive(boost::asio::buffer(&byte, 1), boost::asio::socket_base::message_peek, error);
    }
    return error == boost::asio::error::would_block;
  }

  beast::tcp_stream stream;
  // What was read too much of the last answer: nothing, from a good upstream.
  beast::flat_buffer buffer{kBufferBytes};
};

struct ProxiedSite {
  ProxySettings settings;
  std::shared_ptr<ConnectionPool<UpstreamConnection>> pool;
};
using ProxiedSites = PerSection<ProxiedSite>;

struct IgnoreCase {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const noexcept {
    return beast::iless()(beast::string_view(a.data(), a.size()),
                          beast::string_view(b.data(), b.size()));
  }
};

/// The fields that are for the next hop alone (RFC 9110, section 7.6.1): these, and those that Connection names.
std::set<std::string, IgnoreCase> HopByHop(beast::string_view connection) {
  std::set<std::string, IgnoreCase> names{"Connection",
                                          "Keep-Alive",
                                          "Proxy-Authenticate",
                                          "Proxy-Authorization",
                                          "Proxy-Connection",
                                          "TE",
                                          "Trailer",
                                          "Transfer-Encoding",
                                          "Upgrade"};
  for (const auto name : http::token_list(connection)) {
    names.emplace(name);
  }
  return names;
}

/// What the web server in front of Weft would obey, and the upstream has no say in: the status by another way, and files of
/// this machine.
bool IsForTheWebServer(std::string_view name) {
  return weft::EqualsIgnoreCase(name, "Status") || weft::EqualsIgnoreCase(name, "X-Sendfile") ||
         weft::EqualsIgnoreCase(name, "X-Sendfile2") ||
         weft::EqualsIgnoreCase(name, "X-LIGHTTPD-send-file") ||
         weft::EqualsIgnoreCase(name.substr(0, kAccel.size()), kAccel);
}

/// `text` as it may stand in a request line, where `reserved` may not stand for itself.
std::string Encoded(std::string_view text, std::string_view reserved) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (const auto byte = static_cast<unsigned char>(c);
        byte <= ' ' || byte >= 0x7f || reserved.find(c) != std::string_view::npos) {
      encoded.append({'%', kDigits[byte / 16], kDigits[byte % 16]});
    } else {
      encoded += c;
    }
  }
  return encoded;
}

template <typename Fields>
void AddVia(Fields& fields, std::string_view version) {
  const auto before = fields[http::field::via];
  fields.set(http::field::via, (before.empty() ? std::string() : std::string(before) + ", ") +
                                   std::string(version) + " weft");
}

/// RFC 7239, section 4: addresses of IPv6, and whatever else is no token, in quotes.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
    }
    quoted += c;
  }
  return quoted + '"';
}

std::string ForwardedElement(const weft::HttpRequest& request) {
  const auto address = request.UserHostAddress();
  std::string element = "for=" + Quoted(address.find(':') == std::string_view::npos
                                            ? std::string(address)
                                            : "[" + std::string(address) + "]");
  element += request.IsSecureConnection() ? ";proto=https" : ";proto=http";
  if (const auto host = request.Headers().Find("Host")) {
    element += ";host=" + Quoted(*host);
  }
  return element;
}

/// The upstream has failed: what its error is to the client.
[[noreturn]] void ThrowFailed(const boost::system::error_code& error) {
  throw weft::HttpException(error == beast::error::timeout ? 504 : 502, {},
                            "the upstream: " + error.message());
}

}  // namespace

/// /proxy.ashx/PATH: what the upstream of the section `proxy` answers for PATH, in both directions as it comes. 502: it
/// cannot be reached, or does not speak HTTP; 503: every connection is busy; 504: it takes too long.
///
/// An answer that comes while the body is still being sent is passed on as soon as it is an error, or closes the connection (413,
/// 401): the upstream does not want the rest (RFC 9112, section 9.5). Any other is read when the body has been sent: an upstream
/// that answers at length while it reads gets stuck, and 504 is answered.
class Proxy : public weft::IHttpAsyncHandler, public weft::IHttpBufferlessHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto site = context.Application().Find<ProxiedSites>()->Get(
        context.GetSection("proxy").value_or("{}"), [](std::string_view text) {
          auto settings = ParseProxySettings(text);
          auto pool = std::make_shared<ConnectionPool<UpstreamConnection>>(settings.connections);
          return ProxiedSite{std::move(settings), std::move(pool)};
        });
    // The first piece tells whether there is a body where its length is not announced.
    std::array<char, kPieceBytes> piece;
    auto& body = context.Request().GetBufferlessInputStream();
    const std::size_t first = body.Read(piece);
    auto request = MakeRequest(context.Request(), site->settings.upstream, first != 0);

    auto lease = ConnectionPool<UpstreamConnection>::Borrow(site->pool,
                                                            Clock::now() + site->settings.timeout);
    if (lease.connection && !lease.connection->IsQuiet()) {
      lease.connection.reset();
    }
    const bool may_repeat =
        lease.connection != nullptr && first == 0 &&
        (request.method() == http::verb::get || request.method() == http::verb::head);
    const Call call{context.Request(), request, body, piece, first, site->settings.timeout};
    try {
      if (!lease.connection) {
        lease.connection = std::make_unique<UpstreamConnection>(site->settings);
      }
      std::optional<Answer> answer;
      bool sent = true;
      auto error = Ask(*lease.connection, call, answer, sent);
      if (error && error != beast::error::timeout && may_repeat) {
        // Closed by the upstream at the very moment at which it was to be used.
        lease.connection = std::make_unique<UpstreamConnection>(site->settings);
        error = Ask(*lease.connection, call, answer, sent);
      }
      if (error) {
        ThrowFailed(error);
      }
      CopyHead(answer->get(), context.Response());
      CopyBody(*lease.connection, *answer, context.Response(), piece, call.limit);
      if (sent && answer->keep_alive() && lease.connection->buffer.size() == 0) {
        lease.connection->stream.expires_never();
        lease.Keep();
      }
    } catch (const boost::system::system_error& error) {
      ThrowFailed(error.code());
    }
  }
  bool IsReusable() const override { return true; }

 private:
  using Request = http::request<http::buffer_body>;
  using Answer = http::response_parser<http::buffer_body>;

  static Request MakeRequest(const weft::HttpRequest& from, const Upstream& upstream,
                             bool has_body) {
    Request request;
    request.version(11);
    request.method_string(std::string(from.HttpMethod()));
    std::string target = upstream.target.substr(0, upstream.target.find('?'));
    if (target.back() == '/' && !from.PathInfo().empty()) {
      target.pop_back();
    }
    target += Encoded(from.PathInfo(), "%?#\"<>[\\]^`{|}");
    if (!from.QueryStringText().empty()) {
      target += '?' + Encoded(from.QueryStringText(), "#");  // a web server may have decoded it
    }
    request.target(target);

    const auto connection = from.Headers().Find("Connection").value_or("");
    const auto dropped = HopByHop(beast::string_view(connection.data(), connection.size()));
    for (const auto& [name, value] : from.Headers()) {
      if (!dropped.contains(name) && !weft::EqualsIgnoreCase(name, "Content-Length") &&
          !weft::EqualsIgnoreCase(name, "Expect")) {
        request.insert(name, value);
      }
    }
    request.set(http::field::host, upstream.authority);
    AddVia(request, "1.1");
    const std::string before(request[http::field::forwarded]);
    request.set(http::field::forwarded,
                (before.empty() ? "" : before + ", ") + ForwardedElement(from));
    if (const auto length = from.ContentLength(); length && (has_body || *length == 0)) {
      request.content_length(*length);
    } else if (has_body) {
      request.chunked(true);
    }
    return request;
  }

  /// What is asked of the upstream.
  struct Call {
    const weft::HttpRequest& from;
    Request& request;
    weft::HttpInputStream& body;
    std::array<char, kPieceBytes>& piece;
    std::size_t first;  // of the body, in `piece`
    std::chrono::milliseconds limit;
  };

  /// Sends the request, and reads the head of its answer, which may come before all of the body has been sent. Returns what the
  /// upstream did wrong. `sent`: whether it took the whole request.
  static boost::system::error_code Ask(UpstreamConnection& connection, const Call& call,
                                       std::optional<Answer>& answer, bool& sent) {
    if (call.first == 0 || call.first == call.from.ContentLength()) {
      sent = Send(connection, call);
      return ReadHead(connection, call, answer, [] { return false; });
    }
    auto sending = weft::Async([&] { return Send(connection, call); });
    const auto error = ReadHead(connection, call, answer, [&] {
      if (sending.IsValid() && connection.buffer.size() == 0) {
        WaitForAnswer(connection, sending);
      }
      if (sending.IsValid() && sending.IsReady()) {
        sent = sending.Get();  // or what ended it
      }
      return sending.IsValid();
    });
    if (error || !sending.IsValid()) {
      return error;
    }
    if (answer->get().result_int() >= 400 || !answer->keep_alive()) {
      sending.Cancel();
      sending.Wait();
      sent = false;
    } else {
      sent = sending.Get();
    }
    return {};
  }

  /// Until the upstream says something, or the request has been sent: then it has to, within its time limit.
  static void WaitForAnswer(UpstreamConnection& connection, const weft::Task<bool>& sending) {
    const auto answering = weft::Async([&] {
      boost::system::error_code error;
      connection.stream.socket().async_wait(boost::asio::socket_base::wait_read,
                                            weft::yield[error]);
    });
    weft::WaitFirst(sending, answering);
  }

  /// Sends the request, with its body as it comes. False: the upstream did not take all of it; it may have said why.
  static bool Send(UpstreamConnection& connection, const Call& call) {
    auto& [from, request, body, piece, first, limit] = call;
    auto count = first;
    auto& stream = connection.stream;
    request.body() = {.data = nullptr, .size = 0, .more = count != 0};
    http::request_serializer<http::buffer_body> serializer(request);
    boost::system::error_code error;
    stream.expires_after(limit);
    http::async_write_header(stream, serializer, weft::yield[error]);
    while (!error && !serializer.is_done()) {
      request.body() = {
          .data = count == 0 ? nullptr : piece.data(), .size = count, .more = count != 0};
      stream.expires_after(limit);
      http::async_write(stream, serializer, weft::yield[error]);
      if (error == http::error::need_buffer) {
        error = {};
        count = body.Read(piece);
      }
    }
    if (error == beast::error::timeout) {
      ThrowFailed(error);
    }
    return !error;
  }

  /// `wait`: what is waited for before each of its heads is read; whether the request is still being sent then.
  template <typename Wait>
  static boost::system::error_code ReadHead(UpstreamConnection& connection, const Call& call,
                                            std::optional<Answer>& answer, Wait wait) {
    boost::system::error_code error;
    auto end = Clock::now() + call.limit;
    do {  // an interim answer is for this hop; all of them behind the request have the time of one
      if (wait()) {
        end = Clock::now() + call.limit;
      } else if (Clock::now() >= end) {
        return beast::error::timeout;  // the stream tells it only to who waits
      }
      answer.emplace();
      answer->body_limit(boost::none);
      answer->skip(call.from.HttpMethod() == "HEAD");
      connection.stream.expires_at(end);
      http::async_read_header(connection.stream, connection.buffer, *answer, weft::yield[error]);
    } while (!error && answer->get().result_int() / 100 == 1 && answer->get().result_int() != 101);
    if (!error && (answer->get().result_int() < 200 || answer->get().result_int() > 599)) {
      error = http::error::bad_status;
    }
    return error;
  }

  static void CopyHead(http::response<http::buffer_body>& from, weft::HttpResponse& to) {
    to.ClearHeaders();
    to.SetContentType({});
    to.SetCompression(weft::Compression::kOff);
    to.SetStatusCode(static_cast<int>(from.result_int()));
    const auto dropped = HopByHop(from[http::field::connection]);
    AddVia(from, from.version() == 10 ? "1.0" : "1.1");
    for (const auto& field : from) {
      const std::string name(field.name_string());
      if (!dropped.contains(name) && !IsForTheWebServer(name)) {
        to.AppendHeader(name, std::string(field.value()));
      }
    }
  }

  static void CopyBody(UpstreamConnection& connection, Answer& answer, weft::HttpResponse& to,
                       std::array<char, kPieceBytes>& piece, std::chrono::milliseconds limit) {
    to.SetBufferOutput(
        false);  // each piece goes to the client, who is waited for, before the next is read
    while (!answer.is_done()) {
      answer.get().body() = {.data = piece.data(), .size = piece.size(), .more = true};
      boost::system::error_code error;
      connection.stream.expires_after(limit);
      http::async_read_some(connection.stream, connection.buffer, answer, weft::yield[error]);
      if (error && error != http::error::need_buffer) {
        ThrowFailed(error);  // behind the header block: the answer is cut
      }
      if (const auto count = piece.size() - answer.get().body().size; count != 0) {
        to.Write(std::string_view(piece.data(), count));
      }
    }
  }
};

}  // namespace samples

WEFT_MODULE(registry) {
  registry.OnStart([](weft::HttpApplicationState& application) {
    application.Emplace<samples::ProxiedSites>({});
  });
  weft::AddHandler<samples::Proxy>(registry, "samples::Proxy");
}
