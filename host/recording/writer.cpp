#include "host/recording/writer.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "host/recording/encoding.hpp"
#include "host/recording/reader.hpp"
#include "host/recording/short_form.hpp"
#include "mappings/wording.hpp"

namespace weft::host::recording {

namespace {

std::string Quoted(std::string_view text) { return nlohmann::json(text).dump(); }

std::string Member(std::string_view key, const std::string& value) {
  return Quoted(key) + ": " + value;
}

std::string Base64(std::string_view bytes) {
  return "{" + Member("base64", Quoted(EncodeBase64(bytes))) + "}";
}

std::string TextOrBytes(std::string_view text) {
  return IsUtf8(text) ? Quoted(text) : Base64(text);
}

std::string Pair(std::string_view name, std::string_view value) {
  return "[" + TextOrBytes(name) + ", " + TextOrBytes(value) + "]";
}

class Writer {
 public:
  explicit Writer(std::string_view name) : name_(name) {}

  WrittenRecording Write(const Recording& recording) {
    Add("version", "1");
    if (const auto form = FindShortForm(recording)) {
      Add("request", Quoted(form->request));
      if (!form->headers.empty()) {
        Add("headers", Headers(form->headers, "  "));
      }
      if (form->has_body) {
        Add("body", Body(recording.body, "request"));
      }
    } else {
      Add("params", Params(recording.params));
      if (!recording.body.empty()) {
        Add("body", Body(recording.body, "request"));
      }
    }
    if (recording.response) {
      Add("response", Response(*recording.response));
    }
    return {"{\n" + text_ + "\n}\n", std::move(beside_)};
  }

 private:
  void Add(std::string_view key, const std::string& value) {
    AddTo(text_, "  ", Member(key, value));
  }

  static void AddTo(std::string& list, std::string_view indent, const std::string& item) {
    list.append(list.empty() ? "" : ",\n").append(indent).append(item);
  }

  static std::string Params(const recording::Params& params) {
    std::string list;
    for (const auto& [name, value] : params) {
      if (name.empty() || name.find('=') != std::string::npos ||
          (name + value).find('\0') != std::string::npos) {
        throw std::invalid_argument("The parameter " + mappings::Quoted(name) +
                                    " cannot be recorded: no web server sends it.");
      }
      AddTo(list, "    ", Pair(name, value));
    }
    return list.empty() ? "[]" : "[\n" + list + "\n  ]";
  }

  /// An object, as people write it, or pairs where a name comes twice: readers of JSON keep one of them.
  static std::string Headers(const HttpHeaders& headers, const std::string& indent) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : headers) {
      names.push_back(name);
    }
    std::ranges::sort(names);
    const bool is_object = std::ranges::adjacent_find(names) == names.end();
    std::string list;
    for (const auto& [name, value] : headers) {
      AddTo(list, indent + "  ", is_object ? Member(name, TextOrBytes(value)) : Pair(name, value));
    }
    return (is_object ? "{\n" : "[\n") + list + "\n" + indent + (is_object ? "}" : "]");
  }

  std::string Body(const std::string& bytes, const std::string& whose) {
    if (bytes.size() > kMaxBodyInText) {
      auto file = name_ + "." + whose + "-body";
      if (!IsBodyFileName(file)) {
        throw std::invalid_argument(mappings::Quoted(file) +
                                    " cannot be the name of a body's file.");
      }
      auto value = "{" + Member("file", Quoted(file)) + "}";
      beside_.push_back({std::move(file), bytes});
      return value;
    }
    return IsReadable(bytes) ? Quoted(bytes) : Base64(bytes);
  }

  std::string Response(const ExpectedResponse& response) {
    if (response.status < 200 || response.status > 599) {
      throw std::invalid_argument("A response with the status " + std::to_string(response.status) +
                                  " cannot be recorded: it is none from 200 to 599.");
    }
    std::string members;
    AddTo(members, "    ", Member("status", std::to_string(response.status)));
    if (!response.headers.empty()) {
      AddTo(members, "    ", Member("headers", Headers(response.headers, "    ")));
    }
    if (response.body) {
      AddTo(members, "    ", Member("body", Body(*response.body, "response")));
    }
    return "{\n" + members + "\n  }";
  }

  std::string name_;
  std::string text_;
  std::vector<BodyFile> beside_;
};

}  // namespace

WrittenRecording WriteRecording(const Recording& recording, std::string_view name) {
  return Writer(name).Write(recording);
}

}  // namespace weft::host::recording
