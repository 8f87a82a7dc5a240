#include "host/supervisor/handover.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

namespace weft::host::supervisor {
namespace {

using Json = nlohmann::ordered_json;

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

// --- What there is of each: every member is named once, for writing and for reading -------------

template <typename T, typename Of>
concept MaybeConst = std::is_same_v<std::remove_const_t<T>, Of>;

/// Of a member that a program of before does not hand over.
struct AddedLater {};

template <MaybeConst<PassedSocket> T, typename F>
void ForEachMember(T& socket, F f) {
  f("descriptor", socket.descriptor);
  f("address", socket.address);
  f("source", socket.source);
  f("file", socket.file);
  f("fileDescriptor", socket.file_descriptor);
}

template <MaybeConst<observe::OutputReader::Unfinished> T, typename F>
void ForEachMember(T& line, F f) {
  f("of", line.of);
  f("text", line.text);
  f("leftOut", line.left_out);
}

template <MaybeConst<WorkerOutput::Line> T, typename F>
void ForEachMember(T& line, F f) {
  f("at", line.at);
  f("text", line.text);
}

template <MaybeConst<WorkerOutput::State> T, typename F>
void ForEachMember(T& written, F f) {
  f("process", written.process);
  f("packet", written.reader.packet);
  f("unfinished", written.reader.unfinished);
  f("last", written.last);
}

template <MaybeConst<PassedWorker> T, typename F>
void ForEachMember(T& worker, F f) {
  auto& kept = worker.kept;
  f("pid", kept.pid);
  f("generation", kept.generation);
  f("started", kept.started);
  f("since", kept.since);
  f("wasReady", kept.was_ready);
  f("tookTooLong", kept.took_too_long);
  f("retires", kept.retires);
  f("leaves", kept.leaves);
  f("drainMs", kept.drain_timeout);
  f("killAt", kept.kill_at);
  f("starts", kept.starts);
  f("loading", kept.loading);
  f("part", kept.part);
  f("channel", worker.channel);
  f("output", worker.output);
  f("written", worker.written);
}

template <MaybeConst<WorkerEnd> T, typename F>
void ForEachMember(T& end, F f) {
  f("pid", end.pid);
  f("at", end.at);
  f("status", end.status);
  f("reason", end.reason);
}

template <MaybeConst<PassedPlace> T, typename F>
void ForEachMember(T& place, F f) {
  f("starts", place.starts);
  f("lastEnd", place.last_end);
}

template <MaybeConst<ReloadState> T, typename F>
void ForEachMember(T& reload, F f) {
  f("number", reload.number);
  f("outcome", reload.outcome);
  f("at", reload.at);
  f("reasons", reload.reasons);
  f("isQueued", reload.is_queued);
}

template <MaybeConst<PassedService> T, typename F>
void ForEachMember(T& service, F f) {
  f("variables", service.variables);
  f("told", service.told);
}

template <MaybeConst<Identity> T, typename F>
void ForEachMember(T& identity, F f) {
  f("user", identity.user);
  f("group", identity.group);
  f("groups", identity.groups);
  f("name", identity.name);
}

template <MaybeConst<options::ConfigText> T, typename F>
void ForEachMember(T& config, F f) {
  f("path", config.path);
  f("text", config.text);
}

template <MaybeConst<Handover> T, typename F>
void ForEachMember(T& handover, F f) {
  f("generation", handover.generation);
  f("since", handover.since);
  f("spawned", handover.spawned);
  f("sockets", handover.sockets);
  f("passingIn", handover.passing_in);
  f("passingOut", handover.passing_out);
  f("parked", handover.parked, AddedLater{});
  f("workers", handover.workers);
  f("places", handover.places);
  f("reload", handover.reload);
  f("figures", handover.figures);
  f("logLevel", handover.log_level);
  f("identity", handover.identity);
  f("service", handover.service);
  f("config", handover.config);
  f("root", handover.root);
  f("trialChannel", handover.trial_channel);
}

template <MaybeConst<Verdict> T, typename F>
void ForEachMember(T& verdict, F f) {
  f("sockets", verdict.sockets);
  f("config", verdict.config);
  f("identity", verdict.identity);
}

// --- JSON ----------------------------------------------------------------------------------------

template <typename T>
inline constexpr T kLast{};
template <>
inline constexpr ReloadState::Outcome kLast<ReloadState::Outcome> = ReloadState::Outcome::kRefused;
template <>
inline constexpr ServiceStage kLast<ServiceStage> = ServiceStage::kStopping;

template <typename T>
concept TimePoint = requires(T time) {
  time.time_since_epoch();
};
template <typename T>
concept Duration = requires(T time) {
  time.count();
};
template <typename T>
concept Optional = requires(T value) {
  value.has_value();
};
template <typename T>
concept List = requires(T list) {
  list.emplace_back();
};

template <typename T>
Json ToJson(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return static_cast<int>(value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return value;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return Bytes(value);
  } else if constexpr (TimePoint<T>) {
    return value.time_since_epoch().count();
  } else if constexpr (Duration<T>) {
    return value.count();
  } else if constexpr (Optional<T>) {
    return value ? ToJson(*value) : Json(nullptr);
  } else if constexpr (List<T>) {
    Json json = Json::array();
    for (const auto& element : value) json.push_back(ToJson(element));
    return json;
  } else {
    Json json;
    ForEachMember(value, [&json](const char* name, const auto& member, auto...) {
      json[name] = ToJson(member);
    });
    return json;
  }
}

/// Throws where it is not what ToJson() makes.
template <typename T>
void FromJson(const Json& json, T& value) {
  if constexpr (std::is_enum_v<T>) {
    const int number = json.get<int>();
    if (number < 0 || number > static_cast<int>(kLast<T>)) {
      throw std::invalid_argument("no value of these");
    }
    value = static_cast<T>(number);
  } else if constexpr (std::is_arithmetic_v<T>) {
    value = json.get<T>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    value = BytesOf(json);
  } else if constexpr (TimePoint<T>) {
    value = T(typename T::duration(json.get<typename T::rep>()));
  } else if constexpr (Duration<T>) {
    value = T(json.get<typename T::rep>());
  } else if constexpr (Optional<T>) {
    if (!json.is_null()) FromJson(json, value.emplace());
  } else if constexpr (List<T>) {
    for (const Json& element : json.get_ref<const Json::array_t&>()) {
      FromJson(element, value.emplace_back());
    }
  } else {
    ForEachMember(value, [&json](const char* name, auto& member, auto... added_later) {
      if (sizeof...(added_later) == 0 || json.contains(name)) FromJson(json.at(name), member);
    });
  }
}

template <typename T>
std::string EncodeAny(const T& value) {
  Json json = ToJson(value);
  json["format"] = Handover::kFormat;
  return json.dump();
}

/// Nothing, where the text is not what EncodeAny() makes.
template <typename T>
std::optional<T> DecodeAny(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    if (json.at("format").get<int>() != Handover::kFormat) return std::nullopt;
    T value;
    FromJson(json, value);
    return value;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

// -------------------------------------------------------------------------------------------------

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

std::string Encode(const Handover& handover) { return EncodeAny(handover); }

std::optional<Handover> Decode(std::string_view text) {
  auto handover = DecodeAny<Handover>(text);
  // kill(2) means others by 0 and by negative numbers.
  if (handover && std::ranges::any_of(handover->workers, [](const PassedWorker& worker) {
        return worker.kept.pid <= 0;
      })) {
    return std::nullopt;
  }
  return handover;
}

std::string Encode(const Verdict& verdict) { return EncodeAny(verdict); }

std::optional<Verdict> DecodeVerdict(std::string_view text) { return DecodeAny<Verdict>(text); }

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
