#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "host/options/settings.hpp"
#include "host/supervisor/privileges.hpp"
#include "mappings/mapping_table.hpp"

// What is looked at before a host starts, by itself or in a trial. What is wrong is an error of the log.
namespace weft::host::supervisor {

/// Whether no two of them have one path. Says so where they have.
[[nodiscard]] bool SocketsAreApart(const options::Settings& settings);

/// Whether the log can be opened. Says why where it cannot.
[[nodiscard]] bool LogIsSound(const options::Settings& settings);

/// Whether this process may write reports where --crash-dir says, if it says so. Says why where it may not.
[[nodiscard]] bool CrashFolderIsSound(const options::Settings& settings);

/// Whether there is a supervisor, if it is to answer on sockets. Says so where there is none. `spawned`: whether a web server has
/// started this process, as far as that is known.
[[nodiscard]] bool HasWhoAnswers(const options::Settings& settings, bool spawned);

/// The table of the mapping files, with the rights of `identity`, if the files of the logs can be written, too. Null: something is
/// wrong, and was said. Throws PrivilegeError, std::bad_alloc.
[[nodiscard]] std::shared_ptr<const mappings::MappingTable> SoundMappings(
    const options::Settings& settings, const std::optional<Identity>& identity);

/// Tells of the std::exception that is being handled, with what cannot be, `cannot serve` say, before what does not tell that by
/// itself; returns the exit code for it (options/exit_code.hpp). Call it where one is caught.
[[nodiscard]] int TellFailure(std::string_view what_cannot_be) noexcept;

}  // namespace weft::host::supervisor
