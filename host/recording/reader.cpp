#include "host/recording/reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "host/recording/encoding.hpp"
#include "host/recording/file_bytes.hpp"
#include "host/recording/short_form.hpp"
#include "mappings/json_document.hpp"
#include "mappings/wording.hpp"

namespace weft::host::recording {

namespace {

using mappings::JsonDocument;
using mappings::JsonKind;
using mappings::JsonValue;
using mappings::KindName;
using mappings::Problem;
using mappings::Quoted;

constexpr std::array<std::string_view, 7> kRecordingKeys = {
    "$schema", "version", "request", "params", "headers", "body", "response"};
constexpr std::array<std::string_view, 3> kResponseKeys = {"status", "headers", "body"};
constexpr std::array<std::string_view, 2> kBodyKeys = {"base64", "file"};
constexpr std::array<std::string_view, 1> kBytesKeys = {"base64"};
/// Of the name of a body's file: what file systems take.
constexpr std::size_t kMaxFileNameBytes = 255;

/// Keys that a later version will know, and what to do until then.
constexpr std::pair<std::string_view, std::string_view> kLaterKeys[] = {
    {"events", "Delete it: the client sends all at once, and stays to the end."},
    {"match", "Delete it, and leave out of \"response\" what changes from run to run."},
    {"redactions", "Delete it, and write values that everybody may see."},
    {"clock", "Delete it: handlers see the time of the replay."},
    {"log", "This is a HAR file: have 'weft recording import' write its recordings."},
};

class Reader {
 public:
  Reader(const JsonDocument& document, const mappings::TextLocator& locator,
         std::filesystem::path folder, const ReadLimits& limits, std::vector<Problem>& problems)
      : document_(document),
        locator_(locator),
        folder_(std::move(folder)),
        limits_(limits),
        problems_(problems) {}

  Recording Read() {
    Recording recording;
    const auto& root = document_.Root();
    if (!Is(JsonKind::kObject, root, "A recording")) {
      return recording;
    }
    const auto [schema, version, request, params, headers, body, response] =
        Members(root, "a recording", kRecordingKeys);
    if (schema != nullptr) {
      Is(JsonKind::kString, *schema, "\"$schema\"");
    }
    if (version == nullptr) {
      Error(root.offset, "This recording has no \"version\". Write \"version\": 1.");
    } else {
      ReadNumber(*version, "version", 1, 1, "must be 1: there is no other yet.");
    }
    const auto fields = headers == nullptr ? HttpHeaders() : ReadHeaders(*headers);
    std::optional<std::size_t> body_bytes;
    if (body != nullptr) {
      recording.body = ReadBody(*body);
      body_bytes = recording.body.size();
    }
    if (request != nullptr && params != nullptr) {
      Error(std::max(request->key_offset, params->key_offset),
            "\"request\" and \"params\" stand in one recording. Delete \"request\" to give every "
            "parameter yourself, or \"params\" to have them made.");
    } else if (request != nullptr) {
      recording.params = ReadRequest(*request, fields, body_bytes);
    } else if (params == nullptr) {
      Error(root.offset,
            "This recording has neither \"request\" nor \"params\". Write \"request\": \"GET "
            "/hello.ashx\", say.");
    } else {
      recording.params = ReadParams(*params);
      if (headers != nullptr) {
        Error(headers->key_offset,
              "\"headers\" goes with \"request\". Beside \"params\" a header is a parameter, such "
              "as [\"HTTP_ACCEPT\", \"text/plain\"].");
      }
    }
    if (response != nullptr && Is(JsonKind::kObject, *response, "\"response\"")) {
      recording.response = ReadResponse(*response);
    }
    return recording;
  }

 private:
  void Error(std::size_t offset, std::string sentence) {
    problems_.push_back({locator_.At(offset), Problem::Severity::kError, std::move(sentence)});
  }

  bool Is(JsonKind kind, const JsonValue& value, const std::string& what) {
    if (value.kind != kind) {
      ReportKind(value, what, KindName(kind));
    }
    return value.kind == kind;
  }

  void ReportKind(const JsonValue& value, const std::string& what, std::string_view wanted) {
    Error(value.offset, what + " must be " + std::string(wanted) + ", but is " +
                            std::string(KindName(value.kind)) + ".");
  }

  /// The members of an object in the order of `names`, null where one is absent.
  template <std::size_t kCount>
  std::array<const JsonValue*, kCount> Members(const JsonValue& object, const std::string& owner,
                                               const std::array<std::string_view, kCount>& names) {
    std::array<const JsonValue*, kCount> members{};
    for (const auto* const member : document_.Children(object)) {
      const auto known = std::ranges::find(names, member->key);
      const auto later = std::ranges::find(kLaterKeys, member->key,
                                           &std::pair<std::string_view, std::string_view>::first);
      if (known != names.end()) {
        members[static_cast<std::size_t>(known - names.begin())] = member;
        continue;
      }
      Error(member->key_offset,
            later == std::end(kLaterKeys)
                ? mappings::UnknownKey(member->key, owner, names)
                : Quoted(member->key) + " is not known yet. " + std::string(later->second));
    }
    return members;
  }

  int ReadNumber(const JsonValue& value, const std::string& name, int least, int most,
                 const std::string& advice) {
    if (!Is(JsonKind::kNumber, value, Quoted(name))) {
      return 0;
    }
    // `200` may be written `2e2`: JSON has one type of numbers. What no double holds stays 0.
    double number = 0;
    std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
    if (!(number >= least && number <= most) || number != static_cast<int>(number)) {
      Error(value.offset, Quoted(name) + " is " + value.text.substr(0, mappings::kQuotedBytes) +
                              ", but " + advice);
      return 0;
    }
    return static_cast<int>(number);
  }

  Params ReadRequest(const JsonValue& request, const HttpHeaders& headers,
                     std::optional<std::size_t> body_bytes) {
    if (!Is(JsonKind::kString, request, "\"request\"")) {
      return {};
    }
    const auto line = ParseRequestLine(request.text);
    if (!line) {
      Error(request.offset,
            "\"request\" must be a method in capitals, one blank, and a path with or without a "
            "query, such as \"GET /hello.ashx?x=1\".");
      return {};
    }
    try {
      return MakeParams(*line, headers, body_bytes);
    } catch (const std::invalid_argument& error) {
      Error(request.offset, error.what());
      return {};
    }
  }

  Params ReadParams(const JsonValue& list) {
    Params params;
    if (!Is(JsonKind::kArray, list, "\"params\"")) {
      return params;
    }
    for (const auto& pair : ReadPairs(list, "A parameter", "[\"REQUEST_METHOD\", \"GET\"].")) {
      // The FastCGI connection answers such with 400 before there is a request.
      if (pair.name.empty() || pair.name.find('=') != std::string::npos ||
          (pair.name + pair.value).find('\0') != std::string::npos) {
        Error(pair.offset, "The parameter " + Quoted(pair.name) +
                               " is malformed. A name is not empty and holds no =, and neither "
                               "name nor value holds NUL.");
      }
      params.emplace_back(pair.name, pair.value);
    }
    return params;
  }

  HttpHeaders ReadHeaders(const JsonValue& value) {
    HttpHeaders headers;
    if (value.kind != JsonKind::kArray && value.kind != JsonKind::kObject) {
      ReportKind(value, "\"headers\"", "an object or an array of pairs");
      return headers;
    }
    for (const auto& pair : ReadPairs(value, "A header", "[\"Accept\", \"text/plain\"].")) {
      try {
        headers.Append(pair.name, pair.value);
      } catch (const std::invalid_argument&) {
        Error(pair.offset, "The header " + Quoted(pair.name) +
                               " is malformed. A name has letters, digits and hyphens, and a value "
                               "no control characters.");
      }
    }
    return headers;
  }

  struct Pair {
    std::size_t offset;
    std::string name;
    std::string value;
  };

  /// A string, or {"base64": "..."} for bytes that none can hold; absent, and nothing told, for anything else.
  std::optional<std::string> FindText(const JsonValue& value) {
    if (value.kind == JsonKind::kString) {
      return value.text;
    }
    const auto parts = document_.Children(value);
    if (value.kind != JsonKind::kObject || parts.size() != 1 || parts[0]->key != kBytesKeys[0]) {
      return std::nullopt;
    }
    return ReadBase64(*parts[0]);
  }

  /// The members of an object, or the elements of an array of ["name", "value"].
  std::vector<Pair> ReadPairs(const JsonValue& list, const std::string& what,
                              const std::string& example) {
    std::vector<Pair> pairs;
    for (const auto* const child : document_.Children(list)) {
      if (list.kind == JsonKind::kObject) {
        if (auto text = FindText(*child)) {
          pairs.push_back({child->key_offset, child->key, std::move(*text)});
        } else {
          Is(JsonKind::kString, *child, "The value of " + Quoted(child->key));
        }
        continue;
      }
      const auto parts = document_.Children(*child);
      const bool is_pair = child->kind == JsonKind::kArray && parts.size() == 2;
      auto name = is_pair ? FindText(*parts[0]) : std::nullopt;
      auto text = is_pair ? FindText(*parts[1]) : std::nullopt;
      if (name && text) {
        pairs.push_back({parts[0]->offset, std::move(*name), std::move(*text)});
      } else {
        auto sentence = what;
        Error(child->offset,
              sentence.append(" must be an array of two strings, such as ").append(example));
      }
    }
    return pairs;
  }

  std::string ReadBody(const JsonValue& value) {
    if (value.kind == JsonKind::kString) {
      return value.text;
    }
    if (value.kind != JsonKind::kObject) {
      ReportKind(value, "\"body\"", "a string or {\"base64\": \"...\"}");
      return {};
    }
    const auto [base64, file] = Members(value, "\"body\"", kBodyKeys);
    if (base64 != nullptr && file != nullptr) {
      Error(std::max(base64->key_offset, file->key_offset),
            "\"base64\" and \"file\" stand in one body. Delete one of the two.");
    } else if (base64 != nullptr) {
      return ReadBase64(*base64);
    } else if (file != nullptr) {
      return ReadBodyFile(*file);
    } else if (document_.Children(value).empty()) {
      Error(value.offset, "\"body\" has no \"base64\". Write {\"base64\": \"...\"}, or a text.");
    }
    return {};
  }

  std::string ReadBase64(const JsonValue& value) {
    if (!Is(JsonKind::kString, value, "\"base64\"")) {
      return {};
    }
    const auto bytes = DecodeBase64(value.text);
    if (!bytes) {
      Error(value.offset,
            "\"base64\" is no base64. It has A to Z, a to z, 0 to 9, + and / in groups of four, of "
            "which = fills up the last.");
    }
    return bytes.value_or("");
  }

  std::string ReadBodyFile(const JsonValue& value) {
    if (!Is(JsonKind::kString, value, "\"file\"")) {
      return {};
    }
    if (!IsBodyFileName(value.text)) {
      Error(value.offset,
            "\"file\" is " + Quoted(value.text) +
                ", but must be the name of a file in the recording's folder, without a path: "
                "letters, digits, dots, hyphens and underscores, such as \"upload.body\".");
      return {};
    }
    const auto path = folder_ / value.text;
    std::error_code error;
    // Others, a FIFO say, may never end.
    const bool is_file = std::filesystem::is_regular_file(path, error);
    auto bytes = is_file ? ReadFileBytes(path, limits_.body_file_bytes) : std::nullopt;
    if (!bytes) {
      Error(value.offset, "The file " + Quoted(path.string()) +
                              " cannot be read. Put the body's file beside the recording, or write "
                              "the body here.");
    } else if (bytes->size() > limits_.body_file_bytes) {
      Error(value.offset, "The file " + Quoted(path.string()) + " is larger than " +
                              std::to_string(limits_.body_file_bytes) +
                              " bytes, which no body is.");
    } else {
      return std::move(*bytes);
    }
    return {};
  }

  ExpectedResponse ReadResponse(const JsonValue& value) {
    ExpectedResponse response;
    const auto [status, headers, body] = Members(value, "\"response\"", kResponseKeys);
    if (status == nullptr) {
      Error(value.key_offset, "\"response\" has no \"status\". Write \"status\": 200, say.");
    } else {
      response.status =
          ReadNumber(*status, "status", 200, 599, "must be a whole number from 200 to 599.");
    }
    if (headers != nullptr) {
      response.headers = ReadHeaders(*headers);
    }
    if (body != nullptr) {
      response.body = ReadBody(*body);
    }
    return response;
  }

  const JsonDocument& document_;
  const mappings::TextLocator& locator_;
  std::filesystem::path folder_;
  const ReadLimits& limits_;
  std::vector<Problem>& problems_;
};

}  // namespace

bool IsBodyFileName(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= kMaxFileNameBytes && name.front() != '.' &&
         name.front() != '-' && std::ranges::all_of(name, is_allowed);
}

ReadResult ParseRecording(std::string_view text, std::string file, const ReadLimits& limits) {
  ReadResult result;
  auto folder = std::filesystem::path(file).parent_path();
  const mappings::TextLocator locator(text, std::move(file));
  if (const auto document = JsonDocument::Parse(text, locator, result.problems)) {
    auto recording = Reader(*document, locator, std::move(folder), limits, result.problems).Read();
    if (result.problems.empty()) {
      result.recording = std::move(recording);
    }
  }
  std::ranges::stable_sort(result.problems, {}, [](const Problem& problem) {
    return std::tuple(problem.where.line, problem.where.column);
  });
  return result;
}

ReadResult ReadRecording(const std::filesystem::path& file, const ReadLimits& limits) {
  const auto text = ReadFileBytes(file, limits.file_bytes);
  std::string refusal;
  if (!text) {
    refusal = "The file cannot be read.";
  } else if (text->size() > limits.file_bytes) {
    refusal = "The file is larger than " + std::to_string(limits.file_bytes) +
              " bytes, which no recording is.";
  } else if (text->find_first_not_of(" \t\r\n") == std::string::npos) {
    refusal = "The file is empty. Write {\"version\": 1, \"request\": \"GET /hello.ashx\"}, say.";
  } else {
    return ParseRecording(*text, file.string(), limits);
  }
  return {std::nullopt, {{{file.string(), 0, 0}, Problem::Severity::kError, std::move(refusal)}}};
}

}  // namespace weft::host::recording
