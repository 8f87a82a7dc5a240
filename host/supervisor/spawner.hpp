#pragma once

#include "host/options/settings.hpp"
#include "host/supervisor/listener.hpp"

namespace weft::host::supervisor {

/// Ties a host that a web server has spawned to it: SIGTERM comes when that ends, however it ends, and nobody is left that
/// could be asked for anything. Not so where `settings.outlive_spawner` says so, or where spawn-fcgi(1) has spawned it, whose way
/// is to end at once. Nothing is done to a host that was not spawned.
///
/// False: the web server has ended before, and has taken away the file of the socket that it gave us, so that nobody can come any more.
/// Whatever it has sent before the process was this program was for itself: the host ends.
///
/// After GiveUpPrivileges(): the system forgets it where the identity changes (prctl(2), PR_SET_PDEATHSIG). On the main thread.
[[nodiscard]] bool EndWithSpawner(const options::Settings& settings,
                                  const ListeningSockets& sockets) noexcept;

}  // namespace weft::host::supervisor
