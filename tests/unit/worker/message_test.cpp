#include "host/worker/message.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace weft::host::worker {
namespace {

using mappings::Problem;
using Severity = Problem::Severity;

/// A report that was written and read again.
ReloadReport Returned(const ReloadReport& report) {
  const auto message = Decode(Encode(report));
  REQUIRE(message.has_value());
  REQUIRE(std::holds_alternative<ReloadReport>(*message));
  return std::get<ReloadReport>(*message);
}

ReloadReport Refused(std::vector<Problem> problems) {
  ReloadReport report;
  report.problem_count = problems.size();
  report.problems = std::move(problems);
  return report;
}

TEST_CASE("Message: figures come back as they were, and what Encode() does not make is none") {
  Figures figures{.stalls = 3, .longest_stall = std::chrono::milliseconds(412)};
  figures.stacks = {{262'144, 196'352, 31, 45'056}, {1'048'576, 982'784, 1, 8'192}};
  const auto decoded = Decode(Encode(figures));
  REQUIRE(decoded.has_value());
  REQUIRE(std::holds_alternative<Figures>(*decoded));
  CHECK(std::get<Figures>(*decoded) == figures);
  for (const char* packet :
       {R"({"kind":"figures","stalls":-1,"longestStallMs":0,"stacks":[]})",
        R"({"kind":"figures","stalls":1,"longestStallMs":0,"stacks":[[1,2,3]]})",
        R"({"kind":"figures","stalls":1,"longestStallMs":0,"stacks":[[1,2,3,"4"]]})",
        R"({"kind":"figures","stalls":1,"longestStallMs":0})"}) {
    CHECK_FALSE(Decode(packet).has_value());
  }
}

TEST_CASE("Message: a wish to be recycled has its reason") {
  for (const auto reason : {Recycle::Reason::kRequests, Recycle::Reason::kMemory}) {
    const Recycle recycle{.reason = reason, .value = 1'000'001};
    const auto decoded = Decode(Encode(recycle));
    REQUIRE(decoded.has_value());
    REQUIRE(std::holds_alternative<Recycle>(*decoded));
    CHECK(std::get<Recycle>(*decoded) == recycle);
  }
  for (const char* packet : {R"({"kind":"recycle","reason":"age","value":1})",
                             R"({"kind":"recycle","reason":"memory","value":-1})",
                             R"({"kind":"recycle","reason":"memory"})"}) {
    CHECK_FALSE(Decode(packet).has_value());
  }
}

TEST_CASE("Message: is read as it was written") {
  const auto ready = Decode(Encode(Ready{}));
  REQUIRE(ready.has_value());
  CHECK(std::holds_alternative<Ready>(*ready));

  const auto retiring = Decode(Encode(Retiring{}));
  REQUIRE(retiring.has_value());
  CHECK(std::holds_alternative<Retiring>(*retiring));

  const auto loading = Decode(Encode(Loading{"/srv/modules/shop.so"}));
  REQUIRE(loading.has_value());
  REQUIRE(std::holds_alternative<Loading>(*loading));
  CHECK(std::get<Loading>(*loading).module == "/srv/modules/shop.so");

  auto report = Refused({{{"/etc/weft/machine.json", 3, 7}, Severity::kWarning, "Odd."}});
  report.cause = ReloadReport::Cause::kStart;
  report.accepted = true;
  report.fingerprint = 0xffff'ffff'ffff'fff1;
  report.read_at = std::chrono::steady_clock::now();
  const auto returned = Returned(report);
  CHECK(returned.cause == ReloadReport::Cause::kStart);
  CHECK(returned.accepted);
  CHECK(returned.fingerprint == report.fingerprint);
  CHECK(returned.read_at == report.read_at);
  CHECK(returned.problem_count == 1);
  REQUIRE(returned.problems.size() == 1);
  CHECK(returned.problems.front().where == report.problems.front().where);
  CHECK(returned.problems.front().severity == Severity::kWarning);
  CHECK(returned.problems.front().sentence == "Odd.");
}

TEST_CASE("Message: bytes that are no UTF-8 do no harm") {
  const auto returned = Returned(Refused({{{"/etc/\xff\xfe", 0, 0}, Severity::kError, "\xc3"}}));
  CHECK(returned.problems.front().where.file == "/etc/\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("Message: of many problems the errors come first, and all are counted") {
  std::vector<Problem> problems(1'000, {{"a", 1, 1}, Severity::kWarning, "Odd."});
  problems.push_back({{"b", 2, 2}, Severity::kError, "Wrong."});
  const auto returned = Returned(Refused(problems));
  CHECK(returned.problem_count == 1'001);
  REQUIRE(returned.problems.size() == kMaxReportedProblems);
  CHECK(returned.problems.front().sentence == "Wrong.");
}

TEST_CASE("Message: is never longer than it may be, however long the texts are") {
  for (const std::size_t size : {100U, 3'000U, 100'000U}) {
    CAPTURE(size);
    const Problem problem{
        {std::string(size, '"'), 1, 1}, Severity::kError, std::string(size, '\x01')};
    const auto packet = Encode(Refused(std::vector<Problem>(200, problem)));
    CHECK(packet.size() <= kMaxMessageBytes);
    const auto returned = Decode(packet);
    REQUIRE(returned.has_value());
    CHECK_FALSE(std::get<ReloadReport>(*returned).problems.empty());
    CHECK(std::get<ReloadReport>(*returned).problem_count == 200);
  }
}

TEST_CASE("Message: what no worker writes is nothing") {
  const std::string head = R"({"kind":"reload","cause":"reload","accepted":true,"fingerprint":1,)";
  const auto with = [&head](std::string_view rest) { return head + std::string(rest); };
  const std::string problem =
      R"({"file":"a","line":1,"column":1,"severity":"error","message":"b"})";
  REQUIRE(Decode(with(R"("readAt":1,"problemCount":1,"problems":[)" + problem + "]}")).has_value());
  std::string many = problem;
  for (std::size_t i = 0; i < kMaxReportedProblems; ++i) many += "," + problem;

  for (const std::string& packet :
       {std::string(),
        std::string("{"),
        std::string("null"),
        std::string("[]"),
        std::string("{}"),
        std::string(R"({"kind":"loading"})"),
        std::string(R"({"kind":"loading","module":1})"),
        std::string("\xff"),
        std::string(100, '\0'),
        std::string(kMaxMessageBytes, '['),
        std::string(R"({"kind":"dance"})"),
        std::string(R"({"kind":1})"),
        std::string(R"({"kind":"reload"})"),
        head + "}",
        Encode(Ready{}) + Encode(Ready{}),
        Encode(Ready{}) + std::string(kMaxMessageBytes, ' '),
        with(R"("readAt":1e300,"problemCount":0,"problems":[]})"),
        with(R"("readAt":1,"problemCount":-1,"problems":[]})"),
        with(R"("readAt":1,"problemCount":0,"problems":null})"),
        with(R"("readAt":1,"problemCount":0,"problems":{}})"),
        with(R"("readAt":1,"problemCount":0,"problems":[)" + problem + "]}"),
        with(R"("readAt":1,"problemCount":9,"problems":[1]})"),
        with(R"("readAt":1,"problemCount":9,"problems":[{"file":"a"}]})"),
        with(R"("readAt":1,"problemCount":1000,"problems":[)" + many + "]}"),
        std::string(R"({"kind":"reload","cause":"party","accepted":true,"fingerprint":1,)"
                    R"("readAt":1,"problemCount":0,"problems":[]})"),
        std::string(R"({"kind":"reload","cause":"start","accepted":1,"fingerprint":1,)"
                    R"("readAt":1,"problemCount":0,"problems":[]})")}) {
    CAPTURE(packet.substr(0, 100));
    CHECK_FALSE(Decode(packet).has_value());
  }
}

TEST_CASE("TrySend: a full buffer is no error, and neither is a peer that is gone") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  int sent = 0;
  while (TrySend(ends[0], Ready{}) && sent < 100'000) ++sent;
  CHECK(sent > 0);
  CHECK(sent < 100'000);
  std::array<char, 100> packet{};
  REQUIRE(::recv(ends[1], packet.data(), packet.size(), 0) > 0);
  CHECK(TrySend(ends[0], Ready{}));
  ::close(ends[1]);
  CHECK(TrySend(ends[0], Ready{}));
  ::close(ends[0]);
}

TEST_CASE("TrySend: where buffers are small, what came of a reload goes without its problems") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
  const int size = 4'096;
  REQUIRE(::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
  const Problem problem{{"a", 1, 1}, Severity::kError, std::string(1'000, 'x')};
  CHECK(TrySend(ends[0], Refused(std::vector<Problem>(50, problem))));
  std::vector<char> packet(kMaxMessageBytes);
  const auto count = ::recv(ends[1], packet.data(), packet.size(), MSG_DONTWAIT);
  REQUIRE(count > 0);
  const auto message = Decode({packet.data(), static_cast<std::size_t>(count)});
  REQUIRE(message.has_value());
  CHECK(std::get<ReloadReport>(*message).problem_count == 50);
  CHECK(std::get<ReloadReport>(*message).problems.empty());
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace weft::host::worker
