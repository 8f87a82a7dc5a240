#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <weft/weft.hpp>

namespace samples {

/// A number of the query, or nothing; anything else is a 400.
std::optional<std::uint64_t> Number(const weft::HttpRequest& request, std::string_view name) {
  const auto text = request.QueryString().Find(name);
  if (!text) {
    return std::nullopt;
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (text->empty() || error != std::errc() || end != text->data() + text->size()) {
    throw weft::HttpException(400, std::string(name) + " is no number");
  }
  return value;
}

/// A name that is one file of a folder, whatever a client sends: no path, and nothing hidden.
bool IsPlainName(std::string_view name) {
  return !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

/// /download.ashx?name=report.txt: a file of the folder files/, to be saved.
///
///   offset, bytes    that part of it alone
///   before, after    text in front of it and behind it, in the same body
void SendDownload(weft::HttpContext& context) {
  const auto& request = context.Request();
  auto& response = context.Response();
  const std::string name(request.QueryString().Get("name"));
  if (!IsPlainName(name)) {
    throw weft::HttpException(404).WithCause(weft::cause::kFileNotFound);
  }
  const auto path = request.MapPath("/files/" + name);
  response.SetContentType("application/octet-stream");
  response.Write(request.QueryString().Get("before"));
  const auto offset = Number(request, "offset");
  const auto bytes = Number(request, "bytes");
  if (offset || bytes) {
    try {
      response.TransmitFile(path, offset.value_or(0), bytes.value_or(0));
    } catch (const std::out_of_range& error) {
      throw weft::HttpException(400, "The file has no such part.", error.what());
    }
  } else {
    response.TransmitFile(path);
  }
  response.Write(request.QueryString().Get("after"));
  response.SetHeader("Content-Disposition", "attachment; filename=\"" + name + "\"");
}

/// /lines.ashx?bytes=1048576: that many bytes of text, written line by line.
void WriteLines(weft::HttpContext& context) {
  auto& response = context.Response();
  response.SetContentType("text/plain; charset=utf-8");
  constexpr std::string_view kLine =
      "A line of 64 bytes, one of a body that never is in memory whole\n";
  for (auto left = Number(context.Request(), "bytes").value_or(0); left > 0;) {
    const auto line =
        kLine.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left, kLine.size())));
    response.Write(line);
    left -= line.size();
  }
}

class Download : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { SendDownload(context); }
  bool IsReusable() const override { return true; }
};

/// The same on a fiber: the worker serves others while the disk or the client is waited for.
class DownloadAsync : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { SendDownload(context); }
  bool IsReusable() const override { return true; }
};

class Lines : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { WriteLines(context); }
  bool IsReusable() const override { return true; }
};

class LinesAsync : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override { WriteLines(context); }
  bool IsReusable() const override { return true; }
};

}  // namespace samples

WEFT_MODULE(registry) {
  weft::AddHandler<samples::Download>(registry, "samples::Download");
  weft::AddHandler<samples::DownloadAsync>(registry, "samples::DownloadAsync");
  weft::AddHandler<samples::Lines>(registry, "samples::Lines");
  weft::AddHandler<samples::LinesAsync>(registry, "samples::LinesAsync");
}
