#include "host/supervisor/worker_exit.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <string>

#include "host/options/exit_code.hpp"

namespace weft::host::supervisor {
namespace {

using std::chrono::milliseconds;

WorkerExit WithCode(int code) { return {.status = W_EXITCODE(code, 0)}; }
WorkerExit BySignal(int signal) { return {.status = W_EXITCODE(0, signal)}; }

std::string AdviceFor(const WorkerExit& exit) {
  return AdviceAfterFailedStarts(exit, {"/srv/a", "/srv/b"});
}

TEST_CASE("WorkerExit: says what ended the worker, and when") {
  WorkerExit exit = WithCode(3);
  CHECK(exit.Code() == 3);
  CHECK(ToString(exit) == "exited with code 3 before it was ready");
  exit.loading = "/srv/a/m.so";
  CHECK(ToString(exit) ==
        "exited with code 3 before it was ready, as it loaded the module /srv/a/m.so");

  exit = BySignal(SIGKILL);
  CHECK(exit.Code() == -1);
  exit.was_ready = true;
  exit.lived = milliseconds(3'000);
  CHECK(ToString(exit) == "was ended by SIGKILL after 3s");
  exit.status |= WCOREFLAG;
  CHECK(ToString(exit) == "was ended by SIGKILL (core dumped) after 3s");
  CHECK(SignalName(SIGRTMAX) == "signal " + std::to_string(SIGRTMAX));
}

TEST_CASE("WorkerExit: the host ends with the code that says whose the fault most likely is") {
  CHECK(ExitCodeAfterFailedStarts(WithCode(0)) == options::kExitSoftware);
  CHECK(ExitCodeAfterFailedStarts(WithCode(3)) == options::kExitSoftware);
  CHECK(ExitCodeAfterFailedStarts(WithCode(options::kExitSystem)) == options::kExitSystem);
  CHECK(ExitCodeAfterFailedStarts(WithCode(options::kExitNoPermission)) ==
        options::kExitNoPermission);
  CHECK(ExitCodeAfterFailedStarts(BySignal(SIGSEGV)) == options::kExitSoftware);
  WorkerExit killed = BySignal(SIGKILL);
  CHECK(ExitCodeAfterFailedStarts(killed) == options::kExitSystem);
  killed.took_too_long = true;
  CHECK(ExitCodeAfterFailedStarts(killed) == options::kExitSoftware);
}

TEST_CASE("WorkerExit: the advice is about what most likely ended the worker") {
  CHECK(AdviceFor(BySignal(SIGKILL)).find("memory") != std::string::npos);
  CHECK(AdviceFor(WithCode(options::kExitSystem)).starts_with("grant what its own lines"));
  CHECK(AdviceFor(WithCode(options::kExitNoPermission)).starts_with("grant what its own lines"));
  CHECK(AdviceFor(WithCode(options::kExitSoftware)) == "its own lines above say why: report it");
  CHECK(AdviceFor(BySignal(SIGSEGV)).starts_with("a module of /srv/a, /srv/b most likely"));
  CHECK(AdviceAfterFailedStarts(BySignal(SIGSEGV), {}) ==
        "its own lines above, if there are any, say why: report it");

  WorkerExit late = BySignal(SIGKILL);
  late.took_too_long = true;
  CHECK(AdviceFor(late).ends_with("on a file system that does not answer"));
  late.loading = "/srv/a/m.so";
  CHECK(AdviceFor(late) == "replace this module, or take it away");
}

}  // namespace
}  // namespace weft::host::supervisor
