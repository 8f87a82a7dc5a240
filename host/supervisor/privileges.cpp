#include "host/supervisor/privileges.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <system_error>
#include <utility>

#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"

extern char** environ;

namespace weft::host::supervisor {
namespace {

using options::Quoted;
using options::Settings;

[[noreturn]] void FailForSystem(const std::string& what, int error, const std::string& advice) {
  const int code =
      error == EPERM || error == EACCES ? options::kExitNoPermission : options::kExitSystem;
  throw PrivilegeError(code, what + ": " + std::generic_category().message(error) + ": " + advice);
}

template <typename Id>
std::optional<Id> Number(std::string_view text) {
  Id id{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  // The largest stands for "none" with the system's calls.
  if (error != std::errc() || end != text.data() + text.size() ||
      id == std::numeric_limits<Id>::max()) {
    return std::nullopt;
  }
  return id;
}

// NOLINTBEGIN(concurrency-mt-unsafe): there is one thread.
const passwd* UserOf(std::string_view name) {
  if (const passwd* const user = ::getpwnam(std::string(name).c_str())) return user;
  const auto number = Number<uid_t>(name);
  return number ? ::getpwuid(*number) : nullptr;
}

std::vector<gid_t> GroupsOf(const char* user, gid_t group) {
  int count = 32;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (::getgrouplist(user, group, groups.data(), &count) < 0) {
    groups.resize(std::max(groups.size() * 2, static_cast<std::size_t>(count)));
    count = static_cast<int>(groups.size());
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

bool IsKept(std::string_view name, const options::Environment& environment) {
  return environment.all ||
         std::any_of(
             environment.kept.begin(), environment.kept.end(), [&](const std::string& kept) {
               return kept.ends_with('*')
                          ? name.starts_with(std::string_view(kept).substr(0, kept.size() - 1))
                          : name == kept;
             });
}

void RestrictEnvironment(const options::Environment& environment) {
  std::vector<std::pair<std::string, std::string>> kept = environment.set;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const auto equals = text.find('=');
    if (equals != std::string_view::npos && IsKept(text.substr(0, equals), environment)) {
      kept.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  ::clearenv();
  for (const auto& [name, value] : kept) {
    ::setenv(name.c_str(), value.c_str(), /*overwrite=*/0);  // what is set was put first
  }
}
// NOLINTEND(concurrency-mt-unsafe)

}  // namespace

uid_t FindUser(std::string_view name, std::string_view option) {
  if (const passwd* const user = UserOf(name)) return user->pw_uid;
  if (const auto number = Number<uid_t>(name)) return *number;
  throw PrivilegeError(options::kExitConfiguration, std::string(option) + ": there is no user " +
                                                        Quoted(name) + ": add it, or name another");
}

gid_t FindGroup(std::string_view name, std::string_view option) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
  if (const group* const found = ::getgrnam(std::string(name).c_str())) return found->gr_gid;
  if (const auto number = Number<gid_t>(name)) return *number;
  throw PrivilegeError(options::kExitConfiguration, std::string(option) + ": there is no group " +
                                                        Quoted(name) + ": add it, or name another");
}

std::optional<Identity> FindIdentity(const Settings& settings) {
  if (settings.user.empty() && settings.group.empty()) return std::nullopt;
  Identity identity{.user = ::geteuid(), .group = ::getegid()};
  const passwd* const account = settings.user.empty() ? nullptr : UserOf(settings.user);
  if (!settings.user.empty()) {
    identity.name = "--user " + settings.user;
    identity.user = FindUser(settings.user, "--user");
  }
  if (!settings.group.empty()) {
    identity.name += (identity.name.empty() ? "--group " : ", --group ") + settings.group;
    identity.group = FindGroup(settings.group, "--group");
  } else if (account != nullptr) {
    identity.group = account->pw_gid;
  } else {
    throw PrivilegeError(options::kExitConfiguration,
                         identity.name +
                             ": no account has that number, and so no group is known: "
                             "give --group, too");
  }
  identity.groups = account == nullptr ? std::vector<gid_t>{identity.group}
                                       : GroupsOf(account->pw_name, identity.group);
  if (::geteuid() == 0) return identity;
  if (identity.user != ::geteuid() || identity.group != ::getegid()) {
    throw PrivilegeError(options::kExitNoPermission,
                         identity.name +
                             ": only root may become somebody else: start it as root, "
                             "or leave the option out");
  }
  return std::nullopt;  // who is not root has the groups that he was given, and cannot have others
}

ActingAs::ActingAs(const std::optional<Identity>& identity) {
  if (!identity) return;
  user_ = ::geteuid();
  group_ = ::getegid();
  const int count = ::getgroups(0, nullptr);
  groups_.resize(static_cast<std::size_t>(std::max(count, 0)));
  if (count < 0 || ::getgroups(count, groups_.data()) != count) {
    FailForSystem("the process's groups", errno, "try again");
  }
  if (::setgroups(identity->groups.size(), identity->groups.data()) != 0 ||
      ::setegid(identity->group) != 0 || ::seteuid(identity->user) != 0) {
    const int error = errno;
    static_cast<void>(Restore());
    FailForSystem(identity->name, error, "start it with the capabilities SETUID and SETGID");
  }
  changed_ = true;
}

ActingAs::~ActingAs() {
  // What was allowed is allowed again, by the user that is still the process's real one.
  if (changed_ && !Restore()) std::abort();
}

bool ActingAs::Restore() const noexcept {
  return ::seteuid(user_) == 0 && ::setegid(group_) == 0 &&
         ::setgroups(groups_.size(), groups_.data()) == 0;
}

void ChangeRoot(const Settings& settings) {
  if (settings.chroot.empty()) return;
  const std::string what = "--chroot " + settings.chroot;
  if (::chdir(settings.chroot.c_str()) != 0) {
    const int error = errno;
    throw PrivilegeError(error == EACCES ? options::kExitNoPermission : options::kExitConfiguration,
                         what + ": " + std::generic_category().message(error) +
                             ": give a folder that holds what the host needs");
  }
  if (::chroot(".") != 0) {
    FailForSystem(what, errno, "only root may, or whoever has the capability SYS_CHROOT");
  }
}

void GiveUpPrivileges(const Settings& settings, const std::optional<Identity>& identity,
                      bool spawned) {
  RestrictEnvironment(settings.KeptVariables(spawned));
  if (settings.umask) ::umask(static_cast<mode_t>(*settings.umask));
  for (const options::ResourceLimit& limit : settings.resource_limits) {
    const rlimit value{limit.soft, limit.hard};
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &value) != 0) {
      FailForSystem("--limit " + std::string(limit.name), errno,
                    "only root may raise a hard limit; ulimit -H tells it");
    }
  }
  if (identity) {
    if (::setgroups(identity->groups.size(), identity->groups.data()) != 0 ||
        ::setresgid(identity->group, identity->group, identity->group) != 0 ||
        ::setresuid(identity->user, identity->user, identity->user) != 0) {
      FailForSystem(identity->name, errno, "start it with the capabilities SETUID and SETGID");
    }
    if (identity->user != 0 && ::setuid(0) == 0) {
      throw PrivilegeError(options::kExitSystem,
                           identity->name + ": root's rights could not be given up");
    }
  }
  if (settings.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    FailForSystem("--no-new-privileges", errno, "leave it out");
  }
}

}  // namespace weft::host::supervisor
