#include "host/pipeline/request_mapping.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include <weft/cause.hpp>
#include <weft/http_exception.hpp>
#include "mappings/resources.hpp"
#include "mappings/route.hpp"

namespace weft::host::pipeline {

namespace {

using mappings::Resource;

/// What is below the document root of a request.
class SiteFiles final : public mappings::ISiteFiles {
 public:
  explicit SiteFiles(const HttpRequest& request) : request_(request) {}

  Resource At(std::string_view file_path) override {
    const auto physical_path = request_.MapPath(file_path);
    return physical_path.empty() ? Resource::kNone
                                 : Offload([&] { return mappings::ResourceAt(physical_path); });
  }

  std::optional<std::string> FirstFile(std::string_view folder,
                                       const std::vector<std::string>& names) override {
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
        if (mappings::ResourceAt(physical_path) == Resource::kFile) {
          return std::move(path);
        }
      }
      return std::nullopt;
    });
  }

 private:
  const HttpRequest& request_;
};

void Redirect(HttpResponse& response, std::string_view location) {
  response.SetStatusCode(301);
  response.SetHeader("Location", location);
  response.SetContentType("text/plain; charset=utf-8");
  response.Write("Moved Permanently\n");
}

/// What the client is told beside the status.
std::string_view PublicText(const mappings::Route& route) {
  if (route.status != 400) {
    return {};
  }
  return route.cause == weft::cause::kMethodMalformed.Text() ? "The method is malformed."
                                                             : "The path of the URL is malformed.";
}

}  // namespace

MappedRequest MapRequest(HttpContext& context, const handling::HandlerTable& handlers,
                         std::string_view& cause) {
  auto& request = context.Request();
  const auto& variables = request.ServerVariables();
  SiteFiles files(request);
  const auto route = mappings::FindRoute(
      handlers.Mappings(),
      {.host = variables.Find("HTTP_HOST").value_or(variables.Get("SERVER_NAME")),
       .method = request.HttpMethod(),
       .script_path = request.FilePath(),
       .path_info = request.PathInfo(),
       .query = request.QueryStringText()},
      files, &handlers.Cache());
  cause = route.cause;
  const auto& resolution = route.resolution;
  if (route.status == 301) {
    Redirect(context.Response(), route.location);
    return {nullptr, resolution.settings};
  }
  if (!resolution.allow.empty()) {
    context.Response().SetHeader("Allow", resolution.allow);
  }
  if (route.status != 200) {
    throw HttpException(route.status, std::string(PublicText(route)),
                        route.detail.empty() ? std::string(route.cause) : route.detail);
  }
  request.RewritePath(resolution.file_path, resolution.path_info);
  if (auto root = resolution.settings->application_root; root.size() > 1) {
    root.pop_back();
    request.SetApplicationPath(std::move(root));
  }
  return {resolution.entry, resolution.settings};
}

}  // namespace weft::host::pipeline
