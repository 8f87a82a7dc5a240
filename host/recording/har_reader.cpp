#include "host/recording/har_reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <utility>

#include <weft/http_utility.hpp>
#include "host/observe/secret_fields.hpp"
#include "host/recording/encoding.hpp"
#include "host/recording/file_bytes.hpp"
#include "host/recording/redaction.hpp"
#include "host/recording/short_form.hpp"
#include "mappings/ascii.hpp"
#include "mappings/host_name.hpp"
#include "mappings/json_document.hpp"
#include "mappings/wording.hpp"

namespace weft::host::recording {

namespace {

using mappings::JsonDocument;
using mappings::JsonKind;
using mappings::JsonValue;
using mappings::Problem;
using mappings::Quoted;

/// Chromium has chains of asynchronous stacks in its files, of 32 links and some levels each.
constexpr std::size_t kMaxDepth = 256;

constexpr std::string_view kSaveIt =
    "Save it in the browser's developer tools: Network, \"Save all as HAR with content\".";

/// Of one connection, or about bytes that a HAR does not have.
constexpr auto kRequestFieldsLeftOut = std::to_array<std::string_view>(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer",
     "upgrade", "http2-settings", "expect", "content-length", "accept-encoding", "proxy"});
/// Of the web server, and of the bytes on the wire.
constexpr auto kResponseFieldsLeftOut = std::to_array<std::string_view>(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "trailer", "upgrade",
     "content-length", "content-encoding", "date", "server", "via", "alt-svc", "age"});

template <std::size_t kCount>
bool IsOneOf(const std::array<std::string_view, kCount>& names, std::string_view name) {
  return std::ranges::find(names, mappings::LowerCase(name)) != names.end();
}

/// Why an entry becomes no recording.
class LeftOut : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// "GET https://www.example.org/a?b": method and URL without what the browser keeps for itself.
std::string RequestLineOf(const std::string& method, std::string_view url) {
  url = url.substr(0, url.find('#'));
  const auto colon = url.find("://");
  if (colon == std::string_view::npos) {
    return method + " " + std::string(url);
  }
  const auto scheme = mappings::LowerCase(url.substr(0, colon));
  url.remove_prefix(colon + 3);
  const auto end = std::min(url.find_first_of("/?"), url.size());
  const auto authority = url.substr(0, end);
  const auto target = url.substr(end);
  return method + " " + scheme + "://" +
         std::string(authority.substr(authority.rfind('@') + 1)) +  // npos + 1 is 0
         (target.starts_with('/') ? "" : "/") + std::string(target);
}

class HarReader {
 public:
  HarReader(const JsonDocument& document, const mappings::TextLocator& locator,
            const HarOptions& options, HarImport& result)
      : document_(document), locator_(locator), options_(options), result_(result) {}

  void Read() {
    const auto& root = document_.Root();
    const auto* const log = Find(root, "log", JsonKind::kObject);
    if (log == nullptr) {
      Tell(root.offset, Problem::Severity::kError,
           "This is no HAR file: it has no object \"log\". " + std::string(kSaveIt));
      return;
    }
    // Minor versions add to what is there. What says none is of 1.1, by the format.
    if (const auto version = Text(log, "version"); !version.empty() && !version.starts_with("1.")) {
      Tell(Find(*log, "version", JsonKind::kString)->offset, Problem::Severity::kError,
           "This HAR file is of version " + Quoted(version) +
               ", but 1.2 is what is known. Save it as HAR 1.2.");
      return;
    }
    const auto* const entries = Find(*log, "entries", JsonKind::kArray);
    if (entries == nullptr) {
      Tell(log->offset, Problem::Severity::kError,
           "This HAR file has no array \"entries\". " + std::string(kSaveIt));
      return;
    }
    for (const auto* const entry : document_.Children(*entries)) {
      ReadEntry(*entry);
    }
  }

 private:
  void Tell(std::size_t offset, Problem::Severity severity, std::string sentence) {
    result_.problems.push_back({locator_.At(offset), severity, std::move(sentence)});
  }

  void Warn(const std::string& what) {
    Tell(offset_, Problem::Severity::kWarning, subject_ + what);
  }

  /// A member of that kind; null where there is none.
  const JsonValue* Find(const JsonValue& object, std::string_view key, JsonKind kind) const {
    if (object.kind != JsonKind::kObject) {
      return nullptr;
    }
    for (const auto* const member : document_.Children(object)) {
      if (member->key == key) {
        return member->kind == kind ? member : nullptr;
      }
    }
    return nullptr;
  }

  std::string Text(const JsonValue* object, std::string_view key) const {
    const auto* const member = object == nullptr ? nullptr : Find(*object, key, JsonKind::kString);
    return member == nullptr ? std::string() : member->text;
  }

  /// -1 where there is none: HAR's own word for it.
  double Number(const JsonValue* object, std::string_view key) const {
    const auto* const member = object == nullptr ? nullptr : Find(*object, key, JsonKind::kNumber);
    double number = -1;
    if (member != nullptr) {
      std::from_chars(member->text.data(), member->text.data() + member->text.size(), number);
    }
    return number;
  }

  std::vector<std::pair<std::string, std::string>> Pairs(const JsonValue* object,
                                                         std::string_view key) const {
    std::vector<std::pair<std::string, std::string>> pairs;
    const auto* const list = object == nullptr ? nullptr : Find(*object, key, JsonKind::kArray);
    if (list != nullptr) {
      for (const auto* const item : document_.Children(*list)) {
        pairs.emplace_back(Text(item, "name"), Text(item, "value"));
      }
    }
    return pairs;
  }

  void ReadEntry(const JsonValue& entry) {
    offset_ = entry.offset;
    const auto* const request = Find(entry, "request", JsonKind::kObject);
    const auto method = Text(request, "method");
    const auto url = Text(request, "url");
    subject_ = Quoted(method + " " + observe::WithoutSecrets(url)) + " ";
    try {
      ReadExchange(entry, request, RequestLineOf(method, url));
    } catch (const LeftOut& why) {
      Warn("is left out: " + std::string(why.what()));
    }
  }

  void ReadExchange(const JsonValue& entry, const JsonValue* request,
                    const std::string& request_line) {
    if (request == nullptr) {
      throw LeftOut("it has no object \"request\".");
    }
    const auto line = ParseRequestLine(request_line);
    if (line && !options_.host.empty() &&
        !mappings::EqualsIgnoringCase(mappings::HostName(line->authority),
                                      mappings::HostName(options_.host))) {
      ++result_.of_other_hosts;
      return;
    }
    if (!line || line->authority.empty()) {
      throw LeftOut("it is no request by http or https that a web server passes on.");
    }
    const auto* const response = Find(entry, "response", JsonKind::kObject);
    const auto status = Number(response, "status");
    if (!Text(&entry, "_fromCache").empty()) {
      throw LeftOut("it came from the browser's cache. Disable the cache before you save.");
    }
    if (status <= 0) {
      throw LeftOut("it was not answered (status 0): it was blocked or broken off.");
    }
    if (!(status >= 200 && status <= 599) || status != static_cast<int>(status)) {
      throw LeftOut("no handler's answer has its status, which is none from 200 to 599.");
    }
    Recording recording;
    const bool has_body = ReadRequestBody(*request, recording.body);
    try {
      recording.params = MakeParams(*line, RequestHeaders(*request, line->authority),
                                    has_body ? std::optional(recording.body.size()) : std::nullopt);
    } catch (const std::invalid_argument& error) {
      throw LeftOut(error.what());
    }
    recording.response = ReadResponse(*response, static_cast<int>(status), line->method);
    if (!options_.keeps_secrets) {
      result_.masked.merge(Redact(recording));
    }
    result_.recordings.push_back(std::move(recording));
  }

  void Append(HttpHeaders& headers, const std::string& name, const std::string& value) {
    try {
      headers.Append(name, value);
    } catch (const std::invalid_argument&) {
      Warn("loses its header " + Quoted(name) + ", which is malformed.");
    }
  }

  HttpHeaders RequestHeaders(const JsonValue& request, std::string_view authority) {
    HttpHeaders headers;
    for (const auto& [name, value] : Pairs(&request, "headers")) {
      // ":authority" and its like are HTTP/2's words for what the URL says.
      if (name.starts_with(':') || IsOneOf(kRequestFieldsLeftOut, name) ||
          (EqualsIgnoreCase(name, "Host") && EqualsIgnoreCase(value, authority))) {
        continue;
      }
      Append(headers, name, value);
    }
    const auto* const data = Find(request, "postData", JsonKind::kObject);
    if (const auto type = Text(data, "mimeType");
        !type.empty() && type != "x-unknown" && !headers.Contains("Content-Type")) {
      Append(headers, "Content-Type", type);
    }
    return headers;
  }

  /// Says whether there is one, be it empty.
  bool ReadRequestBody(const JsonValue& request, std::string& body) {
    double bytes = -1;
    for (const auto& [name, value] : Pairs(&request, "headers")) {
      if (EqualsIgnoreCase(name, "Content-Length")) {
        std::from_chars(value.data(), value.data() + value.size(), bytes);
      }
    }
    const bool has_length = bytes >= 0;
    if (!has_length) {
      bytes = Number(&request, "bodySize");
    }
    const auto* const data = Find(request, "postData", JsonKind::kObject);
    body = Text(data, "text");
    // HAR 1.2 has no word for bytes here; the drafts of 1.3 have, and so has what Weft writes.
    if (Text(data, "encoding") == "base64") {
      auto decoded = DecodeBase64(std::move(body));
      if (!decoded) {
        throw LeftOut("its body is told to be base64, and is none.");
      }
      body = std::move(*decoded);
    }
    const auto fields = Pairs(data, "params");
    if (body.empty() && !fields.empty()) {
      if (!Text(data, "mimeType").starts_with("application/x-www-form-urlencoded")) {
        throw LeftOut("the file has the fields of its body only. Save it with \"postData.text\".");
      }
      for (const auto& [name, value] : fields) {
        body += (body.empty() ? "" : "&") + HttpUtility::UrlEncode(name) + "=" +
                HttpUtility::UrlEncode(value);
      }
    } else if (body.empty() && bytes > 0) {
      throw LeftOut("its body is not in the file, as that of an upload.");
    } else if (bytes > 0 && static_cast<double>(body.size()) != bytes) {
      Warn("has " + std::to_string(body.size()) +
           " bytes of a body here, and another number was sent: bytes that are no text are lost in "
           "a HAR file.");
    }
    return data != nullptr || has_length;
  }

  ExpectedResponse ReadResponse(const JsonValue& value, int status, std::string_view method) {
    ExpectedResponse response{status, {}, std::nullopt};
    for (const auto& [name, text] : Pairs(&value, "headers")) {
      if (name.starts_with(':') || IsOneOf(kResponseFieldsLeftOut, name)) {
        continue;
      }
      // Chromium has several fields of one name, Set-Cookie say, as lines of one.
      for (std::string_view rest = text;;) {
        const auto end = rest.find('\n');
        Append(response.headers, name, std::string(rest.substr(0, end)));
        if (end == std::string_view::npos) {
          break;
        }
        rest.remove_prefix(end + 1);
      }
    }
    if (method != "HEAD" && status != 204 && status != 304) {
      response.body = ReadContent(value, response);
    }
    return response;
  }

  std::optional<std::string> ReadContent(const JsonValue& value, const ExpectedResponse& response) {
    const auto* const content = Find(value, "content", JsonKind::kObject);
    const auto* const text =
        content == nullptr ? nullptr : Find(*content, "text", JsonKind::kString);
    if (text == nullptr) {
      // Browsers do not keep the body of a redirection.
      const bool is_empty = Number(content, "size") == 0 && response.status / 100 != 3;
      return is_empty ? std::optional(std::string()) : std::nullopt;
    }
    if (Text(content, "encoding") == "base64") {
      auto bytes = DecodeBase64(text->text);
      if (!bytes) {
        Warn("is not compared by its body, which is told to be base64, and is none.");
      }
      return bytes;
    }
    const auto type = mappings::LowerCase(response.headers.Find("Content-Type").value_or(""));
    constexpr std::string_view kCharset = "charset=";
    const auto at = type.find(kCharset);
    const bool is_ascii = std::ranges::all_of(
        text->text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (!is_ascii && at != std::string::npos &&
        type.find("utf-8", at + kCharset.size()) == std::string::npos) {
      Warn(
          "is not compared by its body: the file has its characters, and not its bytes, which are "
          "no UTF-8.");
      return std::nullopt;
    }
    return text->text;
  }

  const JsonDocument& document_;
  const mappings::TextLocator& locator_;
  const HarOptions& options_;
  HarImport& result_;
  /// Of the entry that is read.
  std::size_t offset_ = 0;
  std::string subject_;
};

}  // namespace

HarImport ParseHar(std::string_view text, std::string file, const HarOptions& options) {
  HarImport result;
  const mappings::TextLocator locator(text, std::move(file));
  const auto document = JsonDocument::Parse(text, locator, result.problems, kMaxDepth);
  if (!document) {
    return result;
  }
  // Keys that come twice: of no harm in another program's file.
  result.problems.clear();
  HarReader(*document, locator, options, result).Read();
  return result;
}

HarImport ReadHar(const std::filesystem::path& file, const HarOptions& options) {
  const auto text = ReadFileBytes(file, options.file_bytes);
  std::string refusal;
  if (!text) {
    refusal = "The file cannot be read.";
  } else if (text->size() > options.file_bytes) {
    refusal = "The file is larger than " + std::to_string(options.file_bytes) +
              " bytes, which is too much to import. Save less of the visit, or without content.";
  } else {
    return ParseHar(*text, file.string(), options);
  }
  HarImport result;
  result.problems.push_back({{file.string(), 0, 0}, Problem::Severity::kError, std::move(refusal)});
  return result;
}

}  // namespace weft::host::recording
