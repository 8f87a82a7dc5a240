#include "host/observe/crash_evidence.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace weft::host::observe {
namespace {

using std::chrono::steady_clock;

std::uint64_t NanosecondsOf(steady_clock::time_point time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

HeldRequest& Named(HeldRequests& held, std::uint64_t number, steady_clock::time_point started) {
  auto* const request = held.Take();
  REQUIRE(request != nullptr);
  request->id.Set("1-" + std::to_string(number));
  request->method.Set("GET");
  request->path.Set("/a");
  request->started_ns.Set(NanosecondsOf(started));
  request->state.Set(static_cast<std::uint64_t>(RequestState::kOnThread));
  request->number.Set(number);
  return *request;
}

TEST_CASE("CrashEvidence: what is held is read, the one that crashed first and then the oldest") {
  const auto evidence = std::make_unique<CrashEvidence>();
  HeldRequests held(*evidence);
  const auto now = steady_clock::now();
  Named(held, 1, now - std::chrono::milliseconds(30)).handler.Set("shop::Report");
  Named(held, 2, now - std::chrono::milliseconds(10));
  Named(held, 3, now - std::chrono::milliseconds(50));
  auto& ended = Named(held, 4, now);
  held.GiveBack(&ended);
  evidence->step = CrashStep::kWork;
  evidence->signal = SIGSEGV;
  evidence->request = 2;
  evidence->work.Set("request 1-2 GET /a?y=2&token=abc&z=3: shop::Report");
  const auto facts = ReadEvidence(*evidence, now);
  CHECK(facts.work == "request 1-2 GET /a?y=2&token=(masked)&z=3: shop::Report");
  REQUIRE(facts.requests.size() == 3);
  CHECK(facts.requests[0].number == 2);
  CHECK(facts.requests[0].has_crashed);
  CHECK(facts.requests[1].number == 3);
  CHECK(facts.requests[2].number == 1);
  CHECK(facts.requests[2].handler == "shop::Report");
  CHECK(facts.requests[2].id == "1-1");
  CHECK(facts.requests[2].state == RequestState::kOnThread);
  CHECK(facts.requests[2].age == std::chrono::milliseconds(30));
  CHECK(facts.signal == SIGSEGV);
}

TEST_CASE("HeldRequests: a request that nobody has named has the process's id for it") {
  const auto evidence = std::make_unique<CrashEvidence>();
  HeldRequests held(*evidence);
  held.SetIdPrefix("0a1b-");
  const auto now = steady_clock::now();
  Named(held, 12, now).id.Set({});
  const auto facts = ReadEvidence(*evidence, now);
  REQUIRE(facts.requests.size() == 1);
  CHECK(facts.requests[0].id == "0a1b-12");
}

TEST_CASE("HeldRequests: beyond its places requests are counted, and places come back") {
  const auto evidence = std::make_unique<CrashEvidence>();
  HeldRequests held(*evidence);
  const auto now = steady_clock::now();
  HeldRequest* last = nullptr;
  for (std::size_t i = 1; i <= CrashEvidence::kRequests; ++i) {
    last = &Named(held, i, now);
  }
  CHECK(held.Take() == nullptr);
  CHECK(held.Take() == nullptr);
  CHECK(ReadEvidence(*evidence, now).requests_not_named == 2);
  held.GiveBack(nullptr);
  CHECK(ReadEvidence(*evidence, now).requests_not_named == 1);
  held.GiveBack(last);
  auto* const again = held.Take();
  CHECK(again == last);
  CHECK(again->id.View().empty());
}

TEST_CASE("CrashEvidence: a text that is cut, and one whose length is a lie") {
  EvidenceText<4> text;
  text.Set("abcdef");
  CHECK(text.View() == "abcd");
  text.Append("g");
  CHECK(text.View() == "abcd");
  std::memset(static_cast<void*>(&text), 0xff, sizeof text);
  CHECK(text.View().size() == 4);
}

TEST_CASE("CrashEvidence: a record that was begun and not filled is as far as it went") {
  const auto evidence = std::make_unique<CrashEvidence>();
  const auto now = steady_clock::now();
  SUBCASE("no signal yet") {
    evidence->step = CrashStep::kFacts;
    CHECK(ReadEvidence(*evidence, now).step == CrashStep::kNothing);
  }
  SUBCASE("a module's number that there is not, and frames that there are not") {
    evidence->step = CrashStep::kModules;
    evidence->signal = SIGBUS;
    evidence->frames = 4'000'000'000;
    evidence->modules = 1;
    evidence->module[0].path.Set("/m/a.so");
    evidence->frame[0] = {.address = 1, .offset = 2, .module = 1};
    evidence->frame[1] = {.address = 3, .offset = 4, .module = 2};
    const auto facts = ReadEvidence(*evidence, now);
    REQUIRE(facts.frames.size() == CrashEvidence::kFrames);
    CHECK(facts.frames[0].module == "/m/a.so");
    CHECK(facts.frames[0].offset == 2);
    CHECK(facts.frames[1].module.empty());
    CHECK(facts.frames[1].offset == 0);
  }
  SUBCASE("times of the future, and counts below zero") {
    HeldRequests held(*evidence);
    Named(held, 1, now + std::chrono::hours(1));
    evidence->requests_not_named.Subtract();
    const auto facts = ReadEvidence(*evidence, now);
    REQUIRE(facts.requests.size() == 1);
    CHECK(facts.requests[0].age.count() < 0);
    CHECK(facts.requests_not_named == 0);
  }
}

TEST_CASE("CrashEvidence: any bits are read without harm, and within bounds") {
  std::mt19937_64 random(25);
  const auto evidence = std::make_unique<CrashEvidence>();
  for (int round = 0; round < 50; ++round) {
    std::vector<std::uint64_t> bits(sizeof(CrashEvidence) / sizeof(std::uint64_t));
    for (auto& word : bits) {
      word = random();
    }
    std::memcpy(static_cast<void*>(evidence.get()), bits.data(), bits.size() * sizeof bits[0]);
    const auto facts = ReadEvidence(*evidence, steady_clock::now());
    CHECK(facts.requests.size() <= CrashEvidence::kRequests);
    CHECK(facts.frames.size() <= CrashEvidence::kFrames);
    CHECK(facts.signal >= 0);
    CHECK(facts.signal < NSIG);
    CHECK(facts.message.size() <= 510);
    for (const auto& request : facts.requests) {
      CHECK(request.path.size() <= 158);
      CHECK(request.state <= RequestState::kFinished);
    }
  }
}

}  // namespace
}  // namespace weft::host::observe
