#pragma once

#include <system_error>

namespace weft::host::options {

/// The exit codes of the `weft` program, for whatever starts it: after sysexits.h, so that a unit
/// file can say `RestartPreventExitStatus=64 78` and a script can tell "never" from "not now".
///
/// | code | when                                                     | starting again helps        |
/// |------|----------------------------------------------------------|-----------------------------|
/// | 0    | done; for `serve`, stopped because it was asked to       | -                           |
/// | 1    | `check`, `explain`: the mappings are wrong; `reload`:    | no, correct them            |
/// |      | the old generation stays; `recording`: a file is wrong,  |                             |
/// |      | or has nothing to write                                  |                             |
/// | 3..7 | `explain`: what the request comes to, as below           | -                           |
/// | 64   | wrong command, option, value, INI key or WEFT_* variable;| no, change the command line |
/// |      | or nothing to listen on, or a file that is there already |                             |
/// | 69   | an address is taken, a name does not resolve right now;  | yes, later                  |
/// |      | for `status`, nobody answers                             |                             |
/// | 70   | a fault of Weft itself, or a module that ends each       | perhaps; report it, or      |
/// |      | worker before it is ready, or more crashes of workers    | replace the module          |
/// |      | than --max-crashes                                       |                             |
/// | 71   | the system refuses: descriptors, memory, processes       | yes, once there is room     |
/// | 74   | standard output cannot be written (--help, a list)       | -                           |
/// | 75   | `reload`: the outcome is not known yet                   | ask `status`                |
/// | 77   | the user may not: a port below 1024, a folder, a socket  | no, grant it                |
/// | 78   | configuration: mappings, an address that this machine    | no, correct it              |
/// |      | does not have, a descriptor that is no listening socket, |                             |
/// |      | for `modules` one that cannot be used                    |                             |
inline constexpr int kExitOk = 0;
inline constexpr int kExitProblems = 1;
inline constexpr int kExitRedirected = 3;        ///< 301
inline constexpr int kExitNotFound = 4;          ///< 404
inline constexpr int kExitMethodNotAllowed = 5;  ///< 405
inline constexpr int kExitRefused = 6;           ///< 400, 403, 414
inline constexpr int kExitHandlerUnusable = 7;   ///< 500, 503
inline constexpr int kExitUsage = 64;
inline constexpr int kExitUnavailable = 69;
inline constexpr int kExitSoftware = 70;
inline constexpr int kExitSystem = 71;
inline constexpr int kExitInputOutput = 74;
inline constexpr int kExitNotYet = 75;
inline constexpr int kExitNoPermission = 77;
inline constexpr int kExitConfiguration = 78;

/// The code for a call of the system that failed: 77 when this user may not, else 71.
[[nodiscard]] inline int ExitCodeFor(const std::error_code& error) noexcept {
  return error == std::errc::permission_denied || error == std::errc::operation_not_permitted
             ? kExitNoPermission
             : kExitSystem;
}

}  // namespace weft::host::options
