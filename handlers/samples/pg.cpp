#include <libpq-fe.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <weft/weft.hpp>
#include "handlers/samples/connection_pool.hpp"

namespace samples {

namespace {

using Clock = std::chrono::steady_clock;

/// The section `pg` of the mapping files.
struct PgSettings {
  std::string
      connection;     // as libpq takes it; what it does not say is in PGHOST, PGDATABASE and so on
  std::string query;  // with one parameter, $1
  std::size_t connections;
  std::chrono::milliseconds timeout;
};

PgSettings ParsePgSettings(std::string_view text) {
  const auto json = nlohmann::json::parse(text);
  return {.connection = json.value("connection", ""),
          .query = json.value(
              "query", "SELECT aid, bid, abalance FROM pgbench_accounts WHERE aid = $1::bigint"),
          .connections = json.value("connections", std::size_t{8}),
          .timeout = std::chrono::milliseconds(json.value("timeoutMilliseconds", 2000))};
}

/// The server cannot be reached, or has closed the connection.
class ConnectionLost : public std::runtime_error {
 public:
  using runtime_error::runtime_error;
};

/// One connection, by libpq's functions that do not block.
class PgConnection {
 public:
  struct ResultEnd {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
  };
  using Result = std::unique_ptr<PGresult, ResultEnd>;

  PgConnection(const PgSettings& settings, Clock::time_point deadline) {
    // It looks the server's name up, which blocks.
    weft::Offload([&] { connection_.reset(PQconnectStart(settings.connection.c_str())); });
    if (!connection_ || PQstatus(connection_.get()) == CONNECTION_BAD) {
      ThrowLost();
    }
    for (auto next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK;) {
      {
        // A watch for each step: libpq may go on with another socket.
        weft::DescriptorWatch watch(PQsocket(connection_.get()));
        Require(next == PGRES_POLLING_READING ? watch.WaitReadableUntil(deadline)
                                              : watch.WaitWritableUntil(deadline));
      }
      next = PQconnectPoll(connection_.get());
      if (next == PGRES_POLLING_FAILED) {
        ThrowLost();
      }
    }
    if (PQsetnonblocking(connection_.get(), 1) != 0) {
      ThrowLost();
    }
    watch_.emplace(PQsocket(connection_.get()));
    // A query whose client has left ends by itself: the server does not look whether there is somebody.
    const auto limit = "SET statement_timeout = " + std::to_string(settings.timeout.count());
    Check(PQsendQuery(connection_.get(), limit.c_str()));
    ReadResult(deadline);
    Check(PQsendPrepare(connection_.get(), "by_id", settings.query.c_str(), 1, nullptr));
    ReadResult(deadline);
  }
  PgConnection(const PgConnection&) = delete;
  PgConnection& operator=(const PgConnection&) = delete;
  ~PgConnection() = default;

  /// Throws ConnectionLost, HttpException(504) when the deadline comes first, or the server says no.
  Result Query(const std::string& id, Clock::time_point deadline) {
    const char* const values[] = {id.c_str()};
    Check(PQsendQueryPrepared(connection_.get(), "by_id", 1, values, nullptr, nullptr, 0));
    return ReadResult(deadline);
  }

 private:
  struct ConnectionEnd {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };

  Result ReadResult(Clock::time_point deadline) {
    // No more than a few hundred bytes, and the server has sent all its answers: it does not wait for us to read.
    for (int left = PQflush(connection_.get()); left != 0; left = PQflush(connection_.get())) {
      Check(left > 0);
      Require(watch_->WaitWritableUntil(deadline));
    }
    Result last;
    for (;;) {
      while (PQisBusy(connection_.get()) != 0) {
        Require(watch_->WaitReadableUntil(deadline));
        Check(PQconsumeInput(connection_.get()));
      }
      Result result(PQgetResult(connection_.get()));
      if (!result) {
        break;  // only then may the next query be sent
      }
      last = std::move(result);
    }
    const auto status = PQresultStatus(last.get());
    if (PQstatus(connection_.get()) == CONNECTION_BAD) {
      ThrowLost();
    }
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      const char* const field = PQresultErrorField(last.get(), PG_DIAG_SQLSTATE);
      const std::string_view state = field == nullptr ? "" : field;
      const std::string message = PQresultErrorMessage(last.get());
      if (state.starts_with("57P")) {  // the server stops, or an operator has ended the connection
        throw ConnectionLost(message);
      }
      throw weft::HttpException(state == "57014" ? 504 : 500, {}, message);
    }
    return last;
  }

  static void Require(bool in_time) {
    if (!in_time) {
      throw weft::HttpException(504, {}, "the database did not answer in time");
    }
  }
  void Check(bool succeeded) const {
    if (!succeeded) {
      ThrowLost();
    }
  }
  void Check(int succeeded) const { Check(succeeded != 0); }
  [[noreturn]] void ThrowLost() const {
    throw ConnectionLost(connection_ ? PQerrorMessage(connection_.get()) : "libpq: no memory");
  }

  std::unique_ptr<PGconn, ConnectionEnd> connection_;
  std::optional<weft::DescriptorWatch> watch_;  // goes before the socket is closed
};

struct PgDatabase {
  PgSettings settings;
  std::shared_ptr<ConnectionPool<PgConnection>> pool;
};
using PgDatabases = PerSection<PgDatabase>;

nlohmann::ordered_json ToJson(const PGresult* result, int row) {
  constexpr Oid kBool = 16;
  constexpr Oid kInt8 = 20;
  constexpr Oid kInt2 = 21;
  constexpr Oid kInt4 = 23;
  auto json = nlohmann::ordered_json::object();
  for (int column = 0; column < PQnfields(result); ++column) {
    auto& value = json[PQfname(result, column)];
    const std::string_view text(PQgetvalue(result, row, column),
                                static_cast<std::size_t>(PQgetlength(result, row, column)));
    const auto type = PQftype(result, column);
    if (PQgetisnull(result, row, column) != 0) {
      value = nullptr;
    } else if (type == kInt2 || type == kInt4 || type == kInt8) {
      std::int64_t number = 0;
      std::from_chars(text.data(), text.data() + text.size(), number);
      value = number;
    } else if (type == kBool) {
      value = text == "t";
    } else {
      value = text;
    }
  }
  return json;
}

}  // namespace

/// /pg.ashx?id=N: a row of PostgreSQL as JSON. 404: there is none; 503: the server cannot be reached, or every connection
/// is busy; 504: it takes too long.
class Pg : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const std::string id(context.Request().QueryString().Get("id"));
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
    if (error != std::errc() || end != id.data() + id.size()) {
      throw weft::HttpException(400, "id is to be a whole number.");
    }
    const auto database = context.Application().Find<PgDatabases>()->Get(
        context.GetSection("pg").value_or("{}"), [](std::string_view text) {
          auto settings = ParsePgSettings(text);
          auto pool = std::make_shared<ConnectionPool<PgConnection>>(settings.connections);
          return PgDatabase{std::move(settings), std::move(pool)};
        });
    const auto result = Query(*database, id);
    if (PQntuples(result.get()) == 0) {
      throw weft::HttpException(404);
    }
    auto& response = context.Response();
    response.SetContentType("application/json");
    response.Write(ToJson(result.get(), 0)
                       .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    response.Write("\n");
  }
  bool IsReusable() const override { return true; }

 private:
  static PgConnection::Result Query(const PgDatabase& database, const std::string& id) {
    const auto deadline = Clock::now() + database.settings.timeout;
    auto lease = ConnectionPool<PgConnection>::Borrow(database.pool, deadline);
    try {
      if (lease.connection) {
        try {
          return Query(lease, id, deadline);
        } catch (const ConnectionLost&) {
          lease.Drop();  // while it was idle; reading once more does no harm
        }
      }
      lease.connection = std::make_unique<PgConnection>(database.settings, deadline);
      return Query(lease, id, deadline);
    } catch (const ConnectionLost& lost) {
      throw weft::HttpException(503, {}, lost.what());
    }
  }
  static PgConnection::Result Query(ConnectionPool<PgConnection>::Lease& lease,
                                    const std::string& id, Clock::time_point deadline) {
    auto result = lease.connection->Query(id, deadline);
    lease.Keep();
    return result;
  }
};

}  // namespace samples

WEFT_MODULE(registry) {
  registry.OnStart([](weft::HttpApplicationState& application) {
    application.Emplace<samples::PgDatabases>({});
  });
  weft::AddHandler<samples::Pg>(registry, "samples::Pg");
}
