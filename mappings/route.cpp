#include "mappings/route.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

#include <weft/cause.hpp>
#include <weft/http_headers.hpp>

namespace weft::mappings {
namespace {

bool IsGetOrHead(std::string_view method) { return method == "GET" || method == "HEAD"; }

/// A decoded path as a URL has it (RFC 3986, section 3.3).
std::string PercentEncoded(std::string_view path) {
  constexpr std::string_view kPlain = "-._~!$&'()*+,;=:@/";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool alphanumeric =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (alphanumeric || kPlain.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded.append({'%', kHex[byte >> 4U], kHex[byte & 0x0FU]});
    }
  }
  return encoded;
}

/// Whether the web server passed on a query that may stand in a header field.
bool QueryIsClean(std::string_view query) {
  for (const char c : query) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) {
      return false;
    }
  }
  return true;
}

bool Refuse(Route& route, int status, std::string_view cause, std::string detail) {
  route.status = status;
  route.cause = cause;
  route.detail = std::move(detail);
  route.resolution.allow = {};  // of a 405, which this is not
  return true;
}

bool RefuseTooLong(Route& route, std::size_t bytes,
                   const Setting<std::optional<std::uint64_t>>& limit, const char* what,
                   std::string_view cause) {
  if (!limit.value || bytes <= *limit.value) {
    return false;
  }
  return Refuse(route, 414, cause,
                "the " + std::string(what) + " has " + std::to_string(bytes) +
                    " bytes, the limit is " + std::to_string(*limit.value) +
                    (limit.where ? " (" + limit.where->ToString() + ")" : std::string()));
}

/// Finds the entry for a path. True: the route ends here.
bool Resolve(Route& route, const MappingTable& table, const RequestTarget& target,
             std::string_view script_path, std::string_view path_info, ISiteFiles& files,
             ResolutionCache* cache) {
  route.resolution =
      table.Resolve(target.host, target.method, script_path, path_info, &files, cache);
  route.cause = route.resolution.cause;
  switch (route.resolution.outcome) {
    case Resolution::Outcome::kBadPath:
      return Refuse(route, 400, route.cause, std::string(route.cause));
    case Resolution::Outcome::kPathTooLong:
      return Refuse(route, 414, route.cause,
                    std::string(route.cause) + ": " +
                        std::to_string(script_path.size() + path_info.size()) +
                        " bytes, too many for the number of path patterns with wildcards inside "
                        "that its folder has");
    case Resolution::Outcome::kFound:
      route.status = 200;
      break;
    case Resolution::Outcome::kMethodNotAllowed:
      route.status = 405;
      break;
    case Resolution::Outcome::kNotFound:
      route.status = 404;
      break;
  }
  return false;
}

}  // namespace

Route FindRoute(const MappingTable& table, const RequestTarget& target, ISiteFiles& files,
                ResolutionCache* cache) {
  Route route;
  if (!IsToken(target.method)) {
    Refuse(route, 400, weft::cause::kMethodMalformed.Text(),
           "REQUEST_METHOD is missing or no token");
    return route;
  }
  if (Resolve(route, table, target, target.script_path, target.path_info, files, cache)) {
    return route;
  }
  const Resolution& resolution = route.resolution;
  const Runtime& runtime = resolution.settings->runtime;
  if (RefuseTooLong(route, resolution.file_path.size() + resolution.path_info.size(),
                    runtime.max_url_bytes, "path", weft::cause::kUrlTooLong.Text()) ||
      RefuseTooLong(route, target.query.size(), runtime.max_query_string_bytes, "query",
                    weft::cause::kQueryStringTooLong.Text())) {
    return route;
  }
  if (resolution.specific || !resolution.path_info.empty()) {
    return route;
  }
  const std::string_view path = resolution.file_path;
  if (!path.ends_with('/')) {
    // To the folder's own name, with its slash: relative links of its page lead nowhere otherwise. The path is
    // normalised: one slash begins it, and so no other host can be meant.
    if (resolution.settings->redirect_to_folder.value && IsGetOrHead(target.method) &&
        QueryIsClean(target.query) && files.At(path) == Resource::kDirectory) {
      route.status = 301;
      route.resolution.allow = {};
      route.cause = weft::cause::kFolderRedirect.Text();
      route.location = PercentEncoded(path) + "/";
      if (!target.query.empty()) {
        route.location.append("?").append(target.query);
      }
    }
    return route;
  }
  if (const auto& names = resolution.settings->default_documents.value; !names.empty()) {
    if (auto document = files.FirstFile(path, names)) {
      route.default_document = std::make_unique<const std::string>(std::move(*document));
      Resolve(route, table, target, *route.default_document, {}, files, cache);
    }
  }
  return route;
}

}  // namespace weft::mappings
