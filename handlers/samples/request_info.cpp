#include <nlohmann/json.hpp>
#include <string>

#include <weft/weft.hpp>

namespace samples {

/// /request-info.ashx: what a handler is told of a request, each member of HttpRequest under its name, as JSON.
class RequestInfo : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    using Json = nlohmann::ordered_json;
    const auto& request = context.Request();
    const auto pairs = [](const auto& collection) {
      Json list = Json::array();
      for (const auto& [name, value] : collection) {
        list.push_back({name, value});
      }
      return list;
    };
    const auto preferences = [](const auto& items) {
      Json list = Json::array();
      for (const auto& item : items) {
        list.push_back({{"value", item.value}, {"quality", item.quality}});
      }
      return list;
    };

    Json json;
    json["httpMethod"] = request.HttpMethod();
    json["requestType"] = request.RequestType();
    json["url"] = request.Url();
    json["rawUrl"] = request.RawUrl();
    json["path"] = request.Path();
    json["filePath"] = request.FilePath();
    json["pathInfo"] = request.PathInfo();
    json["applicationPath"] = request.ApplicationPath();
    json["appRelativeCurrentExecutionFilePath"] = request.AppRelativeCurrentExecutionFilePath();
    json["physicalPath"] = request.PhysicalPath();
    json["physicalApplicationPath"] = request.PhysicalApplicationPath();
    json["queryString"] = pairs(request.QueryString());
    json["contentType"] = request.ContentType();
    json["contentEncoding"] = request.ContentEncoding();
    json["contentLength"] = request.ContentLength() ? Json(*request.ContentLength()) : Json();
    json["acceptTypes"] = preferences(request.AcceptTypes());
    json["userLanguages"] = preferences(request.UserLanguages());
    json["userAgent"] = request.UserAgent();
    json["urlReferrer"] = request.UrlReferrer();
    json["userHostAddress"] = request.UserHostAddress();
    json["userHostName"] = request.UserHostName();
    json["isLocal"] = request.IsLocal();
    json["isSecureConnection"] = request.IsSecureConnection();
    json["isAuthenticated"] = request.IsAuthenticated();
    json["user"] = {{"name", context.User().name},
                    {"authenticationType", context.User().authentication_type}};
    json["cookies"] = pairs(request.Cookies());
    json["headers"] = pairs(request.Headers());
    json["serverVariables"] = pairs(request.ServerVariables());

    context.Response().SetContentType("application/json");
    // What a client sent need not be UTF-8; what is not becomes U+FFFD.
    context.Response().Write(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  bool IsReusable() const override { return true; }
};

}  // namespace samples

WEFT_MODULE(registry) { weft::AddHandler<samples::RequestInfo>(registry, "samples::RequestInfo"); }
