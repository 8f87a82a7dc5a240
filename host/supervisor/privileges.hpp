#pragma once

#include <sys/types.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::supervisor {

/// What cannot be had: what() is one sentence, with the option, what the system said, and what to do.
class PrivilegeError : public std::runtime_error {
 public:
  PrivilegeError(int exit_code, const std::string& sentence)
      : std::runtime_error(sentence), exit_code_(exit_code) {}
  /// One of options/exit_code.hpp: 77 for want of permission, 78 where the account is not there, else 71.
  [[nodiscard]] int ExitCode() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

/// Whom a process is to be.
struct Identity {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups{};  ///< All, `group` among them.
  std::string name{};           ///< For messages.
};

/// As --user and --group name it; nothing: the process stays who it is. Asks the system's lists of accounts, so that it is done
/// once, and tells a name that is not there. Throws PrivilegeError.
[[nodiscard]] std::optional<Identity> FindIdentity(const options::Settings& settings);

/// The user or group of that name or number. `option`: for messages. Throws PrivilegeError.
[[nodiscard]] uid_t FindUser(std::string_view name, std::string_view option);
[[nodiscard]] gid_t FindGroup(std::string_view name, std::string_view option);

/// Makes `settings.chroot` the root of this process and of all that it starts, for good; nothing to do where it is empty. Before anything
/// is opened that an option names, so that each path has one meaning: inside. Throws PrivilegeError.
void ChangeRoot(const options::Settings& settings);

/// While it lives, files are opened with that one's rights. Of one thread.
class ActingAs {
 public:
  /// Throws PrivilegeError.
  explicit ActingAs(const std::optional<Identity>& identity);
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;
  ~ActingAs();

 private:
  [[nodiscard]] bool Restore() const noexcept;

  bool changed_ = false;
  uid_t user_ = 0;
  gid_t group_ = 0;
  std::vector<gid_t> groups_;
};

/// Makes the calling process, and what it starts, one that may do no more than `settings` gives it: environment, umask, limits,
/// identity, no new privileges. It cannot be taken back. Before any module is loaded, with one thread. Throws PrivilegeError; the
/// process must then end.
///
/// The signal at the parent's death (PR_SET_PDEATHSIG) is lost where the identity changes: set it anew.
void GiveUpPrivileges(const options::Settings& settings, const std::optional<Identity>& identity,
                      bool spawned);

}  // namespace weft::host::supervisor
