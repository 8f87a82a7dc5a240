#include "host/tools/status_text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <sstream>
#include <utility>
#include <vector>

#include "host/observe/log.hpp"

namespace weft::host::tools {
namespace {

/// A text member; what stands in it came from files and modules. "-" where it is null.
std::string Text(const Json& object, const char* name) {
  const auto& value = object.at(name);
  return value.is_null() ? "-" : observe::EscapedControls(value.get_ref<const std::string&>());
}

std::string Number(const Json& object, const char* name) {
  const auto& value = object.at(name);
  return value.is_null() ? "-" : std::to_string(value.get<std::int64_t>());
}

std::string Counted(const std::string& count, std::string_view noun) {
  return count + " " + std::string(noun) + (count == "1" ? "" : "s");
}

void PrintHead(std::ostream& out, const Json& status) {
  out << "weft " << Text(status, "version") << ", process " << Number(status, "pid") << ", "
      << Text(status, "stage") << ", since " << Text(status, "since") << '\n';
  if (status.at("listen").empty()) {
    out << "listening on nothing any more\n";
  }
  for (const auto& address : status.at("listen")) {
    out << "listening on " << observe::EscapedControls(address.get_ref<const std::string&>())
        << '\n';
  }
}

/// Nothing of a host of an older version, which does not tell.
void PrintReload(std::ostream& out, const Json& status) {
  if (!status.contains("reload")) {
    return;
  }
  const auto& reload = status.at("reload");
  const auto outcome = Text(reload, "outcome");
  out << "generation " << Number(status, "generation");
  if (outcome == "none") {
    out << ", not reloaded so far";
  } else {
    out << "; last reload: " << outcome << ", at " << Text(reload, "at");
  }
  out << (outcome == "refused" ? "; the generation of before serves on" : "")
      << (reload.at("queued").get<bool>() ? "; another waits" : "") << '\n';
  for (const auto& reason : reload.at("reasons")) {
    out << "  " << observe::EscapedControls(reason.get_ref<const std::string&>()) << '\n';
  }
}

void PrintProblem(std::ostream& out, const Json& problem) {
  const auto line = problem.at("line").get<std::int64_t>();
  out << "  " << Text(problem, "file");
  if (line > 0) {
    out << ':' << line << ':' << Number(problem, "column");
  }
  out << ": " << Text(problem, "severity") << ": " << Text(problem, "message") << '\n';
}

void PrintMappings(std::ostream& out, const Json& mappings) {
  out << "\nmappings: "
      << (mappings.at("directory").is_null() ? "the built-in ones" : Text(mappings, "directory"))
      << '\n';
  for (const auto& root : mappings.at("documentRoots")) {
    out << "  beside the pages of " << Text(root, "host") << ": " << Text(root, "directory")
        << '\n';
  }
  out << "  table " << Number(mappings, "tables") << " serves since "
      << Text(mappings, "servingSince") << '\n';
  const auto outcome = Text(mappings, "outcome");
  if (outcome == "none") {
    out << "  not reloaded so far";
  } else {
    out << "  last reload: " << outcome << ", at " << Text(mappings, "at") << ", says worker "
        << Number(mappings, "reportedBy");
  }
  const auto count = Number(mappings, "problemCount");
  const auto listed = mappings.at("problems").size();
  if (outcome == "refused") {
    out << "; the mappings of before serve on";
  }
  if (count != "0") {
    out << "; " << Counted(count, "problem");
    if (std::to_string(listed) != count) {
      out << ", of which " << listed << " follow, and all are in the log";
    }
  }
  out << '\n';
  for (const auto& problem : mappings.at("problems")) {
    PrintProblem(out, problem);
  }
}

using Row = std::vector<std::string>;

/// Columns as wide as what stands in them; all but the last one, which may be long.
void PrintTable(std::ostream& out, const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  for (const auto& row : rows) {
    for (std::size_t column = 0; column + 1 < row.size(); ++column) {
      out << "  " << std::left << std::setw(static_cast<int>(widths[column])) << row[column];
    }
    out << "  " << row.back() << '\n';
  }
}

constexpr std::array<std::pair<const char*, std::string_view>, 7> kStates{
    {{"receivingParams", "receiving parameters"},
     {"readingBody", "reading the body"},
     {"waitingForThread", "waiting for a thread"},
     {"onThread", "on a thread"},
     {"onFiber", "on a fiber"},
     {"writing", "writing"},
     {"finished", "at work after the answer"}}};

/// "3: 2 on a thread, 1 writing"
std::string InFlight(const Json& requests) {
  auto text = Number(requests, "inFlight");
  const char* separator = ": ";
  for (const auto& [member, words] : kStates) {
    if (const auto count = Number(requests.at("states"), member); count != "0") {
      text.append(separator).append(count).append(" ").append(words);
      separator = ", ";
    }
  }
  return text;
}

/// As many digits as tell something.
std::string Rounded(double value) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(value < 10 ? 2 : value < 100 ? 1 : 0) << value;
  return out.str();
}

std::string Milliseconds(const Json& object, const char* name) {
  const auto value = object.at(name).get<double>();
  // Below, two digits would tell 4 us and 6 us as 0.00 ms and 0.01 ms. ASCII, for any terminal.
  constexpr double kSmall = 0.1;
  return value > 0 && value < kSmall ? Rounded(value * 1000) + " us" : Rounded(value) + " ms";
}

/// `counts`: the host tells what its workers count; one of an older version does not.
Row RowOf(const Json& worker, bool counts) {
  const auto& newest = worker.at("newestMappings");
  const auto& end = worker.at("lastEnd");
  const auto figures = worker.find("figures");
  const bool is_counted = figures != worker.end() && !figures->is_null();
  Row row{Number(worker, "pid"),
          Text(worker, "state"),
          worker.contains("generation") ? Number(worker, "generation") : "-",
          Text(worker, "since"),
          Number(worker, "starts"),
          newest.is_null()     ? "-"
          : newest.get<bool>() ? "newest"
                               : "older"};
  if (counts) {
    row.push_back(is_counted ? Number(figures->at("connections"), "open") : "-");
    row.push_back(is_counted ? Number(figures->at("requests"), "ended") : "-");
    row.push_back(is_counted ? InFlight(figures->at("requests")) : "-");
  }
  row.push_back(end.is_null()
                    ? "-"
                    : Number(end, "pid") + " " + Text(end, "reason") + ", at " + Text(end, "at"));
  return row;
}

void PrintWorkers(std::ostream& out, const Json& workers, bool counts) {
  Row head{"pid", "state", "generation", "since", "starts", "mappings"};
  if (counts) {
    head.insert(head.end(), {"connections", "ended", "in flight"});
  }
  head.emplace_back("last end in its place");
  std::vector<Row> rows{head};
  for (const auto& worker : workers) {
    rows.push_back(RowOf(worker, counts));
  }
  out << "\nworkers:\n";
  PrintTable(out, rows);
}

/// "3 timeout, 1 overloaded"
std::string Named(const Json& counts, const char* name) {
  std::string text;
  for (const auto& count : counts) {
    text.append(text.empty() ? "" : ", ").append(Number(count, "count")).append(" ");
    text.append(Text(count, name));
  }
  return text;
}

void PrintRequests(std::ostream& out, const Json& figures) {
  const auto& requests = figures.at("requests");
  const auto& rates = requests.at("perSecond");
  out << "\nrequests since the start: " << Number(requests, "ended") << " ended, "
      << Number(requests, "started") << " begun; " << Rounded(rates.at("last10s").get<double>())
      << " a second in the last 10 s, " << Rounded(rates.at("last60s").get<double>())
      << " in the last 60 s\n";
  out << "  in flight " << InFlight(requests) << '\n';
  constexpr std::array<std::pair<const char*, std::string_view>, 7> kEnds{
      {{"informational", "1xx"},
       {"success", "2xx"},
       {"redirection", "3xx"},
       {"clientError", "4xx"},
       {"serverError", "5xx"},
       {"clientGone", "client gone"},
       {"noAnswer", "cut off"}}};
  out << "  answers:";
  for (const auto& [member, words] : kEnds) {
    out << (member == kEnds.front().first ? " " : ", ") << Number(requests.at("endedBy"), member)
        << ' ' << words;
  }
  out << '\n';
  if (const auto causes = Named(figures.at("causes"), "cause"); !causes.empty()) {
    out << "  causes: " << causes << '\n';
  }
  const auto& connections = figures.at("connections");
  out << "  connections: " << Number(connections, "open") << " open, "
      << Number(connections, "accepted") << " accepted, " << Number(connections, "passedOn")
      << " passed on, " << Number(connections, "acceptPauses") << " pauses of accepting; "
      << Number(connections, "receivedBytes") << " bytes in, " << Number(connections, "sentBytes")
      << " out\n";
  out << "  bodies: " << Number(figures.at("bodies"), "memoryBytes") << " bytes in memory, "
      << Number(figures.at("bodies"), "fileBytes") << " in files\n";
  for (const auto& [name, pool] : figures.at("pools").items()) {
    out << "  threads for " << (name == "handlers" ? "handlers" : "offloaded calls") << ": "
        << Number(pool, "busy") << " busy of " << Number(pool, "threads") << "; "
        << Number(pool, "queued") << " calls wait, the first for "
        << Milliseconds(pool, "oldestWaitMs") << "; " << Number(pool, "waited")
        << " have waited, 99% no longer than " << Milliseconds(pool, "p99Ms") << "; "
        << Number(pool, "refused") << " refused, " << Number(pool, "shed") << " shed\n";
  }
  if (const auto ends = Named(figures.at("workerEnds"), "reason"); !ends.empty()) {
    out << "  workers that ended unasked: " << ends << '\n';
  }
  // A host of an older version does not tell these.
  if (const auto leaves = figures.find("workerLeaves");
      leaves != figures.end() && !leaves->empty()) {
    out << "  workers that left, being well: " << Named(*leaves, "reason") << '\n';
  }
  if (figures.contains("workerDemandStarts") && figures.at("workerDemandStarts") != 0) {
    out << "  workers started on demand: " << Number(figures, "workerDemandStarts") << '\n';
  }
  if (figures.contains("workerLimitReached") && figures.at("workerLimitReached") != 0) {
    out << "  times that the load asked for more workers than there may be: "
        << Number(figures, "workerLimitReached") << '\n';
  }
  if (const auto replaced = Number(figures, "workersReplaced"); replaced != "0") {
    out << "  workers replaced, for a handler of theirs was stuck: " << replaced << '\n';
  }
}

void PrintQueues(std::ostream& out, const Json& queues) {
  if (queues.empty()) {
    return;
  }
  std::vector<Row> rows{{"waiting", "limit", "most seen", "address"}};
  for (const auto& queue : queues) {
    rows.push_back({Number(queue, "waiting"), Number(queue, "limit"), Number(queue, "most"),
                    Text(queue, "address")});
  }
  out << "\nconnections that wait to be accepted:\n";
  PrintTable(out, rows);
}

void PrintEntries(std::ostream& out, const Json& entries) {
  if (entries.empty()) {
    return;
  }
  std::vector<Row> rows{{"requests", "5xx", "mean", "50%", "90%", "99%", "entry"}};
  for (const auto& entry : entries) {
    rows.push_back({Number(entry, "count"), Number(entry, "serverErrors"),
                    Milliseconds(entry, "meanMs"), Milliseconds(entry, "p50Ms"),
                    Milliseconds(entry, "p90Ms"), Milliseconds(entry, "p99Ms"),
                    Text(entry, "entry")});
  }
  out << "\nmapping entries, since the start:\n";
  PrintTable(out, rows);
}

void PrintFigures(std::ostream& out, const Json& status) {
  if (const auto figures = status.find("figures"); figures != status.end()) {
    PrintRequests(out, *figures);
    PrintQueues(out, figures->at("listenQueues"));
    PrintEntries(out, figures->at("entries"));
  }
}

/// Of those that have told; nothing where none has.
void PrintStacks(std::ostream& out, const Json& workers) {
  bool is_first = true;
  for (const auto& worker : workers) {
    // A host of an older version does not tell.
    if (!worker.contains("stacks") || worker.at("stacks").is_null()) {
      continue;
    }
    out << (std::exchange(is_first, false) ? "\nstacks and stalls:\n" : "") << "  "
        << Number(worker, "pid") << "  ";
    for (const auto& stacks : worker.at("stacks")) {
      const auto size = [&stacks](const char* name) {
        return std::to_string(stacks.at(name).get<std::size_t>() / 1024) + "K";
      };
      out << Counted(Number(stacks, "fibers"), "fiber") << " on stacks of " << size("stackBytes")
          << ", " << size("mostUsedBytes") << " of " << size("usableBytes") << " used at most; ";
    }
    const auto& stalls = worker.at("stalls");
    const auto count = Number(stalls, "count");
    out << Counted(count == "0" ? "no" : count, "stall");
    if (count != "0") {
      out << ", the longest " << Number(stalls, "longestMs") << " ms";
    }
    out << '\n';
  }
}

}  // namespace

std::optional<std::string> StatusText(const Json& status) {
  try {
    std::ostringstream out;
    PrintHead(out, status);
    PrintReload(out, status);
    PrintMappings(out, status.at("mappings"));
    PrintWorkers(out, status.at("workers"), status.contains("figures"));
    PrintFigures(out, status);
    PrintStacks(out, status.at("workers"));
    return out.str();
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace weft::host::tools
