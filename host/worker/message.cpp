#include "host/worker/message.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "host/observe/problem_json.hpp"

namespace weft::host::worker {

namespace {

using Json = nlohmann::ordered_json;
using mappings::Problem;

/// Of one problem's sentence, or of its file's name; both are far shorter as a rule.
constexpr std::size_t kMaxTextBytes = 4096;

std::string Dump(const Json& json) {
  // File names are any bytes.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Cut(std::string text) {
  if (text.size() > kMaxTextBytes) {
    text.resize(kMaxTextBytes);
    text += "...";
  }
  return text;
}

Json ToJson(const ReloadReport& report) {
  Json json = {{"kind", "reload"},
               {"cause", report.cause == ReloadReport::Cause::kStart ? "start" : "reload"},
               {"accepted", report.accepted},
               {"fingerprint", report.fingerprint},
               {"readAt", report.read_at.time_since_epoch().count()},
               {"problemCount", report.problem_count},
               {"problems", Json::array()}};
  // What refused the files comes first, lest warnings leave no room for it.
  auto problems = report.problems;
  std::ranges::stable_partition(
      problems, [](const Problem& p) { return p.severity == Problem::Severity::kError; });
  std::size_t left = kMaxMessageBytes - Dump(json).size();
  for (auto& problem : problems) {
    problem.where.file = Cut(std::move(problem.where.file));
    problem.sentence = Cut(std::move(problem.sentence));
    auto item = observe::ToJson(problem);
    const auto size = Dump(item).size() + 1;  // and a comma
    if (size > left || json["problems"].size() == kMaxReportedProblems) {
      break;
    }
    left -= size;
    json["problems"].push_back(std::move(item));
  }
  return json;
}

std::optional<ReloadReport> ReportFromJson(const Json& json) {
  ReloadReport report;
  const auto& cause = json.at("cause").get_ref<const std::string&>();
  const auto& fingerprint = json.at("fingerprint");
  const auto& read_at = json.at("readAt");
  const auto& problem_count = json.at("problemCount");
  // The library would cast a negative number, or a fraction of any size.
  if ((cause != "start" && cause != "reload") || !fingerprint.is_number_unsigned() ||
      !read_at.is_number_integer() || !problem_count.is_number_unsigned()) {
    return std::nullopt;
  }
  report.cause = cause == "start" ? ReloadReport::Cause::kStart : ReloadReport::Cause::kReload;
  report.accepted = json.at("accepted").get<bool>();
  report.fingerprint = fingerprint.get<std::uint64_t>();
  report.read_at = std::chrono::steady_clock::time_point(
      std::chrono::steady_clock::duration(read_at.get<std::int64_t>()));
  report.problem_count = problem_count.get<std::size_t>();
  const auto& problems = json.at("problems").get_ref<const Json::array_t&>();
  if (problems.size() > kMaxReportedProblems || problems.size() > report.problem_count) {
    return std::nullopt;
  }
  for (const auto& item : problems) {
    auto problem = observe::ProblemFromJson(item);
    if (!problem) {
      return std::nullopt;
    }
    report.problems.push_back(std::move(*problem));
  }
  return report;
}

Json ToJson(const Figures& figures) {
  Json json = {{"kind", "figures"},
               {"stalls", figures.stalls},
               {"longestStallMs", figures.longest_stall.count()},
               {"stacks", Json::array()}};
  for (const auto& stacks : figures.stacks) {
    json["stacks"].push_back(
        {stacks.stack_bytes, stacks.usable_bytes, stacks.fibers, stacks.most_used_bytes});
  }
  return json;
}

std::optional<Figures> FiguresFromJson(const Json& json) {
  const auto& stalls = json.at("stalls");
  const auto& longest = json.at("longestStallMs");
  const auto& stacks = json.at("stacks").get_ref<const Json::array_t&>();
  if (!stalls.is_number_unsigned() || !longest.is_number_unsigned() ||
      stacks.size() > kMaxStackSizes) {
    return std::nullopt;
  }
  Figures figures{.stalls = stalls.get<std::uint64_t>(),
                  .longest_stall = std::chrono::milliseconds(longest.get<std::int64_t>())};
  for (const auto& item : stacks) {
    const auto& numbers = item.get_ref<const Json::array_t&>();
    if (numbers.size() != 4 ||
        !std::ranges::all_of(numbers, [](const Json& n) { return n.is_number_unsigned(); })) {
      return std::nullopt;
    }
    figures.stacks.push_back({numbers[0].get<std::size_t>(), numbers[1].get<std::size_t>(),
                              numbers[2].get<std::size_t>(), numbers[3].get<std::size_t>()});
  }
  return figures;
}

std::optional<Recycle> RecycleFromJson(const Json& json) {
  const auto& reason = json.at("reason").get_ref<const std::string&>();
  const auto& value = json.at("value");
  if ((reason != "requests" && reason != "memory") || !value.is_number_unsigned()) {
    return std::nullopt;
  }
  return Recycle{
      .reason = reason == "requests" ? Recycle::Reason::kRequests : Recycle::Reason::kMemory,
      .value = value.get<std::uint64_t>()};
}

}  // namespace

std::string Encode(const Message& message) {
  if (const auto* const report = std::get_if<ReloadReport>(&message)) {
    return Dump(ToJson(*report));
  }
  if (const auto* const figures = std::get_if<Figures>(&message)) {
    return Dump(ToJson(*figures));
  }
  if (const auto* const loading = std::get_if<Loading>(&message)) {
    return Dump(Json::object({{"kind", "loading"}, {"module", Cut(loading->module)}}));
  }
  if (const auto* const recycle = std::get_if<Recycle>(&message)) {
    const bool by_requests = recycle->reason == Recycle::Reason::kRequests;
    return Dump(Json::object({{"kind", "recycle"},
                              {"reason", by_requests ? "requests" : "memory"},
                              {"value", recycle->value}}));
  }
  const bool retires = std::holds_alternative<Retiring>(message);
  return Dump(Json::object({{"kind", retires ? "retiring" : "ready"}}));
}

std::optional<Message> Decode(std::string_view packet) {
  if (packet.size() > kMaxMessageBytes) {
    return std::nullopt;
  }
  try {
    const auto json = Json::parse(packet);
    const auto& kind = json.at("kind").get_ref<const std::string&>();
    if (kind == "ready") {
      return Ready{};
    }
    if (kind == "retiring") {
      return Retiring{};
    }
    if (kind == "loading") {
      return Loading{Cut(json.at("module").get<std::string>())};
    }
    if (kind == "recycle") {
      return RecycleFromJson(json);
    }
    if (kind == "figures") {
      return FiguresFromJson(json);
    }
    return kind == "reload" ? ReportFromJson(json) : std::optional<Message>{};
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

bool TrySend(int channel, const Message& message) {
  const auto packet = Encode(message);
  ssize_t sent = 0;
  do {
    sent = ::send(channel, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno == EMSGSIZE && std::holds_alternative<ReloadReport>(message)) {
    // A system with small buffers: what came of it matters more than the details.
    auto shorter = std::get<ReloadReport>(message);
    if (!std::exchange(shorter.problems, {}).empty()) {
      return TrySend(channel, shorter);
    }
  }
  return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM);
}

}  // namespace weft::host::worker
