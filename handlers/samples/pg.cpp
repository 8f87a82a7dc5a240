#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <weft/weft.hpp>
#include "handlers/samples/connection_pool.hpp"
#include "handlers/samples/pg_connection.hpp"

namespace samples {

namespace {

using Clock = std::chrono::steady_clock;

/// The section `pg` of the mapping files.
struct PgSettings {
  std::string
      connection;     // as libpq takes it; what it does not say is in PGHOST, PGDATABASE and so on
  std::string query;  // with one parameter, $1
  std::size_t connections;
  std::size_t batch;
  std::chrono::milliseconds timeout;
};

PgSettings ParsePgSettings(std::string_view text) {
  const auto json = nlohmann::json::parse(text);
  return {
      .connection = json.value("connection", ""),
      .query = json.value("query",
                          "SELECT aid, bid, abalance FROM pgbench_accounts WHERE aid = $1::bigint"),
      .connections = std::clamp<std::size_t>(json.value("connections", std::size_t{8}), 1, 1000),
      .batch = std::clamp<std::size_t>(json.value("batch", std::size_t{32}), 1, 256),
      .timeout = std::chrono::milliseconds(json.value("timeoutMilliseconds", 2000))};
}

/// The queries of many requests over few connections. A query waits for a free connection; whoever gets one sends, with its own, all
/// that wait, and the server answers them with one wake-up of it and one of the worker. Nobody waits for a batch to fill: it
/// is what came while the connections were busy.
///
/// No task of its own reads the answers: a task belongs to a request, and ends with it. A request that waits reads, for all of its batch,
/// until it has its own answer. Then, or when its client leaves, or its time is over, the next one of the batch that waits reads on.
///
/// Threads: async handlers alone use it, which are never at it at once. Lifetime: longer than each Ask().
class PgDatabase {
 public:
  explicit PgDatabase(PgSettings settings)
      : settings_(std::move(settings)), pipelines_(settings_.connections) {
    for (auto& pipeline : pipelines_) {
      free_.push_back(&pipeline);
    }
  }
  PgDatabase(const PgDatabase&) = delete;
  PgDatabase& operator=(const PgDatabase&) = delete;

  /// The rows for an id. Throws HttpException: 503 where the server cannot be reached, or no connection was free in time, 504
  /// where the answer did not come in time, 500 where the server refuses the query; and OperationCancelled.
  PgConnection::Result Ask(std::string id) {
    const auto own = std::make_shared<Query>(std::move(id), Clock::now() + settings_.timeout);
    waiting_.push_back(own);
    try {
      weft::YieldToOthers();  // requests that came with this one join its batch
      Distribute();
      for (;;) {
        auto turn = own->turn.Pop(own->deadline);
        if (!turn) {
          throw own->times_sent == 0
              ? weft::HttpException(503, {}, "no connection was free in time")
              : PgConnection::TimedOut();
        }
        if (auto* const pipeline = std::get_if<Lease>(&*turn)) {
          own->stage = Stage::kReads;
          Lead(std::move(*pipeline), own);
          own->stage = Stage::kWaits;
        } else if (const auto* const error = std::get_if<std::exception_ptr>(&*turn)) {
          std::rethrow_exception(*error);
        } else {
          return std::get<PgConnection::Result>(std::move(*turn));
        }
      }
    } catch (...) {
      own->stage = Stage::kLeft;
      std::erase(waiting_, own);
      own->turn.TryPop();  // a pipeline goes on to the next
      throw;
    }
  }

 private:
  struct Query;
  using QueryPtr = std::shared_ptr<Query>;

  /// A connection, and the queries on their way through it in the order of their answers; a null one is an end.
  struct Pipeline {
    std::unique_ptr<PgConnection> connection;  // null: to be made
    std::deque<QueryPtr> asked;
  };
  /// The right to use a pipeline: one request has it at a time. When it goes, it goes to the next.
  struct PassOn {
    PgDatabase* database;
    void operator()(Pipeline* pipeline) const { database->Return(*pipeline); }
  };
  using Lease = std::unique_ptr<Pipeline, PassOn>;
  /// What a request waits for: its answer, what it is to throw, or a pipeline that it is to read from.
  using Turn = std::variant<PgConnection::Result, std::exception_ptr, Lease>;

  enum class Stage : char { kWaits, kReads, kLeft };

  struct Query {
    Query(std::string of, Clock::time_point until) : id(std::move(of)), deadline(until) {}

    const std::string id;
    const Clock::time_point deadline;
    Stage stage = Stage::kWaits;
    bool alone = false;  // its batch failed, so that next time it has an end of its own
    int times_sent = 0;
    weft::Channel<Turn> turn{1};
  };
  /// Reading once more does no harm, but a query that brings its server down is not to do so for ever.
  static constexpr int kTimesSent = 3;

  /// Gives a free pipeline to the query that waits longest.
  void Distribute() {
    if (!free_.empty() && !waiting_.empty()) {
      const auto first = std::move(waiting_.front());
      waiting_.pop_front();
      Lease pipeline(free_.back(), PassOn{this});
      free_.pop_back();
      first->turn.TryPush(std::move(pipeline));
    }
  }

  /// From the destructor of a lease.
  void Return(Pipeline& pipeline) {
    const auto next = std::ranges::find_if(
        pipeline.asked, [](const auto& query) { return query && query->stage == Stage::kWaits; });
    if (next != pipeline.asked.end()) {
      (*next)->turn.TryPush(Lease(&pipeline, PassOn{this}));
      return;
    }
    if (!pipeline.asked.empty()) {
      // Nobody waits for what is still to come, and no other query is to get it.
      pipeline.connection.reset();
      pipeline.asked.clear();
    }
    // One that is connected is taken before one that is not.
    free_.insert(pipeline.connection ? free_.end() : free_.begin(), &pipeline);
    Distribute();
  }

  /// Sends a batch, or finds one on its way, and reads until `own` has its turn or the deadline comes.
  void Lead(Lease pipeline, const QueryPtr& own) {
    if (pipeline->asked.empty() && !pipeline->connection) {
      Connect(*pipeline, own->deadline);
    }
    try {
      if (pipeline->asked.empty()) {
        Send(*pipeline, own);
      }
      auto& connection = *pipeline->connection;
      while (!pipeline->asked.empty()) {
        if (auto result = connection.TryRead()) {
          Give(*pipeline, std::move(result));
        } else if ((own->turn.Size() > 0 && pipeline->asked.front()) ||
                   !connection.WaitForInput(own->deadline)) {
          return;
        }
      }
    } catch (const ConnectionLost& lost) {
      Lose(*pipeline, lost);
    }
  }

  void Connect(Pipeline& pipeline, Clock::time_point deadline) {
    try {
      pipeline.connection = std::make_unique<PgConnection>(settings_.connection, settings_.query,
                                                           settings_.timeout, deadline);
    } catch (const ConnectionLost& lost) {
      const weft::HttpException error(503, {}, lost.what());
      // As many as it would have asked for: with the server gone, a crowd is not to try one by one.
      for (std::size_t i = 1; i < settings_.batch && !waiting_.empty(); ++i) {
        waiting_.front()->turn.TryPush(std::make_exception_ptr(error));
        waiting_.pop_front();
      }
      throw error;
    }
  }

  void Send(Pipeline& pipeline, const QueryPtr& own) {
    auto& [connection, asked] = pipeline;
    const auto end = [&connection = *connection, &asked = asked] {
      asked.push_back(nullptr);
      connection.SendEnd();
    };
    auto query = own;
    for (std::size_t count = 1;; ++count) {
      if (query->alone && !asked.empty() && asked.back()) {
        end();
      }
      asked.push_back(query);
      ++query->times_sent;
      connection->Add(query->id);
      if (query->alone) {
        end();
      }
      if (count == settings_.batch || waiting_.empty()) {
        break;
      }
      query = std::move(waiting_.front());
      waiting_.pop_front();
    }
    if (asked.back()) {
      end();
    }
    Distribute();  // what is too much for one batch
  }

  /// The next result is that of the query that was asked first.
  void Give(Pipeline& pipeline, PgConnection::Result result) {
    const auto query = std::move(pipeline.asked.front());
    pipeline.asked.pop_front();
    if (!query || query->stage == Stage::kLeft) {
      return;
    }
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_PIPELINE_ABORTED) {
      query->alone = true;
      waiting_.push_front(query);
    } else if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
      query->turn.TryPush(std::move(result));
    } else {
      query->turn.TryPush(std::make_exception_ptr(PgConnection::ErrorOf(result.get())));
    }
  }

  /// Whoever was not answered is asked for again.
  void Lose(Pipeline& pipeline, const ConnectionLost& lost) {
    pipeline.connection.reset();
    for (auto* const other : free_) {
      other->connection.reset();  // the server has gone, and they are no better
    }
    const auto asked = std::exchange(pipeline.asked, {});
    for (auto query = asked.rbegin(); query != asked.rend(); ++query) {
      if (!*query || (*query)->stage == Stage::kLeft) {
        continue;
      }
      if ((*query)->times_sent < kTimesSent) {
        waiting_.push_front(*query);
      } else {
        (*query)->turn.TryPush(std::make_exception_ptr(weft::HttpException(503, {}, lost.what())));
      }
    }
  }

  const PgSettings settings_;
  std::vector<Pipeline> pipelines_;
  std::vector<Pipeline*> free_;   // the last that came back is the first to go
  std::deque<QueryPtr> waiting_;  // on no pipeline
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
    std::string id(context.Request().QueryString().Get("id"));
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
    if (error != std::errc() || end != id.data() + id.size()) {
      throw weft::HttpException(400, "id is to be a whole number.");
    }
    const auto database = context.Application().Find<PgDatabases>()->Get(
        context.GetSection("pg").value_or("{}"), ParsePgSettings);
    const auto result = database->Ask(std::move(id));
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
};

}  // namespace samples

WEFT_MODULE(registry) {
  registry.OnStart([](weft::HttpApplicationState& application) {
    application.Emplace<samples::PgDatabases>({});
  });
  weft::AddHandler<samples::Pg>(registry, "samples::Pg");
}
