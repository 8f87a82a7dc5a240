#include "handlers/builtin/static_file_handler.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include <weft/detail/regular_file.hpp>
#include <weft/http_date.hpp>
#include <weft/http_exception.hpp>

namespace weft::builtin {

namespace {

/// Read and written in pieces of this size, so that a large file costs no more memory than a small one.
constexpr std::size_t kPieceBytes = 32 * 1024;

constexpr std::array<std::pair<std::string_view, std::string_view>, 24> kContentTypes{{
    {"avif", "image/avif"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"gif", "image/gif"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/vnd.microsoft.icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mp4", "video/mp4"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"svg", "image/svg+xml"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff2", "font/woff2"},
    {"xml", "application/xml"},
    {"zip", "application/zip"},
}};

std::string_view ContentTypeOf(std::string_view path) {
  const auto name = path.substr(path.rfind('/') + 1);
  const auto dot = name.rfind('.');
  if (dot != std::string_view::npos) {
    for (const auto& [extension, type] : kContentTypes) {
      if (EqualsIgnoreCase(name.substr(dot + 1), extension)) {
        return type;
      }
    }
  }
  return "application/octet-stream";
}

}  // namespace

void StaticFileHandler::ProcessRequest(HttpContext& context) {
  const auto path = context.Request().PhysicalPath();
  const auto file_path = context.Request().FilePath();
  // The name that was mapped, not a tail behind it; and nothing that its owner hid.
  const auto refuse = [](CauseName cause, std::string detail) {
    throw HttpException(404, {}, std::move(detail)).WithCause(cause);
  };
  if (path.empty()) {
    refuse(cause::kNoDocumentRoot, "the web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT");
  }
  if (file_path.find("/.") != std::string_view::npos) {
    refuse(cause::kFileHidden, "names with a dot in front are not served");
  }
  const auto name = file_path.substr(file_path.rfind('/') + 1);
  if (EqualsIgnoreCase(name, "mapping.json") || EqualsIgnoreCase(name, "machine.json")) {
    refuse(cause::kFileHidden, "a mapping file is not served");  // whatever the mappings say
  }
  if (!context.Request().PathInfo().empty()) {
    refuse(cause::kFileHasPathInfo, "a file takes no path info");
  }
  if (file_path.empty() || file_path.back() == '/') {
    refuse(cause::kNotAFile, "a folder is not served");
  }
  // Executed by another handler it is a part of that one's answer: it says nothing of the whole.
  const bool is_part = context.ExecutionDepth() != 0;
  const bool wants_content = is_part || context.Request().HttpMethod() != "HEAD";
  std::vector<char> piece;
  std::size_t count = 0;
  // One call for all of a small file.
  detail::RegularFile file = Offload([&] {
    detail::RegularFile opened(path);
    if (wants_content) {
      piece.resize(std::min(kPieceBytes, static_cast<std::size_t>(opened.Version().bytes)));
      count = opened.Read(piece.data(), piece.size());
    }
    return opened;
  });
  const auto& version = file.Version();
  auto& response = context.Response();
  if (!is_part) {
    response.SetBufferBytes(0);  // the piece is the buffer
    response.SetContentType(ContentTypeOf(file_path));
    response.SetHeader("Content-Length", std::to_string(version.bytes));
    const auto modified = std::chrono::system_clock::time_point(version.modified);
    response.SetHeader("Last-Modified",
                       FormatHttpDate(std::min(modified, std::chrono::system_clock::now())));
    response.SetHeader("X-Content-Type-Options", "nosniff");
  } else if (!response.HeadersWritten() && !response.Headers().Contains("Content-Type")) {
    response.SetContentType(ContentTypeOf(file_path));
  }
  if (!wants_content) {
    return;
  }
  for (auto left = static_cast<std::size_t>(version.bytes); left > 0;) {
    if (count == 0) {
      // It shrank: what was promised cannot be kept, and the answer must not look whole.
      throw std::runtime_error(path + " became shorter while it was sent");
    }
    response.Write(std::string_view(piece.data(), count));
    left -= count;
    if (left > 0) {
      count = Offload([&] { return file.Read(piece.data(), std::min(left, piece.size())); });
    }
  }
}

}  // namespace weft::builtin
