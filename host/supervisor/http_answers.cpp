#include "host/supervisor/http_answers.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string_type.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/verb.hpp>
#include <boost/optional.hpp>
#include <cstdint>

namespace weft::host::supervisor {
namespace {

namespace http = boost::beast::http;

constexpr std::string_view kPlainText = "text/plain; charset=utf-8";

struct Reply {
  int status = 200;
  std::string_view phrase = "OK";
  std::string_view type = kPlainText;
  std::string body{};
  std::string_view more_fields{};
};

std::string Text(const Reply& reply, bool with_body) {
  std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " ";
  text.append(reply.phrase).append("\r\nContent-Type: ").append(reply.type);
  text.append("\r\nContent-Length: ").append(std::to_string(reply.body.size()));
  text.append("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
  text.append(reply.more_fields).append("Connection: close\r\n\r\n");
  if (with_body) text += reply.body;
  return text;
}

Reply Failure(int status, std::string_view phrase) {
  return {.status = status, .phrase = phrase, .body = std::string(phrase) + "\n"};
}

/// Without the query, and without the host where a proxy asks.
std::string_view PathOf(std::string_view target) {
  if (target.starts_with("http://")) {
    const std::size_t slash = target.find('/', std::string_view("http://").size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target.substr(0, target.find('?'));
}

Reply ReplyTo(std::string_view path, const std::function<observe::HostReport()>& report) {
  if (path == "/metrics") {
    return {.type = observe::kOpenMetricsType, .body = observe::ReportToOpenMetrics(report())};
  }
  if (path == "/live") return {.body = "live\n"};
  if (path == "/ready") {
    std::string why_not;
    if (report().IsReady(&why_not)) return {.body = "ready\n"};
    return {.status = 503,
            .phrase = "Service Unavailable",
            .body = why_not + "\n",
            .more_fields = "Retry-After: 1\r\n"};
  }
  Reply missing = Failure(404, "Not Found");
  missing.body += "There are /metrics, /live and /ready.\n";
  return missing;
}

}  // namespace

std::string AnswerHttp(std::string_view head, const std::function<observe::HostReport()>& report) {
  if (head.size() > kHttpFraming.max_bytes) {
    return Text(Failure(431, "Request Header Fields Too Large"), true);
  }
  http::request_parser<http::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(2 * kHttpFraming.max_bytes));
  parser.body_limit(boost::none);
  const std::string whole = std::string(head) + std::string(kHttpFraming.end);
  boost::system::error_code error;
  parser.put(boost::asio::const_buffer(whole.data(), whole.size()), error);
  if (!parser.is_header_done()) return Text(Failure(400, "Bad Request"), true);
  const auto& request = parser.get();
  const http::verb method = request.method();
  if (method != http::verb::get && method != http::verb::head) {
    Reply refused = Failure(405, "Method Not Allowed");
    refused.more_fields = "Allow: GET, HEAD\r\n";
    return Text(refused, true);
  }
  const std::string_view target(request.target().data(), request.target().size());
  return Text(ReplyTo(PathOf(target), report), method == http::verb::get);
}

}  // namespace weft::host::supervisor
