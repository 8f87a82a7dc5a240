#include "host/options/parse.hpp"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <initializer_list>
#include <iomanip>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "host/options/exit_code.hpp"
#include "host/options/option_table.hpp"
#include "host/options/values.hpp"
#include "host/options/version.hpp"
#include "mappings/wording.hpp"

namespace weft::host::options {
namespace {

namespace po = boost::program_options;

constexpr unsigned kHelpColumns = 100;
constexpr std::string_view kListSeparators = ", \t";
/// Arguments that are files: far more than people write; a folder stands for more.
constexpr std::size_t kMostFiles = 1000;
constexpr std::string_view kSeeHelp = "see 'weft serve --help'";

/// Ends the parsing with one line for standard error.
class Refusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One value that one source gives to one option.
struct Assignment {
  const Option* option;
  std::string place;  ///< for messages: the flag, FILE:LINE and key, or the variable
  std::string value;
};

using Table = std::vector<Option>;

const Option* FindOption(const Table& table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [name](const Option& option) { return option.name == name; });
  return found == table.end() ? nullptr : &*found;
}

/// ": did you mean '...'?", or where to look when nothing is near.
std::string Hint(std::string_view misspelt, const std::vector<std::string>& names,
                 std::string_view otherwise = kSeeHelp) {
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  const auto nearest = mappings::NearestName(misspelt, candidates);
  return ": " + (nearest ? "did you mean " + Quoted(*nearest) + "?" : std::string(otherwise));
}

/// "PLACE: needs a value: write NAME VALUE", with the name as the place spells it.
std::string NeedsValue(const std::string& place, const Option& option, std::string_view between,
                       std::string_view name = {}) {
  return place + ": needs a value: write " + std::string(name.empty() ? place : name) +
         std::string(between) + std::string(option.value_name);
}

template <typename NameOf>
std::vector<std::string> Names(const Table& table, NameOf name_of) {
  std::vector<std::string> names;
  for (const Option& option : table) names.push_back(name_of(option));
  return names;
}

// --- Command line -------------------------------------------------------------------------------

/// The table as Program_options wants it, in groups, which the help prints in the table's order.
po::options_description Describe(const Table& table) {
  std::vector<po::options_description> groups;
  std::string_view current;
  for (const Option& option : table) {
    if (option.group != current) {
      current = option.group;
      groups.emplace_back(std::string(current), kHelpColumns);
    }
    auto* value = po::value<std::string>()->value_name(std::string(option.value_name));
    if (option.arity == Option::Arity::kSwitch) value->implicit_value("on");
    groups.back().add_options()(std::string(option.name).c_str(), value, option.HelpText().c_str());
  }
  po::options_description all(kHelpColumns);
  for (const po::options_description& group : groups) all.add(group);
  return all;
}

constexpr std::string_view kAboutValues = R"(
Each option is a flag, a key of the INI file (max-params = 512; a # starts a comment) and a
variable of the environment (WEFT_MAX_PARAMS). A flag beats the file, the file beats the
environment, the environment beats the default.
SIZE is in bytes, or a number with K, M or G (times 1024). TIME is a number with ms, s, m or h.
)";

/// Those of the options of `weft serve`, and `--format`.
Table SomeOptions(std::initializer_list<std::string_view> names) {
  Table table;
  for (Option& option : OptionTable()) {
    if (std::ranges::find(names, option.name) != names.end()) table.push_back(std::move(option));
  }
  table.push_back(FormatOption());
  return table;
}

Table ModulesOptions() { return SomeOptions({"config", "start-timeout", "modules", "log-level"}); }

Table MappingOptions() {
  return SomeOptions(
      {"config", "start-timeout", "mappings", "document-root-mappings", "modules", "log-level"});
}

Table CheckOptions() {
  Table table = MappingOptions();
  table.insert(table.end() - 1, CheckedRootOption());
  table.insert(table.end() - 1, HostOption());
  return table;
}

Table ExplainOptions() {
  Table table = MappingOptions();
  table.insert(table.end() - 1, DocumentRootOption());
  return table;
}

Table StatusOptions() {
  Table table = SomeOptions({"config", "control", "log-level"});
  table.back() = StatusFormatOption();
  return table;
}

Table LogLevelOptions() {
  Table table = SomeOptions({"config", "control"});
  table.pop_back();
  return table;
}

Table ReloadOptions() {
  Table table = SomeOptions({"config", "control", "log-level"});
  table.back() = TimeoutOption();
  return table;
}

Table StacksOptions() {
  Table table = SomeOptions({"log-level"});
  table.pop_back();
  return table;
}

/// Every command, in the order of the help.
constexpr std::array kCommands{
    CommandEntry{
        .command = Command::kServe,
        .name = "serve",
        .summary = "answer requests",
        .introduction = "Answers FastCGI requests with the handlers that the mappings name.",
        .epilogue = R"(
Signals: TERM or QUIT ends running requests and stops; INT, or a second TERM, stops at once. HUP
reads the mapping files anew; USR2 is 'weft reload': a new generation of all that there is.
Exit codes: 0 stopped as asked, 64 wrong options, 69 address taken, 70 fault of Weft, 71 the
system refuses, 77 no permission, 78 wrong configuration.
)",
        .options = OptionTable},
    CommandEntry{
        .command = Command::kTrial,
        .name = "trial",
        .summary = "tell whether 'serve' could start",
        .introduction =
            "Does with the same options what 'weft serve' does until a worker is ready: reads the\n"
            "mappings, loads the modules and starts them. Then it stops them and ends. It opens "
            "no\n"
            "socket, for the host may be running: it does not tell whether an address is free. A\n"
            "running host does the same before it reloads.",
        .epilogue = R"(
Exit codes: 0 it could start, 64 wrong options, 70 fault of Weft, 71 the system refuses, 77 no
permission, 78 wrong configuration.
)",
        .options = OptionTable},
    CommandEntry{
        .command = Command::kModules,
        .name = "modules",
        .summary = "list the handler modules and their classes",
        .introduction =
            "Loads each module of the folders of --modules, and lists its classes and what it\n"
            "was built against, or why it cannot be used.",
        .epilogue = R"(
Exit codes: 0 all can be used, 64 wrong options, 74 the list cannot be written, 78 a module or a
folder cannot be used.
)",
        .options = ModulesOptions},
    CommandEntry{.command = Command::kCheck,
                 .name = "check",
                 .summary = "find all that is wrong with the mappings",
                 .introduction =
                     "Reads the mapping files and prints all that is wrong with them, "
                     "or probably not what was\n"
                     "meant, in the order of the files: file:line:column: "
                     "error|warning: sentence. The modules\n"
                     "that they name are loaded, each in a process of its own. "
                     "With --document-root, where the\n"
                     "mappings have no errors, the files that name a class are checked, "
                     "too.",
                 .epilogue = R"(
Exit codes: 0 no error, 1 errors, 64 wrong options, 74 the list cannot be written.
)",
                 .options = CheckOptions},
    CommandEntry{.command = Command::kExplain,
                 .name = "explain",
                 .summary = "tell what becomes of a URL, and why",
                 .introduction = "Prints the mapping files that hold for the URL, each entry that "
                                 "is tried for it, the one\n"
                                 "that is chosen, where its class runs, and the limits in force. "
                                 "METHOD is GET where it is not\n"
                                 "given. URL is http://HOST/PATH, or /PATH for the site of all "
                                 "other hosts; quote it, for\n"
                                 "the shell's sake.",
                 .epilogue = R"(
Exit codes: 0 what serves is found, 1 the mappings are wrong, 3 redirected (301), 4 nothing matches,
or the file that is to name a class is missing (404), 5 other verbs alone match (405), 6 refused
(400, 403, 414), 7 the entry's class, or the one that the file names, cannot be used (500), 64 wrong
options, 74 the output cannot be written.
)",
                 .options = ExplainOptions,
                 .arguments = " [METHOD] URL",
                 .least_arguments = 1,
                 .most_arguments = 2},
    CommandEntry{.command = Command::kStatus,
                 .name = "status",
                 .summary = "tell how a running host is",
                 .introduction = "Asks the supervisor of a running host, on the socket of its "
                                 "--control, for its workers, for\n"
                                 "what they do and have done, and for what became of its mapping "
                                 "files. It answers also when\n"
                                 "every worker is busy.",
                 .epilogue = R"(
Exit codes: 0 it has answered, 64 wrong options, 69 nobody answers there, 74 the output cannot be
written, 77 no permission.
)",
                 .options = StatusOptions},
    CommandEntry{.command = Command::kReload,
                 .name = "reload",
                 .summary = "replace the modules, the options and the program of a running host",
                 .introduction =
                     "Asks the supervisor of a running host, on the socket of its --control, for a "
                     "new generation:\n"
                     "of the program's file as it is now, with the options, the modules and the "
                     "mappings of now. No\n"
                     "request is lost. Waits until it serves, or is refused, and prints which.",
                 .epilogue = R"(
Exit codes: 0 the new generation serves, 1 the old one stays, 64 wrong options, 69 nobody answers
there, 74 the outcome cannot be written, 75 there is none yet (--timeout), 77 no permission.
)",
                 .options = ReloadOptions},
    CommandEntry{.command = Command::kStacks,
                 .name = "stacks",
                 .summary = "tell what the requests of a worker are at",
                 .introduction =
                     "Asks the worker process PID ('weft status' tells them) for its "
                     "requests, and prints of each\n"
                     "what it is, for how long, what it waits for, and its stack. Where "
                     "one of them holds up the\n"
                     "worker, that one's stack alone. For the user that runs the host, "
                     "and root.",
                 .epilogue = R"(
Exit codes: 0 it has answered, 64 wrong options, 69 it does not answer, or is no worker, 74 the output
cannot be written, 77 no permission.
)",
                 .options = StacksOptions,
                 .arguments = " PID",
                 .least_arguments = 1,
                 .most_arguments = 1,
                 .verb = "look at"},
    CommandEntry{.command = Command::kPing,
                 .name = "ping",
                 .summary = "tell whether a host answers, for health checks",
                 .introduction = "Asks a host over FastCGI, on each address that it listens on, "
                                 "whether a worker takes\n"
                                 "requests; with --path, for that URL. One line an address.",
                 .epilogue = R"(
Exit codes: 0 all have answered, 1 one has answered with a status of 500 and more, or with half an
answer, 64 wrong options, 69 one does not answer, 74 the output cannot be written, 77 no permission.
)",
                 .options = PingOptions},
    CommandEntry{.command = Command::kLogLevel,
                 .name = "log-level",
                 .summary = "tell or change what a running host logs",
                 .introduction =
                     "Has a running host, on the socket of its --control, log from LEVEL on: "
                     "debug, info,\nwarning or error. Prints the level that it has; without LEVEL "
                     "it changes nothing. HUP has the\nhost go back to its --log-level.",
                 .epilogue = R"(
Exit codes: 0 it has answered, 64 wrong options, 69 nobody answers there, 74 the output cannot be
written, 77 no permission.
)",
                 .options = LogLevelOptions,
                 .arguments = " [LEVEL]",
                 .least_arguments = 0,
                 .most_arguments = 1},
    CommandEntry{
        .command = Command::kNew,
        .name = "new",
        .summary = "write the project of a new handler",
        .introduction =
            "Writes a folder with a module that has the handler NAME: its class, its "
            "test, its mapping, and\n"
            "what CMake needs to build it with find_package(weft). NAME is a class of "
            "C++, OrderList or\n"
            "shop::OrderList; the module is called order_list then, or as 'shop::OrderList, "
            "shop' says. What\n"
            "is there already is not touched.",
        .epilogue = R"(
Exit codes: 0 the folder is written, 64 wrong options or name, or the folder is there already, 71 the
system refuses, 74 what to do next cannot be printed, 77 no permission.
)",
        .options = NewOptions,
        .arguments = " handler NAME",
        .least_arguments = 2,
        .most_arguments = 2,
        .verb = "make",
        .shares_options = false},
    CommandEntry{
        .command = Command::kRecording,
        .name = "recording",
        .summary = "make recorded requests of a browser's, and the other way",
        .introduction =
            "'import FILE.har' writes a recording, NAME.recording.json, of each request that a "
            "browser has\nsaved in a HAR file, and prints their names. What cannot be replayed is "
            "left out, and told.\n'export --har FILE|DIR...' makes one HAR file of recordings, "
            "those of a folder in the order of\ntheir names.",
        .epilogue = R"(
Exit codes: 0 all is written, 1 a file is wrong or has nothing to write, 64 wrong options, or a file
is there already, 71 the system refuses, 74 the output cannot be written, 77 no permission.
)",
        .options = RecordingOptions,
        .arguments = " import|export FILE...",
        .least_arguments = 2,
        .most_arguments = kMostFiles,
        .verb = "import or export",
        .shares_options = false},
};

/// "see 'weft serve --help'"
std::string SeeHelpOf(const CommandEntry& command) {
  return "see 'weft " + std::string(command.name) + " --help'";
}

std::string HelpOf(const CommandEntry& command, const Table& table) {
  std::ostringstream help;
  help << "usage: weft " << command.name << " [OPTION...]" << command.arguments << "\n\n"
       << command.introduction << '\n'
       << (command.shares_options ? kAboutValues : "\n") << Describe(table) << command.epilogue;
  return help.str();
}

std::string Help() {
  std::ostringstream help;
  help << R"(usage: weft COMMAND [OPTION...]

Hosts C++ HTTP handlers behind any web server that speaks FastCGI.

Commands:
)";
  for (const CommandEntry& command : kCommands) {
    help << "  " << std::left << std::setw(11) << command.name << "  " << command.summary << '\n';
  }
  help << R"(
  --help       print this text; 'weft COMMAND --help' lists the command's options
  --version    print the version
)";
  return help.str();
}

/// What Program_options found wrong, in our words: its own do not name the way out.
std::string Explain(const po::invalid_command_line_syntax& error, const CommandEntry& command,
                    const Table& table) {
  const std::string name = error.get_option_name();
  const Option* option = FindOption(table, po::strip_prefixes(name));
  switch (error.kind()) {
    case po::invalid_syntax::missing_parameter:
    case po::invalid_syntax::empty_adjacent_parameter:
      if (option != nullptr) return NeedsValue(name, *option, " ");
      return name + ": needs a value: " + SeeHelpOf(command);
    case po::invalid_syntax::extra_parameter:
      return name + ": takes no value";
    default:
      return name + ": cannot be read: " + SeeHelpOf(command);
  }
}

struct CommandLine {
  bool wants_help = false;
  std::vector<Assignment> assignments;
  std::vector<std::string> arguments;
};

/// Gives switches their value, where the library would take the argument behind one for it: `--har a.recording.json`.
std::vector<std::string> WithSwitchesOn(const CommandEntry& command, const Table& table,
                                        std::vector<std::string> arguments) {
  if (command.most_arguments == 0) return arguments;
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    const Option* option =
        argument.starts_with("--") ? FindOption(table, argument.substr(2)) : nullptr;
    if (option != nullptr && option->arity == Option::Arity::kSwitch) argument += "=on";
  }
  return arguments;
}

CommandLine ReadCommandLine(const CommandEntry& command, const Table& table,
                            const std::vector<std::string>& arguments) {
  po::options_description all = Describe(table);
  all.add_options()("help,h", "");

  po::parsed_options parsed(&all);
  try {
    namespace style = po::command_line_style;
    parsed = po::command_line_parser(WithSwitchesOn(command, table, arguments))
                 .options(all)
                 .style(style::allow_long | style::long_allow_adjacent | style::long_allow_next |
                        style::allow_short | style::allow_dash_for_short | style::short_allow_next)
                 .run();
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.resize(std::min(name.find('='), name.size()));
    std::vector<std::string> flags = Names(table, [](const Option& o) { return o.Flag(); });
    flags.emplace_back("--help");
    throw Refusal("unknown option " + Quoted(name) + Hint(name, flags, SeeHelpOf(command)));
  } catch (const po::invalid_command_line_syntax& error) {
    throw Refusal(Explain(error, command, table));
  }

  CommandLine command_line;
  for (const po::option& token : parsed.options) {
    if (token.string_key.empty()) {
      const std::string text = token.value.empty() ? "" : token.value.front();
      if (command_line.arguments.size() < command.most_arguments) {
        command_line.arguments.push_back(text);
        continue;
      }
      if (command.most_arguments > 0) {
        throw Refusal("unexpected argument " + Quoted(text) + ": there are " +
                      std::to_string(command.most_arguments) + " already; " + SeeHelpOf(command));
      }
      throw Refusal("unexpected argument " + Quoted(text) + ": options start with '--'; " +
                    SeeHelpOf(command));
    }
    if (token.string_key == "help") {
      command_line.wants_help = true;
      continue;
    }
    const Option* option = FindOption(table, token.string_key);
    for (const Assignment& earlier : command_line.assignments) {
      if (earlier.option == option && option->arity != Option::Arity::kList) {
        throw Refusal(option->Flag() + ": given twice: keep one");
      }
    }
    const std::string value = token.value.empty() ? "on" : token.value.front();
    // In "--mappings --debug" a folder's name is missing; the flag is not the name.
    if (value.starts_with("--")) throw Refusal(NeedsValue(option->Flag(), *option, " "));
    command_line.assignments.push_back({option, option->Flag(), value});
  }
  return command_line;
}

// --- Environment and file -----------------------------------------------------------------------

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> items;
  while (true) {
    const std::size_t begin = text.find_first_not_of(kListSeparators);
    if (begin == std::string_view::npos) return items;
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(kListSeparators), text.size());
    items.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

/// Appends the value, or each item of a list.
void Append(std::vector<Assignment>& assignments, const Option& option, const std::string& place,
            const std::string& value) {
  if (option.arity != Option::Arity::kList) {
    assignments.push_back({&option, place, value});
    return;
  }
  for (const std::string& item : SplitList(value)) assignments.push_back({&option, place, item});
}

std::vector<Assignment> ReadEnvironment(const Table& table, const char* const* environment,
                                        std::vector<std::string>& warnings) {
  std::vector<Assignment> assignments;
  if (environment == nullptr) return assignments;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const std::size_t equals = entry.find('=');
    if (!entry.starts_with("WEFT_") || equals == std::string_view::npos) continue;
    const std::string variable(entry.substr(0, equals));
    const std::string value(entry.substr(equals + 1));
    const auto option = std::find_if(table.begin(), table.end(), [&variable](const Option& o) {
      return o.EnvironmentVariable() == variable;
    });
    if (option == table.end()) {
      // Not refused: the variable may be meant for a handler, or for another version.
      warnings.push_back(
          "unknown variable " + Quoted(variable) + " in the environment is ignored" +
          Hint(variable, Names(table, [](const Option& o) { return o.EnvironmentVariable(); })));
    } else if (value.find_first_not_of(kListSeparators) != std::string::npos) {
      Append(assignments, *option, variable, value);
    }
  }
  return assignments;
}

std::string Plain(const std::filesystem::path& file) {
  const std::string quoted = Quoted(file.string());
  return quoted.substr(1, quoted.size() - 2);
}

/// Reads one line of the INI file: nothing for a blank one or a comment.
std::optional<std::pair<std::string, std::string>> ReadLine(const std::string& line,
                                                            const std::string& place) {
  const std::size_t start = line.find_first_not_of(" \t\r");
  if (start == std::string::npos || line[start] == ';') return std::nullopt;
  if (line[start] == '[') {
    throw Refusal(place + ": " + Quoted(line.substr(start)) +
                  " is a section, which weft does not use: remove the line");
  }
  // The library reads files as a whole and reports no line numbers; so it gets one line at a time.
  // Its format has nothing that goes over several lines but sections.
  try {
    std::istringstream stream(line);
    const po::parsed_options parsed =
        po::parse_config_file(stream, po::options_description(), /*allow_unregistered=*/true);
    if (parsed.options.empty()) return std::nullopt;
    const po::option& option = parsed.options.front();
    return std::pair(option.string_key, option.value.front());
  } catch (const po::error&) {
    throw Refusal(place + ": " + Quoted(line.substr(start)) + " is no option: write NAME = VALUE");
  }
}

/// The whole file.
std::string TextOf(const std::filesystem::path& file, const std::string& named_by) {
  errno = 0;
  std::ifstream stream(file);
  std::string text;
  std::string line;
  while (std::getline(stream, line)) {
    text += line;
    text += '\n';
  }
  if (!stream.eof()) {
    const std::string reason =
        errno != 0 ? std::generic_category().message(errno) : std::string("read error");
    throw Refusal(named_by + ": cannot read " + Quoted(file.string()) + ": " + reason +
                  ": name a readable INI file");
  }
  return text;
}

std::vector<Assignment> AssignmentsIn(const std::string& text, const Table& table,
                                      const std::filesystem::path& file) {
  std::istringstream stream(text);
  std::vector<Assignment> assignments;
  std::map<const Option*, std::size_t> first_lines;
  std::string line;
  for (std::size_t number = 1; std::getline(stream, line); ++number) {
    std::string line_place = Plain(file);
    line_place.append(":").append(std::to_string(number));
    const auto entry = ReadLine(line, line_place);
    if (!entry) continue;
    const auto& [key, value] = *entry;
    const Option* option = FindOption(table, key);
    if (option == nullptr) {
      throw Refusal(line_place + ": unknown option " + Quoted(key) +
                    Hint(key, Names(table, [](const Option& o) { return std::string(o.name); })));
    }
    const std::string place = line_place.append(": ").append(key);
    if (key == "config") throw Refusal(place + ": a file cannot name another: remove the line");
    const auto [first, is_first] = first_lines.try_emplace(option, number);
    if (!is_first && option->arity != Option::Arity::kList) {
      throw Refusal(place + ": given before, on line " + std::to_string(first->second) +
                    ": keep one");
    }
    if (value.find_first_not_of(kListSeparators) == std::string::npos) {
      throw Refusal(NeedsValue(place, *option, " = ", key));
    }
    Append(assignments, *option, place, value);
  }
  return assignments;
}

// --- All together -------------------------------------------------------------------------------

void Apply(Settings& settings, const std::vector<Assignment>& assignments) {
  std::vector<const Option*> cleared;
  for (const Assignment& assignment : assignments) {
    const Option* option = assignment.option;
    if (option->clear && std::find(cleared.begin(), cleared.end(), option) == cleared.end()) {
      option->clear(settings);
      cleared.push_back(option);
    }
    try {
      option->set(settings, assignment.value);
    } catch (const BadValue& error) {
      throw Refusal(assignment.place + ": " + error.what());
    }
  }
}

/// What a web server that starts us says of who may connect (FastCGI Specification 1.0, section 3.2).
void AddWebServerAddresses(Settings& settings, const char* const* environment) {
  constexpr std::string_view kVariable = "FCGI_WEB_SERVER_ADDRS=";
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    std::string_view rest = *environment;
    if (!rest.starts_with(kVariable)) continue;
    rest.remove_prefix(kVariable.size());
    while (!rest.empty()) {
      const auto comma = rest.find(',');
      const auto address = rest.substr(0, comma);
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
      if (address.empty()) continue;
      try {
        settings.allowed_clients.Add(address);
      } catch (const std::invalid_argument& error) {
        throw Refusal("FCGI_WEB_SERVER_ADDRS in the environment: " + std::string(error.what()));
      }
    }
  }
}

const Assignment* FindConfig(const std::vector<Assignment>& assignments) {
  const auto found = std::find_if(assignments.begin(), assignments.end(),
                                  [](const Assignment& a) { return a.option->name == "config"; });
  return found == assignments.end() ? nullptr : &*found;
}

void CheckProcessModel(const Settings& settings) {
  const auto only_of = [&](bool is_given, std::string_view option, bool is_used,
                           std::string_view models) {
    if (is_given && !is_used) {
      throw Refusal(std::string(option) + ": --process-model is " +
                    std::string(FormatProcessModel(settings.process_model)) +
                    ": leave the option out, or give --process-model " + std::string(models));
    }
  };
  const bool is_dynamic = settings.process_model == ProcessModel::kDynamic;
  only_of(settings.min_workers.has_value(), "--min-workers", is_dynamic, "dynamic");
  only_of(settings.min_spare_workers.has_value(), "--min-spare-workers", is_dynamic, "dynamic");
  only_of(settings.max_spare_workers.has_value(), "--max-spare-workers", is_dynamic, "dynamic");
  only_of(settings.worker_idle_timeout.has_value(), "--worker-idle-timeout",
          settings.process_model != ProcessModel::kStatic, "dynamic or ondemand");
  if (const auto option = settings.NeedsSupervisor(); !option.empty() && settings.workers == 0) {
    throw Refusal(std::string(option) +
                  ": a process that serves itself (--workers 0) has nobody who could do that: give "
                  "--workers 1 or more");
  }
  const std::size_t most = settings.WorkerCount(/*spawned=*/false);
  if (is_dynamic && settings.MinWorkers() > most) {
    throw Refusal("--min-workers: " + std::to_string(settings.MinWorkers()) +
                  " is more than --workers, " + std::to_string(most) +
                  ": lower the one or raise the other");
  }
  if (is_dynamic && settings.MaxSpareWorkers() <= settings.MinSpareWorkers()) {
    throw Refusal("--max-spare-workers: " + std::to_string(settings.MaxSpareWorkers()) +
                  " is not more than --min-spare-workers, " +
                  std::to_string(settings.MinSpareWorkers()) +
                  ": a load that stays would start and end the same worker again and again");
  }
}

/// Limits that are sound each by itself but not together.
void CheckTogether(const Settings& settings) {
  if (settings.stdin_buffer_bytes > settings.max_buffered_bytes) {
    throw Refusal("--stdin-buffer-bytes: " + FormatSize(settings.stdin_buffer_bytes) +
                  " is more than --max-buffered-bytes, " + FormatSize(settings.max_buffered_bytes) +
                  ": lower the one or raise the other");
  }
  if (settings.body_memory_bytes > settings.max_buffered_bytes) {
    throw Refusal("--body-memory-bytes: " + FormatSize(settings.body_memory_bytes) +
                  " is more than --max-buffered-bytes, " + FormatSize(settings.max_buffered_bytes) +
                  ": lower the one or raise the other");
  }
  CheckProcessModel(settings);
}

ParseResult ParseOptions(const CommandEntry& command, const std::vector<std::string>& arguments,
                         const char* const* environment, const ConfigText* known) {
  const Table table = command.options();
  const CommandLine command_line = ReadCommandLine(command, table, arguments);
  ParseResult result;
  result.command = command.command;
  if (command_line.wants_help) {
    result.output = HelpOf(command, table);
    return result;
  }
  if (command_line.arguments.size() < command.least_arguments) {
    throw Refusal("nothing to " + std::string(command.verb.empty() ? command.name : command.verb) +
                  ": write 'weft " + std::string(command.name) + std::string(command.arguments) +
                  "'");
  }
  result.arguments = command_line.arguments;
  // The file and the environment are those of the server, whatever the command.
  const Table all = OptionTable();
  const std::vector<Assignment> from_environment =
      ReadEnvironment(all, environment, result.warnings);
  std::vector<Assignment> from_file;
  const Assignment* config = FindConfig(command_line.assignments);
  if (config == nullptr) config = FindConfig(from_environment);
  if (config != nullptr) {
    const bool is_known = known != nullptr && known->path == config->value;
    result.config = {config->value, is_known ? known->text : TextOf(config->value, config->place)};
    from_file = AssignmentsIn(result.config->text, all, config->value);
  }

  Settings settings;
  Apply(settings, from_environment);  // the weakest first: the last one to set a field wins
  Apply(settings, from_file);
  Apply(settings, command_line.assignments);
  AddWebServerAddresses(settings, environment);
  CheckTogether(settings);
  result.settings = std::move(settings);
  return result;
}

ParseResult ParseCommand(const std::vector<std::string>& arguments, const char* const* environment,
                         const ConfigText* known) {
  if (arguments.empty()) throw Refusal("no command: write 'weft serve', or 'weft --help'");
  const std::string& command = arguments.front();
  ParseResult result;
  std::vector<std::string> names;
  for (const CommandEntry& entry : kCommands) {
    if (command == entry.name) {
      return ParseOptions(entry, {arguments.begin() + 1, arguments.end()}, environment, known);
    }
    names.emplace_back(entry.name);
  }
  if (command == "--help" || command == "-h" || command == "help") {
    result.output = Help();
    return result;
  }
  if (command == "--version") {
    result.output = "weft " + std::string(Version()) + "\n";
    return result;
  }
  if (command.starts_with("--") &&
      FindOption(OptionTable(), po::strip_prefixes(command.substr(0, command.find('=')))) !=
          nullptr) {
    throw Refusal("no command before " + Quoted(command) + ": write 'weft serve " + command + "'");
  }
  names.insert(names.end(), {"--help", "--version"});
  throw Refusal("unknown command " + Quoted(command) + Hint(command, names, "see 'weft --help'"));
}

}  // namespace

std::span<const CommandEntry> Commands() { return kCommands; }

std::string_view AboutValues() { return kAboutValues; }

ParseResult Parse(int argc, const char* const* argv, const char* const* environment,
                  const ConfigText* known) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) arguments.emplace_back(argv[i]);
  try {
    return ParseCommand(arguments, environment, known);
  } catch (const Refusal& refusal) {
    ParseResult result;
    result.error = "weft: " + std::string(refusal.what());
    result.exit_code = kExitUsage;
    return result;
  }
}

}  // namespace weft::host::options
