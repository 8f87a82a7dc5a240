#include "mappings/request_path.hpp"

#include <utility>

namespace weft::mappings {
namespace {

struct Look {
  PathFault fault = PathFault::kNone;
  bool normal = true;
};

// `/.` may begin an ordinary name, such as `/.well-known`; telling that apart is left to the
// rewrite.
Look LookAt(std::string_view path) {
  Look look;
  if (!path.starts_with('/')) {
    return {PathFault::kNotAbsolute, false};
  }
  char previous = '\0';
  for (const char c : path) {
    if (c == '\0') {
      return {PathFault::kNul, false};
    }
    if (c == '\\') {
      return {PathFault::kBackslash, false};
    }
    if (previous == '/' && (c == '/' || c == '.')) {
      look.normal = false;
    }
    previous = c;
  }
  return look;
}

}  // namespace

NormalisedPath NormalisePath(std::string_view path) {
  const Look look = LookAt(path);
  if (look.fault != PathFault::kNone || look.normal) {
    return {look.fault, std::nullopt};
  }
  std::string result = "/";  // always ends with the slash that the next segment follows
  result.reserve(path.size());
  for (std::size_t begin = 1; begin < path.size();) {
    const std::size_t slash = path.find('/', begin);
    const std::string_view segment = path.substr(begin, slash - begin);
    const bool last = slash == std::string_view::npos;
    begin = last ? path.size() : slash + 1;
    if (segment.empty() || segment == ".") {
      continue;
    }
    if (segment == "..") {
      if (result.size() == 1) {
        return {PathFault::kAboveRoot, std::nullopt};
      }
      result.resize(result.rfind('/', result.size() - 2) + 1);
      continue;
    }
    result += segment;
    if (!last) {
      result += '/';
    }
  }
  if (result == path) {
    return {};
  }
  return {PathFault::kNone, std::move(result)};
}

}  // namespace weft::mappings
