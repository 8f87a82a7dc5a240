#include "host/supervisor/handover.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace weft::host::supervisor {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock::time_point;
using System = std::chrono::system_clock::time_point;

/// `PROCESS:DESCRIPTOR`: as LISTEN_PID says for LISTEN_FDS, another process that inherits it is not meant. Not WEFT_...,
/// which are options.
constexpr const char* kVariable = "WEFTS_HANDOVER";
constexpr std::size_t kMaxTextBytes = 16UL * 1024 * 1024;

/// Bytes, which need not be UTF-8: paths and what INI files say.
Json Bytes(const std::string& text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4U];
    hex += kDigits[byte & 15U];
  }
  return hex;
}

std::string BytesOf(const Json& json) {
  const auto& hex = json.get_ref<const std::string&>();
  if (hex.size() % 2 != 0) throw std::invalid_argument("half a byte");
  std::string text;
  text.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    unsigned value = 0;
    const char* const begin = hex.data() + i;
    if (std::from_chars(begin, begin + 2, value, 16).ptr != begin + 2) {
      throw std::invalid_argument("no byte");
    }
    text += static_cast<char>(value);
  }
  return text;
}

template <typename Time>
Json TimeToJson(Time time) {
  return time.time_since_epoch().count();
}

template <typename Time>
Time TimeOf(const Json& json) {
  return Time(typename Time::duration(json.get<typename Time::rep>()));
}

Json ToJson(const PassedSocket& socket) {
  return {{"descriptor", socket.descriptor},
          {"address", Bytes(socket.address)},
          {"source", Bytes(socket.source)},
          {"file", Bytes(socket.file)},
          {"fileDescriptor", socket.file_descriptor}};
}

PassedSocket SocketOf(const Json& json) {
  return {.descriptor = json.at("descriptor").get<int>(),
          .address = BytesOf(json.at("address")),
          .source = BytesOf(json.at("source")),
          .file = BytesOf(json.at("file")),
          .file_descriptor = json.at("fileDescriptor").get<int>()};
}

Json ToJson(const std::vector<PassedSocket>& sockets) {
  Json json = Json::array();
  for (const PassedSocket& socket : sockets) json.push_back(ToJson(socket));
  return json;
}

std::vector<PassedSocket> SocketsOf(const Json& json) {
  std::vector<PassedSocket> sockets;
  for (const Json& socket : json.get_ref<const Json::array_t&>())
    sockets.push_back(SocketOf(socket));
  return sockets;
}

Json ToJson(const WorkerOutput::State& written) {
  Json json = {{"process", Bytes(written.process)},
               {"packet", Bytes(written.reader.packet)},
               {"unfinished", Json::array()},
               {"last", Json::array()}};
  for (const auto& line : written.reader.unfinished) {
    json["unfinished"].push_back(
        {{"of", Bytes(line.of)}, {"text", Bytes(line.text)}, {"leftOut", line.left_out}});
  }
  for (const auto& line : written.last) {
    json["last"].push_back({{"at", TimeToJson(line.at)}, {"text", Bytes(line.text)}});
  }
  return json;
}

WorkerOutput::State WrittenOf(const Json& json) {
  WorkerOutput::State written;
  written.process = BytesOf(json.at("process"));
  written.reader.packet = BytesOf(json.at("packet"));
  for (const Json& line : json.at("unfinished").get_ref<const Json::array_t&>()) {
    written.reader.unfinished.push_back({.of = BytesOf(line.at("of")),
                                         .text = BytesOf(line.at("text")),
                                         .left_out = line.at("leftOut").get<std::uint64_t>()});
  }
  for (const Json& line : json.at("last").get_ref<const Json::array_t&>()) {
    written.last.push_back({.at = TimeOf<Steady>(line.at("at")), .text = BytesOf(line.at("text"))});
  }
  return written;
}

Json ToJson(const std::optional<Identity>& identity) {
  if (!identity) return nullptr;
  return {{"user", identity->user},
          {"group", identity->group},
          {"groups", identity->groups},
          {"name", Bytes(identity->name)}};
}

std::optional<Identity> IdentityOf(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return Identity{.user = json.at("user").get<uid_t>(),
                  .group = json.at("group").get<gid_t>(),
                  .groups = json.at("groups").get<std::vector<gid_t>>(),
                  .name = BytesOf(json.at("name"))};
}

Json ToJson(const PassedWorker& worker) {
  return {{"pid", worker.pid},
          {"channel", worker.channel},
          {"generation", worker.generation},
          {"started", TimeToJson(worker.started)},
          {"since", TimeToJson(worker.since)},
          {"wasReady", worker.was_ready},
          {"tookTooLong", worker.took_too_long},
          {"retires", worker.retires},
          {"leaves", worker.leaves},
          {"drainMs", worker.drain_timeout.count()},
          {"killAt", TimeToJson(worker.kill_at)},
          {"starts", worker.starts},
          {"loading", Bytes(worker.loading)},
          {"part", worker.part ? Json(*worker.part) : Json(nullptr)},
          {"output", worker.output},
          {"written", ToJson(worker.written)}};
}

PassedWorker WorkerOf(const Json& json) {
  PassedWorker worker;
  worker.pid = json.at("pid").get<pid_t>();
  worker.channel = json.at("channel").get<int>();
  worker.generation = json.at("generation").get<std::uint64_t>();
  worker.started = TimeOf<Steady>(json.at("started"));
  worker.since = TimeOf<System>(json.at("since"));
  worker.was_ready = json.at("wasReady").get<bool>();
  worker.took_too_long = json.at("tookTooLong").get<bool>();
  worker.retires = json.at("retires").get<bool>();
  worker.leaves = json.at("leaves").get<bool>();
  worker.drain_timeout = milliseconds(json.at("drainMs").get<milliseconds::rep>());
  worker.kill_at = TimeOf<Steady>(json.at("killAt"));
  worker.starts = json.at("starts").get<std::size_t>();
  worker.loading = BytesOf(json.at("loading"));
  if (const Json& part = json.at("part"); !part.is_null()) worker.part = part.get<std::size_t>();
  worker.output = json.at("output").get<int>();
  worker.written = WrittenOf(json.at("written"));
  // kill(2) means others by 0 and by negative numbers.
  if (worker.pid <= 0) throw std::invalid_argument("no process");
  return worker;
}

Json ToJson(const PassedPlace& place) {
  Json json = {{"starts", place.starts}, {"lastEnd", nullptr}};
  if (const auto& end = place.last_end) {
    json["lastEnd"] = {{"pid", end->pid},
                       {"at", TimeToJson(end->at)},
                       {"status", end->status},
                       {"reason", Bytes(end->reason)}};
  }
  return json;
}

PassedPlace PlaceOf(const Json& json) {
  PassedPlace place{.starts = json.at("starts").get<std::size_t>()};
  if (const Json& end = json.at("lastEnd"); !end.is_null()) {
    place.last_end = {.pid = end.at("pid").get<pid_t>(),
                      .at = TimeOf<System>(end.at("at")),
                      .status = end.at("status").get<int>(),
                      .reason = BytesOf(end.at("reason"))};
  }
  return place;
}

Json ToJson(const ReloadState& reload) {
  Json json = {{"number", reload.number},
               {"outcome", static_cast<int>(reload.outcome)},
               {"at", reload.at ? TimeToJson(*reload.at) : Json(nullptr)},
               {"reasons", Json::array()},
               {"isQueued", reload.is_queued}};
  for (const std::string& reason : reload.reasons) json["reasons"].push_back(Bytes(reason));
  return json;
}

ReloadState ReloadOf(const Json& json) {
  ReloadState reload;
  reload.number = json.at("number").get<std::uint64_t>();
  const int outcome = json.at("outcome").get<int>();
  if (outcome < 0 || outcome > static_cast<int>(ReloadState::Outcome::kRefused)) {
    throw std::invalid_argument("no outcome");
  }
  reload.outcome = static_cast<ReloadState::Outcome>(outcome);
  if (!json.at("at").is_null()) reload.at = TimeOf<System>(json.at("at"));
  for (const Json& reason : json.at("reasons").get_ref<const Json::array_t&>()) {
    reload.reasons.push_back(BytesOf(reason));
  }
  reload.is_queued = json.at("isQueued").get<bool>();
  return reload;
}

Json ToJson(const std::optional<options::ConfigText>& config) {
  return config ? Json{{"path", Bytes(config->path)}, {"text", Bytes(config->text)}}
                : Json(nullptr);
}

std::optional<options::ConfigText> ConfigOf(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return options::ConfigText{BytesOf(json.at("path")), BytesOf(json.at("text"))};
}

/// What `read` makes of the object in the text, if it is one of this format.
template <typename F>
auto Read(std::string_view text, F read) -> std::optional<decltype(read(Json()))> {
  try {
    const Json json = Json::parse(text);
    if (json.at("format").get<int>() != Handover::kFormat) return std::nullopt;
    return read(json);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

template <typename F>
void ForEachDescriptor(const Handover& handover, F function) {
  const auto with = [&function](const PassedSocket& socket) {
    function(socket.descriptor);
    function(socket.file_descriptor);
  };
  for (const PassedSocket& socket : handover.sockets) with(socket);
  function(handover.passing_in);
  function(handover.passing_out);
  for (const int parked : handover.parked) function(parked);
  function(handover.figures);
  function(handover.log_level);
  for (const PassedWorker& worker : handover.workers) {
    function(worker.channel);
    function(worker.output);
  }
}

bool IsSameFile(const char* one, const char* other) {
  struct stat a {};
  struct stat b {};
  return ::stat(one, &a) == 0 && ::stat(other, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

/// Where execvp(3) finds it.
std::string Found(const std::string& name) {
  std::error_code ignored;
  if (name.find('/') != std::string::npos) return std::filesystem::absolute(name, ignored).string();
  const char* const path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): no other thread
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    const auto file = std::filesystem::absolute(rest.substr(0, end), ignored) / name;
    if (::access(file.c_str(), X_OK) == 0) return file.string();
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

}  // namespace

std::string Encode(const Handover& handover) {
  Json json = {{"format", Handover::kFormat},
               {"generation", handover.generation},
               {"since", TimeToJson(handover.since)},
               {"spawned", handover.spawned},
               {"sockets", ToJson(handover.sockets)},
               {"passingIn", handover.passing_in},
               {"passingOut", handover.passing_out},
               {"parked", handover.parked},
               {"workers", Json::array()},
               {"places", Json::array()},
               {"reload", ToJson(handover.reload)},
               {"figures", handover.figures},
               {"logLevel", handover.log_level},
               {"identity", ToJson(handover.identity)},
               {"service",
                {{"variables", Json::array()}, {"told", static_cast<int>(handover.service_told)}}},
               {"config", ToJson(handover.config)},
               {"root", Bytes(handover.root)},
               {"trialChannel", handover.trial_channel}};
  for (const std::string& variable : handover.service_variables) {
    json["service"]["variables"].push_back(Bytes(variable));
  }
  for (const PassedWorker& worker : handover.workers) json["workers"].push_back(ToJson(worker));
  for (const PassedPlace& place : handover.places) json["places"].push_back(ToJson(place));
  return json.dump();
}

std::optional<Handover> Decode(std::string_view text) {
  return Read(text, [](const Json& json) {
    Handover handover;
    handover.generation = json.at("generation").get<std::uint64_t>();
    handover.since = TimeOf<System>(json.at("since"));
    handover.spawned = json.at("spawned").get<bool>();
    handover.sockets = SocketsOf(json.at("sockets"));
    handover.passing_in = json.at("passingIn").get<int>();
    handover.passing_out = json.at("passingOut").get<int>();
    handover.parked = json.value("parked", std::vector<int>());  // a version before had none
    for (const Json& worker : json.at("workers").get_ref<const Json::array_t&>()) {
      handover.workers.push_back(WorkerOf(worker));
    }
    for (const Json& place : json.at("places").get_ref<const Json::array_t&>()) {
      handover.places.push_back(PlaceOf(place));
    }
    handover.reload = ReloadOf(json.at("reload"));
    handover.figures = json.at("figures").get<int>();
    handover.log_level = json.at("logLevel").get<int>();
    const Json& service = json.at("service");
    for (const Json& variable : service.at("variables").get_ref<const Json::array_t&>()) {
      handover.service_variables.push_back(BytesOf(variable));
    }
    const int told = service.at("told").get<int>();
    if (told < 0 || told > static_cast<int>(ServiceStage::kStopping)) {
      throw std::invalid_argument("no stage");
    }
    handover.service_told = static_cast<ServiceStage>(told);
    handover.identity = IdentityOf(json.at("identity"));
    handover.config = ConfigOf(json.at("config"));
    handover.root = BytesOf(json.at("root"));
    handover.trial_channel = json.at("trialChannel").get<int>();
    return handover;
  });
}

std::string Encode(const Verdict& verdict) {
  return Json({{"format", Handover::kFormat},
               {"sockets", ToJson(verdict.sockets)},
               {"config", ToJson(verdict.config)},
               {"identity", ToJson(verdict.identity)}})
      .dump();
}

std::optional<Verdict> DecodeVerdict(std::string_view text) {
  return Read(text, [](const Json& json) {
    return Verdict{.sockets = SocketsOf(json.at("sockets")),
                   .config = ConfigOf(json.at("config")),
                   .identity = IdentityOf(json.at("identity"))};
  });
}

PassedSocket ToPassed(const Listener& listener) {
  PassedSocket passed{.descriptor = listener.Descriptor(),
                      .address = listener.Address(),
                      .source = listener.Source()};
  if (const SocketFile* const file = listener.File()) {
    passed.file = file->Path();
    passed.file_descriptor = file->Descriptor();
  }
  return passed;
}

Listener ToListener(const PassedSocket& passed) {
  std::optional<SocketFile> file;
  if (passed.file_descriptor >= 0) {
    file.emplace(passed.file, FileDescriptor(passed.file_descriptor));
  }
  Listener listener(FileDescriptor(passed.descriptor), passed.address, std::move(file));
  listener.SetSource(passed.source);
  return listener;
}

FileDescriptor TextInMemory(std::string_view text) {
  FileDescriptor file(::memfd_create("weft-handover", MFD_CLOEXEC));
  if (!file.IsOpen()) throw std::system_error(errno, std::system_category(), "memfd_create");
  while (!text.empty()) {
    const ssize_t count = ::write(file.Number(), text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw std::system_error(errno, std::system_category(), "write");
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return file;
}

std::optional<std::string> TextOf(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || status.st_size < 0 ||
      static_cast<std::size_t>(status.st_size) > kMaxTextBytes) {
    return std::nullopt;
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t read = 0;
  while (read < text.size()) {
    const ssize_t count =
        ::pread(descriptor, text.data() + read, text.size() - read, static_cast<off_t>(read));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::nullopt;
    read += static_cast<std::size_t>(count);
  }
  return text;
}

void SetCloseOnExec(int descriptor, bool closes) noexcept {
  if (descriptor >= 0) static_cast<void>(::fcntl(descriptor, F_SETFD, closes ? FD_CLOEXEC : 0));
}

void SetCloseOnExec(const Handover& handover, bool closes) noexcept {
  ForEachDescriptor(handover, [closes](int descriptor) { SetCloseOnExec(descriptor, closes); });
}

std::optional<Handover> TakeHandover() {
  const char* const variable = std::getenv(kVariable);  // NOLINT(concurrency-mt-unsafe)
  if (variable == nullptr) return std::nullopt;
  const std::string text = variable;
  ::unsetenv(kVariable);  // NOLINT(concurrency-mt-unsafe)
  const std::string prefix = std::to_string(::getpid()) + ":";
  if (!text.starts_with(prefix)) return std::nullopt;
  int number = -1;
  std::from_chars(text.data() + prefix.size(), text.data() + text.size(), number);
  const FileDescriptor file(number);
  const auto content = TextOf(number);
  auto handover = content ? Decode(*content) : std::nullopt;
  if (!handover) {
    throw std::runtime_error(
        "what the running host hands over is not understood by this version (" +
        std::to_string(Handover::kFormat) + "): restart the host to change to it");
  }
  if (handover->trial_channel >= 0) {
    SetCloseOnExec(handover->trial_channel, true);
  } else {
    SetCloseOnExec(*handover, true);
  }
  return handover;
}

Invocation Invocation::OfThisProcess(int argc, const char* const* argv) {
  constexpr const char* kSelf = "/proc/self/exe";
  Invocation invocation;
  invocation.arguments.assign(argv, argv + argc);
  if (argc > 0) invocation.program = Found(argv[0]);
  if (invocation.program.empty() || !IsSameFile(invocation.program.c_str(), kSelf)) {
    std::error_code ignored;
    invocation.program = std::filesystem::read_symlink(kSelf, ignored).string();
  }
  return invocation;
}

std::string Invocation::FileIdentity() const {
  struct stat status {};
  if (::stat(program.c_str(), &status) != 0) return {};
  return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) + ":" +
         std::to_string(status.st_size) + ":" + std::to_string(status.st_ctim.tv_sec) + "." +
         std::to_string(status.st_ctim.tv_nsec);
}

int Execute(const Invocation& invocation, const std::string& command, int state) {
  std::vector<std::string> arguments = invocation.arguments;
  if (!command.empty() && arguments.size() > 1) arguments[1] = command;
  std::vector<char*> argument_pointers;
  for (std::string& argument : arguments) argument_pointers.push_back(argument.data());
  argument_pointers.push_back(nullptr);

  std::string variable =
      std::string(kVariable) + "=" + std::to_string(::getpid()) + ":" + std::to_string(state);
  std::vector<char*> environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    environment.push_back(*entry);
  }
  environment.push_back(variable.data());
  environment.push_back(nullptr);
  SetCloseOnExec(state, false);
  ::execve(invocation.program.c_str(), argument_pointers.data(), environment.data());
  const int error = errno;
  SetCloseOnExec(state, true);
  return error;
}

}  // namespace weft::host::supervisor
