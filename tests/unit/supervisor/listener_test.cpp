#include "host/supervisor/listener.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/supervisor/test_processes.hpp"

namespace weft::host::supervisor {
namespace {

using options::Settings;
using test::TemporaryFolder;

Settings ListenOn(std::initializer_list<std::string> addresses) {
  Settings settings;
  for (const std::string& address : addresses) {
    settings.listen.push_back(options::ParseListenAddress(address));
  }
  return settings;
}

/// Exit code and sentence of the refusal to open; of none: "0".
std::string RefusalOf(const Settings& settings) {
  try {
    const ListeningSockets sockets = OpenListeners(settings);
    return "0";
  } catch (const ListenError& error) {
    return std::to_string(error.ExitCode()) + " " + error.what();
  }
}

sockaddr_un UnixName(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  return name;
}

/// A socket bound to `path`, which stays behind when it is closed.
FileDescriptor BoundSocket(const std::string& path, int type = SOCK_STREAM) {
  FileDescriptor socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const sockaddr_un name = UnixName(path);
  REQUIRE(::bind(socket.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0);
  return socket;
}

FileDescriptor ListeningSocket(const std::string& path, int backlog = 8) {
  FileDescriptor socket = BoundSocket(path);
  REQUIRE(::listen(socket.Number(), backlog) == 0);
  return socket;
}

/// 0, or the error of a connection attempt.
int ConnectUnix(const std::string& path) {
  const FileDescriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un name = UnixName(path);
  return ::connect(client.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0
             ? 0
             : errno;
}

int Port(const Listener& listener) {
  const std::string& address = listener.Address();
  return std::stoi(address.substr(address.rfind(':') + 1));
}

/// 0, or the error of a connection attempt to the loopback address of a family.
int ConnectLoopback(int family, int port) {
  const FileDescriptor client(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto network_port = htons(static_cast<std::uint16_t>(port));
  int result = 0;
  if (family == AF_INET6) {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = network_port;
    name.sin6_addr = in6addr_loopback;
    result = ::connect(client.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  } else {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = network_port;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    result = ::connect(client.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  }
  return result == 0 ? 0 : errno;
}

bool HasIpv6() {
  const FileDescriptor socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  name.sin6_addr = in6addr_loopback;
  return ::bind(socket.Number(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0;
}

bool IsNonBlockingAndCloseOnExec(int descriptor) {
  return (::fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0 &&
         (::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0;
}

// --- Unix ---------------------------------------------------------------------------------------

TEST_CASE("Listener: a Unix socket has its mode whatever the umask, and goes with its file") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  Settings settings = ListenOn({"unix:" + path});
  unsigned mode = 0660;
  SUBCASE("narrow") { mode = 0600; }
  SUBCASE("default") { mode = 0660; }
  SUBCASE("open") { mode = 0777; }
  settings.socket_mode = mode;
  const mode_t old_umask = ::umask(027);
  {
    const ListeningSockets sockets = OpenListeners(settings);
    CHECK(::umask(027) == 027);
    CHECK_FALSE(sockets.spawned);
    REQUIRE(sockets.listeners.size() == 1);
    const Listener& listener = sockets.listeners.front();
    CHECK(listener.Address() == "unix:" + path);
    CHECK(IsNonBlockingAndCloseOnExec(listener.Descriptor()));
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == mode);
    CHECK(ConnectUnix(path) == 0);
  }
  ::umask(old_umask);
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("OpenControl: is for its user alone, and otherwise as any other Unix socket") {
  const TemporaryFolder folder;
  const std::string path = (folder / "control.sock").string();
  BoundSocket(path);  // a stale file
  {
    const mode_t old_umask = ::umask(0);
    const Listener listener = OpenControl(path);
    ::umask(old_umask);
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
    CHECK(ConnectUnix(path) == 0);
    try {
      const Listener second = OpenControl(path);
      FAIL("a live socket was replaced");
    } catch (const ListenError& error) {
      CHECK(error.ExitCode() == options::kExitUnavailable);
      CHECK(std::string(error.what()) == "cannot listen on --control " + path +
                                             ": another process answers there: stop it first, or "
                                             "choose another path");
    }
  }
  CHECK(ConnectUnix(path) == ENOENT);
}

TEST_CASE("Listener: a stale socket file is replaced") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  BoundSocket(path).Close();
  REQUIRE(std::filesystem::exists(path));
  const ListeningSockets sockets = OpenListeners(ListenOn({"unix:" + path}));
  CHECK(ConnectUnix(path) == 0);
}

TEST_CASE("Listener: a socket on which somebody answers is left alone") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  const FileDescriptor other = ListeningSocket(path);
  CHECK(RefusalOf(ListenOn({"unix:" + path})) ==
        "69 cannot listen on unix:" + path +
            ": another process answers there: stop it first, or choose another path");
  CHECK(ConnectUnix(path) == 0);
}

TEST_CASE("Listener: a socket whose backlog is full is left alone") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  const FileDescriptor other = ListeningSocket(path, 0);
  std::vector<FileDescriptor> clients;
  const sockaddr_un name = UnixName(path);
  int error = 0;
  while (error == 0) {
    clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(clients.back().Number(), reinterpret_cast<const sockaddr*>(&name),
                  sizeof(name)) != 0) {
      error = errno;
    }
  }
  REQUIRE(error == EAGAIN);
  CHECK(RefusalOf(ListenOn({"unix:" + path})).substr(0, 2) == "69");
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("Listener: a socket of another kind is left alone") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  const FileDescriptor other = BoundSocket(path, SOCK_DGRAM);
  CHECK(RefusalOf(ListenOn({"unix:" + path})) ==
        "69 cannot listen on unix:" + path +
            ": another process has a socket of another kind there: stop it first, or choose "
            "another path");
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("Listener: what is not a socket is left alone") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  SUBCASE("file") { std::ofstream(path) << "precious"; }
  SUBCASE("folder") { std::filesystem::create_directory(path); }
  SUBCASE("symbolic link") { std::filesystem::create_symlink(folder / "nothing", path); }
  CHECK(RefusalOf(ListenOn({"unix:" + path})) ==
        "78 cannot listen on unix:" + path +
            ": there is a file that is not a socket: move it away, or choose another path");
  CHECK(std::filesystem::exists(std::filesystem::symlink_status(path)));
}

TEST_CASE("Listener: a path of 107 bytes is the longest") {
  const TemporaryFolder folder;
  const std::string start = folder.Path().string() + "/";
  const std::string longest = start + std::string(107 - start.size(), 'x');
  CHECK(RefusalOf(ListenOn({"unix:" + longest})) == "0");
  CHECK(RefusalOf(ListenOn({"unix:" + longest + "x"})) ==
        "78 cannot listen on unix:" + longest +
            "x: the path has 108 bytes and a Unix socket's can have 107: choose a shorter one");
}

TEST_CASE("Listener: a missing folder is named") {
  const TemporaryFolder folder;
  const std::string missing = folder / "missing";
  CHECK(RefusalOf(ListenOn({"unix:" + missing + "/weft.sock"})) ==
        "78 cannot listen on unix:" + missing +
            "/weft.sock: No such file or directory: create the folder " + missing);
}

TEST_CASE("Listener: a folder that the user may not write is named") {
  const TemporaryFolder folder;
  const std::string locked = folder / "locked";
  std::filesystem::create_directory(locked);
  ::chmod(locked.c_str(), 0555);
  const std::string address = "unix:" + locked + "/weft.sock";
  const std::string refusal = InChild([&address] {
    constexpr uid_t kNobody = 65'534;
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) return std::string("cannot drop privileges");
    return RefusalOf(ListenOn({address}));
  });
  CHECK(refusal == "77 cannot listen on " + address +
                       ": Permission denied: give this user the right to write in " + locked +
                       ", or choose another folder");
}

TEST_CASE("Listener: a file that was replaced meanwhile is not removed") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  std::optional<ListeningSockets> sockets = OpenListeners(ListenOn({"unix:" + path}));
  std::filesystem::remove(path);
  const FileDescriptor other = ListeningSocket(path);
  sockets.reset();
  CHECK(ConnectUnix(path) == 0);
}

TEST_CASE("Listener: a forked child does not remove the file") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  std::optional<ListeningSockets> sockets = OpenListeners(ListenOn({"unix:" + path}));
  InChild([&sockets] {
    sockets.reset();
    return std::string();
  });
  CHECK(ConnectUnix(path) == 0);
}

TEST_CASE("Listener: the file stays when the socket was given away, until the listener dies") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  {
    ListeningSockets sockets = OpenListeners(ListenOn({"unix:" + path}));
    const FileDescriptor socket(sockets.listeners.front().ReleaseDescriptor());
    CHECK(sockets.listeners.front().Descriptor() == -1);
    CHECK(ConnectUnix(path) == 0);
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("Listener: when one address fails, the others leave nothing behind") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  CHECK(RefusalOf(ListenOn({"unix:" + path, "unix:/nonexistent/weft.sock"})).substr(0, 2) == "78");
  CHECK_FALSE(std::filesystem::exists(path));
}

// --- TCP ----------------------------------------------------------------------------------------

#if !defined(__SANITIZE_ADDRESS__)  // the sanitizers need descriptors themselves, to look at types
TEST_CASE("Listener: when descriptors run out, no socket file stays behind") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  const Settings settings = ListenOn({"unix:" + path});
  const std::string report = InChild([&] {
    const int next = ::dup(STDIN_FILENO);  // the socket's number; its file needs one more
    ::close(next);
    const auto limit = static_cast<rlim_t>(next) + 1;
    const rlimit descriptors{.rlim_cur = limit, .rlim_max = limit};
    ::setrlimit(RLIMIT_NOFILE, &descriptors);
    return RefusalOf(settings);
  });
  CHECK(report.starts_with("71 cannot listen on unix:" + path + ": Too many open files: "));
  CHECK_FALSE(std::filesystem::exists(path));
}
#endif

TEST_CASE("Listener: TCP over IPv4 tells the port that the system chose") {
  const ListeningSockets sockets = OpenListeners(ListenOn({"tcp:127.0.0.1:0"}));
  REQUIRE(sockets.listeners.size() == 1);
  const Listener& listener = sockets.listeners.front();
  CHECK(IsNonBlockingAndCloseOnExec(listener.Descriptor()));
  CHECK(Port(listener) != 0);
  CHECK(listener.Address() == "tcp:127.0.0.1:" + std::to_string(Port(listener)));
  CHECK(ConnectLoopback(AF_INET, Port(listener)) == 0);
}

TEST_CASE("Listener: TCP over IPv6") {
  if (!HasIpv6()) {
    MESSAGE("not tested: this machine has no IPv6");
    return;
  }
  const ListeningSockets sockets = OpenListeners(ListenOn({"tcp:[::1]:0"}));
  REQUIRE(sockets.listeners.size() == 1);
  const Listener& listener = sockets.listeners.front();
  CHECK(listener.Address() == "tcp:[::1]:" + std::to_string(Port(listener)));
  CHECK(ConnectLoopback(AF_INET6, Port(listener)) == 0);
}

TEST_CASE("Listener: the IPv6 wildcard leaves the port of IPv4 free") {
  if (!HasIpv6()) {
    MESSAGE("not tested: this machine has no IPv6");
    return;
  }
  const ListeningSockets v6 = OpenListeners(ListenOn({"tcp:[::]:0"}));
  const int port = Port(v6.listeners.front());
  CHECK(ConnectLoopback(AF_INET, port) == ECONNREFUSED);
  const ListeningSockets v4 = OpenListeners(ListenOn({"tcp:0.0.0.0:" + std::to_string(port)}));
  CHECK(ConnectLoopback(AF_INET, port) == 0);
  CHECK(ConnectLoopback(AF_INET6, port) == 0);
}

TEST_CASE("Listener: every address means IPv4, and IPv6 where there is some") {
  const ListeningSockets sockets = OpenListeners(ListenOn({"tcp:*:0"}));
  REQUIRE(sockets.listeners.size() == 1);
  const int port = Port(sockets.listeners.front());
  CHECK(sockets.listeners.front().Address() == "tcp:*:" + std::to_string(port));
  CHECK(ConnectLoopback(AF_INET, port) == 0);
  if (HasIpv6()) CHECK(ConnectLoopback(AF_INET6, port) == 0);
}

TEST_CASE("Listener: the addresses of a name share one port") {
  const ListeningSockets sockets = OpenListeners(ListenOn({"tcp:localhost:0"}));
  REQUIRE_FALSE(sockets.listeners.empty());
  for (const Listener& listener : sockets.listeners) {
    CHECK(Port(listener) == Port(sockets.listeners.front()));
  }
}

TEST_CASE("Listener: a port in use is refused") {
  const ListeningSockets first = OpenListeners(ListenOn({"tcp:127.0.0.1:0"}));
  const std::string& address = first.listeners.front().Address();
  CHECK(RefusalOf(ListenOn({address})) ==
        "69 cannot listen on " + address +
            ": Address already in use: stop what listens there (ss -ltnp shows it), or choose "
            "another port");
}

TEST_CASE("Listener: an address of another machine is refused") {
  CHECK(RefusalOf(ListenOn({"tcp:192.0.2.1:0"})) ==
        "78 cannot listen on tcp:192.0.2.1:0: Cannot assign requested address: give an address of "
        "this machine, or tcp:*:PORT for all of them");
}

// --- Inherited ----------------------------------------------------------------------------------

TEST_CASE("Listener: an inherited socket is taken over, close-on-exec and non-blocking") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  const int inherited = ListeningSocket(path).Release();
  ::fcntl(inherited, F_SETFD, 0);
  {
    const std::string address = "fd:" + std::to_string(inherited);
    const ListeningSockets sockets = OpenListeners(ListenOn({address}));
    CHECK_FALSE(sockets.spawned);
    const Listener& listener = sockets.listeners.front();
    CHECK(listener.Descriptor() == inherited);
    CHECK(listener.Address() == address + " (unix:" + path + ")");
    CHECK(IsNonBlockingAndCloseOnExec(inherited));
    CHECK(ConnectUnix(path) == 0);
  }
  CHECK(std::filesystem::exists(path));  // the parent's, not ours to remove
}

TEST_CASE("Listener: a descriptor that is no listening stream socket is refused with the reason") {
  const TemporaryFolder folder;
  FileDescriptor descriptor;
  std::string reason;
  SUBCASE("file") {
    descriptor = FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    reason = "the descriptor is not a socket";
  }
  SUBCASE("connected") {
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    descriptor = FileDescriptor(pair[0]);
    const FileDescriptor peer(pair[1]);
    reason = "the socket is connected or only bound, not listening";
  }
  SUBCASE("only bound") {
    descriptor = BoundSocket(folder / "weft.sock");
    reason = "the socket is connected or only bound, not listening";
  }
  SUBCASE("datagram") {
    descriptor = BoundSocket(folder / "weft.sock", SOCK_DGRAM);
    reason = "the socket is not a stream socket";
  }
  SUBCASE("sequenced packets") {
    descriptor = BoundSocket(folder / "weft.sock", SOCK_SEQPACKET);
    REQUIRE(::listen(descriptor.Number(), 1) == 0);
    reason = "the socket is not a stream socket";
  }
  const std::string address = "fd:" + std::to_string(descriptor.Number());
  CHECK(RefusalOf(ListenOn({address})) ==
        "78 cannot listen on " + address + ": " + reason +
            ": have the parent pass a listening stream socket there, or give --listen unix:/PATH "
            "or --listen tcp:HOST:PORT");
}

TEST_CASE("Listener: a descriptor that is not open is refused") {
  CHECK(RefusalOf(ListenOn({"fd:987654"})) ==
        "78 cannot listen on fd:987654: the descriptor is not open: have the parent pass a "
        "listening stream socket there, or give --listen unix:/PATH or --listen tcp:HOST:PORT");
}

bool IsDevNull(int descriptor) {
  struct stat given {};
  struct stat null {};
  return ::fstat(descriptor, &given) == 0 && ::stat("/dev/null", &null) == 0 &&
         given.st_rdev == null.st_rdev;
}

/// In a child: as a web server starts us.
void PutOnDescriptorZero(const FileDescriptor& socket) { ::dup2(socket.Number(), STDIN_FILENO); }

TEST_CASE("Listener: without --listen a listening socket on descriptor 0 means spawned") {
  const TemporaryFolder folder;
  const std::string path = folder / "weft.sock";
  const FileDescriptor socket = ListeningSocket(path);
  CHECK(InChild([&socket, &path] {
          PutOnDescriptorZero(socket);
          const ListeningSockets sockets = OpenListeners(Settings{});
          const Listener& listener = sockets.listeners.front();
          std::string report = sockets.spawned ? "spawned" : "not spawned";
          if (listener.Address() != "fd:0 (unix:" + path + ")") report += " " + listener.Address();
          if (listener.Descriptor() < 3) report += ", still on a standard descriptor";
          if (!IsDevNull(STDIN_FILENO)) report += ", standard input is not /dev/null";
          if (!IsNonBlockingAndCloseOnExec(listener.Descriptor())) report += ", flags missing";
          return report;
        }) == "spawned");
}

TEST_CASE("Listener: --listen fd:0 takes the same socket, but not as spawned") {
  const TemporaryFolder folder;
  const FileDescriptor socket = ListeningSocket(folder / "weft.sock");
  CHECK(InChild([&socket] {
          PutOnDescriptorZero(socket);
          const ListeningSockets sockets = OpenListeners(ListenOn({"fd:0"}));
          return std::string(sockets.spawned ? "spawned" : "not spawned");
        }) == "not spawned");
}

TEST_CASE("Listener: with nothing to listen on the sentence says what to do") {
  CHECK(InChild([] {
          const FileDescriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
          ::dup2(null.Number(), STDIN_FILENO);
          ::unsetenv("LISTEN_FDS");
          return RefusalOf(Settings{});
        }) ==
        "64 no address to listen on: there is no --listen, and descriptor 0 is not a listening "
        "socket: give --listen unix:/run/weft.sock or --listen tcp:127.0.0.1:9000");
}

/// In a child: as systemd starts us.
void PassAsSystemd(const std::vector<FileDescriptor>& sockets, const std::string& pid,
                   const std::string& count) {
  int number = 3;
  for (const FileDescriptor& socket : sockets) {
    // Above all numbers in use first: the target of one may be the source of the next.
    const int copy = ::fcntl(socket.Number(), F_DUPFD, 200);
    ::dup2(copy, number++);
    ::close(copy);
  }
  ::setenv("LISTEN_PID", pid.c_str(), 1);
  ::setenv("LISTEN_FDS", count.c_str(), 1);
  ::setenv("LISTEN_FDNAMES", "a:b", 1);
}

TEST_CASE(
    "Listener: without --listen the sockets of systemd are taken, and the variables removed") {
  const TemporaryFolder folder;
  const std::string report = InChild([&folder] {
    std::vector<FileDescriptor> passed;
    passed.push_back(ListeningSocket(folder / "a.sock"));
    passed.push_back(ListeningSocket(folder / "b.sock"));
    PassAsSystemd(passed, std::to_string(::getpid()), "2");
    const ListeningSockets sockets = OpenListeners(Settings{});
    std::string text = sockets.spawned ? "spawned" : "";
    for (const Listener& listener : sockets.listeners) {
      text += listener.Address() + " ";
      if (!IsNonBlockingAndCloseOnExec(listener.Descriptor())) text += "(flags missing)";
    }
    for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
      if (std::getenv(name) != nullptr) text += name;
    }
    return text;
  });
  CHECK(report == "fd:3 (unix:" + (folder / "a.sock").string() +
                      ") fd:4 (unix:" + (folder / "b.sock").string() + ") ");
}

TEST_CASE("Listener: sockets of systemd that are meant for another process are not taken") {
  const std::string report = InChild([] {
    const FileDescriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ::dup2(null.Number(), STDIN_FILENO);
    PassAsSystemd({}, std::to_string(::getppid()), "1");
    return RefusalOf(Settings{});
  });
  CHECK(report.find("64 ") == 0);
  CHECK(report.find("LISTEN_FDS is not meant for this process") != std::string::npos);
}

TEST_CASE("Listener: a wrong LISTEN_FDS is refused") {
  const auto refusal = [](const std::string& count) {
    return InChild([&count] {
      PassAsSystemd({}, std::to_string(::getpid()), count);
      return RefusalOf(Settings{});
    });
  };
  CHECK(refusal("two") ==
        "78 LISTEN_FDS in the environment is not a whole number: correct whatever sets it, or give "
        "--listen");
  CHECK(refusal("-1").substr(0, 3) == "78 ");
  CHECK(refusal("100000").substr(0, 3) == "78 ");
}

TEST_CASE("Listener: a socket of systemd that does not listen is refused") {
  const std::string report = InChild([] {
    std::vector<FileDescriptor> passed;
    passed.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    PassAsSystemd(passed, std::to_string(::getpid()), "1");
    return RefusalOf(Settings{});
  });
  CHECK(report.find("78 cannot listen on fd:3: the descriptor is not a socket") == 0);
}

TEST_CASE("Listener: --listen beats what is inherited") {
  const TemporaryFolder folder;
  const FileDescriptor socket = ListeningSocket(folder / "inherited.sock");
  const std::string address = "unix:" + (folder / "own.sock").string();
  CHECK(InChild([&socket, &address] {
          PutOnDescriptorZero(socket);
          return OpenListeners(ListenOn({address})).listeners.front().Address();
        }) == address);
}

TEST_CASE("EnsureStandardDescriptors: closed ones become /dev/null, open ones stay") {
  CHECK(InChild([] {
          const FileDescriptor zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
          ::dup2(zero.Number(), STDIN_FILENO);
          ::close(STDOUT_FILENO);
          ::close(STDERR_FILENO);
          EnsureStandardDescriptors();
          std::string report;
          for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
            report += IsDevNull(descriptor) ? "null " : "other ";
          }
          return report;
        }) == "other null null ");
}

}  // namespace
}  // namespace weft::host::supervisor
