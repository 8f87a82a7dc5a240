#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <weft/weft.hpp>
#include "handlers/samples/upstream.hpp"

namespace samples {

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostUpstreams = 100;
constexpr std::size_t kMostBodyBytes = 256 * 1024;
constexpr std::size_t kMostBufferBytes = 64 * 1024;  // of what is not yet understood

struct Outcome {
  int status = 0;  // 0: none came
  std::size_t bytes = 0;
  std::string error{};
  std::chrono::duration<double, std::milli> time{};
};

int Get(const std::string& url, std::chrono::milliseconds limit, std::size_t& bytes) {
  const auto upstream = ParseUpstream(url);
  beast::tcp_stream stream(weft::GetAsioExecutor());
  Connect(stream, upstream, limit);
  http::request<http::empty_body> request(http::verb::get, upstream.target, 11);
  request.set(http::field::host, upstream.authority);
  request.set(http::field::connection, "close");
  http::async_write(stream, request, weft::yield);
  beast::flat_buffer buffer(kMostBufferBytes);
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMostBodyBytes);
  http::async_read(stream, buffer, parser, weft::yield);
  bytes = parser.get().body().size();
  return parser.get().result_int();
}

/// What came of one call. It fails alone: only the end of the request is thrown.
Outcome Call(const std::string& url, std::chrono::milliseconds limit) {
  Outcome outcome;
  const auto begin = Clock::now();
  try {
    outcome.status = Get(url, limit, outcome.bytes);
  } catch (const weft::OperationCancelled&) {
    throw;
  } catch (const boost::system::system_error& error) {
    outcome.error = error.code() == beast::error::timeout ? "timed out" : error.code().message();
  } catch (const std::exception& error) {
    outcome.error = error.what();
  }
  outcome.time = Clock::now() - begin;
  return outcome;
}

}  // namespace

/// /fanout.ashx: asks every upstream of the section `fanout` at once, and tells of each its status and its time.
class Fanout : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto settings = nlohmann::json::parse(context.GetSection("fanout").value_or("{}"));
    const auto urls = settings.value("upstreams", std::vector<std::string>());
    const std::chrono::milliseconds limit(settings.value("timeoutMilliseconds", 1000));
    if (urls.empty() || urls.size() > kMostUpstreams) {
      throw weft::HttpException(500, {}, "the section \"fanout\" is to name 1 to 100 upstreams");
    }

    const auto begin = Clock::now();
    std::vector<weft::Task<Outcome>> calls;
    for (const auto& url : urls) {
      calls.push_back(weft::Async([&url, limit] { return Call(url, limit); }));
    }
    nlohmann::ordered_json answers = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const auto outcome = calls[i].Get();
      nlohmann::ordered_json answer{{"upstream", urls[i]}, {"milliseconds", outcome.time.count()}};
      if (outcome.error.empty()) {
        answer["status"] = outcome.status;
        answer["bytes"] = outcome.bytes;
      } else {
        answer["error"] = outcome.error;
      }
      answers.push_back(std::move(answer));
    }
    const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
    const nlohmann::ordered_json json{{"milliseconds", time.count()}, {"upstreams", answers}};
    auto& response = context.Response();
    response.SetContentType("application/json");
    response.Write(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    response.Write("\n");
  }
  bool IsReusable() const override { return true; }
};

}  // namespace samples

WEFT_MODULE(registry) { weft::AddHandler<samples::Fanout>(registry, "samples::Fanout"); }
