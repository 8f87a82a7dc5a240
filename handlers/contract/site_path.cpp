#include "handlers/contract/site_path.hpp"

#include <cstddef>

#include <weft/cause.hpp>
#include <weft/http_exception.hpp>

namespace weft {

namespace {

[[noreturn]] void Refuse(std::string_view path, const char* why, CauseName cause) {
  throw HttpException(400, "The path is malformed.",
                      "the path '" + std::string(path) + "' names no file of the site: " + why)
      .WithCause(cause);
}

/// Takes the first segment and the slash behind it off `path`.
std::string_view TakeSegment(std::string_view& path, bool& last) noexcept {
  const auto slash = path.find('/');
  last = slash == std::string_view::npos;
  const auto segment = path.substr(0, slash);
  path = last ? std::string_view() : path.substr(slash + 1);
  return segment;
}

}  // namespace

bool IsPlainPath(std::string_view path) noexcept {
  if (path.substr(0, 1) != "/" || path.find_first_of(std::string_view("\\\0", 2)) != path.npos) {
    return false;
  }
  path.remove_prefix(1);
  while (!path.empty()) {
    bool last = false;
    const auto segment = TakeSegment(path, last);
    if (segment.empty() || segment == "." || segment == "..") {
      return false;
    }
  }
  return true;
}

std::string PlainPath(std::string_view path) {
  const auto whole = path;
  if (path.substr(0, 1) != "/") {
    Refuse(whole, "it is not absolute", CauseName("path_not_absolute"));
  }
  if (path.find('\0') != path.npos) {
    Refuse(whole, "it has a NUL", CauseName("path_has_nul"));
  }
  if (path.find('\\') != path.npos) {
    Refuse(whole, "it has a backslash", CauseName("path_has_backslash"));
  }
  path.remove_prefix(1);
  std::string plain = "/";  // always ends with the slash that the next segment follows
  while (!path.empty()) {
    bool last = false;
    const auto segment = TakeSegment(path, last);
    if (segment.empty() || segment == ".") {
      continue;
    }
    if (segment == "..") {
      if (plain.size() == 1) {
        Refuse(whole, "it leads above the root", CauseName("path_above_root"));
      }
      plain.resize(plain.rfind('/', plain.size() - 2) + 1);
      continue;
    }
    plain.append(segment).append(last ? "" : "/");
  }
  return plain;
}

}  // namespace weft
