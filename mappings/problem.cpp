#include "mappings/problem.hpp"

namespace weft::mappings {

std::string SourceLocation::ToString() const {
  std::string text = file.empty() ? "<built-in defaults>" : file;
  if (line > 0) {
    text += ':' + std::to_string(line) + ':' + std::to_string(column);
  }
  return text;
}

std::string Problem::ToString() const {
  return where.ToString() + (severity == Severity::kError ? ": error: " : ": warning: ") + sentence;
}

}  // namespace weft::mappings
