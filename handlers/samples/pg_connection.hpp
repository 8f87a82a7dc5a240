#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>

namespace samples {

/// The server cannot be reached, or has closed the connection.
class ConnectionLost : public std::runtime_error {
 public:
  using runtime_error::runtime_error;
};

/// One connection with one prepared query, by libpq's functions that do not block, in its pipeline mode: any number of queries are sent,
/// then an end; the server answers them in their order, one result for each query and one for the end. After a query that
/// fails it skips the others up to the end.
///
/// Threads: one fiber at a time. After an exception it is good for nothing but its destructor.
class PgConnection {
 public:
  using Clock = std::chrono::steady_clock;
  struct ResultEnd {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
  };
  using Result = std::unique_ptr<PGresult, ResultEnd>;

  /// Connects, and prepares `query`. Throws ConnectionLost, HttpException(504) when `deadline` comes first and
  /// HttpException(500) when the server refuses the query.
  PgConnection(const std::string& connection, const std::string& query,
               std::chrono::milliseconds timeout, Clock::time_point deadline) {
    // It looks the server's name up, which blocks.
    weft::Offload([&] { connection_.reset(PQconnectStart(connection.c_str())); });
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
    Check(PQsetnonblocking(connection_.get(), 1) == 0);
    Check(PQenterPipelineMode(connection_.get()));
    watch_.emplace(PQsocket(connection_.get()));
    // A query whose client has left ends by itself: the server does not look whether there is somebody.
    const auto limit = "SET statement_timeout = " + std::to_string(timeout.count());
    Check(PQsendQueryParams(connection_.get(), limit.c_str(), 0, nullptr, nullptr, nullptr, nullptr,
                            0));
    Check(PQsendPrepare(connection_.get(), kStatement, query.c_str(), 1, nullptr));
    SendEnd();
    for (auto status = PGRES_COMMAND_OK; status != PGRES_PIPELINE_SYNC;) {
      const auto result = TryRead();
      if (!result) {
        Require(WaitForInput(deadline));
      } else if (status = PQresultStatus(result.get());
                 status != PGRES_COMMAND_OK && status != PGRES_PIPELINE_SYNC) {
        throw ErrorOf(result.get());
      }
    }
  }
  PgConnection(const PgConnection&) = delete;
  PgConnection& operator=(const PgConnection&) = delete;
  ~PgConnection() = default;

  /// Sends nothing yet.
  void Add(const std::string& id) {
    const char* const values[] = {id.c_str()};
    Check(PQsendQueryPrepared(connection_.get(), kStatement, 1, values, nullptr, nullptr, 0));
  }
  /// Sends what was added, as far as the socket takes it; WaitForInput() sends the rest.
  void SendEnd() { Check(PQpipelineSync(connection_.get())); }

  /// The next result, if it has come: of a query, or of an end (PGRES_PIPELINE_SYNC). Throws ConnectionLost.
  Result TryRead() {
    while (PQisBusy(connection_.get()) == 0) {
      Result result(PQgetResult(connection_.get()));
      Check(PQstatus(connection_.get()) != CONNECTION_BAD);
      if (!result) {
        return std::move(read_);  // now it is the turn of the next query
      }
      if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) {
        return result;
      }
      if (SqlState(result.get())
              .starts_with("57P")) {  // the server stops, or an operator has ended the connection
        throw ConnectionLost(PQresultErrorMessage(result.get()));
      }
      read_ = std::move(result);
    }
    return nullptr;
  }
  /// False: `deadline` came first.
  [[nodiscard]] bool WaitForInput(Clock::time_point deadline) {
    // A few kilobytes at most, which the sockets hold: the server does not wait for us to read before it reads on.
    for (int left = PQflush(connection_.get()); left != 0; left = PQflush(connection_.get())) {
      Check(left > 0);
      if (!watch_->WaitWritableUntil(deadline)) {
        return false;
      }
    }
    if (!watch_->WaitReadableUntil(deadline)) {
      return false;
    }
    Check(PQconsumeInput(connection_.get()));
    return true;
  }

  /// What a result that is an error is for the client.
  static weft::HttpException ErrorOf(const PGresult* result) {
    return weft::HttpException(SqlState(result) == "57014" ? 504 : 500, {},
                               PQresultErrorMessage(result));
  }
  static weft::HttpException TimedOut() {
    return weft::HttpException(504, {}, "the database did not answer in time");
  }

 private:
  struct ConnectionEnd {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };
  static constexpr const char* kStatement = "by_id";

  static std::string_view SqlState(const PGresult* result) {
    const char* const field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return field == nullptr ? "" : field;
  }
  static void Require(bool in_time) {
    if (!in_time) {
      throw TimedOut();
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
  Result read_;  // libpq has not said yet that it is the last of its query
};

}  // namespace samples
