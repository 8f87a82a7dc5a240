#include "host/supervisor/listener.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <thread>
#include <variant>

#include "host/options/exit_code.hpp"
#include "host/supervisor/privileges.hpp"

namespace weft::host::supervisor {
namespace {

using options::ListenAddress;
using options::Settings;

constexpr int kFirstPassedDescriptor = 3;  // SD_LISTEN_FDS_START of sd_listen_fds(3)

std::string ErrorText(int error) { return std::system_category().message(error); }

[[noreturn]] void Fail(int exit_code, std::string_view address, std::string_view reason,
                       std::string_view advice) {
  throw ListenError(exit_code, "cannot listen on " + std::string(address) + ": " +
                                   std::string(reason) + ": " + std::string(advice));
}

/// For errors that say nothing about the address: out of descriptors, memory, buffers.
[[noreturn]] void FailForSystem(std::string_view address, int error) {
  Fail(options::kExitSystem, address, ErrorText(error),
       "raise the system's limit (ulimit -n), or free what is used up");
}

// --- What a socket is ---------------------------------------------------------------------------

int IntOption(int socket, int name, int fallback) {
  int value = fallback;
  socklen_t size = sizeof(value);
  return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : fallback;
}

bool IsListening(int descriptor) {
  return IntOption(descriptor, SO_ACCEPTCONN, 0) == 1 &&
         IntOption(descriptor, SO_TYPE, 0) == SOCK_STREAM;
}

/// `tcp:HOST:PORT` in numbers; empty when it is of no kind that has such.
std::string TcpText(const sockaddr* name, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(name, size, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return {};
  }
  const std::string number = host.data();
  return "tcp:" + (name->sa_family == AF_INET6 ? "[" + number + "]" : number) + ":" + port.data();
}

/// The address that a socket is bound to, as `--listen` takes it; empty when there is no telling.
std::string BoundAddress(int socket) {
  sockaddr_storage storage{};
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  socklen_t size = sizeof(storage);
  if (::getsockname(socket, address, &size) != 0) return {};
  if (storage.ss_family == AF_UNIX) {
    const auto* const local = reinterpret_cast<const sockaddr_un*>(&storage);
    constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);
    if (size <= kPathOffset) return "unix:(unnamed)";
    if (local->sun_path[0] == '\0') return "unix:(abstract)";
    return "unix:" + std::string(local->sun_path, ::strnlen(local->sun_path, size - kPathOffset));
  }
  return TcpText(address, size);
}

// --- Unix ---------------------------------------------------------------------------------------

sockaddr_un UnixSocketAddress(const std::string& path, const std::string& address) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  constexpr std::size_t kLongestPath = sizeof(name.sun_path) - 1;
  if (path.size() > kLongestPath) {
    Fail(options::kExitConfiguration, address,
         "the path has " + std::to_string(path.size()) + " bytes and a Unix socket's can have " +
             std::to_string(kLongestPath),
         "choose a shorter one");
  }
  path.copy(name.sun_path, path.size());
  return name;
}

/// How long an address that is taken is tried again: workers of a supervisor that was killed have it for a moment
/// longer, and a restart must not fail for that. 1 s: they close it as soon as they are told that it is gone, which a
/// busy machine may put off.
constexpr std::chrono::milliseconds kTakenPatience{1000};
constexpr std::chrono::milliseconds kFirstRetry{10};

/// What `attempt` returns, an errno; tried again while it says that the address is taken.
template <typename Attempt>
int WhileTaken(Attempt attempt) {
  const auto give_up = std::chrono::steady_clock::now() + kTakenPatience;
  // Ever longer: an attempt costs whoever has it a connection.
  for (auto wait = kFirstRetry;; wait *= 2) {
    const int error = attempt();
    if (error != EADDRINUSE || std::chrono::steady_clock::now() >= give_up) return error;
    std::this_thread::sleep_for(wait);
  }
}

/// Makes room at the path: removes a socket file that nobody listens on, and refuses anything else.
///
/// Connecting is the only way to ask. A second instance that does the same at the same moment can
/// still remove a socket just bound; a lock file would close the gap and litter every folder.
void RemoveStaleFile(const std::string& path, const sockaddr_un& name, const std::string& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;  // nothing there; else bind() tells why
  if (!S_ISSOCK(status.st_mode)) {
    Fail(options::kExitConfiguration, address, "there is a file that is not a socket",
         "move it away, or choose another path");
  }
  const int error = WhileTaken([&] {
    const FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe.IsOpen()) FailForSystem(address, errno);
    const bool answers =
        ::connect(probe.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0 ||
        errno == EAGAIN;  // its backlog is full: busy, not gone
    return answers ? EADDRINUSE : errno;
  });
  switch (error) {
    case EADDRINUSE:
      Fail(options::kExitUnavailable, address, "another process answers there",
           "stop it first, or choose another path");
    case EPROTOTYPE:
      Fail(options::kExitUnavailable, address, "another process has a socket of another kind there",
           "stop it first, or choose another path");
    case ECONNREFUSED:
      break;
    case ENOENT:
      return;
    default:
      Fail(error == EACCES || error == EPERM ? options::kExitNoPermission : options::kExitSystem,
           address,
           "there is a socket, and whether it is in use cannot be seen: " + ErrorText(error),
           "remove it if it is left over, or choose another path");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    const int unlink_error = errno;
    Fail(options::kExitNoPermission, address,
         "a left-over socket is in the way and cannot be removed: " + ErrorText(unlink_error),
         "remove it, or give this user the right to write in its folder");
  }
}

[[noreturn]] void FailToBindUnix(const std::string& path, const std::string& address, int error) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      Fail(options::kExitConfiguration, address, ErrorText(error), "create the folder " + folder);
    case EACCES:
    case EPERM:
      Fail(options::kExitNoPermission, address, ErrorText(error),
           "give this user the right to write in " + folder + ", or choose another folder");
    case EROFS:
      Fail(options::kExitConfiguration, address, ErrorText(error), "choose a folder in /run");
    case EADDRINUSE:
      Fail(options::kExitUnavailable, address, "another process bound it at this very moment",
           "start only one of the two");
    default:
      FailForSystem(address, error);
  }
}

/// Whose the file of a socket becomes; -1: it is not changed.
constexpr auto kUnchangedUser = static_cast<uid_t>(-1);
constexpr auto kUnchangedGroup = static_cast<gid_t>(-1);

struct SocketOwner {
  uid_t user = kUnchangedUser;
  gid_t group = kUnchangedGroup;

  /// What changes nothing is not asked for: a service's filter of system calls may refuse it all the same.
  [[nodiscard]] bool ChangesAny() const noexcept {
    return user != kUnchangedUser || group != kUnchangedGroup;
  }
};

SocketOwner OwnerOf(const Settings& settings) try {
  SocketOwner owner;
  if (!settings.socket_owner.empty())
    owner.user = FindUser(settings.socket_owner, "--socket-owner");
  if (!settings.socket_group.empty())
    owner.group = FindGroup(settings.socket_group, "--socket-group");
  return owner;
} catch (const PrivilegeError& error) {
  throw ListenError(error.ExitCode(), error.what());
}

/// `address`: for messages.
Listener OpenUnix(const std::string& path, const std::string& address, mode_t mode,
                  const SocketOwner& owner, int backlog) {
  const sockaddr_un name = UnixSocketAddress(path, address);
  RemoveStaleFile(path, name, address);

  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.IsOpen()) FailForSystem(address, errno);
  // The umask gives the file its mode as it appears: with chmod() alone it would be open to all for
  // a moment.
  const mode_t old_umask = ::umask(0777 & ~mode);
  const int bound = ::bind(socket.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  const int bind_error = errno;
  ::umask(old_umask);
  if (bound != 0) FailToBindUnix(path, address, bind_error);

  std::optional<SocketFile> file;
  try {
    file.emplace(path);
  } catch (const std::system_error& error) {
    ::unlink(path.c_str());  // just bound, and nobody else will remove it
    FailForSystem(address, error.code().value());
  }
  // A default ACL of the folder overrides the umask. Nobody can connect before listen(), so there
  // is time to put it right.
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & 0777) != mode &&
      ::chmod(path.c_str(), mode) != 0) {
    Fail(options::kExitNoPermission, address, ErrorText(errno),
         "its mode cannot be set: choose another folder");
  }
  if (owner.ChangesAny() && ::lchown(path.c_str(), owner.user, owner.group) != 0) {
    Fail(options::kExitNoPermission, address, ErrorText(errno),
         "only root gives it to another user, and who is not root to his own groups alone: leave "
         "--socket-owner and --socket-group out, or start it as root");
  }
  if (::listen(socket.Number(), backlog) != 0) FailForSystem(address, errno);
  return Listener(std::move(socket), address, std::move(file));
}

// --- TCP ----------------------------------------------------------------------------------------

/// While it lives a stop ends the process on the spot, with 0, though the signals are blocked
/// otherwise. For a wait that cannot be interrupted, as long as there is nothing to clear away.
class EndsOnStop {
 public:
  EndsOnStop() {
    sigset_t stops;
    ::sigemptyset(&stops);
    // A handler, and not the default action, which process 1 of a container does not have.
    struct sigaction end {};
    end.sa_handler = [](int) { ::_exit(options::kExitOk); };
    for (std::size_t i = 0; i < kStops.size(); ++i) {
      ::sigaddset(&stops, kStops[i]);
      ::sigaction(kStops[i], &end, &actions_[i]);
    }
    ::pthread_sigmask(SIG_UNBLOCK, &stops, &mask_);
  }
  EndsOnStop(const EndsOnStop&) = delete;
  EndsOnStop& operator=(const EndsOnStop&) = delete;
  ~EndsOnStop() {
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    for (std::size_t i = 0; i < kStops.size(); ++i) {
      ::sigaction(kStops[i], &actions_[i], nullptr);
    }
  }

 private:
  static constexpr std::array kStops{SIGTERM, SIGQUIT, SIGINT};
  std::array<struct sigaction, kStops.size()> actions_{};
  sigset_t mask_{};
};

struct AddressListDeleter {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, AddressListDeleter>;

AddressList Resolve(const options::TcpAddress& tcp, const std::string& host, int family,
                    const std::string& address) {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(tcp.port).c_str(), &hints, &list);
  switch (error) {
    case 0:
      return AddressList(list);
    case EAI_AGAIN:
      Fail(options::kExitUnavailable, address, ::gai_strerror(error),
           "see to the name server, or give the host as an address");
    case EAI_MEMORY:
      FailForSystem(address, ENOMEM);
    case EAI_SYSTEM:
      FailForSystem(address, errno);
    default:
      Fail(options::kExitConfiguration, address, ::gai_strerror(error),
           "correct the host, or give it as an address");
  }
}

/// The addresses of each host of `settings.listen`; null for what has none.
///
/// Before anything is opened: a name server may keep us waiting, and there is no socket's file yet
/// that a stop would leave.
std::vector<AddressList> ResolveNames(const Settings& settings) {
  const auto has_name = [](const ListenAddress& address) {
    const auto* const tcp = std::get_if<options::TcpAddress>(&address);
    return tcp != nullptr && tcp->host != "*";
  };
  std::vector<AddressList> lists(settings.listen.size());
  // With sockets that were taken over there is something to clear away.
  if (std::ranges::none_of(settings.listen, has_name)) return lists;
  const EndsOnStop while_waiting;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    const ListenAddress& address = settings.listen[i];
    if (!has_name(address)) continue;
    const auto& tcp = std::get<options::TcpAddress>(address);
    lists[i] = Resolve(tcp, tcp.host, AF_UNSPEC, options::ToString(address));
  }
  return lists;
}

enum class DualStack { kNo, kYes };

/// Opens one socket; returns the error of the step that failed, or 0.
int TryOpenTcp(const sockaddr* name, socklen_t size, DualStack dual_stack, std::size_t backlog,
               FileDescriptor& opened) {
  FileDescriptor socket(
      ::socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (!socket.IsOpen()) return errno;
  // Without it a restart fails for a minute while connections of the last run are in TIME_WAIT. It
  // does not let two processes listen on one port.
  const int on = 1;
  if (::setsockopt(socket.Number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) return errno;
  if (name->sa_family == AF_INET6) {
    // Said either way, because the system's default differs (net.ipv6.bindv6only).
    const int only_v6 = dual_stack == DualStack::kYes ? 0 : 1;
    if (::setsockopt(socket.Number(), IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) != 0) {
      return errno;
    }
  }
  const int error = WhileTaken([&] {
    const bool taken = ::bind(socket.Number(), name, size) != 0 ||
                       ::listen(socket.Number(), static_cast<int>(backlog)) != 0;
    return taken ? errno : 0;
  });
  if (error != 0) return error;
  opened = std::move(socket);
  return 0;
}

[[noreturn]] void FailToOpenTcp(const std::string& address, int error) {
  switch (error) {
    case EADDRINUSE:
      Fail(options::kExitUnavailable, address, ErrorText(error),
           "stop what listens there (ss -ltnp shows it), or choose another port");
    case EACCES:
    case EPERM:
      Fail(options::kExitNoPermission, address, ErrorText(error),
           "choose a port of 1024 or above, or grant CAP_NET_BIND_SERVICE");
    case EADDRNOTAVAIL:
      Fail(options::kExitConfiguration, address, ErrorText(error),
           "give an address of this machine, or tcp:*:PORT for all of them");
    case EAFNOSUPPORT:
      Fail(options::kExitConfiguration, address, ErrorText(error),
           "this kernel has no such protocol: give an address of the other kind");
    case EINVAL:
      Fail(options::kExitConfiguration, address, ErrorText(error),
           "a link-local address needs its interface: tcp:[fe80::1%eth0]:PORT");
    default:
      FailForSystem(address, error);
  }
}

std::uint16_t Port(int socket) {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&name), &size) != 0) return 0;
  return name.ss_family == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6*>(&name)->sin6_port)
                                    : ntohs(reinterpret_cast<const sockaddr_in*>(&name)->sin_port);
}

void SetPort(sockaddr* name, std::uint16_t port) {
  if (name->sa_family == AF_INET6) reinterpret_cast<sockaddr_in6*>(name)->sin6_port = htons(port);
  if (name->sa_family == AF_INET) reinterpret_cast<sockaddr_in*>(name)->sin_port = htons(port);
}

/// One socket for every address of the machine, of both kinds where the kernel has both.
Listener OpenEveryTcp(const options::TcpAddress& tcp, const Settings& settings) {
  const std::string address = options::ToString(tcp);
  FileDescriptor socket;
  int error = 0;
  for (const auto& [host, family] : {std::pair{"::", AF_INET6}, {"0.0.0.0", AF_INET}}) {
    const AddressList list = Resolve(tcp, host, family, address);
    error = TryOpenTcp(list->ai_addr, list->ai_addrlen, DualStack::kYes, settings.backlog, socket);
    if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL) break;
  }
  if (error != 0) FailToOpenTcp(address, error);
  std::string actual = "tcp:*:" + std::to_string(Port(socket.Number()));
  return Listener(std::move(socket), std::move(actual));
}

/// A host's name may stand for several addresses (localhost: 127.0.0.1 and ::1); a web server may
/// connect to any of them, so each of `list` is opened. One that this machine lacks is passed over as long as
/// another one opens.
void OpenTcp(const options::TcpAddress& tcp, const addrinfo* list, const Settings& settings,
             std::vector<Listener>& listeners) {
  const std::string address = options::ToString(tcp);
  std::vector<std::string> opened;
  int passed_over = 0;
  std::uint16_t chosen_port = tcp.port;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    SetPort(entry->ai_addr, chosen_port);  // port 0: the first address chooses for all
    const std::string candidate = TcpText(entry->ai_addr, entry->ai_addrlen);
    if (std::find(opened.begin(), opened.end(), candidate) != opened.end()) continue;
    FileDescriptor socket;
    const int error =
        TryOpenTcp(entry->ai_addr, entry->ai_addrlen, DualStack::kNo, settings.backlog, socket);
    if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
      passed_over = error;
      continue;
    }
    if (error != 0) FailToOpenTcp(address, error);
    chosen_port = Port(socket.Number());
    opened.push_back(BoundAddress(socket.Number()));
    listeners.emplace_back(std::move(socket), opened.back());
  }
  if (opened.empty()) FailToOpenTcp(address, passed_over);
}

// --- Inherited ----------------------------------------------------------------------------------

/// Takes over a listening socket that the parent process opened. `place` names it in messages.
Listener Inherit(int descriptor, const std::string& place) {
  constexpr std::string_view kAdvice =
      "have the parent pass a listening stream socket there, or give --listen unix:/PATH or "
      "--listen tcp:HOST:PORT";
  if (::fcntl(descriptor, F_GETFD) == -1) {
    Fail(options::kExitConfiguration, place, "the descriptor is not open", kAdvice);
  }
  if (!IsListening(descriptor)) {
    int type = 0;
    socklen_t size = sizeof(type);
    const bool is_socket = ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    Fail(options::kExitConfiguration, place,
         !is_socket            ? "the descriptor is not a socket"
         : type != SOCK_STREAM ? "the socket is not a stream socket"
                               : "the socket is connected or only bound, not listening",
         kAdvice);
  }
  int own = descriptor;
  if (descriptor == STDIN_FILENO) {
    own = ::fcntl(descriptor, F_DUPFD_CLOEXEC, kFirstPassedDescriptor);
    if (own == -1) FailForSystem(place, errno);
    const FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null.IsOpen()) ::dup2(null.Number(), STDIN_FILENO);
  }
  FileDescriptor socket(own);
  const int flags = ::fcntl(own, F_GETFL);
  if (::fcntl(own, F_SETFD, FD_CLOEXEC) == -1 || flags == -1 ||
      ::fcntl(own, F_SETFL, flags | O_NONBLOCK) == -1) {
    FailForSystem(place, errno);
  }
  const std::string bound = BoundAddress(own);
  return Listener(std::move(socket), bound.empty() ? place : place + " (" + bound + ")");
}

const char* Variable(const char* name) {
  return std::getenv(name);  // NOLINT(concurrency-mt-unsafe): no other thread exists yet
}

/// The whole number that the variable holds, or nothing when it is not set.
std::optional<int> NumberVariable(const char* name) {
  const char* const text = Variable(name);
  if (text == nullptr) return std::nullopt;
  int number = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  if (error != std::errc{} || stop != end || number < 0) {
    throw ListenError(options::kExitConfiguration,
                      std::string(name) +
                          " in the environment is not a whole number: correct "
                          "whatever sets it, or give --listen");
  }
  return number;
}

/// The sockets of systemd's socket activation (sd_listen_fds(3)); none when it is not in play.
std::vector<Listener> InheritFromSystemd() {
  const std::optional<int> pid = NumberVariable("LISTEN_PID");
  const std::optional<int> count = NumberVariable("LISTEN_FDS");
  std::vector<Listener> listeners;
  if (!pid || !count || *pid != ::getpid()) return listeners;
  constexpr int kMost = 1024;  // far above any service's; a larger number is no number of sockets
  if (*count > kMost) {
    throw ListenError(options::kExitConfiguration,
                      "LISTEN_FDS in the environment is more than " + std::to_string(kMost) +
                          ": correct whatever sets it, or give --listen");
  }
  for (int i = 0; i < *count; ++i) {
    const int descriptor = kFirstPassedDescriptor + i;
    listeners.push_back(Inherit(descriptor, "fd:" + std::to_string(descriptor)));
  }
  // A handler's own child process must not take them for its own.
  for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    ::unsetenv(name);  // NOLINT(concurrency-mt-unsafe): no other thread exists yet
  }
  return listeners;
}

ListeningSockets InheritAny() {
  ListeningSockets sockets;
  sockets.listeners = InheritFromSystemd();
  if (!sockets.listeners.empty()) return sockets;
  if (!IsListening(STDIN_FILENO)) {
    std::string reason = "descriptor 0 is not a listening socket";
    if (Variable("LISTEN_FDS") != nullptr) {
      reason +=
          ", and LISTEN_FDS is not meant for this process (LISTEN_PID is another: start "
          "weft itself, or by exec, not below a shell)";
    }
    throw ListenError(options::kExitUsage,
                      "no address to listen on: there is no --listen, and " + reason +
                          ": give --listen unix:/run/weft.sock or --listen tcp:127.0.0.1:9000");
  }
  sockets.listeners.push_back(Inherit(STDIN_FILENO, "fd:0"));
  sockets.spawned = true;
  return sockets;
}

}  // namespace

SocketFile::SocketFile(std::string path)
    : path_(std::move(path)),
      file_(::open(path_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)),
      owner_(::getpid()) {
  if (!file_.IsOpen()) throw std::system_error(errno, std::system_category(), "open " + path_);
}

SocketFile::SocketFile(std::string path, FileDescriptor file)
    : path_(std::move(path)), file_(std::move(file)), owner_(::getpid()) {}

SocketFile::~SocketFile() {
  if (!file_.IsOpen() || owner_ != ::getpid()) return;
  struct stat ours {};
  struct stat there {};
  if (::fstat(file_.Number(), &ours) == 0 && ::lstat(path_.c_str(), &there) == 0 &&
      ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) {
    ::unlink(path_.c_str());
  }
}

namespace {

/// Of a socket that is there already, as a new one would have it; what fails leaves it as it was, and it serves. By its file's
/// descriptor: its folder may be another user's by now, who could have put another file in its place.
void BringUpToDate(const Listener& listener, const Settings& settings) {
  static_cast<void>(::listen(listener.Descriptor(), static_cast<int>(settings.backlog)));
  if (listener.File() == nullptr) return;
  const int file = listener.File()->Descriptor();
  // What is open for its name only takes no fchmod(2).
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  static_cast<void>(!::chmod(path.c_str(), static_cast<mode_t>(settings.socket_mode)));
  try {
    const SocketOwner owner = OwnerOf(settings);
    if (owner.ChangesAny()) {
      static_cast<void>(!::fchownat(file, "", owner.user, owner.group, AT_EMPTY_PATH));
    }
  } catch (const ListenError&) {
    // The trial has found them; by now the system does not.
  }
}

/// Those of `known` with that source, out of there.
std::vector<Listener> TakeKnown(std::vector<Listener>& known, const std::string& source,
                                const Settings& settings) {
  std::vector<Listener> taken;
  for (auto at = known.begin(); at != known.end();) {
    if (at->Source() != source) {
      ++at;
      continue;
    }
    if (at->Descriptor() >= 0 && !source.empty()) BringUpToDate(*at, settings);
    taken.push_back(std::move(*at));
    at = known.erase(at);
  }
  return taken;
}

void Open(const ListenAddress& address, const addrinfo* resolved, const Settings& settings,
          std::vector<Listener>& listeners) {
  if (const auto* unix_address = std::get_if<options::UnixAddress>(&address)) {
    listeners.push_back(OpenUnix(unix_address->path, options::ToString(address),
                                 static_cast<mode_t>(settings.socket_mode), OwnerOf(settings),
                                 static_cast<int>(settings.backlog)));
  } else if (const auto* tcp = std::get_if<options::TcpAddress>(&address)) {
    if (tcp->host == "*") {
      listeners.push_back(OpenEveryTcp(*tcp, settings));
    } else {
      OpenTcp(*tcp, resolved, settings, listeners);
    }
  } else {
    const auto& inherited = std::get<options::DescriptorAddress>(address);
    listeners.push_back(Inherit(inherited.number, options::ToString(inherited)));
  }
}

}  // namespace

ListeningSockets OpenListeners(const Settings& settings) {
  std::vector<Listener> none;
  return OpenListeners(settings, none);
}

ListeningSockets OpenListeners(const Settings& settings, std::vector<Listener>& known) {
  ListeningSockets sockets;
  if (settings.listen.empty()) {
    sockets.listeners = TakeKnown(known, {}, settings);
    return sockets.listeners.empty() ? InheritAny() : std::move(sockets);
  }
  // Of a takeover they were looked up before, by the trial.
  if (std::ranges::none_of(known, [](const Listener& one) { return one.Descriptor() >= 0; })) {
    static_cast<void>(OwnerOf(settings));
  }
  std::vector<std::vector<Listener>> taken;
  Settings others = settings;
  others.listen.clear();
  for (const ListenAddress& address : settings.listen) {
    taken.push_back(TakeKnown(known, options::ToString(address), settings));
    if (taken.back().empty()) others.listen.push_back(address);
  }
  const std::vector<AddressList> resolved = ResolveNames(others);
  std::size_t next = 0;
  for (std::size_t i = 0; i < settings.listen.size(); ++i) {
    const std::size_t first = sockets.listeners.size();
    if (taken[i].empty()) {
      Open(settings.listen[i], resolved[next++].get(), settings, sockets.listeners);
    }
    for (Listener& listener : taken[i]) sockets.listeners.push_back(std::move(listener));
    for (std::size_t j = first; j < sockets.listeners.size(); ++j) {
      sockets.listeners[j].SetSource(options::ToString(settings.listen[i]));
    }
  }
  return sockets;
}

std::string ControlSource(const std::string& path) { return "--control " + path; }

Listener OpenControl(const std::string& path) {
  constexpr mode_t kOwnerAlone = 0600;
  constexpr int kBacklog = 128;
  Listener listener = OpenUnix(path, ControlSource(path), kOwnerAlone, {}, kBacklog);
  listener.SetSource(ControlSource(path));
  return listener;
}

std::string MetricsSource(const Settings& settings) {
  return settings.metrics_listen ? "--metrics-listen " + options::ToString(*settings.metrics_listen)
                                 : std::string();
}

std::vector<Listener> OpenMetrics(const Settings& settings, std::vector<Listener>& known) {
  if (!settings.metrics_listen) return {};
  Settings alone = settings;
  alone.listen = {*settings.metrics_listen};
  constexpr std::size_t kBacklog = 128;
  alone.backlog = kBacklog;
  const std::string source = MetricsSource(settings);
  std::vector<Listener> listeners = TakeKnown(known, source, alone);
  if (!listeners.empty()) return listeners;
  listeners = OpenListeners(alone).listeners;
  for (Listener& listener : listeners) listener.SetSource(source);
  return listeners;
}

ListeningSockets OpenSockets(const Settings& settings, std::vector<Listener>& known) {
  ListeningSockets sockets = OpenListeners(settings, known);
  sockets.metrics = OpenMetrics(settings, known);
  if (settings.control.empty()) return sockets;
  const auto at = std::find_if(known.begin(), known.end(), [&](const Listener& listener) {
    return listener.Source() == ControlSource(settings.control);
  });
  if (at == known.end()) {
    sockets.control.emplace(OpenControl(settings.control));
  } else {
    sockets.control.emplace(std::move(*at));
    known.erase(at);
  }
  return sockets;
}

void EnsureStandardDescriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // open() takes the lowest free number: this one, as those below are open by now.
    if (::open("/dev/null", O_RDWR) != descriptor) {
      throw std::system_error(errno, std::system_category(), "open /dev/null");
    }
  }
}

}  // namespace weft::host::supervisor
