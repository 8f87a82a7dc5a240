#include "host/observe/host_report.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "host/observe/log.hpp"

namespace weft::host::observe {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kOthers = "other";

struct Share {
  std::string_view member;
  double share;
};
constexpr std::array<Share, 3> kQuantiles{{{"p50Ms", 0.5}, {"p90Ms", 0.9}, {"p99Ms", 0.99}}};

struct StateName {
  RequestState state;
  std::string_view member;
  std::string_view label;
};
constexpr std::array<StateName, 6> kStates{{
    {RequestState::kReceivingParams, "receivingParams", "receiving_params"},
    {RequestState::kReadingBody, "readingBody", "reading_body"},
    {RequestState::kOnFiber, "onFiber", "on_fiber"},
    {RequestState::kOnThread, "onThread", "on_thread"},
    {RequestState::kWriting, "writing", "writing"},
    {RequestState::kFinished, "finished", "finished"},
}};

struct EndName {
  Count count;
  std::string_view member;
  std::string_view label;
};
constexpr std::array<EndName, 7> kEnds{{
    {Count::kInformational, "informational", "1xx"},
    {Count::kSuccess, "success", "2xx"},
    {Count::kRedirection, "redirection", "3xx"},
    {Count::kClientError, "clientError", "4xx"},
    {Count::kServerError, "serverError", "5xx"},
    {Count::kClientGone, "clientGone", "499"},
    {Count::kNoAnswer, "noAnswer", "444"},
}};

std::uint64_t Ended(const WorkerReading& reading) {
  std::uint64_t count = 0;
  for (const auto& end : kEnds) {
    count += reading[end.count];
  }
  return count;
}

/// Of a state, as it is told: who waits for a thread is not on one.
std::uint64_t InState(const WorkerReading& reading, RequestState state) {
  const auto count = reading[CountOf(state)];
  return state == RequestState::kOnThread ? count - reading.WaitingForThread() : count;
}

double Milliseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

const std::string& NameOr(const std::string& name, const std::string& others) {
  return name.empty() ? others : name;
}

Json NamedToJson(const std::vector<NamedCount>& counts, const char* name) {
  Json json = Json::array();
  for (const auto& count : counts) {
    json.push_back({{name, NameOr(count.name, std::string(kOthers))}, {"count", count.count}});
  }
  return json;
}

Json StatesToJson(const WorkerReading& reading) {
  Json json = Json::object();
  for (const auto& state : kStates) {
    json[std::string(state.member)] = InState(reading, state.state);
  }
  json["waitingForThread"] = reading.WaitingForThread();
  return json;
}

void AddDurations(Json& json, const LatencyCounts& durations) {
  json["meanMs"] = durations.Count() == 0 ? 0.0
                                          : static_cast<double>(durations.SumMicroseconds()) /
                                                static_cast<double>(durations.Count()) / 1000;
  for (const auto& quantile : kQuantiles) {
    json[std::string(quantile.member)] = durations.QuantileMicroseconds(quantile.share) / 1000;
  }
}

Json PoolToJson(const PoolReading& pool) {
  Json json = {{"threads", pool.threads},     {"busy", pool.threads - pool.idle},
               {"queued", pool.queued},       {"oldestWaitMs", Milliseconds(pool.oldest_wait)},
               {"refused", pool.refused},     {"shed", pool.shed},
               {"waited", pool.waits.Count()}};
  AddDurations(json, pool.waits);
  return json;
}

Json ConnectionsToJson(const WorkerReading& reading) {
  return {{"open", reading[Count::kConnections]},
          {"accepted", reading[Count::kConnectionsAccepted]},
          {"passedOn", reading[Count::kConnectionsPassedOn]},
          {"acceptPauses", reading[Count::kAcceptPauses]},
          {"receivedBytes", reading[Count::kReceivedBytes]},
          {"sentBytes", reading[Count::kSentBytes]}};
}

Json BodiesToJson(const WorkerReading& reading) {
  return {{"memoryBytes", reading[Count::kBodyMemoryBytes]},
          {"fileBytes", reading[Count::kBodyFileBytes]}};
}

Json RequestsToJson(const WorkerReading& reading) {
  Json ends = Json::object();
  for (const auto& end : kEnds) {
    ends[std::string(end.member)] = reading[end.count];
  }
  return {{"started", reading[Count::kRequestsStarted]},
          {"ended", Ended(reading)},
          {"endedBy", std::move(ends)},
          {"inFlight", reading.InFlight()},
          {"states", StatesToJson(reading)},
          {"perSecond",
           {{"last10s", static_cast<double>(reading.ended_in_short_while) /
                            static_cast<double>(WorkerReading::kShortWhile)},
            {"last60s", static_cast<double>(reading.ended_in_long_while) /
                            static_cast<double>(WorkerReading::kLongWhile)}}}};
}

/// Those of most requests first, the others together last.
std::vector<const EntryReading*> Sorted(const std::vector<EntryReading>& entries) {
  std::vector<const EntryReading*> sorted;
  for (const auto& entry : entries) {
    sorted.push_back(&entry);
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    if (a->name.empty() != b->name.empty()) {
      return b->name.empty();
    }
    return a->durations.Count() > b->durations.Count();
  });
  return sorted;
}

/// Text of OpenMetrics 1.0, a family after the other.
class Metrics {
 public:
  void Family(std::string_view name, std::string_view type, std::string_view unit,
              std::string_view help) {
    name_ = "weft_" + std::string(name);
    text_.append("# TYPE ").append(name_).append(" ").append(type).append("\n");
    if (!unit.empty()) {
      text_.append("# UNIT ").append(name_).append(" ").append(unit).append("\n");
    }
    text_.append("# HELP ").append(name_).append(" ").append(help).append("\n");
  }

  template <typename Value>
  void Sample(std::string_view suffix, Value value) {
    Begin(suffix);
    End(value);
  }
  template <typename Value>
  void Sample(std::string_view suffix, std::string_view label, std::string_view of, Value value) {
    Begin(suffix);
    Label(label, of);
    End(value);
  }
  void Histogram(std::string_view label, std::string_view of, const LatencyCounts& counts) {
    for (unsigned power = kLeastPower; power <= kMostPower; ++power) {
      const auto us = std::uint64_t{1} << power;
      Begin("_bucket");
      Label(label, of);
      Label("le", Number(static_cast<double>(us) / 1e6));
      End(counts.CountUpTo(us));
    }
    Begin("_bucket");
    Label(label, of);
    Label("le", "+Inf");
    End(counts.Count());
    Sample("_count", label, of, counts.Count());
    Sample("_sum", label, of, static_cast<double>(counts.SumMicroseconds()) / 1e6);
  }

  std::string Take() && {
    text_ += "# EOF\n";
    return std::move(text_);
  }

 private:
  /// From 256 microseconds to a minute, each twice the one before: bounds of the classes that are counted, so that no number is
  /// a guess.
  static constexpr unsigned kLeastPower = 8;
  static constexpr unsigned kMostPower = 26;

  void Begin(std::string_view suffix) {
    text_.append(name_).append(suffix);
    has_labels_ = false;
  }
  void Label(std::string_view name, std::string_view value) {
    text_.append(has_labels_ ? "," : "{").append(name).append("=\"");
    has_labels_ = true;
    for (const char c : ValidUtf8(value)) {
      if (c == '\\' || c == '"') {
        text_ += '\\';
      }
      if (c == '\n') {
        text_ += "\\n";
      } else {
        text_ += c;
      }
    }
    text_ += '"';
  }
  template <typename Value>
  void End(Value value) {
    if (has_labels_) {
      text_ += '}';
    }
    text_.append(" ").append(Number(value)).append("\n");
  }
  static std::string Number(std::uint64_t value) { return std::to_string(value); }
  static std::string Number(double value) { return Json(value).dump(); }
  /// Names of entries are any bytes.
  static std::string ValidUtf8(std::string_view text) {
    const auto quoted = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
    return Json::parse(quoted).get<std::string>();
  }

  std::string text_;
  std::string name_;
  bool has_labels_ = false;
};

void AddNamed(Metrics& metrics, std::string_view label, const std::vector<NamedCount>& counts) {
  for (const auto& count : counts) {
    metrics.Sample("_total", label, count.name.empty() ? kOthers : std::string_view(count.name),
                   count.count);
  }
}

void AddHost(Metrics& metrics, const HostReport& report) {
  metrics.Family("build", "info", "", "The version of Weft.");
  metrics.Sample("_info", "version", report.version, std::uint64_t{1});
  metrics.Family("start_time_seconds", "gauge", "seconds", "When the host was started.");
  metrics.Sample("", static_cast<double>(report.since_ms) / 1000);
  metrics.Family(
      "ready", "gauge", "",
      "1: a worker takes requests, or the next one starts one, and the host does not stop.");
  metrics.Sample("", std::uint64_t{report.IsReady() ? 1U : 0U});
  metrics.Family("workers_wanted", "gauge", "", "Worker processes that there shall be.");
  metrics.Sample("", report.worker_places);
  metrics.Family("workers", "gauge", "", "Worker processes that there are, by what they are at.");
  for (const auto stage : {WorkerStage::kStarting, WorkerStage::kReady, WorkerStage::kRetiring,
                           WorkerStage::kEnding}) {
    const auto count = std::count_if(report.figures.workers.begin(), report.figures.workers.end(),
                                     [&](const auto& worker) { return worker.stage == stage; });
    metrics.Sample("", "state", NameOf(stage), static_cast<std::uint64_t>(count));
  }
  metrics.Family("worker_starts", "counter", "", "Worker processes that were started.");
  metrics.Sample("_total", report.worker_starts);
  metrics.Family("worker_ends", "counter", "",
                 "Worker processes that ended though nobody had asked them to.");
  AddNamed(metrics, "reason", report.worker_ends);
  metrics.Family("workers_replaced", "counter", "",
                 "Workers that took no more requests, and in whose place another was started.");
  metrics.Sample("_total", report.workers_replaced);
  metrics.Family("worker_leaves", "counter", "",
                 "Workers that were well and were recycled, or not needed any more.");
  AddNamed(metrics, "reason", report.worker_leaves);
  metrics.Family("worker_demand_starts", "counter", "",
                 "Worker processes that were started because somebody asked for something.");
  metrics.Sample("_total", report.demand_starts);
  metrics.Family("worker_limit_reached", "counter", "",
                 "Times that the load began to ask for more workers than there may be.");
  metrics.Sample("_total", report.worker_limit_times);

  const auto add_queues = [&](std::string_view name, std::string_view help, auto value_of) {
    metrics.Family(name, "gauge", "", help);
    for (const auto& queue : report.queues) {
      if (queue.now) {
        metrics.Sample("", "address", queue.address, std::uint64_t{value_of(queue)});
      }
    }
  };
  add_queues("listen_queue", "Connections that wait to be accepted.",
             [](const auto& queue) { return queue.now->waiting; });
  add_queues("listen_queue_limit", "Connections that may wait to be accepted.",
             [](const auto& queue) { return queue.now->limit; });
  add_queues("listen_queue_most", "Connections that were seen to wait at once.",
             [](const auto& queue) { return queue.most; });

  metrics.Family("mapping_tables", "counter", "", "Mapping tables that the host has served with.");
  metrics.Sample("_total", report.mapping_tables);
  metrics.Family("mapping_problems", "gauge", "",
                 "Problems of the mapping files that were read last.");
  metrics.Sample("", report.mapping_problems);
  metrics.Family("mapping_reloads", "counter", "", "Reloads of the mapping files.");
  metrics.Sample("_total", "outcome", "loaded", report.mapping_reloads);
  metrics.Sample("_total", "outcome", "refused", report.mapping_refusals);
  metrics.Family("generation", "gauge", "",
                 "Which of the host's generations starts workers; one more with each reload that "
                 "takes over.");
  metrics.Sample("", report.generation);
  metrics.Family("reloads", "counter", "", "Reloads of the whole host.");
  metrics.Sample("_total", "outcome", "done", report.reloads);
  metrics.Sample("_total", "outcome", "refused", report.reload_refusals);
}

void AddPools(Metrics& metrics, const WorkerReading& sum) {
  const std::array<std::pair<std::string_view, const PoolReading*>, 2> pools{
      {{"handlers", &sum.handlers}, {"offload", &sum.offload}}};
  const auto add = [&](std::string_view name, std::string_view type, std::string_view unit,
                       std::string_view help, std::string_view suffix, auto value_of) {
    metrics.Family(name, type, unit, help);
    for (const auto& [label, pool] : pools) {
      metrics.Sample(suffix, "pool", label, value_of(*pool));
    }
  };
  add("pool_threads", "gauge", "", "Threads for what blocks.", "",
      [](const PoolReading& pool) { return pool.threads; });
  add("pool_threads_busy", "gauge", "", "Those of them that have something to do.", "",
      [](const PoolReading& pool) { return pool.threads - pool.idle; });
  add("pool_queue", "gauge", "", "Calls that wait for one of them.", "",
      [](const PoolReading& pool) { return pool.queued; });
  add("pool_queue_oldest_seconds", "gauge", "seconds", "How long the first of these has waited.",
      "", [](const PoolReading& pool) {
        return std::chrono::duration<double>(pool.oldest_wait).count();
      });
  add("pool_refused", "counter", "", "Calls for which the queue had no room.", "_total",
      [](const PoolReading& pool) { return pool.refused; });
  add("pool_shed", "counter", "", "Calls that would have waited for too long.", "_total",
      [](const PoolReading& pool) { return pool.shed; });
  metrics.Family("pool_wait_seconds", "histogram", "seconds",
                 "How long calls waited that did not have a thread at once.");
  for (const auto& [label, pool] : pools) {
    metrics.Histogram("pool", label, pool->waits);
  }
}

void AddRequests(Metrics& metrics, const WorkerReading& sum) {
  metrics.Family("requests_in_flight", "gauge", "", "Requests by what they are at.");
  for (const auto& state : kStates) {
    metrics.Sample("", "state", state.label, InState(sum, state.state));
  }
  metrics.Sample("", "state", "waiting_for_thread", sum.WaitingForThread());
  metrics.Family("requests_started", "counter", "", "Requests that have begun.");
  metrics.Sample("_total", sum[Count::kRequestsStarted]);
  metrics.Family("requests", "counter", "",
                 "Requests whose answer is complete, by its status; 444 and 499 had none.");
  for (const auto& end : kEnds) {
    metrics.Sample("_total", "status", end.label, sum[end.count]);
  }
  metrics.Family("request_failures", "counter", "",
                 "Requests with a status of 400 and more, by their cause.");
  AddNamed(metrics, "cause", sum.causes);

  const auto entries = Sorted(sum.entries);
  const auto name_of = [](const EntryReading& entry) {
    return entry.name.empty() ? kOthers : std::string_view(entry.name);
  };
  metrics.Family("request_duration_seconds", "histogram", "seconds",
                 "From a request's parameters to its whole answer, by mapping entry.");
  for (const auto* const entry : entries) {
    metrics.Histogram("entry", name_of(*entry), entry->durations);
  }
  metrics.Family("request_server_errors", "counter", "",
                 "Requests with a status of 500 and more, by mapping entry.");
  for (const auto* const entry : entries) {
    metrics.Sample("_total", "entry", name_of(*entry), entry->server_errors);
  }
}

void AddConnections(Metrics& metrics, const WorkerReading& sum) {
  const auto gauge = [&](std::string_view name, std::string_view unit, Count count,
                         std::string_view help) {
    metrics.Family(name, "gauge", unit, help);
    metrics.Sample("", sum[count]);
  };
  const auto counter = [&](std::string_view name, std::string_view unit, Count count,
                           std::string_view help) {
    metrics.Family(name, "counter", unit, help);
    metrics.Sample("_total", sum[count]);
  };
  gauge("connections", "", Count::kConnections, "Connections of web servers.");
  counter("connections_accepted", "", Count::kConnectionsAccepted,
          "Connections that were accepted.");
  counter("connections_passed_on", "", Count::kConnectionsPassedOn,
          "Connections that a worker has passed on to another.");
  counter("accept_pauses", "", Count::kAcceptPauses,
          "Times that a worker stopped accepting: at --max-connections, or at a limit of the "
          "system.");
  counter("received_bytes", "bytes", Count::kReceivedBytes, "Bytes from web servers.");
  counter("sent_bytes", "bytes", Count::kSentBytes, "Bytes to web servers.");
  gauge("body_memory_bytes", "bytes", Count::kBodyMemoryBytes, "Request bodies in memory.");
  gauge("body_file_bytes", "bytes", Count::kBodyFileBytes, "Request bodies in temporary files.");
  counter("stalls", "", Count::kStalls,
          "Times that something held a reactor's thread for longer than --stall-threshold.");
  metrics.Family("longest_stall_seconds", "gauge", "seconds", "The longest of these.");
  metrics.Sample("", static_cast<double>(sum[Count::kLongestStallMs]) / 1000);
}

}  // namespace

bool HostReport::IsReady(std::string* why_not) const {
  std::string reason;
  if (stage == HostStage::kDraining || stage == HostStage::kStopping) {
    reason = "the host is " + std::string(NameOf(stage));
  } else if (!waits_for_demand &&
             std::none_of(figures.workers.begin(), figures.workers.end(),
                          [](const auto& worker) { return worker.stage == WorkerStage::kReady; })) {
    reason = "no worker takes requests";
  }
  if (why_not != nullptr) {
    *why_not = reason;
  }
  return reason.empty();
}

HostReport ReadReport(const Scoreboard& board, std::string_view version,
                      std::chrono::steady_clock::time_point now) {
  const auto& host = board.Host();
  HostReport report;
  report.version = version;
  report.supervisor = host.supervisor.Value();
  report.stage = HostStageOf(host.stage.Value());
  report.since_ms = host.since_ms.Value();
  report.worker_places = host.worker_places.Value();
  report.worker_starts = host.worker_starts.Value();
  report.workers_replaced = host.workers_replaced.Value();
  report.waits_for_demand = host.waits_for_demand.Value() != 0;
  report.demand_starts = host.demand_starts.Value();
  report.worker_limit_times = host.worker_limit_times.Value();
  host.worker_leaves.ForEach([&](const std::string& name, std::uint64_t count) {
    AddTo(report.worker_leaves, name, count);
  });
  host.worker_ends.ForEach([&](const std::string& name, std::uint64_t count) {
    AddTo(report.worker_ends, name, count);
  });
  for (const auto& queue : host.listen_queues) {
    if (queue.is_named.Value() != 0) {
      auto& read = report.queues.emplace_back();
      read.address = queue.address.Text();
      read.most = queue.most.Value();
      if (queue.is_known.Value() != 0) {
        read.now = {.waiting = queue.waiting.Value(), .limit = queue.limit.Value()};
      }
    }
  }
  report.mapping_tables = host.mapping_tables.Value();
  report.mapping_problems = host.mapping_problems.Value();
  report.mapping_reloads = host.mapping_reloads.Value();
  report.mapping_refusals = host.mapping_refusals.Value();
  report.generation = host.generation.Value();
  report.reloads = host.reloads.Value();
  report.reload_refusals = host.reload_refusals.Value();
  report.figures = board.All(now);
  return report;
}

Json FiguresToJson(const HostReport& report) {
  const auto& sum = report.figures.sum;
  Json json = {
      {"requests", RequestsToJson(sum)},
      {"causes", NamedToJson(sum.causes, "cause")},
      {"entries", Json::array()},
      {"connections", ConnectionsToJson(sum)},
      {"listenQueues", Json::array()},
      {"pools", {{"handlers", PoolToJson(sum.handlers)}, {"offload", PoolToJson(sum.offload)}}},
      {"bodies", BodiesToJson(sum)},
      {"stalls", {{"count", sum[Count::kStalls]}, {"longestMs", sum[Count::kLongestStallMs]}}},
      {"workerStarts", report.worker_starts},
      {"workersReplaced", report.workers_replaced},
      {"workerEnds", NamedToJson(report.worker_ends, "reason")},
      {"workerLeaves", NamedToJson(report.worker_leaves, "reason")},
      {"workerDemandStarts", report.demand_starts},
      {"workerLimitReached", report.worker_limit_times},
      {"mappingReloads",
       {{"loaded", report.mapping_reloads}, {"refused", report.mapping_refusals}}},
      {"reloads", {{"done", report.reloads}, {"refused", report.reload_refusals}}}};
  AddDurations(json["requests"], sum.Durations());
  for (const auto* const entry : Sorted(sum.entries)) {
    Json row = {{"entry", NameOr(entry->name, std::string(kOthers))},
                {"count", entry->durations.Count()},
                {"serverErrors", entry->server_errors}};
    AddDurations(row, entry->durations);
    json["entries"].push_back(std::move(row));
  }
  for (const auto& queue : report.queues) {
    json["listenQueues"].push_back(
        {{"address", queue.address},
         {"waiting", queue.now ? Json(queue.now->waiting) : Json(nullptr)},
         {"limit", queue.now ? Json(queue.now->limit) : Json(nullptr)},
         {"most", queue.now ? Json(queue.most) : Json(nullptr)}});
  }
  return json;
}

Json FiguresToJson(const WorkerReading& worker) {
  return {{"requests", RequestsToJson(worker)},
          {"connections", ConnectionsToJson(worker)},
          {"pools",
           {{"handlers", PoolToJson(worker.handlers)}, {"offload", PoolToJson(worker.offload)}}},
          {"bodies", BodiesToJson(worker)}};
}

std::string ReportToJson(const HostReport& report) {
  Json json = {{"version", report.version},
               {"pid", report.supervisor},
               {"since", Timestamp(std::chrono::system_clock::time_point(
                             std::chrono::milliseconds(report.since_ms)))},
               {"stage", NameOf(report.stage)},
               {"ready", report.IsReady()},
               {"generation", report.generation},
               {"mappingProblems", report.mapping_problems},
               {"workers", Json::array()},
               {"figures", FiguresToJson(report)}};
  for (const auto& worker : report.figures.workers) {
    json["workers"].push_back({{"pid", worker.pid},
                               {"state", NameOf(worker.stage)},
                               {"generation", worker.generation},
                               {"figures", FiguresToJson(worker.figures)}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ReportToOpenMetrics(const HostReport& report) {
  Metrics metrics;
  AddHost(metrics, report);
  AddConnections(metrics, report.figures.sum);
  AddRequests(metrics, report.figures.sum);
  AddPools(metrics, report.figures.sum);
  return std::move(metrics).Take();
}

}  // namespace weft::host::observe
