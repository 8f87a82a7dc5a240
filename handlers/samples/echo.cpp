#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include <weft/weft.hpp>
#include "handlers/samples/sha256.hpp"

namespace samples {

/// /echo.ashx: all of the request as JSON; of the body its length and SHA-256. The body is read as it
/// arrives, so that its size does not matter.
class Echo : public weft::IHttpHandler, public weft::IHttpBufferlessHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    auto& request = context.Request();
    Sha256 sha256;
    std::size_t length = 0;
    std::array<char, 64 * 1024> piece;
    while (const auto count = request.GetBufferlessInputStream().Read(piece)) {
      sha256.Update(std::string_view(piece.data(), count));
      length += count;
    }

    nlohmann::ordered_json json;
    json["method"] = request.HttpMethod();
    json["path"] = request.Path();
    json["filePath"] = request.FilePath();
    json["pathInfo"] = request.PathInfo();
    json["rawUrl"] = request.RawUrl();
    json["physicalPath"] = request.PhysicalPath();
    json["contentType"] = request.ContentType();
    json["userHostAddress"] = request.UserHostAddress();
    json["queryString"] = request.QueryStringText();
    auto& query = json["query"] = nlohmann::ordered_json::object();
    for (const auto& [name, value] : request.QueryString()) {
      query[name].push_back(value);
    }
    auto& headers = json["headers"] = nlohmann::ordered_json::array();
    for (const auto& [name, value] : request.Headers()) {
      headers.push_back({name, value});
    }
    auto& cookies = json["cookies"] = nlohmann::ordered_json::array();
    for (const auto& [name, value] : request.Cookies()) {
      cookies.push_back({name, value});
    }
    auto& variables = json["serverVariables"] = nlohmann::ordered_json::array();
    for (const auto& [name, value] : request.ServerVariables()) {
      variables.push_back({name, value});
    }
    json["body"] = {{"length", length}, {"sha256", sha256.Hex()}};

    context.Response().SetContentType("application/json");
    // What a client sent need not be UTF-8; what is not becomes U+FFFD.
    context.Response().Write(
        json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    context.Response().Write("\n");
  }
  bool IsReusable() const override { return true; }
};

}  // namespace samples

WEFT_MODULE(registry) { weft::AddHandler<samples::Echo>(registry, "samples::Echo"); }
