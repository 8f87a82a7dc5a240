#include "host/reference/completion.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "host/options/option_table.hpp"
#include "host/options/parse.hpp"

namespace weft::host::reference {
namespace {

using options::CommandEntry;
using options::Option;

/// What a value, or an argument, may be beside words.
enum class Kind { kOther, kFile, kFolder, kUser, kGroup, kProcess };

/// By the names that the help has for them. Whoever adds a name says here what it is.
Kind KindOf(std::string_view value_name) {
  constexpr std::array<std::pair<std::string_view, Kind>, 23> kKinds{
      {{"FILE", Kind::kFile},
       {"PATH", Kind::kFile},
       {"DIR", Kind::kFolder},
       {"[HOST=]DIR", Kind::kFolder},
       {"USER", Kind::kUser},
       {"GROUP", Kind::kGroup},
       {"PID", Kind::kProcess},
       {"ADDRESS", Kind::kOther},
       {"CODING", Kind::kOther},
       {"FORMAT", Kind::kOther},
       {"HEADER:DIR[=PREFIX]", Kind::kOther},
       {"HOST", Kind::kOther},
       {"LEVEL", Kind::kOther},
       {"METHOD", Kind::kOther},
       {"MODE", Kind::kOther},
       {"N", Kind::kOther},
       {"NAME", Kind::kOther},
       {"N/TIME", Kind::kOther},
       {"NAME=SOFT[:HARD]", Kind::kOther},
       {"NAME=VALUE", Kind::kOther},
       {"SIZE", Kind::kOther},
       {"TIME", Kind::kOther},
       {"URL", Kind::kOther}}};
  const auto* const found = std::find_if(
      kKinds.begin(), kKinds.end(), [value_name](const auto& k) { return k.first == value_name; });
  if (found == kKinds.end()) {
    throw std::logic_error("nobody knows how a shell completes " + std::string(value_name) +
                           ": say so in host/reference/completion.cpp");
  }
  return found->second;
}

/// What an option takes: words, and perhaps something else.
struct Values {
  std::vector<std::string_view> words;
  Kind kind = Kind::kOther;
};

Values ValuesOf(const Option& option) {
  Values values{option.Words(), Kind::kOther};
  // Their paths are those of URLs.
  if (option.name == "path" || option.name == "access-log-skip") return values;
  // Of the alternatives between bars those that are no words.
  for (std::string_view rest = option.value_name;;) {
    const auto bar = rest.find('|');
    const auto name = rest.substr(0, bar);
    if (std::find(values.words.begin(), values.words.end(), name) == values.words.end()) {
      const Kind kind = KindOf(name);
      if (kind != Kind::kOther) values.kind = kind;
    }
    if (bar == std::string_view::npos) return values;
    rest.remove_prefix(bar + 1);
  }
}

/// An argument of a command: "[METHOD]" or "URL".
struct Argument {
  std::string name;
  bool is_optional = false;
  bool is_repeatable = false;
  std::vector<std::string_view> words{};
  Kind kind = Kind::kOther;
};

/// A word in small letters is written as it stands.
bool IsLiteral(std::string_view name) { return name.front() >= 'a' && name.front() <= 'z'; }

/// "import|export": either.
std::vector<std::string_view> WordsBetweenBars(std::string_view name) {
  std::vector<std::string_view> words;
  while (true) {
    const auto bar = name.find('|');
    words.push_back(name.substr(0, bar));
    if (bar == std::string_view::npos) return words;
    name.remove_prefix(bar + 1);
  }
}

std::vector<std::string_view> WordsOfArgument(std::string_view name) {
  if (IsLiteral(name)) return WordsBetweenBars(name);
  if (name == "METHOD") return {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  if (name == "LEVEL") {
    for (const Option& option : options::OptionTable()) {
      if (option.name == "log-level") return option.Words();
    }
  }
  return {};
}

std::vector<Argument> ArgumentsOf(const CommandEntry& command) {
  std::vector<Argument> arguments;
  for (std::string_view rest = command.arguments; !rest.empty();) {
    rest.remove_prefix(rest.find_first_not_of(' '));
    auto word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(word.size());
    const bool is_optional = word.starts_with('[');
    if (is_optional) word = word.substr(1, word.size() - 2);
    const bool is_repeatable = word.ends_with("...");
    if (is_repeatable) word.remove_suffix(3);
    const Kind kind = IsLiteral(word) ? Kind::kOther : KindOf(word);
    arguments.push_back(
        {std::string(word), is_optional, is_repeatable, WordsOfArgument(word), kind});
  }
  return arguments;
}

std::string Joined(const std::vector<std::string_view>& words) {
  std::string joined;
  for (const std::string_view word : words)
    joined += (joined.empty() ? "" : " ") + std::string(word);
  return joined;
}

/// An option of a command; of all commands that have it where `command` is empty.
struct Place {
  std::string_view command;
  Option option;
};

/// Every option of every command, by its name once, and before that for each command in which it takes something else.
std::vector<Place> AllOptions() {
  std::vector<Place> all;
  for (const CommandEntry& command : options::Commands()) {
    for (Option& option : command.options()) {
      const auto found = std::find_if(all.begin(), all.end(), [&option](const Place& other) {
        return other.command.empty() && other.option.name == option.name;
      });
      if (found == all.end()) {
        all.push_back({{}, std::move(option)});
      } else if (found->option.value_name != option.value_name ||
                 found->option.Words() != option.Words()) {
        all.insert(all.begin(), {command.name, std::move(option)});
      }
    }
  }
  return all;
}

// --- bash ---------------------------------------------------------------------------------------

constexpr std::string_view kBashBegin =
    R"sh(# bash completion of weft(1). Made from its tables of commands and options: host/reference/completion.cpp.

# Words that begin with what is typed. _weft_prefix is what stands before it in the same word.
_weft_words() {
  mapfile -t COMPREPLY < <(compgen -P "$_weft_prefix" -W "$1" -- "$cur")
}

_weft() {
  local cur=${COMP_WORDS[COMP_CWORD]} previous='' before='' attached='' _weft_prefix=''
  local command=${COMP_WORDS[1]} options='' lists='' words='' option word
  COMPREPLY=()
  [ "$COMP_CWORD" -lt 1 ] || previous=${COMP_WORDS[COMP_CWORD - 1]}
  [ "$COMP_CWORD" -lt 2 ] || before=${COMP_WORDS[COMP_CWORD - 2]}
  # "--log-level=de" is three words where COMP_WORDBREAKS has the =, and else one.
  if [[ $cur == = ]]; then
    cur='' attached=1
  elif [[ $previous == = ]]; then
    previous=$before attached=1
  elif [[ $cur == --*=* ]]; then
    previous=${cur%%=*} cur=${cur#*=} attached=1
    _weft_prefix=$previous=
  fi
  if [ "$COMP_CWORD" -le 1 ]; then
)sh";

constexpr std::string_view kBashEnd = R"sh(    esac
  fi
  if [[ $cur == -* && -z $_weft_prefix ]]; then
    word=''
    for option in $options; do
      # One that may be given once, and was.
      [[ " $lists " != *" $option "* && " ${COMP_WORDS[*]:2:COMP_CWORD-2} " == *" $option "* ]] || word+=" $option"
    done
    _weft_words "$word --help"
    return
  fi
  _weft_words "$words"
}

complete -F _weft weft
)sh";

std::string BashAction(const Values& values) {
  std::string action;
  if (!values.words.empty()) action = "_weft_words '" + Joined(values.words) + "'";
  const std::string_view more =
      values.kind == Kind::kFile     ? "compopt -o default"
      : values.kind == Kind::kFolder ? "compopt -o dirnames"
      : values.kind == Kind::kUser
          ? "mapfile -t COMPREPLY < <(compgen -P \"$_weft_prefix\" -u -- \"$cur\")"
      : values.kind == Kind::kGroup
          ? "mapfile -t COMPREPLY < <(compgen -P \"$_weft_prefix\" -g -- \"$cur\")"
          : "";
  // Files and folders are readline's to complete, which knows how they are quoted; it does where no word fits.
  if (!action.empty() && !more.empty()) action += "; ";
  action += more;
  return action.empty() ? ":" : action;
}

}  // namespace

std::string BashCompletion() {
  std::string script(kBashBegin);
  std::string names;
  for (const CommandEntry& command : options::Commands()) names += std::string(command.name) + " ";
  script +=
      "    _weft_words '" + names + "--help --version'\n    return\n  fi\n  case $command in\n";
  for (const CommandEntry& command : options::Commands()) {
    std::string flags;
    std::string lists;
    for (const Option& option : command.options()) {
      flags += (flags.empty() ? "" : " ") + option.Flag();
      if (option.arity == Option::Arity::kList) lists += (lists.empty() ? "" : " ") + option.Flag();
    }
    script += "    " + std::string(command.name) + ")\n      options='" + flags +
              "'\n      lists='" + lists + "'\n";
    const std::vector<Argument> arguments = ArgumentsOf(command);
    if (!arguments.empty()) {
      const Argument& first = arguments.front();
      if (!first.words.empty()) script += "      words='" + Joined(first.words) + "'\n";
      if (first.kind == Kind::kProcess) script += "      words=$(pgrep -x weft 2>/dev/null)\n";
      if (arguments.size() > 1 && arguments[1].kind == Kind::kFile) {
        script += "      for word in " + Joined(first.words) +
                  "; do\n        if [[ $cur != -* && \" ${COMP_WORDS[*]:2:COMP_CWORD-2} \" == *\" "
                  "$word \"* ]]; "
                  "then words='' && compopt -o default; fi\n      done\n";
      }
    }
    script += "      ;;\n";
  }
  script +=
      "    *) return ;;\n  esac\n  if [[ \" $options \" == *\" $previous \"* ]]; then\n"
      "    case \"$command $previous\" in\n";
  for (const auto& [command, option] : AllOptions()) {
    script += command.empty() ? "      *' " : "      '" + std::string(command) + " ";
    script += option.Flag() + "')\n";
    const std::string action = BashAction(ValuesOf(option));
    if (option.arity == Option::Arity::kSwitch) {
      // Its value, if there is one, is attached.
      script += "        if [ -n \"$attached\" ]; then\n          " + action +
                "\n          return\n        fi\n        ;;\n";
    } else {
      script += "        " + action + "\n        return\n        ;;\n";
    }
  }
  return script + std::string(kBashEnd);
}

// --- zsh ----------------------------------------------------------------------------------------

namespace {

constexpr std::string_view kZshBegin =
    R"sh(#compdef weft
# zsh completion of weft(1). Made from its tables of commands and options: host/reference/completion.cpp.

_weft_processes() {
  local -a processes
  processes=(${(f)"$(pgrep -x weft 2>/dev/null)"})
  _describe -t processes process processes
}

)sh";

constexpr std::string_view kZshEnd = R"sh(      esac
      ;;
  esac
}

if [[ $funcstack[1] == _weft ]]; then
  _weft "$@"
else
  compdef _weft weft
fi
)sh";

/// For a string between ' of which _arguments takes the characters of `special` for itself.
std::string ZshEscaped(std::string_view text, std::string_view special) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\'') {
      escaped += "'\\''";
      continue;
    }
    if (c == '\\' || special.find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

/// The first sentence, without its end.
std::string_view FirstSentence(std::string_view text) {
  text = text.substr(0, text.find(". "));
  if (text.ends_with('.')) text.remove_suffix(1);
  return text;
}

std::string_view ZshAction(Kind kind) {
  switch (kind) {
    case Kind::kFile:
      return "_files";
    case Kind::kFolder:
      return "_files -/";
    case Kind::kUser:
      return "_users";
    case Kind::kGroup:
      return "_groups";
    case Kind::kProcess:
      return "_weft_processes";
    case Kind::kOther:
      break;
  }
  return " ";
}

/// The name of the function that completes words and something else.
std::string ZshFunction(const Option& option) {
  std::string name = "_weft_value_" + std::string(option.name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

bool IsMixed(const Values& values) { return !values.words.empty() && values.kind != Kind::kOther; }

std::string ZshSpecification(const Option& option) {
  const Values values = ValuesOf(option);
  const bool is_switch = option.arity == Option::Arity::kSwitch;
  const std::string action = IsMixed(values)         ? " " + ZshFunction(option)
                             : !values.words.empty() ? "(" + Joined(values.words) + ")"
                                                     : std::string(ZshAction(values.kind));
  return "'" + std::string(option.arity == Option::Arity::kList ? "*" : "") + option.Flag() +
         (is_switch ? "=-" : "=") + "[" + ZshEscaped(FirstSentence(option.meaning), "[]:") + "]" +
         (is_switch ? "::" : ":") + ZshEscaped(option.value_name, ":") + ":" + action + "'";
}

}  // namespace

std::string ZshCompletion() {
  std::string script(kZshBegin);
  for (const auto& [command, option] : AllOptions()) {
    const Values values = ValuesOf(option);
    if (!IsMixed(values) || !command.empty()) continue;
    script += ZshFunction(option) + "() {\n  _alternative 'words:word:(" + Joined(values.words) +
              ")' 'others:" + std::string(option.value_name) + ":" +
              std::string(ZshAction(values.kind)) + "'\n}\n\n";
  }
  script +=
      "_weft() {\n  local curcontext=$curcontext state state_descr line\n  typeset -A opt_args\n"
      "  local -a commands\n  commands=(\n";
  for (const CommandEntry& command : options::Commands()) {
    script += "    '" + std::string(command.name) + ":" + ZshEscaped(command.summary, ":") + "'\n";
  }
  script +=
      "  )\n  _arguments -C '(- : *)'{-h,--help}'[print the commands]' \\\n"
      "    '(- : *)--version[print the version]' \\\n    '1: :->command' '*:: :->arguments'\n"
      "  case $state in\n    command)\n      _describe -t commands command commands\n      ;;\n"
      "    arguments)\n      curcontext=${curcontext%:*:*}:weft-$words[1]:\n      case $words[1] "
      "in\n";
  for (const CommandEntry& command : options::Commands()) {
    script += "        " + std::string(command.name) +
              ")\n          _arguments '(- : *)'{-h,--help}'[list its options]'";
    for (const Option& option : command.options()) {
      script += " \\\n            " + ZshSpecification(option);
    }
    std::size_t number = 0;
    for (const Argument& argument : ArgumentsOf(command)) {
      script += " \\\n            '" + (argument.is_repeatable ? "*" : std::to_string(++number)) +
                (argument.is_optional ? "::" : ":") + argument.name + ":" +
                (argument.words.empty() ? std::string(ZshAction(argument.kind))
                                        : "(" + Joined(argument.words) + ")") +
                "'";
    }
    script += "\n          ;;\n";
  }
  return script + std::string(kZshEnd);
}

}  // namespace weft::host::reference
