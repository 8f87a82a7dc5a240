#include "host/runtime/crash_handler.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>

#include "host/observe/crash_evidence.hpp"

namespace weft::host::runtime {
namespace {

using observe::CrashEvidence;
using observe::CrashFacts;
using observe::CrashStep;

/// What is left of a process that crashes, and how it ended.
struct Remains {
  CrashFacts facts;
  int status = 0;
};

Remains RemainsOf(const std::function<void()>& crash) {
  void* const memory = ::mmap(nullptr, sizeof(CrashEvidence), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto& evidence = *static_cast<CrashEvidence*>(memory);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    for (const int signal : CrashHandler::kSignals) {
      ::signal(signal, SIG_DFL);  // not doctest's
    }
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    const CrashHandler handler(evidence, CrashHandler::Audience::kSupervisor);
    crash();
    ::_exit(0);
  }
  Remains remains;
  REQUIRE(::waitpid(pid, &remains.status, 0) == pid);
  remains.facts = ReadEvidence(evidence, std::chrono::steady_clock::now());
  ::munmap(memory, sizeof(CrashEvidence));
  return remains;
}

[[gnu::noinline]] [[maybe_unused]] void WriteTo(std::uintptr_t address) {
  *reinterpret_cast<volatile char*>(address) = 1;
}

[[gnu::noinline]] void Throw() { throw std::runtime_error("boom"); }

bool EndedBy(int status, int signal) { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }

// A sanitizer that has handlers of its own ends the process by an exit.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

TEST_CASE("CrashHandler: a fault is written down, and ends the process as it would have") {
  const auto remains = RemainsOf([] { WriteTo(0x18); });
  CHECK(EndedBy(remains.status, SIGSEGV));
  CHECK(remains.facts.step == CrashStep::kModules);
  CHECK(remains.facts.signal == SIGSEGV);
  CHECK(remains.facts.code == SEGV_MAPERR);
  CHECK(remains.facts.address == 0x18);
#if defined(__x86_64__)
  CHECK(remains.facts.access == observe::CrashAccess::kWrite);
#endif
  REQUIRE(remains.facts.frames.size() > 2);
  CHECK(remains.facts.frames[0].module.ends_with("weft_runtime_test"));
}

TEST_CASE("CrashHandler: a process that was forked leaves nothing as its parent's") {
  const auto remains = RemainsOf([] {
    const pid_t pid = ::fork();
    if (pid == 0) {
      WriteTo(0x18);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    ::_exit(EndedBy(status, SIGSEGV) ? 17 : 1);
  });
  CHECK(WIFEXITED(remains.status));
  CHECK(WEXITSTATUS(remains.status) == 17);
  CHECK(remains.facts.step == CrashStep::kNothing);
}

TEST_CASE("CrashHandler: a fault in a step of its own ends that step alone") {
  const auto remains = RemainsOf([] {
    SetNoteCrash([](CrashNote& note, const void*) noexcept {
      note.request = 7;
      WriteTo(0x20);
    });
    WriteTo(0x18);
  });
  CHECK(EndedBy(remains.status, SIGSEGV));
  CHECK(remains.facts.step == CrashStep::kModules);
  CHECK(remains.facts.address == 0x18);  // that of the first one
  CHECK_FALSE(remains.facts.frames.empty());
}

TEST_CASE("CrashHandler: a step that does not end is ended") {
  const auto remains = RemainsOf([] {
    SetNoteCrash([](CrashNote&, const void*) noexcept {
      for (;;) {
        ::pause();
      }
    });
    WriteTo(0x18);
  });
  CHECK(EndedBy(remains.status, SIGSEGV));
  CHECK(remains.facts.step == CrashStep::kModules);
}

TEST_CASE("CrashHandler: the handler of before is called after it") {
  const auto remains = RemainsOf([] {
    // As a sanitizer's, or a library's that was there first.
    ::signal(SIGFPE, [](int) { ::_exit(17); });
    void* const memory = ::mmap(nullptr, sizeof(CrashEvidence), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    auto* const inner =
        new CrashHandler(*static_cast<CrashEvidence*>(memory), CrashHandler::Audience::kSupervisor);
    ::raise(SIGFPE);
    delete inner;
  });
  CHECK(WIFEXITED(remains.status));
  CHECK(WEXITSTATUS(remains.status) == 17);
}

#endif

TEST_CASE("CrashHandler: what nobody caught is noted with its type and text") {
  const auto remains = RemainsOf([]() noexcept { Throw(); });
  CHECK(EndedBy(remains.status, SIGABRT));
  CHECK(remains.facts.has_terminated);
  CHECK(remains.facts.exception_type == "St13runtime_error");
  CHECK(remains.facts.exception_text == "boom");
}

TEST_CASE("CrashHandler: a signal that was sent is told with who sent it") {
  const auto remains = RemainsOf([] { ::kill(::getpid(), SIGBUS); });
  CHECK(EndedBy(remains.status, SIGBUS));
  CHECK(remains.facts.code == SI_USER);
  CHECK(remains.facts.sender_user == static_cast<std::int64_t>(::getuid()));
}

}  // namespace
}  // namespace weft::host::runtime
