#include "host/pipeline/request_mapping.hpp"

#include <sys/stat.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_headers.hpp>
#include "mappings/resources.hpp"

namespace weft::host::pipeline {

namespace {

using mappings::Resolution;
using mappings::Resource;

/// Blocks on the disk.
Resource ResourceAt(const std::string& physical_path) {
  struct stat status {};
  if (stat(physical_path.c_str(), &status) != 0) {
    return Resource::kNone;
  }
  return S_ISDIR(status.st_mode)   ? Resource::kDirectory
         : S_ISREG(status.st_mode) ? Resource::kFile
                                   : Resource::kNone;
}

/// What is below the document root of a request.
class SiteResources final : public mappings::IResources {
 public:
  explicit SiteResources(const HttpRequest& request) : request_(request) {}

  Resource At(std::string_view file_path) override {
    const auto physical_path = request_.MapPath(file_path);
    return physical_path.empty() ? Resource::kNone
                                 : Offload([&] { return ResourceAt(physical_path); });
  }

  /// The path of the first of `names` that is a file in the folder; nothing where none is.
  std::optional<std::string> FirstFile(std::string_view folder,
                                       const std::vector<std::string>& names) {
    std::vector<std::pair<std::string, std::string>>
        files;  // their paths on the site and on the disk
    for (const auto& name : names) {
      auto path = std::string(folder) + name;
      auto physical_path = request_.MapPath(path);
      if (physical_path.empty()) {
        return std::nullopt;
      }
      files.emplace_back(std::move(path), std::move(physical_path));
    }
    return Offload([&]() -> std::optional<std::string> {
      for (auto& [path, physical_path] : files) {
        if (ResourceAt(physical_path) == Resource::kFile) {
          return std::move(path);
        }
      }
      return std::nullopt;
    });
  }

 private:
  const HttpRequest& request_;
};

void RefuseTooLong(std::size_t bytes, const mappings::Setting<std::optional<std::uint64_t>>& limit,
                   const char* what, CauseName cause) {
  if (limit.value && bytes > *limit.value) {
    throw HttpException(414, {},
                        "the " + std::string(what) + " has " + std::to_string(bytes) +
                            " bytes, the limit is " + std::to_string(*limit.value) +
                            (limit.where ? " (" + limit.where->ToString() + ")" : std::string()))
        .WithCause(cause);
  }
}

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

/// To the folder's own name, with its slash: relative links of its page lead nowhere otherwise. The path is normalised:
/// one slash begins it, and so no other host can be meant.
void RedirectToFolder(HttpContext& context, std::string_view path) {
  auto location = PercentEncoded(path) + "/";
  if (const auto query = context.Request().QueryStringText(); !query.empty()) {
    location.append("?").append(query);
  }
  auto& response = context.Response();
  response.SetStatusCode(301);
  response.SetHeader("Location", location);
  response.SetContentType("text/plain; charset=utf-8");
  response.Write("Moved Permanently\n");
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

void ThrowIfRefused(const Resolution& resolution, HttpContext& context) {
  switch (resolution.outcome) {
    case Resolution::Outcome::kBadPath:
      throw HttpException(400, "The path of the URL is malformed.", std::string(resolution.cause));
    case Resolution::Outcome::kPathTooLong:
      throw HttpException(414, {},
                          std::string(resolution.cause) + ": " +
                              std::to_string(context.Request().Path().size()) +
                              " bytes, too many for the number of path patterns with wildcards "
                              "inside that its folder has");
    case Resolution::Outcome::kFound:
    case Resolution::Outcome::kMethodNotAllowed:
    case Resolution::Outcome::kNotFound:
      break;
  }
}

}  // namespace

MappedRequest MapRequest(HttpContext& context, const handling::HandlerTable& handlers,
                         std::string_view& cause) {
  const auto& table = handlers.Mappings();
  auto& request = context.Request();
  const auto method = request.HttpMethod();
  if (!IsToken(method)) {
    throw HttpException(400, "The method is malformed.", "REQUEST_METHOD is missing or no token")
        .WithCause(weft::cause::kMethodMalformed);
  }
  const auto& variables = request.ServerVariables();
  const auto host = variables.Find("HTTP_HOST").value_or(variables.Get("SERVER_NAME"));
  SiteResources resources(request);
  auto resolution = table.Resolve(host, method, request.FilePath(), request.PathInfo(), &resources,
                                  &handlers.Cache());
  cause = resolution.cause;
  ThrowIfRefused(resolution, context);
  const auto& runtime = resolution.settings->runtime;
  RefuseTooLong(resolution.file_path.size() + resolution.path_info.size(), runtime.max_url_bytes,
                "path", weft::cause::kUrlTooLong);
  RefuseTooLong(request.QueryStringText().size(), runtime.max_query_string_bytes, "query",
                weft::cause::kQueryStringTooLong);

  std::optional<std::string> default_document;
  if (!resolution.specific && resolution.path_info.empty()) {
    const auto path = resolution.file_path;
    if (path.ends_with('/')) {
      if (const auto& names = resolution.settings->default_documents.value; !names.empty()) {
        default_document = resources.FirstFile(path, names);
      }
    } else if (resolution.settings->redirect_to_folder.value && IsGetOrHead(method) &&
               QueryIsClean(request.QueryStringText()) &&
               resources.At(path) == Resource::kDirectory) {
      cause = weft::cause::kFolderRedirect.Text();
      RedirectToFolder(context, path);
      return {nullptr, resolution.settings};
    }
    if (default_document) {
      resolution =
          table.Resolve(host, method, *default_document, {}, &resources, &handlers.Cache());
      cause = resolution.cause;
      ThrowIfRefused(resolution, context);
    }
  }

  if (!resolution.allow.empty()) {
    context.Response().SetHeader("Allow", resolution.allow);
  }
  if (resolution.outcome == Resolution::Outcome::kMethodNotAllowed) {
    throw HttpException(405, {}, std::string(resolution.cause));
  }
  if (resolution.outcome == Resolution::Outcome::kNotFound) {
    throw HttpException(404, {}, std::string(resolution.cause));
  }
  request.RewritePath(resolution.file_path, resolution.path_info);
  if (auto root = resolution.settings->application_root; root.size() > 1) {
    root.pop_back();
    request.SetApplicationPath(std::move(root));
  }
  return {resolution.entry, resolution.settings};
}

}  // namespace weft::host::pipeline
