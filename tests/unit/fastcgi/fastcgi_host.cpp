#include "tests/unit/fastcgi/fastcgi_host.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "mappings/loader.hpp"

namespace weft::test {

namespace fastcgi = host::fastcgi;

std::ptrdiff_t MemorySocket::Send(std::string_view bytes) {
  if (gone) {
    return -1;
  }
  const auto taken = bytes.substr(0, takes);
  takes -= taken.size();
  sent.append(taken);
  if (!taken.empty()) {
    writes.push_back(taken.size());
  }
  return static_cast<std::ptrdiff_t>(taken.size());
}

std::ptrdiff_t MemorySocket::SendPieces(std::span<const std::string_view> pieces) {
  REQUIRE(pieces.size() <= kMaxPieces);
  std::string bytes;
  for (const auto piece : pieces) {
    bytes.append(piece);
  }
  return Send(bytes);
}

std::ptrdiff_t MemorySocket::SendPiped(std::string_view before, int pipe, std::size_t bytes) {
  const auto first = Send(before);
  if (first != static_cast<std::ptrdiff_t>(before.size())) {
    return first;
  }
  std::string content(std::min(bytes, takes), '\0');
  for (std::size_t at = 0; at < content.size();) {
    const auto count = read(pipe, content.data() + at, content.size() - at);
    REQUIRE(count > 0);
    at += static_cast<std::size_t>(count);
  }
  return first + Send(content);
}

testsupport::ResponseCollector MemorySocket::Answers() const {
  testsupport::ResponseCollector collector;
  collector.Feed(sent);
  return collector;
}

namespace {

/// Answers with the test's functions, by path.
class TestFactory final : public IHttpHandlerFactory {
 public:
  struct Served {
    FastCgiHost::Kind kind;
    FastCgiHost::Function function;
  };
  using Table = std::map<std::string, Served, std::less<>>;

  explicit TestFactory(std::shared_ptr<const Table> table) : table_(std::move(table)) {}

  std::unique_ptr<IHttpHandler> GetHandler(HttpContext&, std::string_view,
                                           std::string_view file_path, std::string_view) override {
    const auto at = table_->find(file_path);
    if (at == table_->end()) {
      throw HttpException(404);
    }
    switch (at->second.kind) {
      case FastCgiHost::Kind::kAsync:
        return std::make_unique<Async>(at->second.function);
      case FastCgiHost::Kind::kBufferless:
        return std::make_unique<Bufferless>(at->second.function);
      case FastCgiHost::Kind::kPlainBufferless:
        return std::make_unique<PlainBufferless>(at->second.function);
      case FastCgiHost::Kind::kPlain:
        break;
    }
    return std::make_unique<Plain>(at->second.function);
  }
  void ReleaseHandler(std::unique_ptr<IHttpHandler>) override {}

 private:
  template <typename... Bases>
  class Calls : public Bases... {
   public:
    explicit Calls(FastCgiHost::Function function) : function_(std::move(function)) {}
    void ProcessRequest(HttpContext& context) override { function_(context); }
    bool IsReusable() const override { return false; }

   private:
    FastCgiHost::Function function_;
  };
  using Plain = Calls<IHttpHandler>;
  using Async = Calls<IHttpAsyncHandler>;
  using PlainBufferless = Calls<IHttpHandler, IHttpBufferlessHandler>;
  using Bufferless = Calls<IHttpAsyncHandler, IHttpBufferlessHandler>;

  std::shared_ptr<const Table> table_;
};

class Nothing final : public IHttpHandler {
 public:
  void ProcessRequest(HttpContext&) override {}
  bool IsReusable() const override { return false; }
};

std::shared_ptr<TestFactory::Table> g_served;

class TestTask final : public host::runtime::ITask {
 public:
  TestTask(host::runtime::Runtime& runtime, const FastCgiHost::Options& options,
           const std::function<void(FastCgiHost&)>& test)
      : runtime_(runtime), options_(options), test_(test) {}

  void Run() noexcept override {
    try {
      FastCgiHost host(runtime_, options_);
      test_(host);
      // What the test's handlers captured is gone now: none may still run.
      CHECK(runtime_.FibersInUse() == 1);
    } catch (...) {
      error = std::current_exception();
    }
    runtime_.Stop();
  }

  std::exception_ptr error;

 private:
  host::runtime::Runtime& runtime_;
  const FastCgiHost::Options& options_;
  const std::function<void(FastCgiHost&)>& test_;
};

}  // namespace

void FastCgiHost::Run(const Options& options, const std::function<void(FastCgiHost&)>& test) {
  host::runtime::Runtime runtime({.stack_bytes = 1024 * 1024});
  TestTask task(runtime, options, test);
  runtime.Spawn(task);
  runtime.Run();
  if (task.error) {
    std::rethrow_exception(task.error);
  }
}

FastCgiHost::FastCgiHost(host::runtime::Runtime& runtime, const Options& options)
    : runtime_(runtime),
      options_(options),
      access_log_({}),
      resolver_({}),
      pipeline_(runtime, access_log_,
                {.max_requests = 20'000,
                 .max_request_bytes = options.limits.max_request_bytes,
                 .max_buffered_bytes = options.max_buffered_bytes,
                 .output_buffer_bytes = options.limits.output_buffer_bytes}),
      responder_(runtime, pipeline_, options.body_timeout) {
  g_served = std::make_shared<TestFactory::Table>();
  auto& classes = resolver_.BuiltIn();
  classes.AddFactory("weft::SimpleHandlerFactory", std::make_unique<TestFactory>(g_served));
  for (const auto* name : {"weft::StaticFileHandler", "weft::HttpForbiddenHandler",
                           "weft::HttpNotFoundHandler", "weft::HttpMethodNotAllowedHandler"}) {
    AddHandler<Nothing>(classes, name);
  }
  const auto loaded = mappings::Load({});
  auto handlers = std::make_shared<const host::handling::HandlerTable>(loaded.table, resolver_);
  REQUIRE(handlers->Problems().empty());
  pipeline_.SetHandlers(std::move(handlers));
}

FastCgiHost::~FastCgiHost() {
  for (auto& peer : peers_) {
    peer->connection->Abandon(fastcgi::IConnectionSocket::Ending::kNow);
  }
  // The test's own fiber is the last one.
  while (runtime_.FibersInUse() > 1) {
    host::runtime::FiberEvent wait;
    static_cast<void>(wait.WaitUntil(Clock::now() + std::chrono::milliseconds(1)));
  }
}

void FastCgiHost::Serve(const std::string& path, Kind kind, Function function) {
  (*g_served)[path] = {kind, std::move(function)};
}

FastCgiHost::Peer& FastCgiHost::Connect() {
  auto& peer = *peers_.emplace_back(std::make_unique<Peer>());
  peer.connection = std::make_unique<fastcgi::Connection>(
      peer.socket, responder_, options_.limits,
      [](void* self, const fastcgi::RefusedRequest& refused) {
        static_cast<FastCgiHost*>(self)->refusals.emplace_back(refused.status, refused.detail);
      },
      this, Clock::now());
  return peer;
}

void FastCgiHost::Peer::Feed(std::string_view bytes) {
  connection->OnBytes(bytes, Clock::now());
  Settle();
}

void FastCgiHost::EndAll() {
  CancelAll(CancellationReason::kShutdown);
  Await([this] { return runtime_.FibersInUse() == 1; });
}

void FastCgiHost::Settle() {
  // Each turn lets every fiber that is ready run once; no request takes as many wake-ups without waiting
  // for something that the test must do.
  for (int i = 0; i < 16; ++i) {
    host::runtime::YieldFiber();
  }
}

void FastCgiHost::Await(const std::function<bool()>& condition) {
  const auto give_up = Clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    REQUIRE(Clock::now() < give_up);
    host::runtime::FiberEvent wait;
    static_cast<void>(wait.WaitUntil(Clock::now() + std::chrono::milliseconds(1)));
  }
}

void Hello(HttpContext& context) {
  context.Response().SetContentType("text/plain");
  context.Response().Write("hello");
}

void EchoBody(HttpContext& context) {
  const auto body = context.Request().Body();
  context.Response().SetContentType("text/plain");
  context.Response().Write(std::to_string(body.size()) + ":" + std::string(body));
}

namespace {

testsupport::Pairs ParamsOf(std::string_view url, std::size_t body_bytes) {
  testsupport::WebRequest request{.method = body_bytes == 0 ? "GET" : "POST",
                                  .url = std::string(url)};
  request.body_bytes = body_bytes;
  return testsupport::MakeParams(testsupport::WebServer::kNginx, request);
}

}  // namespace

std::string Begin(std::uint16_t id) {
  return testsupport::EncodeBegin(id, testsupport::Role::kResponder,
                                  testsupport::Connection::kKeep);
}

std::string Params(std::uint16_t id, std::string_view url, std::size_t body_bytes) {
  return testsupport::EncodeStream(testsupport::RecordType::kParams, id,
                                   testsupport::EncodePairs(ParamsOf(url, body_bytes)));
}

std::string Stdin(std::uint16_t id, std::string_view bytes) {
  return testsupport::EncodeRecord(testsupport::RecordType::kStdin, id, bytes);
}

std::string RequestBytes(std::uint16_t id, std::string_view url, std::string_view body,
                         testsupport::Connection connection) {
  return testsupport::EncodeRequest({.params = ParamsOf(url, body.size()),
                                     .body = std::string(body),
                                     .id = id,
                                     .connection = connection});
}

testsupport::CgiResponse AnswerTo(const MemorySocket& socket, std::uint16_t id) {
  auto answers = socket.Answers();
  const auto result = answers.TakeEnded(id);
  REQUIRE(result);
  CHECK(result->protocol_status == testsupport::ProtocolStatus::kRequestComplete);
  return testsupport::ParseCgiResponse(result->stdout_bytes);
}

}  // namespace weft::test
