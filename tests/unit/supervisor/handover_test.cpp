#include "host/supervisor/handover.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/temporary_folder.hpp"
#include "tests/unit/supervisor/test_processes.hpp"

namespace weft::host::supervisor {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;
using test::TemporaryFolder;

constexpr std::chrono::system_clock::time_point kTime{1'795'379'091'123ms};

Handover Example() {
  return {.generation = 7,
          .since = kTime,
          .spawned = true,
          .sockets = {{.descriptor = 5,
                       .address = "unix:/run/weft.sock",
                       .source = "unix:/run/weft.sock",
                       .file = "/run/weft.sock",
                       .file_descriptor = 6},
                      {.descriptor = 8, .address = "fd:0 (unix:/run/x)"}},
          .passing_in = 9,
          .passing_out = 10,
          .parked = {19, 20},
          .workers = {{.kept = {.pid = 11,
                                .generation = 6,
                                .started = std::chrono::steady_clock::time_point(3s),
                                .since = kTime,
                                .was_ready = true,
                                .retires = true,
                                .leaves = true,
                                .drain_timeout = 30s,
                                .kill_at = std::chrono::steady_clock::time_point(40s),
                                .starts = 2,
                                .loading = "a.so",
                                .part = 3},
                       .channel = 12,
                       .output = 16,
                       .written = {.process = "worker 2",
                                   .reader = {.packet = "\x1e"
                                                        "e\x1f",
                                              .unfinished = {{.of = "\x1e\xff",
                                                              .text = "half a",
                                                              .left_out = 7}}},
                                   .last = {{.at = std::chrono::steady_clock::time_point(2s),
                                             .text = "said \xff"}}}},
                      {.kept = {.pid = 13}}},
          .places = {{.starts = 2, .last_end = WorkerEnd{14, kTime, 3 << 8, "exited"}}, {}},
          .reload = {.number = 5,
                     .outcome = ReloadState::Outcome::kRunning,
                     .at = kTime,
                     .reasons = {"why \xff"},
                     .is_queued = true},
          .figures = 17,
          .log_level = 18,
          .service = {.variables = {"NOTIFY_SOCKET=/run/\xff"}, .told = ServiceStage::kReloading},
          .identity = Identity{.user = 65'534, .group = 1, .groups = {1, 2}, .name = "--user \xff"},
          .config = options::ConfigText{"/etc/weft.ini", "workers = 2\n\xff"},
          .root = "/jail\xff",
          .trial_channel = 15};
}

TEST_CASE("Handover: what is encoded is decoded, whatever bytes it has") {
  const Handover expected = Example();
  const auto decoded = Decode(Encode(expected));
  REQUIRE(decoded);
  CHECK(decoded->generation == 7);
  CHECK(decoded->since == kTime);
  CHECK(decoded->spawned);
  CHECK(decoded->sockets == expected.sockets);
  CHECK(decoded->passing_in == 9);
  CHECK(decoded->passing_out == 10);
  CHECK(decoded->workers == expected.workers);
  REQUIRE(decoded->places.size() == 2);
  CHECK(decoded->places[0].starts == 2);
  REQUIRE(decoded->places[0].last_end);
  CHECK(decoded->places[0].last_end->reason == "exited");
  CHECK(decoded->places[0].last_end->status == 3 << 8);
  CHECK_FALSE(decoded->places[1].last_end);
  CHECK(decoded->reload == expected.reload);
  CHECK(decoded->figures == 17);
  CHECK(decoded->log_level == 18);
  CHECK(decoded->service.variables == expected.service.variables);
  CHECK(decoded->service.told == ServiceStage::kReloading);
  REQUIRE(decoded->identity);
  CHECK(decoded->identity->user == 65'534);
  CHECK(decoded->identity->group == 1);
  CHECK(decoded->identity->groups == std::vector<gid_t>{1, 2});
  CHECK(decoded->identity->name == "--user \xff");
  CHECK(decoded->config == expected.config);
  CHECK(decoded->root == expected.root);
  CHECK(decoded->trial_channel == 15);
}

TEST_CASE(
    "Handover: members that are not known are passed over; what is missing or wrong is nothing") {
  Json json = Json::parse(Encode(Example()));
  json["colour"] = {1, 2};
  json["workers"][0]["colour"] = nullptr;
  CHECK(Decode(json.dump()));
  for (const auto& [name, value] : json.items()) {
    if (name == "colour") continue;
    CAPTURE(name);
    Json without = json;
    without.erase(name);
    // Added later: a program of before hands over none.
    CHECK(Decode(without.dump()).has_value() == (name == "parked"));
    Json wrong = json;
    wrong[name] = Json::array({"x"});
    CHECK_FALSE(Decode(wrong.dump()));
  }
  for (const int format : {0, 2}) {
    Json other = json;
    other["format"] = format;
    CHECK_FALSE(Decode(other.dump()));
  }
  Json everybody = json;
  everybody["workers"][0]["pid"] = -1;  // kill(2) would mean every process
  CHECK_FALSE(Decode(everybody.dump()));
  CHECK_FALSE(Decode(""));
  CHECK_FALSE(Decode("[]"));
  CHECK_FALSE(Decode("{"));
}

TEST_CASE("Handover: a verdict is decoded as well") {
  const Verdict verdict{.sockets = Example().sockets, .config = Example().config};
  const auto decoded = DecodeVerdict(Encode(verdict));
  REQUIRE(decoded);
  CHECK(decoded->sockets == verdict.sockets);
  CHECK(decoded->config == verdict.config);
  CHECK_FALSE(DecodeVerdict("{}"));
}

TEST_CASE("Handover: is taken once, and only by the process that was meant") {
  const auto report = [](const std::string& process) {
    return InChild([&] {
      const FileDescriptor file = TextInMemory(Encode(Example()));
      const std::string variable = (process.empty() ? std::to_string(::getpid()) : process) + ":" +
                                   std::to_string(::dup(file.Number()));
      ::setenv("WEFTS_HANDOVER", variable.c_str(), 1);
      const auto taken = TakeHandover();
      const bool is_hidden = ::getenv("WEFTS_HANDOVER") == nullptr;
      return std::string(taken ? "taken" : "none") + (is_hidden ? ", hidden" : ", seen");
    });
  };
  CHECK(report("") == "taken, hidden");
  CHECK(report("1") == "none, hidden");
  CHECK(InChild([] { return std::string(TakeHandover() ? "taken" : "none"); }) == "none");
  CHECK(InChild([] {
          const FileDescriptor file = TextInMemory("{}");
          ::setenv(
              "WEFTS_HANDOVER",
              (std::to_string(::getpid()) + ":" + std::to_string(::dup(file.Number()))).c_str(), 1);
          return std::string(TakeHandover() ? "taken" : "none");
        }).starts_with("exception: what the running host hands over is not understood"));
}

TEST_CASE("Handover: a listener keeps its socket, and its file as its own to remove") {
  const TemporaryFolder folder;
  const std::string path = folder.Path() / "a.sock";
  options::Settings settings;
  settings.listen = {options::UnixAddress{path}};
  ListeningSockets sockets = OpenListeners(settings);
  PassedSocket passed = ToPassed(sockets.listeners.front());
  CHECK(passed.source == "unix:" + path);
  CHECK(passed.file == path);
  passed.descriptor = ::dup(passed.descriptor);
  passed.file_descriptor = ::dup(passed.file_descriptor);
  {
    std::vector<Listener> known;
    known.push_back(ToListener(passed));
    // As another program would find them: the old one is no more.
    static_cast<void>(sockets.listeners.front().ReleaseDescriptor());
    settings.listen.push_back(options::UnixAddress{folder.Path() / "b.sock"});
    const ListeningSockets again = OpenListeners(settings, known);
    CHECK(known.empty());
    REQUIRE(again.listeners.size() == 2);
    CHECK(again.listeners[0].Descriptor() == passed.descriptor);
    CHECK(std::filesystem::exists(path));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE(
    "Handover: a stop that comes meanwhile waits until the sockets have somebody to remove their "
    "files") {
  CHECK(InChild([] {
          sigset_t stop;
          ::sigemptyset(&stop);
          ::sigaddset(&stop, SIGTERM);
          ::sigprocmask(SIG_BLOCK, &stop, nullptr);
          ::raise(SIGTERM);
          options::Settings settings;
          settings.listen = {options::TcpAddress{"localhost", 0}};
          std::vector<Listener> known;
          known.emplace_back(FileDescriptor(), "tcp:127.0.0.1:9000");
          known.back().SetSource("tcp:localhost:0");
          const ListeningSockets sockets = OpenListeners(settings, known);
          return sockets.listeners.front().Address();
        }) == "tcp:127.0.0.1:9000");
}

TEST_CASE("Invocation: the program is found as it was started, and its versions differ") {
  const TemporaryFolder folder;
  const auto link = folder.Path() / "weft";
  std::filesystem::create_symlink("/proc/self/exe", link);
  const std::string name = link.string();
  const char* const by_link[] = {name.c_str(), "serve"};
  CHECK(Invocation::OfThisProcess(2, by_link).program == name);
  const char* const by_a_lie[] = {"/bin/sh"};
  CHECK(Invocation::OfThisProcess(1, by_a_lie).program ==
        std::filesystem::read_symlink("/proc/self/exe"));

  Invocation invocation{.program = folder.Path() / "program", .arguments = {}};
  CHECK(invocation.FileIdentity().empty());
  std::filesystem::copy_file("/bin/true", invocation.program);
  const std::string first = invocation.FileIdentity();
  CHECK(invocation.FileIdentity() == first);
  std::filesystem::copy_file("/bin/true", invocation.program + ".new");
  std::filesystem::rename(invocation.program + ".new", invocation.program);
  CHECK(invocation.FileIdentity() != first);
}

}  // namespace
}  // namespace weft::host::supervisor
