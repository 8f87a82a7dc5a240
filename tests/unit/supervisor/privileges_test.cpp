#include "host/supervisor/privileges.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::host::supervisor {

namespace {

using options::Settings;

constexpr uid_t kNobody = 65534;

/// What does not hold in a child process, which nothing that it gives up is missing to others; empty: all does.
std::string InChild(const std::function<std::string()>& what_is_wrong) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::string said;
    try {
      said = what_is_wrong();
    } catch (const std::exception& error) {
      said = std::string("throws: ") + error.what();
    }
    const bool told = said.empty() || ::write(ends[1], said.data(), said.size()) > 0;
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  std::string said;
  char piece[256];
  for (ssize_t count; (count = ::read(ends[0], piece, sizeof piece)) > 0;) {
    said.append(piece, static_cast<std::size_t>(count));
  }
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status == 0 ? said : "it ended with status " + std::to_string(status) + "; " + said;
}

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr ? "(none)" : value;
}

int CodeOf(const std::function<void()>& fails, std::string& sentence) {
  try {
    fails();
  } catch (const PrivilegeError& error) {
    sentence = error.what();
    return error.ExitCode();
  }
  return 0;
}

}  // namespace

TEST_CASE("privileges: of the environment stays what is named, or as usual") {
  const std::string wrong = InChild([] {
    ::setenv("WEFT_SECRET", "x", 1);
    ::setenv("PGHOST", "db", 1);
    ::setenv("PGPORT", "1", 1);
    ::setenv("LC_TIME", "C", 1);
    ::setenv("MODE", "test", 1);
    Settings settings;
    settings.environment = settings.KeptVariables(/*spawned=*/false);
    settings.environment->kept.emplace_back("PG*");
    settings.environment->set.emplace_back("MODE", "live");
    GiveUpPrivileges(settings, std::nullopt, /*spawned=*/false);
    return Variable("WEFT_SECRET") + Variable("PGHOST") + Variable("PGPORT") + Variable("LC_TIME") +
           Variable("MODE");
  });
  CHECK(wrong == "(none)db1Clive");
  CHECK(InChild([] {
          ::setenv("WEFT_SECRET", "x", 1);
          ::setenv("PATH", "/bin", 1);
          GiveUpPrivileges(Settings{}, std::nullopt, /*spawned=*/false);
          return Variable("WEFT_SECRET") + Variable("PATH");
        }) == "(none)/bin");
  CHECK(InChild([] {
          ::setenv("FROM_THE_WEB_SERVER", "x", 1);
          GiveUpPrivileges(Settings{}, std::nullopt, /*spawned=*/true);
          return Variable("FROM_THE_WEB_SERVER");
        }) == "x");
}

TEST_CASE("privileges: umask, limits, and no new privileges are as they are given") {
  CHECK(InChild([]() -> std::string {
          Settings settings;
          settings.umask = 0027;
          settings.resource_limits = {options::ParseResourceLimit("nofile=20:40"),
                                      options::ParseResourceLimit("core=0")};
          settings.no_new_privileges = true;
          GiveUpPrivileges(settings, std::nullopt, false);
          rlimit files{};
          ::getrlimit(RLIMIT_NOFILE, &files);
          if (files.rlim_cur != 20 || files.rlim_max != 40) return "nofile";
          if (::umask(0) != 0027) return "umask";
          if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return "no new privileges";
          return {};
        }) == "");
  CHECK(InChild([]() -> std::string {
          const mode_t before = ::umask(0031);
          GiveUpPrivileges(Settings{}, std::nullopt, false);
          if (::umask(before) != 0031) return "umask";
          return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? "" : "no new privileges";
        }) == "");
}

TEST_CASE("privileges: accounts that are not there are told by their option") {
  Settings settings;
  std::string sentence;
  settings.user = "no-such-user";
  CHECK(CodeOf([&] { static_cast<void>(FindIdentity(settings)); }, sentence) ==
        options::kExitConfiguration);
  CHECK(sentence == "--user: there is no user 'no-such-user': add it, or name another");
  settings.user.clear();
  settings.group = "no-such-group";
  CHECK(CodeOf([&] { static_cast<void>(FindIdentity(settings)); }, sentence) ==
        options::kExitConfiguration);
  CHECK(sentence == "--group: there is no group 'no-such-group': add it, or name another");
  settings.group.clear();
  settings.user = "3999999999";
  CHECK(CodeOf([&] { static_cast<void>(FindIdentity(settings)); }, sentence) ==
        options::kExitConfiguration);
  CHECK(
      sentence ==
      "--user 3999999999: no account has that number, and so no group is known: give --group, too");
  CHECK(FindUser("root", "--user") == 0);
  CHECK(FindUser("3999999999", "--user") == 3'999'999'999);
  CHECK(FindGroup("root", "--group") == 0);
}

TEST_CASE("privileges: who is not root cannot become somebody else") {
  const std::string said = InChild([]() -> std::string {
    if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) return "setuid";
    Settings settings;
    settings.user = "root";
    std::string sentence;
    const int code = CodeOf([&] { static_cast<void>(FindIdentity(settings)); }, sentence);
    if (code != options::kExitNoPermission) return "exit code " + std::to_string(code);
    // Himself he may be called.
    settings.user = std::to_string(::geteuid());
    settings.group = std::to_string(::getegid());
    return FindIdentity(settings) ? "an identity" : sentence;
  });
  CHECK(
      said ==
      "--user root: only root may become somebody else: start it as root, or leave the option out");
}

TEST_CASE("privileges: root becomes the user for good, with his groups") {
  if (::geteuid() != 0) {
    return;  // the case before is for them
  }
  CHECK(InChild([]() -> std::string {
          Settings settings;
          settings.user = "nobody";
          const auto identity = FindIdentity(settings);
          GiveUpPrivileges(settings, identity, false);
          uid_t real = 0;
          uid_t effective = 0;
          uid_t saved = 0;
          ::getresuid(&real, &effective, &saved);
          if (real != kNobody || effective != kNobody || saved != kNobody) return "user";
          if (::getgid() != identity->group || ::getegid() != identity->group) return "group";
          gid_t groups[64];
          const int count = ::getgroups(64, groups);
          if (std::find(groups, groups + count, 0U) != groups + count) return "root's group";
          return ::setuid(0) == 0 || ::open("/etc/shadow", O_RDONLY) >= 0 ? "root's rights" : "";
        }) == "");
}

TEST_CASE("privileges: for a while root opens files as the user") {
  if (::geteuid() != 0) {
    return;
  }
  const test::TemporaryFolder folder;
  std::ofstream(folder / "secret") << "x";
  REQUIRE(::chmod((folder / "secret").c_str(), 0600) == 0);
  Settings settings;
  settings.user = "nobody";
  const auto identity = FindIdentity(settings);
  CHECK(InChild([&]() -> std::string {
          {
            const ActingAs user(identity);
            if (std::ifstream(folder / "secret").is_open()) return "the user reads root's file";
          }
          if (::geteuid() != 0 || ::getegid() != 0) return "root is gone";
          return std::ifstream(folder / "secret").is_open() ? "" : "root cannot read";
        }) == "");
}

}  // namespace weft::host::supervisor
