#pragma once

#include <string>

namespace weft::host::reference {

/// Scripts that complete what is typed of a command line of `weft`, made from the tables of commands and options: commands, their
/// options but for those that are there already and may not be given twice, values that are words, files, folders,
/// users and groups where an option takes them, and the processes of running hosts.
///
/// Throw std::logic_error when an option's value, or a command's argument, has a name of which it is not known how it is completed.
[[nodiscard]] std::string BashCompletion();
[[nodiscard]] std::string ZshCompletion();

}  // namespace weft::host::reference
