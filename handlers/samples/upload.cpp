#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <weft/json.hpp>
#include <weft/weft.hpp>
#include "handlers/samples/sha256.hpp"

namespace samples {

namespace {

nlohmann::ordered_json Description(const weft::HttpPostedFile& file) {
  return {{"name", file.Name()},
          {"fileName", file.FileName()},
          {"rawFileName", file.RawFileName()},
          {"contentType", file.ContentType()},
          {"length", file.ContentLength()}};
}

}  // namespace

/// /upload.ashx: the fields and files of a form as JSON, each file with its length and SHA-256.
class Upload : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    auto& request = context.Request();
    nlohmann::ordered_json json;
    json["fields"] = nlohmann::ordered_json::array();
    for (const auto& [name, value] : request.Form()) {
      json["fields"].push_back({name, value});
    }
    json["files"] = nlohmann::ordered_json::array();
    for (auto& file : request.Files()) {
      Sha256 sha256;
      std::array<char, 64 * 1024> piece;
      while (const auto count = file.InputStream().Read(piece)) {
        sha256.Update({piece.data(), count});
      }
      auto description = Description(file);
      description["sha256"] = sha256.Hex();
      json["files"].push_back(std::move(description));
    }
    json["totalBytes"] = request.TotalBytes();
    weft::WriteJson(context.Response(), json);
  }
  bool IsReusable() const override { return true; }
};

/// /upload-stream.ashx: the same while the body arrives. No more of it is in memory than a piece, nor on the disk.
class UploadStream : public weft::IHttpHandler, public weft::IHttpBufferlessHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    nlohmann::ordered_json json;
    json["parts"] = nlohmann::ordered_json::array();
    weft::MultipartReader reader(context.Request());
    while (reader.ReadNextPart()) {
      nlohmann::ordered_json part;
      part["name"] = reader.Name().value_or("");
      if (const auto file_name = reader.FileName()) {
        part["fileName"] = *file_name;
      }
      part["contentType"] = reader.ContentType();
      Sha256 sha256;
      std::uint64_t length = 0;
      for (auto piece = reader.ReadPiece(); !piece.empty(); piece = reader.ReadPiece()) {
        sha256.Update(piece);
        length += piece.size();
      }
      part["length"] = length;
      part["sha256"] = sha256.Hex();
      json["parts"].push_back(std::move(part));
    }
    weft::WriteJson(context.Response(), json);
  }
  bool IsReusable() const override { return true; }
};

/// /json.ashx: takes JSON and gives it back, with `received` beside it.
class JsonEcho : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    nlohmann::ordered_json answer;
    answer["received"] = weft::ReadJson<nlohmann::ordered_json>(context.Request());
    weft::WriteJson(context.Response(), answer);
  }
  bool IsReusable() const override { return true; }
};

}  // namespace samples

WEFT_MODULE(registry) {
  weft::AddHandler<samples::Upload>(registry, "samples::Upload");
  weft::AddHandler<samples::UploadStream>(registry, "samples::UploadStream");
  weft::AddHandler<samples::JsonEcho>(registry, "samples::JsonEcho");
}
