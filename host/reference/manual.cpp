#include "host/reference/manual.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "host/options/option_table.hpp"
#include "host/options/parse.hpp"

namespace weft::host::reference {
namespace {

using options::CommandEntry;
using options::Option;

/// A character as it is to be seen, also where the page is copied from: a plain - could become a typographic hyphen.
std::string Escaped(char c) {
  switch (c) {
    case '\\':
      return "\\e";
    case '-':
      return "\\-";
    case '\'':
      return "\\(aq";
    case '"':
      return "\\(dq";
    case '`':
      return "\\(ga";
    case '~':
      return "\\(ti";
    case '^':
      return "\\(ha";
    default:
      return {c};
  }
}

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped += Escaped(c);
  return escaped;
}

std::vector<std::string> WordsOf(std::string_view text) {
  std::istringstream stream{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  return words;
}

/// `Fl Fl max\-params`: the macros print both dashes.
std::string FlagMacro(const Option& option) { return "Fl Fl " + Escaped(option.name); }

/// One option: `.It Fl Fl name Ar VALUE`, and what it means.
std::string Item(const Option& option) {
  const std::string value = Escaped(option.value_name);
  return ".It " + FlagMacro(option) +
         (option.arity == Option::Arity::kSwitch ? " Ns Oo = Ns Ar " + value + " Oc"
                                                 : " Ar " + value) +
         "\n" + ToRoff(option.HelpText());
}

/// " [METHOD] URL" as ` Oo Ar METHOD Oc Ar URL`.
std::string ArgumentMacros(std::string_view arguments) {
  std::string macros;
  for (const std::string& word : WordsOf(arguments)) {
    const bool is_optional = word.starts_with('[');
    const bool is_literal = word.front() >= 'a' && word.front() <= 'z';
    macros += is_optional  ? " Oo Ar " + Escaped(word.substr(1, word.size() - 2)) + " Oc"
              : is_literal ? " Cm " + Escaped(word)
                           : " Ar " + Escaped(word);
  }
  return macros;
}

std::string Synopsis() {
  std::string text;
  for (const CommandEntry& command : options::Commands()) {
    text += ".Nm\n.Cm " + std::string(command.name) + " Oo Ar option ... Oc" +
            ArgumentMacros(command.arguments) + "\n";
  }
  return text;
}

std::string Commands() {
  const std::vector<Option> of_serve = options::OptionTable();
  const auto is_of_serve = [&of_serve](const Option& option) {
    return std::any_of(of_serve.begin(), of_serve.end(), [&option](const Option& other) {
      return other.name == option.name && other.HelpText() == option.HelpText();
    });
  };
  std::string text = ".Bl -tag -width Ds\n";
  for (const CommandEntry& command : options::Commands()) {
    text += ".It Cm " + std::string(command.name) + " Oo Ar option ... Oc" +
            ArgumentMacros(command.arguments) + "\n" + ToRoff(command.introduction) + ".Pp\n" +
            ToRoff(command.epilogue);
    if (command.command == options::Command::kServe) {
      text += ".Pp\nIts options are all of those below.\n";
      continue;
    }
    std::string shared;
    std::string own;
    for (const Option& option : command.options()) {
      if (is_of_serve(option)) {
        shared += (shared.empty() ? "" : " ,\n.") + FlagMacro(option);
      } else {
        own += Item(option);
      }
    }
    if (!shared.empty()) text += ".Pp\nIts options, of those below:\n." + shared + " .\n";
    if (!own.empty())
      text += std::string(shared.empty() ? ".Pp\n" : "") +
              "On the command line alone:\n.Bl -tag -width Ds\n" + own + ".El\n";
  }
  return text + ".El\n";
}

std::string Options() {
  std::string text;
  std::string_view group;
  for (const Option& option : options::OptionTable()) {
    if (option.group != group) {
      if (!group.empty()) text += ".El\n";
      group = option.group;
      text += ".Ss " + Escaped(group) + "\n.Bl -tag -width Ds\n";
    }
    text += Item(option);
  }
  return text + ".El\n";
}

std::string Environment() {
  std::string text;
  for (const Option& option : options::OptionTable()) {
    text += ".It Ev " + option.EnvironmentVariable() + "\n." + FlagMacro(option) + "\n";
  }
  return text;
}

}  // namespace

std::string ToRoff(std::string_view text) {
  constexpr std::size_t kColumns = 78;
  std::string roff;
  std::string line;
  for (const std::string& word : WordsOf(text)) {
    // Two sentences on a line would be set apart by one blank in some formatters, and by two in others.
    const bool begins_sentence = line.ends_with('.') && word.front() >= 'A' && word.front() <= 'Z';
    const std::string escaped = Escaped(word);
    if (!line.empty() && (begins_sentence || line.size() + escaped.size() >= kColumns)) {
      roff += std::exchange(line, {}) + "\n";
    }
    if (!line.empty()) line += ' ';
    if (line.empty() && word.front() == '.') line += "\\&";  // else it is a macro
    line += escaped;
  }
  return roff + line + "\n";
}

std::string ManualPage(std::string_view source) {
  std::array<std::pair<std::string_view, std::string (*)()>, 5> parts{
      {{"@SYNOPSIS@", Synopsis},
       {"@COMMANDS@", Commands},
       {"@VALUES@", [] { return ToRoff(options::AboutValues()); }},
       {"@OPTIONS@", Options},
       {"@ENVIRONMENT@", Environment}}};
  std::string page;
  std::size_t replaced = 0;
  std::istringstream lines{std::string(source)};
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('@')) {
      page += line + "\n";
      continue;
    }
    const auto* const part = std::find_if(parts.begin(), parts.end(),
                                          [&line](const auto& p) { return p.first == line; });
    if (part == parts.end()) throw std::invalid_argument("the page has an unknown line " + line);
    page += part->second();
    ++replaced;
  }
  if (replaced != parts.size()) {
    throw std::invalid_argument("the page has " + std::to_string(replaced) + " of " +
                                std::to_string(parts.size()) + " generated parts");
  }
  return page;
}

}  // namespace weft::host::reference
