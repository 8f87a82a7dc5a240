#include "host/tools/explain.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <weft/cause.hpp>
#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/tools/handler_types.hpp"
#include "host/tools/request_url.hpp"
#include "host/tools/web_handler.hpp"
#include "mappings/ascii.hpp"
#include "mappings/explanation.hpp"
#include "mappings/loader.hpp"
#include "mappings/route.hpp"
#include "mappings/site_folder.hpp"

namespace weft::host::tools {
namespace {

using mappings::Entry;

/// As given for this request, else as known of its site; empty: neither.
std::filesystem::path DocumentRootOf(std::string_view site, const options::Settings& settings) {
  if (!settings.document_root.empty()) {
    return settings.document_root;
  }
  for (const auto& root : settings.document_root_mappings) {
    if (mappings::EqualsIgnoringCase(root.host, site)) {
      return root.directory;
    }
  }
  return {};
}

int ExitCodeFor(int status) {
  switch (status) {
    case 200:
      return options::kExitOk;
    case 301:
      return options::kExitRedirected;
    case 404:
      return options::kExitNotFound;
    case 405:
      return options::kExitMethodNotAllowed;
    case 500:
    case 503:
      return options::kExitHandlerUnusable;
    default:
      return options::kExitRefused;
  }
}

/// `file` and `line`, as members of other objects have them.
Json Place(const mappings::SourceLocation& where) {
  return {{"file", where.file.empty() ? mappings::SourceLocation().ToString() : where.file},
          {"line", where.line}};
}

Json ToJson(const Entry& entry) {
  Json json = {{"name", entry.name},
               {"verb", entry.verb},
               {"path", entry.path},
               {"type", entry.type_text},
               {"maxRequests", entry.max_requests ? Json(*entry.max_requests) : Json(nullptr)}};
  json.update(Place(entry.where));
  return json;
}

template <typename Value>
Json LimitToJson(const mappings::Setting<std::optional<Value>>& setting,
                 std::optional<std::uint64_t> of_host, std::string_view option) {
  Json json;
  if (setting.value) {
    if constexpr (requires { setting.value->count(); }) {
      json["value"] = setting.value->count();
    } else {
      json["value"] = *setting.value;
    }
  } else {
    json["value"] = of_host ? Json(*of_host) : Json(nullptr);
  }
  if (setting.value && setting.where) {
    json.update(Place(*setting.where));
    json["option"] = nullptr;
  } else {
    json.update(Json{{"file", nullptr}, {"line", nullptr}, {"option", option}});
  }
  return json;
}

Json Limits(const mappings::FolderSettings* folder, const Entry* entry,
            const options::Settings& settings) {
  Json limits = Json::object();
  if (folder == nullptr) {
    return limits;
  }
  const auto& runtime = folder->runtime;
  limits["executionTimeoutSeconds"] = LimitToJson(runtime.execution_timeout, {}, "");
  limits["maxRequestBytes"] =
      LimitToJson(runtime.max_request_bytes, settings.max_request_bytes, "--max-request-bytes");
  limits["maxUrlBytes"] = LimitToJson(runtime.max_url_bytes, {}, "");
  limits["maxQueryStringBytes"] = LimitToJson(runtime.max_query_string_bytes, {}, "");
  limits["responseBufferBytes"] = LimitToJson(
      runtime.response_buffer_bytes, settings.output_buffer_bytes, "--output-buffer-bytes");
  limits["maxRequests"] =
      LimitToJson(runtime.max_requests, settings.max_requests, "--max-requests");
  auto stack_bytes = runtime.stack_bytes;
  if (entry != nullptr && entry->stack_bytes) {
    stack_bytes = {entry->stack_bytes,
                   std::make_shared<const mappings::SourceLocation>(entry->stack_bytes_where)};
  }
  limits["stackBytes"] = LimitToJson(stack_bytes, settings.stack_size, "--stack-size");
  limits["slowLogThresholdMs"] = LimitToJson(
      runtime.slow_log_threshold, static_cast<std::uint64_t>(settings.slow_log_threshold.count()),
      "--slow-log-threshold");
  return limits;
}

/// A class as DescribeClasses() has it, or why it cannot be used: where and how it will run. Null flags are decided by
/// what a factory makes.
Json Handler(Json name, Json module, const HandlerTypes::Answer& answer) {
  Json json = {{"class", std::move(name)}, {"module", std::move(module)},
               {"lifetime", nullptr},      {"runsOn", nullptr},
               {"body", nullptr},          {"error", nullptr}};
  if (!answer.error.empty()) {
    json["error"] = answer.error;
    return json;
  }
  const auto& handler_class = answer.handler_class;
  json["lifetime"] = handler_class["lifetime"];
  if (handler_class["async"].is_boolean()) {
    json["runsOn"] = handler_class["async"].get<bool>() ? "fiber" : "pool";
    json["body"] = handler_class["bufferless"].get<bool>() ? "streamed" : "buffered";
  }
  return json;
}

Json NullIfEmpty(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

/// The class that a file names, with the place of its name there, or of what is wrong; null: the file as a whole.
Json ToJson(const WebHandler& web_handler) {
  Json json = Handler(NullIfEmpty(web_handler.class_name), NullIfEmpty(web_handler.module),
                      {web_handler.error, web_handler.handler_class});
  const auto& where = web_handler.where;
  json["file"] = where.file;
  json["line"] = where.line == 0 ? Json(nullptr) : Json(where.line);
  json["column"] = where.line == 0 ? Json(nullptr) : Json(where.column);
  return json;
}

/// What is printed, in either form.
struct Explanation {
  std::string method;
  std::string url;
  std::filesystem::path document_root;  // empty: none is known
  const mappings::Route* route = nullptr;
  /// What the client gets before a handler that does something of its own is asked.
  int status = 200;
  std::string_view cause;
  std::string detail;
  std::vector<mappings::TriedEntry> tried;
  Json handler;  // null: no entry was chosen
  Json
      web_handler;  // null: the entry is not for files that name a class, or there is no document root
  Json limits;
};

Json ToJson(const Explanation& told) {
  const auto& route = *told.route;
  const auto& resolution = route.resolution;
  const bool serves = route.status == 200 && resolution.entry != nullptr;
  Json json = {
      {"method", told.method},
      {"url", told.url},
      {"status", told.status},
      {"cause", told.cause},
      {"detail", told.detail},
      {"entry", serves ? ToJson(*resolution.entry) : Json(nullptr)},
      {"handler", told.handler},
      {"webHandler", told.web_handler},
      {"filePath", resolution.file_path},
      {"pathInfo", resolution.path_info},
      {"allow", resolution.allow},
      {"location", route.location},
      {"documentRoot",
       told.document_root.empty() ? Json(nullptr) : Json(told.document_root.string())},
      {"defaultDocument", route.default_document ? Json(*route.default_document) : Json(nullptr)},
      {"chain", Json::array()},
      {"tried", Json::array()},
      {"limits", told.limits},
      {"sections", Json::object()}};
  if (resolution.settings != nullptr) {
    if (resolution.settings->sections != nullptr) {
      for (const auto& [name, section] : resolution.settings->sections->All()) {
        json["sections"][std::string(name)] = Place(section->where);
      }
    }
    for (const auto& level : resolution.settings->levels) {
      json["chain"].push_back(
          {{"file", Place({level->file, 0, 0})["file"]},
           {"location", level->location.empty() ? Json(nullptr) : Json(level->location)}});
    }
  }
  for (const auto& [entry, verdict] : told.tried) {
    auto tried = ToJson(*entry);
    tried["result"] = mappings::ToString(verdict);
    json["tried"].push_back(std::move(tried));
  }
  return json;
}

/// A text from outside, or the sign that there is none.
std::string Shown(std::string_view text) { return text.empty() ? "-" : observe::Escaped(text); }

std::string EntryText(const Entry& entry) {
  auto text = entry.where.ToString() + ": " + observe::Escaped(entry.verb) + " " +
              observe::Escaped(entry.path) + " -> " + observe::Escaped(entry.type_text);
  return entry.name.empty() ? text : text + " (" + observe::Escaped(entry.name) + ")";
}

/// `unknown` is told where what is made for the request decides where that runs.
void PrintHandler(std::ostream& out, const Json& handler, std::string_view unknown) {
  if (!handler["class"].is_null()) {
    out << "  class      " << Shown(handler["class"].get<std::string>()) << ", "
        << (handler["module"].is_null() ? "built in"
                                        : "module " + handler["module"].get<std::string>())
        << '\n';
  }
  if (!handler["error"].is_null()) {
    out << "  cannot be used: " << observe::EscapedControls(handler["error"].get<std::string>())
        << '\n';
    return;
  }
  out << "  lifetime   " << handler["lifetime"].get<std::string>() << '\n';
  if (handler["runsOn"].is_null()) {
    out << "  runs       on a fiber or in the pool: " << unknown << '\n';
    return;
  }
  const bool on_fiber = handler["runsOn"] == "fiber";
  const bool streamed = handler["body"] == "streamed";
  out << "  runs       " << (on_fiber ? "on the request's fiber" : "on a thread of the pool")
      << ", the body " << (streamed ? "as it arrives" : "read whole before") << '\n';
}

constexpr std::string_view kOneInstanceDecides = "the instance decides";

void PrintHandlers(std::ostream& out, const Explanation& told) {
  out << "handler:\n";
  const auto& web_handler = told.web_handler;
  PrintHandler(out, told.handler,
               told.handler["lifetime"] != "factory" ? kOneInstanceDecides
               : web_handler.is_null()               ? "what it makes for the request decides"
                                                     : "what the file names decides");
  if (web_handler.is_null()) {
    return;
  }
  out << "named by the file:\n  at         " << Shown(web_handler["file"].get<std::string>());
  if (!web_handler["line"].is_null()) {
    out << ':' << web_handler["line"] << ':' << web_handler["column"];
  }
  out << '\n';
  PrintHandler(out, web_handler, kOneInstanceDecides);
}

void PrintLimits(std::ostream& out, const Json& limits) {
  out << "limits:\n";
  for (const auto& [name, limit] : limits.items()) {
    out << "  " << std::left << std::setw(24) << name
        << (limit["value"].is_null() ? std::string("none") : limit["value"].dump());
    if (!limit["file"].is_null()) {
      out << "  " << limit["file"].get<std::string>() << ':' << limit["line"];
    } else if (!limit["option"].get<std::string>().empty()) {
      out << "  " << limit["option"].get<std::string>();
    }
    out << '\n';
  }
}

/// Their names alone: what is in them may be a secret.
void PrintSections(std::ostream& out, const mappings::FolderSettings* folder) {
  if (folder == nullptr || folder->sections == nullptr) {
    return;
  }
  const auto sections = folder->sections->All();
  if (!sections.empty()) {
    out << "sections:\n";
  }
  for (const auto& [name, section] : sections) {
    out << "  " << observe::EscapedControls(std::string(name)) << "  " << section->where.file << ':'
        << section->where.line << '\n';
  }
}

void PrintText(std::ostream& out, const Explanation& told) {
  const auto& route = *told.route;
  const auto& resolution = route.resolution;
  out << "request:   " << Shown(told.method) << ' ' << Shown(told.url)
      << "\nstatus:    " << told.status << " (" << told.cause << ")\n";
  if (!told.detail.empty()) {
    out << "detail:    " << observe::EscapedControls(told.detail) << '\n';
  }
  if (!route.location.empty()) {
    out << "location:  " << route.location << '\n';
  }
  if (!resolution.allow.empty()) {
    out << "allow:     " << resolution.allow << '\n';
  }
  if (route.default_document) {
    out << "document:  " << Shown(*route.default_document) << ", the folder's default document\n";
  }
  out << "file path: " << Shown(resolution.file_path)
      << "\npath info: " << Shown(resolution.path_info) << '\n';
  out << "disk:      "
      << (told.document_root.empty() ? "nothing exists: --document-root was not given"
                                     : Shown(told.document_root.string()))
      << '\n';
  if (resolution.settings != nullptr) {
    out << "chain:\n";
    for (const auto& level : resolution.settings->levels) {
      out << "  " << mappings::SourceLocation{level->file, 0, 0}.ToString()
          << (level->location.empty() ? "" : ", location " + Shown(level->location)) << '\n';
    }
  }
  out << "entries, in the order in which they are searched:\n";
  for (const auto& tried : told.tried) {
    out << "  " << EntryText(*tried.entry) << ": " << mappings::ReasonOf(tried) << '\n';
  }
  if (!told.handler.is_null()) {
    PrintHandlers(out, told);
  }
  PrintLimits(out, told.limits);
  PrintSections(out, resolution.settings);
}

int RefuseUrl(const std::string& text) {
  std::cerr << "weft: " + options::Quoted(text) +
                   " is no URL: write http://HOST/PATH, or /PATH for the site of all other hosts; "
                   "a % needs two hexadecimal digits\n";
  return options::kExitUsage;
}

/// Fills in what serves, and what the client gets where it cannot.
void TellHandler(Explanation& told, const mappings::SiteFolder& files,
                 const options::Settings& settings) {
  const auto& resolution = told.route->resolution;
  const Entry& entry = *resolution.entry;
  const auto& type = entry.type;
  HandlerTypes types(settings.ModuleFolders(), settings.start_timeout);
  const auto answer = types.Find(type);
  told.handler = Handler(type.class_name, NullIfEmpty(type.module), answer);
  if (!answer.error.empty()) {
    told.status = 500;
    told.cause = cause::kHandlerTypeUnknown.Text();
    told.detail = entry.type_where.ToString() + ": " + answer.error;
  } else if (entry.refuses_method) {
    told.status = 405;
  } else if (IsFileFactory(type) && !told.document_root.empty()) {
    const auto web_handler = ReadWebHandler(files.PathOf(resolution.file_path), types);
    told.web_handler = ToJson(web_handler);
    if (web_handler.status != 200) {
      told.status = web_handler.status;
      told.cause = web_handler.cause;
      told.detail = web_handler.Detail();
    }
  }
}

}  // namespace

int Explain(const options::Settings& settings, const std::vector<std::string>& arguments) {
  Explanation told;
  told.method = arguments.size() > 1 ? arguments.front() : "GET";
  told.url = arguments.back();
  const auto url = ParseRequestUrl(told.url);
  if (!url) {
    return RefuseUrl(told.url);
  }
  const auto loaded = mappings::Load(settings.Mappings());
  observe::WriteProblems(loaded.problems);
  if (!loaded.table) {
    return options::kExitProblems;
  }
  told.document_root = DocumentRootOf(loaded.table->SiteName(url->host), settings);
  mappings::SiteFolder files(told.document_root.string());
  const auto route = mappings::FindRoute(*loaded.table,
                                         {.host = url->host,
                                          .method = told.method,
                                          .script_path = url->path,
                                          .path_info = {},
                                          .query = url->query},
                                         files);
  told.route = &route;
  told.tried = mappings::EntriesTried(*loaded.table, route.resolution, told.method, &files);
  told.status = route.status;
  told.cause = route.cause;
  told.detail = route.detail;
  if (route.status == 200) {
    TellHandler(told, files, settings);
  }
  told.limits = Limits(route.resolution.settings, route.resolution.entry, settings);
  if (settings.format == options::OutputFormat::kJson) {
    std::cout << Dump(ToJson(told), 2) << '\n';
  } else {
    PrintText(std::cout, told);
  }
  std::cout.flush();
  return std::cout.good() ? ExitCodeFor(told.status) : options::kExitInputOutput;
}

}  // namespace weft::host::tools
