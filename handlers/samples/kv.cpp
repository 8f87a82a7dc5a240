#include <hiredis/hiredis.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/weft.hpp>
#include "handlers/samples/connection_pool.hpp"

namespace samples {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostKeyBytes = 256;
constexpr std::size_t kMostValueBytes = 64 * 1024;

/// The section `kv` of the mapping files.
struct KvSettings {
  std::string server;  // unix:PATH, or tcp:HOST:PORT
  std::string prefix;  // of every key, to stay among one's own
  std::size_t connections;
  std::chrono::milliseconds timeout;
};

KvSettings ParseKvSettings(std::string_view text) {
  const auto json = nlohmann::json::parse(text);
  const char* const usual = std::getenv("REDIS_SERVER");
  return {.server = json.value("server", usual == nullptr ? "tcp:127.0.0.1:6379" : usual),
          .prefix = json.value("prefix", "weft:"),
          .connections = json.value("connections", std::size_t{8}),
          .timeout = std::chrono::milliseconds(json.value("timeoutMilliseconds", 2000))};
}

/// The server cannot be reached, has closed the connection, or answers what is no answer.
class ConnectionLost : public std::runtime_error {
 public:
  using runtime_error::runtime_error;
};

struct ReplyEnd {
  void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, ReplyEnd>;

/// One connection: hiredis' non-blocking context, and its reader and writer of the protocol.
class KvConnection {
 public:
  KvConnection(const KvSettings& settings, Clock::time_point deadline) {
    const std::string& server = settings.server;
    // It looks the server's name up, which blocks.
    weft::Offload([&] {
      if (server.starts_with("unix:")) {
        context_.reset(redisConnectUnixNonBlock(server.substr(5).c_str()));
        return;
      }
      const auto colon = server.rfind(':');
      int port = 0;
      if (server.starts_with("tcp:") && colon > 4) {
        std::from_chars(server.data() + colon + 1, server.data() + server.size(), port);
      }
      if (port < 1 || port > 65535) {
        throw weft::HttpException(500, {}, "kv: server is unix:PATH or tcp:HOST:PORT");
      }
      context_.reset(redisConnectNonBlock(server.substr(4, colon - 4).c_str(), port));
    });
    if (!context_ || context_->err != 0) {
      ThrowLost();
    }
    watch_.emplace(context_->fd);
    Require(watch_->WaitWritableUntil(deadline));
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(context_->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
      throw ConnectionLost(std::generic_category().message(error));
    }
  }
  KvConnection(const KvConnection&) = delete;
  KvConnection& operator=(const KvConnection&) = delete;
  ~KvConnection() = default;

  /// Throws ConnectionLost, and HttpException(504) when the deadline comes first. Then it can be used no more.
  Reply Call(std::initializer_list<std::string_view> words, Clock::time_point deadline) {
    std::vector<const char*> texts;
    std::vector<std::size_t> lengths;
    for (const auto word : words) {
      texts.push_back(word.data());
      lengths.push_back(word.size());
    }
    if (redisAppendCommandArgv(context_.get(), static_cast<int>(texts.size()), texts.data(),
                               lengths.data()) != REDIS_OK) {
      ThrowLost();
    }
    for (int done = 0;;) {
      if (redisBufferWrite(context_.get(), &done) != REDIS_OK) {
        ThrowLost();
      }
      if (done != 0) {
        break;
      }
      Require(watch_->WaitWritableUntil(deadline));
    }
    for (;;) {
      void* reply = nullptr;
      if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) {
        ThrowLost();
      }
      if (reply != nullptr) {
        return Reply(static_cast<redisReply*>(reply));
      }
      // Somebody else's value may have any length.
      if (context_->reader->len > 2 * kMostValueBytes) {
        throw weft::HttpException(502, {}, "kv: a value of more than 64 KiB");
      }
      Require(watch_->WaitReadableUntil(deadline));
      if (redisBufferRead(context_.get()) != REDIS_OK) {
        ThrowLost();
      }
    }
  }

 private:
  struct ContextEnd {
    void operator()(redisContext* context) const noexcept { redisFree(context); }
  };

  static void Require(bool in_time) {
    if (!in_time) {
      throw weft::HttpException(504, {}, "kv: the server did not answer in time");
    }
  }
  [[noreturn]] void ThrowLost() const {
    throw ConnectionLost(context_ ? context_->errstr : "hiredis: no memory");
  }

  std::unique_ptr<redisContext, ContextEnd> context_;
  std::optional<weft::DescriptorWatch> watch_;  // goes before the socket is closed
};

struct KvStore {
  KvSettings settings;
  std::shared_ptr<ConnectionPool<KvConnection>> pool;
};
using KvStores = PerSection<KvStore>;

}  // namespace

/// /kv.ashx/KEY: GET, PUT and DELETE of a value in Redis, of at most 64 KiB. 404: there is none; 413: it is too long; 409: it
/// is no text; 503: the server cannot be reached, or every connection is busy; 504: it takes too long.
class Kv : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    auto& request = context.Request();
    auto& response = context.Response();
    if (request.PathInfo().size() < 2 || request.PathInfo().size() > kMostKeyBytes + 1) {
      throw weft::HttpException(400,
                                "The path is to be /kv.ashx/KEY, with a key of at most 256 bytes.");
    }
    const auto store = context.Application().Find<KvStores>()->Get(
        context.GetSection("kv").value_or("{}"), [](std::string_view text) {
          auto settings = ParseKvSettings(text);
          auto pool = std::make_shared<ConnectionPool<KvConnection>>(settings.connections);
          return KvStore{std::move(settings), std::move(pool)};
        });
    const auto key = store->settings.prefix + std::string(request.PathInfo().substr(1));
    const auto method = request.HttpMethod();

    if (method == "GET" || method == "HEAD") {
      const auto reply = Call(*store, {"GET", key});
      if (reply->type == REDIS_REPLY_NIL) {
        throw weft::HttpException(404);
      }
      if (reply->len > kMostValueBytes) {
        throw weft::HttpException(502, {}, "kv: a value of more than 64 KiB");
      }
      response.SetContentType("application/octet-stream");
      response.Write(std::string_view(reply->str, reply->len));
    } else if (method == "PUT") {
      if (request.TotalBytes() > kMostValueBytes) {
        throw weft::HttpException(413);
      }
      const auto previous = Call(*store, {"SET", key, request.Body(), "GET"});
      response.SetStatusCode(previous->type == REDIS_REPLY_NIL ? 201 : 204);
    } else if (method == "DELETE") {
      if (Call(*store, {"DEL", key})->integer == 0) {
        throw weft::HttpException(404);
      }
      response.SetStatusCode(204);
    } else {
      response.SetHeader("Allow", "GET, HEAD, PUT, DELETE");
      response.SetStatusCode(405);
    }
  }
  bool IsReusable() const override { return true; }

 private:
  /// What the server answers to a command that may be repeated.
  static Reply Call(const KvStore& store, std::initializer_list<std::string_view> words) {
    const auto deadline = Clock::now() + store.settings.timeout;
    auto lease = ConnectionPool<KvConnection>::Borrow(store.pool, deadline);
    Reply reply;
    try {
      if (lease.connection) {
        try {
          reply = lease.connection->Call(words, deadline);
        } catch (const ConnectionLost&) {
          lease.Drop();  // while it was idle
        }
      }
      if (!reply) {
        lease.connection = std::make_unique<KvConnection>(store.settings, deadline);
        reply = lease.connection->Call(words, deadline);
      }
    } catch (const ConnectionLost& lost) {
      throw weft::HttpException(503, {}, lost.what());
    }
    lease.Keep();  // the answer was read whole, whatever it says
    if (reply->type == REDIS_REPLY_ERROR) {
      const std::string message(reply->str, reply->len);
      throw weft::HttpException(message.starts_with("WRONGTYPE") ? 409 : 502, {}, message);
    }
    return reply;
  }
};

}  // namespace samples

WEFT_MODULE(registry) {
  registry.OnStart(
      [](weft::HttpApplicationState& application) { application.Emplace<samples::KvStores>({}); });
  weft::AddHandler<samples::Kv>(registry, "samples::Kv");
}
