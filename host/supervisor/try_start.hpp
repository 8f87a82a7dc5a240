#pragma once

#include <memory>
#include <optional>

#include "host/options/parse.hpp"
#include "host/options/settings.hpp"
#include "host/supervisor/handover.hpp"
#include "host/supervisor/listener.hpp"
#include "host/supervisor/privileges.hpp"
#include "mappings/mapping_table.hpp"

namespace weft::host::supervisor {

/// Whether no two of them have one path. Says so where they have.
[[nodiscard]] bool SocketsAreApart(const options::Settings& settings);

/// Whether this process may write reports where --crash-dir says, if it says so. Says why where it may not.
[[nodiscard]] bool CrashFolderIsSound(const options::Settings& settings);

/// Whether there is a supervisor, if it is to answer on sockets. Says so where there is none.
[[nodiscard]] bool HasWhoAnswers(const options::Settings& settings);

/// The table of the mapping files, with the rights of `identity`, if the files of the logs can be written, too. Null: something is
/// wrong, and was said. Throws PrivilegeError, std::bad_alloc.
[[nodiscard]] std::shared_ptr<const mappings::MappingTable> SoundMappings(
    const options::Settings& settings, const std::optional<Identity>& identity);

/// The sockets of `settings`, those of --control and --metrics-listen among them: those of `known` that are wanted still, out of there, and new ones.
/// Throws ListenError. Threads: as OpenListeners().
[[nodiscard]] ListeningSockets OpenSockets(const options::Settings& settings,
                                           std::vector<Listener>& known);

/// The command `weft trial`: does what `weft serve` does with these options, and a worker with the rights that it will have,
/// until that would be ready, stops the modules, and returns the exit code (options/exit_code.hpp). Every problem is a line on standard error.
///
/// `running`: the host that wants to know, and gets a verdict, with the sockets that it does not have yet; nothing:
/// started by hand, and no socket is opened.
///
/// Threads: call while there is only one. Throws std::bad_alloc alone.
[[nodiscard]] int TryStart(const options::ParseResult& parsed,
                           const std::optional<Handover>& running);

}  // namespace weft::host::supervisor
