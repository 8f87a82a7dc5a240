#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/options/option_table.hpp"
#include "host/options/settings.hpp"

namespace weft::host::options {

/// The commands of `weft`; parse.cpp has the table of them.
enum class Command {
  kServe,
  kTrial,
  kModules,
  kCheck,
  kExplain,
  kStatus,
  kReload,
  kStacks,
  kPing,
  kLogLevel,
  kNew,
  kRecording
};

/// An INI file as it was read.
struct ConfigText {
  std::string path;  ///< As --config or WEFT_CONFIG has it.
  std::string text;

  friend bool operator==(const ConfigText&, const ConfigText&) = default;
};

/// A command: its options, and what its help says around them.
struct CommandEntry {
  Command command;
  std::string_view name;
  std::string_view summary;
  std::string_view introduction;  ///< behind the line of usage
  std::string_view epilogue;
  std::vector<Option> (*options)();
  /// What the usage calls its arguments, and how many there must be.
  std::string_view arguments = {};
  std::size_t least_arguments = 0;
  std::size_t most_arguments = 0;
  /// What there is nothing to do with where these are missing; empty: `name` says it.
  std::string_view verb = {};
  /// Whether its options are those of the INI file and the environment, too; else they are on the command line alone.
  bool shares_options = true;
};

/// Every command, in the order of the help. Its texts live as long as the program.
[[nodiscard]] std::span<const CommandEntry> Commands();

/// What every command's help says of where options come from and how values are written, in lines.
[[nodiscard]] std::string_view AboutValues();

/// What the command line asks for.
struct ParseResult {
  Command command = Command::kServe;
  /// Set: run the command with these. Not set: print what is below and exit.
  std::optional<Settings> settings;
  /// What stands beside the options: as many as the command takes.
  std::vector<std::string> arguments;
  /// What the INI file said, where one was named.
  std::optional<ConfigText> config;
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
/// `known`: what counts in place of the file of that path; null: the file is read.
/// Throws: nothing but std::bad_alloc; what is wrong with the input is in the result.
[[nodiscard]] ParseResult Parse(int argc, const char* const* argv, const char* const* environment,
                                const ConfigText* known = nullptr);

}  // namespace weft::host::options
