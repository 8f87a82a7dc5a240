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

mappings::Route FindRoute(const HttpRequest& request, const handling::HandlerTable& handlers) {
  const auto& variables = request.ServerVariables();
  SiteFiles files(request);
  return mappings::FindRoute(
      handlers.Mappings(),
      {.host = variables.Find("HTTP_HOST").value_or(variables.Get("SERVER_NAME")),
       .method = request.HttpMethod(),
       .script_path = request.FilePath(),
       .path_info = request.PathInfo(),
       .query = request.QueryStringText()},
      files, &handlers.Cache());
}

/// Gives the request the path that it was found by, or throws what it is refused with.
MappedRequest TakeRoute(HttpRequest& request, const mappings::Route& route) {
  const auto& resolution = route.resolution;
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

}  // namespace

MappedRequest MapRequest(HttpContext& context, const handling::HandlerTable& handlers,
                         std::string_view& cause) {
  const auto route = FindRoute(context.Request(), handlers);
  cause = route.cause;
  if (route.status == 301) {
    Redirect(context.Response(), route.location);
    return {nullptr, route.resolution.settings};
  }
  if (!route.resolution.allow.empty()) {
    context.Response().SetHeader("Allow", route.resolution.allow);
  }
  return TakeRoute(context.Request(), route);
}

MappedRequest MapNestedRequest(HttpContext& context, const handling::HandlerTable& handlers,
                               std::string_view& cause, std::string& allow) {
  auto& request = context.Request();
  auto route = FindRoute(request, handlers);
  if (route.status == 301) {
    request.RewritePath(std::string(route.resolution.file_path) + "/", {});
    route = FindRoute(request, handlers);
  }
  cause = route.cause;
  allow = route.resolution.allow;
  return TakeRoute(request, route);
}

}  // namespace weft::host::pipeline
