#include "handlers/builtin/static_file_handler.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include <weft/conditional_request.hpp>
#include <weft/http_date.hpp>
#include <weft/http_exception.hpp>

namespace weft::builtin {

namespace {

using Clock = std::chrono::system_clock;
using weft::detail::FileVersion;
using weft::detail::RegularFile;

/// Read whole, with the call that opens the file.
constexpr std::size_t kSmallBytes = 32 * 1024;
/// FAT's tick, the coarsest of a file system.
constexpr std::chrono::seconds kFileClockTick(2);
constexpr std::string_view kMethods = "GET, HEAD, OPTIONS";

/// Of a file that is compressed, behind the name of the one that it stands for.
constexpr std::string_view EndingOf(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::kBrotli:
      return ".br";
    case ContentCoding::kZstd:
      return ".zst";
    case ContentCoding::kGzip:
      break;
  }
  return ".gz";
}

/// Throws what a path is refused with that names no file to be served.
void CheckPath(const HttpRequest& request, const std::string& path) {
  const auto file_path = request.FilePath();
  // The name that was mapped, not a tail behind it; and nothing that its owner hid.
  const auto refuse = [](CauseName cause, std::string detail) {
    throw HttpException(404, {}, std::move(detail)).WithCause(cause);
  };
  if (path.empty()) {
    refuse(cause::kNoDocumentRoot, "the web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT");
  }
  // RFC 8615: what is there is meant to be found.
  constexpr std::string_view kWellKnown = "/.well-known/";
  const auto begin = file_path.starts_with(kWellKnown) ? kWellKnown.size() - 1 : 0;
  if (file_path.find("/.", begin) != std::string_view::npos) {
    refuse(cause::kFileHidden, "names with a dot in front are not served");
  }
  const auto name = file_path.substr(file_path.rfind('/') + 1);
  if (EqualsIgnoreCase(name, "mapping.json") || EqualsIgnoreCase(name, "machine.json")) {
    refuse(cause::kFileHidden, "a mapping file is not served");  // whatever the mappings say
  }
  if (!request.PathInfo().empty()) {
    refuse(cause::kFileHasPathInfo, "a file takes no path info");
  }
  if (file_path.empty() || file_path.back() == '/') {
    refuse(cause::kNotAFile, "a folder is not served");
  }
  if (path.find('\0') != path.npos) {
    refuse(cause::kFileNotFound, "a path with a NUL names no file");
  }
}

/// What is sent of a file, or of the one beside it.
struct Opened {
  std::shared_ptr<const RegularFile> file;
  std::optional<ContentCoding> coding{};
  Validators validators{};
  ContentSelection selection{};
  std::string small{};  ///< all that is sent, where that is little; else it is read when it is sent
};

/// The file, or one beside it, which must be at least as new: else it is of an older content.
Opened OpenBest(const SitePath& path, FollowLinks follow_links,
                const std::vector<ContentCoding>& codings) {
  auto file = OpenSiteFile(path, follow_links);
  for (const auto coding : codings) {
    auto path_beside = path;
    path_beside.relative += EndingOf(coding);
    try {
      auto beside = OpenSiteFile(path_beside, follow_links);
      if (beside.Version().modified >= file.Version().modified) {
        return {std::make_shared<const RegularFile>(std::move(beside)), coding};
      }
    } catch (const HttpException& error) {
      if (error.StatusCode() >= 500) {
        throw;
      }
      // There is none.
    }
  }
  return {std::make_shared<const RegularFile>(std::move(file))};
}

/// Reads a part that is small, in the call that opened the file.
void ReadSmall(Opened& opened, std::uint64_t offset, std::uint64_t bytes) {
  if (bytes > kSmallBytes) {
    return;
  }
  opened.small.resize(static_cast<std::size_t>(bytes));
  if (opened.file->ReadAt(offset, opened.small.data(), opened.small.size()) < bytes) {
    throw HttpException(500, {}, opened.file->Path() + " became shorter while it was read")
        .WithCause(cause::kFileChanged);
  }
}

/// Writes a part of the file, which was read already where it is small.
void SendPart(HttpResponse& response, const Opened& opened, std::uint64_t offset,
              std::uint64_t bytes) {
  if (opened.small.empty()) {
    response.WriteFile(opened.file, offset, bytes);
  } else {
    response.Write(opened.small);
  }
}

void WriteShort(HttpResponse& response, int status) {
  response.SetStatusCode(status);
  response.SetContentType("text/plain; charset=utf-8");
  response.Write(std::to_string(status) + " " + std::string(StatusDescriptionOf(status)) + "\n");
}

/// Whatever the method, the answer is about the whole: status, fields and content.
void Answer(HttpContext& context, const Opened& opened, std::string_view content_type,
            const StaticFileSettings& settings) {
  auto& response = context.Response();
  const auto length = opened.file->Version().bytes;
  const auto& ranges = opened.selection.ranges;
  // A 304 tells what the 200 would, and that is the response's to know, which may compress it: it makes one of the other.
  const bool is_not_modified = opened.selection.status == 304;
  const int status = is_not_modified ? 200 : opened.selection.status;
  if (status != 412 && status != 416) {
    response.SetHeader("ETag", opened.validators.etag->ToHeaderValue());
    response.SetHeader("Last-Modified", FormatHttpDate(*opened.validators.last_modified));
    if (!settings.precompressed.empty()) {
      response.AppendHeader("Vary", "Accept-Encoding");
    }
  }
  switch (status) {
    case 412:
      response.SetCause(cause::kPreconditionFailed);
      WriteShort(response, 412);
      return;
    case 416:
      response.SetCause(cause::kRangeNotSatisfiable);
      response.SetHeader("Content-Range", UnsatisfiedContentRange(length));
      WriteShort(response, 416);
      return;
    default:
      break;
  }
  response.SetStatusCode(status);
  if (!is_not_modified) {
    response.SetHeader("X-Content-Type-Options", "nosniff");
  }
  response.SetHeader("Accept-Ranges", settings.max_ranges == 0 ? "none" : "bytes");
  if (opened.coding) {
    response.SetHeader("Content-Encoding", NameOf(*opened.coding));
  }
  if (ranges.size() > 1) {
    const MultipartByteRanges multipart{std::string(content_type), length};
    response.SetContentType(multipart.ContentType());
    response.SetHeader("Content-Length", std::to_string(multipart.ContentLength(ranges)));
    for (std::size_t index = 0; index < ranges.size(); ++index) {
      response.Write(multipart.PartHeader(index, ranges[index]));
      SendPart(response, opened, ranges[index].first, ranges[index].size());
    }
    response.Write(multipart.End());
    return;
  }
  const auto offset = ranges.empty() ? 0 : ranges.front().first;
  const auto bytes = ranges.empty() ? length : ranges.front().size();
  response.SetContentType(content_type);
  response.SetHeader("Content-Length", std::to_string(bytes));
  if (!ranges.empty()) {
    response.SetHeader("Content-Range", ContentRangeOf(ranges.front(), length));
  }
  if (context.Request().HttpMethod() != "HEAD") {
    SendPart(response, opened, offset, bytes);
  }
}

std::uint64_t Mixed(std::uint64_t bits) noexcept {  // splitmix64
  bits += 0x9e3779b97f4a7c15ull;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ull;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebull;
  return bits ^ (bits >> 31);
}

void AppendHexadecimal(std::string& text, std::uint64_t number) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
  text.append(digits.data(), end);
}

const std::shared_ptr<const StaticFileSettings>& DefaultSettings() {
  static const auto& settings =
      *new std::shared_ptr<const StaticFileSettings>(std::make_shared<StaticFileSettings>());
  return settings;
}

}  // namespace

EntityTag EntityTagOf(const FileVersion& version, std::string_view suffix, Clock::time_point now) {
  std::string text;
  AppendHexadecimal(text, version.bytes);
  text += '-';
  AppendHexadecimal(text, static_cast<std::uint64_t>(version.modified.count()));
  text += '-';
  // Mixed, for numbers of inodes are nobody's business. The time of the last change of any kind is in it: the time of the
  // content can be set back, as tools that copy and unpack do, and this one cannot.
  AppendHexadecimal(text, Mixed(Mixed(Mixed(version.device) ^ version.inode) ^
                                static_cast<std::uint64_t>(version.changed.count())));
  text += suffix;
  const auto age = now.time_since_epoch() - version.changed;
  return age < kFileClockTick ? EntityTag::Weak(std::move(text)) : EntityTag(std::move(text));
}

StaticFileHandler::StaticFileHandler() : StaticFileHandler(DefaultSettings()) {}

void StaticFileHandler::ProcessRequest(HttpContext& context) {
  const auto& request = context.Request();
  auto& response = context.Response();
  // Executed by another handler it is a part of that one's answer: it says nothing of the whole.
  const bool is_part = context.ExecutionDepth() != 0;
  const auto method = request.HttpMethod();
  if (!is_part && method != "GET" && method != "HEAD") {
    response.SetHeader("Allow", kMethods);
    if (method != "OPTIONS") {
      throw HttpException(405, {}, "a file is read, and nothing else");
    }
    response.SetStatusCode(204);
    return;
  }
  const auto path = request.PhysicalPath();
  CheckPath(request, path);
  const auto site_path =
      SplitSitePath(path, request.ServerVariables().Get("DOCUMENT_ROOT"), request.FilePath());
  const auto codings = is_part ? std::vector<ContentCoding>()
                               : AcceptedCodings(request.FindField("HTTP_ACCEPT_ENCODING"),
                                                 settings_->precompressed);
  // One call for all of a small file.
  auto opened = Offload([&] {
    auto found = OpenBest(site_path, settings_->follow_links, codings);
    if (is_part) {
      ReadSmall(found, 0, found.file->Version().bytes);
      return found;
    }
    const auto& version = found.file->Version();
    const auto now = Clock::now();
    found.validators = {
        .etag =
            EntityTagOf(version, found.coding ? EndingOf(*found.coding) : std::string_view(), now),
        .last_modified = std::min(Clock::time_point(version.modified), now)};
    auto& selection = found.selection;
    selection = SelectContent(method, RequestConditions(request), request.FindField("HTTP_RANGE"),
                              found.validators, version.bytes, settings_->max_ranges, now);
    if (selection.ranges.size() > 1 && found.coding) {
      // Whether Content-Encoding is that of the parts or of what they are packed in, nobody agrees.
      selection = {200};
    }
    if (method == "GET" && (selection.status == 200 || selection.status == 206)) {
      const auto& ranges = selection.ranges;
      if (ranges.empty()) {
        ReadSmall(found, 0, version.bytes);
      } else if (ranges.size() == 1) {
        ReadSmall(found, ranges.front().first, ranges.front().size());
      }
    }
    return found;
  });
  const auto content_type = settings_->types.Of(request.FilePath());
  if (!is_part) {
    Answer(context, opened, content_type, *settings_);
    return;
  }
  if (!response.HeadersWritten() && !response.Headers().Contains("Content-Type")) {
    response.SetContentType(content_type);
  }
  SendPart(response, opened, 0, opened.file->Version().bytes);
}

}  // namespace weft::builtin
