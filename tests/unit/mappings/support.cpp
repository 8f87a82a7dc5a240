#include "tests/unit/mappings/support.hpp"

#include "mappings/level.hpp"

namespace weft::mappings::testing {

TemporaryTree::TemporaryTree(
    std::initializer_list<std::pair<std::string_view, std::string_view>> files) {
  for (const auto& [path, text] : files) {
    Write(path, text);
  }
}

void TemporaryTree::Write(std::string_view path, std::string_view text) const {
  folder_.Write(path, text);
}

void TemporaryTree::MakeFolder(std::string_view path) const {
  std::filesystem::create_directories(folder_ / path);
}

void TemporaryTree::Link(std::string_view path, const std::filesystem::path& target) const {
  std::filesystem::create_symlink(target, folder_ / path);
}

LoadResult TemporaryTree::Load(const LoadLimits& limits) const {
  return Load({.directory = Root()}, limits);
}

LoadResult TemporaryTree::Load(const MappingSources& sources, const LoadLimits& limits) const {
  LoadResult result = mappings::Load(sources, limits);
  const std::string prefix = Root().string() + "/";
  for (Problem& problem : result.problems) {
    if (problem.where.file.starts_with(prefix)) {
      problem.where.file.erase(0, prefix.size());
    }
  }
  return result;
}

std::vector<std::string> Told(const std::vector<Problem>& problems) {
  std::vector<std::string> told;
  told.reserve(problems.size());
  for (const Problem& problem : problems) {
    told.push_back(problem.ToString());
  }
  return told;
}

std::vector<std::string> ToldOf(std::string_view text) {
  std::vector<Problem> problems;
  const Level level = ReadLevel(text, "f", problems);
  bool errors = false;
  for (const Problem& problem : problems) {
    errors = errors || problem.severity == Problem::Severity::kError;
  }
  CHECK(level.complete == !errors);
  return Told(problems);
}

std::string File(std::initializer_list<Mapped> adds, std::string_view before) {
  std::string text = "{\"httpHandlers\": [";
  text += before;
  for (const Mapped& add : adds) {
    text += text.ends_with('[') ? "" : ",\n";
    text += "{\"add\": {\"verb\": \"" + std::string(add.verb) + "\", \"path\": \"" +
            std::string(add.path) + "\", \"type\": \"" + std::string(add.type) + "\"}}";
  }
  return text + "]}";
}

std::string Only(std::initializer_list<Mapped> adds) { return File(adds, "{\"clear\": {}}"); }

std::string Routed(const MappingTable& table, std::string_view verb, std::string_view script_path,
                   std::string_view path_info, std::string_view host) {
  const Resolution resolution = table.Resolve(host, verb, script_path, path_info);
  using Outcome = Resolution::Outcome;
  CHECK((resolution.outcome == Outcome::kFound) == (resolution.entry != nullptr));
  std::string told;
  switch (resolution.outcome) {
    case Outcome::kFound:
      told = resolution.entry->type.class_name;
      break;
    case Outcome::kNotFound:
      told = "404";
      break;
    case Outcome::kMethodNotAllowed:
      told = "405";
      break;
    case Outcome::kBadPath:
      return "400 " + std::string(resolution.cause);
    case Outcome::kPathTooLong:
      return "414 " + std::string(resolution.cause);
  }
  told += ' ';
  told += resolution.file_path;
  if (!resolution.path_info.empty()) {
    told += '|';
    told += resolution.path_info;
  }
  if (!resolution.allow.empty()) {
    told += " (" + resolution.allow + ")";
  }
  return told;
}

}  // namespace weft::mappings::testing

namespace doctest {

String StringMaker<std::vector<std::string>>::convert(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += "\n    " + line;
  }
  return text.c_str();
}

}  // namespace doctest
