#pragma once

#include <string>
#include <string_view>

namespace weft::host::reference {

/// The manual page weft(1), in mdoc(7): `source` (docs/man/weft.1.in), in which each line of one of these words alone is
/// replaced by what the tables of commands and options say.
///
/// | word            | becomes                                                             |
/// |-----------------|---------------------------------------------------------------------|
/// | `@SYNOPSIS@`    | a line for each command                                             |
/// | `@COMMANDS@`    | each command, its exit codes, and its options                       |
/// | `@VALUES@`      | where options come from, and how sizes and times are written        |
/// | `@OPTIONS@`     | every option of `weft serve`, in its groups                         |
/// | `@ENVIRONMENT@` | every variable `WEFT_...`                                           |
///
/// Throws std::invalid_argument when one of them is missing, or a line has another word between `@`.
[[nodiscard]] std::string ManualPage(std::string_view source);

/// `text` as running text of mdoc(7): what roff(7) would take for markup stands for itself, each sentence begins a line.
[[nodiscard]] std::string ToRoff(std::string_view text);

}  // namespace weft::host::reference
