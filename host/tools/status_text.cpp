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

constexpr std::array<std::string_view, 6> kColumns{"pid",    "state",    "since",
                                                   "starts", "mappings", "last end in its place"};
using Row = std::array<std::string, kColumns.size()>;

Row RowOf(const Json& worker) {
  const auto& newest = worker.at("newestMappings");
  const auto& end = worker.at("lastEnd");
  return {Number(worker, "pid"),
          Text(worker, "state"),
          Text(worker, "since"),
          Number(worker, "starts"),
          newest.is_null()     ? "-"
          : newest.get<bool>() ? "newest"
                               : "older",
          end.is_null()
              ? "-"
              : Number(end, "pid") + " " + Text(end, "reason") + ", at " + Text(end, "at")};
}

void PrintWorkers(std::ostream& out, const Json& workers) {
  std::vector<Row> rows{Row{}};
  std::ranges::copy(kColumns, rows.front().begin());
  for (const auto& worker : workers) {
    rows.push_back(RowOf(worker));
  }
  Row::size_type column = 0;
  std::array<std::size_t, kColumns.size()> widths{};
  for (const auto& row : rows) {
    for (column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  out << "\nworkers:\n";
  for (const auto& row : rows) {
    for (column = 0; column + 1 < row.size(); ++column) {
      out << "  " << std::left << std::setw(static_cast<int>(widths[column])) << row[column];
    }
    out << "  " << row.back() << '\n';
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
    PrintMappings(out, status.at("mappings"));
    PrintWorkers(out, status.at("workers"));
    PrintStacks(out, status.at("workers"));
    return out.str();
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

}  // namespace weft::host::tools
