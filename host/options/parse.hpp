#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::options {

/// The commands of `weft`; parse.cpp has the table of them.
enum class Command { kServe, kModules, kCheck, kExplain, kStatus, kStacks, kPing, kLogLevel };

/// What the command line asks for.
struct ParseResult {
  Command command = Command::kServe;
  /// Set: run the command with these. Not set: print what is below and exit.
  std::optional<Settings> settings;
  /// What stands beside the options: as many as the command takes.
  std::vector<std::string> arguments;
  /// For standard output: the help or the version, ending in a newline.
  std::string output;
  /// For standard error: one line, without its newline, that says what is wrong, where, and what
  /// to do.
  std::string error;
  /// What to exit with when there are no settings.
  int exit_code = 0;
  /// For the log: things that are probably mistakes, such as an unknown WEFT_* variable.
  std::vector<std::string> warnings;
};

/// Reads the command line, the INI file that it or WEFT_CONFIG names, and the WEFT_* variables.
///
/// A flag beats the file, the file beats the environment, the environment beats the default; a
/// stronger `listen` replaces a weaker one as a whole. Every value is checked, also one that a
/// stronger source replaces. A variable that is set but empty counts as not set: that is how
/// container set-ups say so.
///
/// `argv` and `environment` are as main() gets them; `environment` ends with a null pointer.
/// Throws: nothing but std::bad_alloc; what is wrong with the input is in the result.
[[nodiscard]] ParseResult Parse(int argc, const char* const* argv, const char* const* environment);

}  // namespace weft::host::options
