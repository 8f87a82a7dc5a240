#pragma once

#include <sys/types.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "host/options/settings.hpp"
#include "host/supervisor/file_descriptor.hpp"

namespace weft::host::supervisor {

/// A socket that cannot be listened on. what() is one sentence: which address, what the system
/// said, what to do. The exit code is one of options/exit_code.hpp:
///
/// | code | when                                                                                 |
/// |------|--------------------------------------------------------------------------------------|
/// | 64   | no --listen, and nothing was inherited                                               |
/// | 69   | somebody listens there already; the name server does not answer                      |
/// | 71   | no descriptors or memory left                                                        |
/// | 77   | no permission: the folder or socket file, a port below 1024                          |
/// | 78   | unknown host, not this machine's address, path too long or not ours to replace,      |
/// |      | missing folder, a descriptor that is not a listening stream socket, bad LISTEN_FDS   |
class ListenError : public std::runtime_error {
 public:
  ListenError(int exit_code, const std::string& sentence)
      : std::runtime_error(sentence), exit_code_(exit_code) {}
  [[nodiscard]] int ExitCode() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

/// The file of a Unix socket that this process bound: removed when this object dies, unless it was
/// replaced meanwhile (another instance took over the path), and never by a forked child.
class SocketFile {
 public:
  /// Throws std::system_error when the file cannot be looked at.
  explicit SocketFile(std::string path);
  /// Takes over what another SocketFile had: `file` is its Descriptor().
  SocketFile(std::string path, FileDescriptor file);
  SocketFile(SocketFile&&) noexcept = default;
  SocketFile& operator=(SocketFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(file_, other.file_);
    std::swap(owner_, other.owner_);
    return *this;
  }
  ~SocketFile();

  [[nodiscard]] const std::string& Path() const noexcept { return path_; }
  /// What tells it from another file of that path.
  [[nodiscard]] int Descriptor() const noexcept { return file_.Number(); }

 private:
  std::string path_;
  /// Open for its name only (O_PATH), to keep the inode: its number cannot go to another file as
  /// long as we compare with it.
  FileDescriptor file_;
  pid_t owner_;
};

/// One listening socket: close-on-exec and non-blocking. Dies with its file, if it has one.
class Listener {
 public:
  Listener(FileDescriptor socket, std::string address, std::optional<SocketFile> file = {})
      : socket_(std::move(socket)), file_(std::move(file)), address_(std::move(address)) {}

  [[nodiscard]] int Descriptor() const noexcept { return socket_.Number(); }

  /// As `--listen` takes it, with the port that the system chose in place of 0. For an inherited
  /// one followed by what it is bound to: `fd:0 (unix:/run/weft.sock)`.
  [[nodiscard]] const std::string& Address() const noexcept { return address_; }

  /// What it was opened for, as ToString(ListenAddress) has it; `--control PATH`, `--metrics-listen ADDRESS`; empty: nothing was said, and it was
  /// inherited.
  [[nodiscard]] const std::string& Source() const noexcept { return source_; }
  void SetSource(std::string source) { source_ = std::move(source); }
  /// Null: it has none, or it is not this process's to remove.
  [[nodiscard]] const SocketFile* File() const noexcept { return file_ ? &*file_ : nullptr; }

  /// Gives the socket away; the caller closes it. The file stays until the listener dies.
  [[nodiscard]] int ReleaseDescriptor() noexcept { return socket_.Release(); }

 private:
  FileDescriptor socket_;
  std::optional<SocketFile> file_;
  std::string address_;
  std::string source_;
};

struct ListeningSockets {
  std::vector<Listener> listeners;
  /// Whether a web server (mod_fcgid, lighttpd, spawn-fcgi) started us with the socket on
  /// descriptor 0, and no --listen said so.
  bool spawned = false;
  /// Where the supervisor answers (OpenControl()); not for the workers.
  std::optional<Listener> control{};
  /// Where the supervisor answers HTTP (OpenMetrics()); not for the workers.
  std::vector<Listener> metrics{};
};

/// Opens what `settings.listen` names. When it names nothing: the sockets that systemd passed
/// (LISTEN_PID, LISTEN_FDS), else the one on descriptor 0.
///
/// Unix: a socket file that is in the way is removed if nobody answers on it; anything else in the
/// way is refused. The file has its mode before the socket can be connected to.
/// TCP: a host name is listened on at all of its addresses. `tcp:[::]:PORT` is IPv6 only, so that
/// `tcp:0.0.0.0:PORT` can stand beside it; `tcp:*:PORT` is one socket for both (IPv4 peers have
/// mapped addresses, ::ffff:1.2.3.4), or IPv4 where the kernel has no IPv6.
///
/// Inherited sockets are made non-blocking, though the flag is shared with whoever passed them: of
/// several workers that see one connection, all but one would block in accept() and serve nobody.
/// The known spawners do not accept themselves; a sibling on the same socket that expects a
/// blocking accept (a plain libfcgi program beside Weft under one spawn-fcgi) does not go together
/// with this. The flag is not restored: siblings of our own need it. A socket on descriptor 0 moves
/// to a higher number and /dev/null takes its place, so that closing it never frees the number of
/// standard input.
///
/// LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are removed from the environment once used.
///
/// While the name of a host is looked up, SIGTERM, SIGQUIT and SIGINT end the process with 0, also when
/// they are blocked: nothing is open yet, and a name server may take its time.
///
/// Throws ListenError. Threads: call before any other thread exists (umask, environment).
///
/// `known`: those that are open already; what `settings.listen` names as one was named before is taken from there (where
/// it names nothing: those that were inherited), brought to the new mode and backlog, and the rest stays.
[[nodiscard]] ListeningSockets OpenListeners(const options::Settings& settings);
[[nodiscard]] ListeningSockets OpenListeners(const options::Settings& settings,
                                             std::vector<Listener>& known);

/// Opens the Unix socket of `--control`, as one of `--listen` is opened, for this user alone (mode 0600).
///
/// Throws ListenError. Threads: call before any other thread exists (umask).
[[nodiscard]] Listener OpenControl(const std::string& path);
/// What its Source() is.
[[nodiscard]] std::string ControlSource(const std::string& path);

/// Opens `settings.metrics_listen`, as one of `settings.listen` is opened; a name may stand for several addresses. None is given:
/// there are none. `known`: as for OpenListeners(), by their MetricsSource().
///
/// Throws ListenError. Threads: call before any other thread exists (umask).
[[nodiscard]] std::vector<Listener> OpenMetrics(const options::Settings& settings,
                                                std::vector<Listener>& known);
/// What their Source() is; empty: there are none.
[[nodiscard]] std::string MetricsSource(const options::Settings& settings);

/// All sockets of `settings`, those of --control and --metrics-listen among them: those of `known` that are wanted still, out of
/// there, and new ones.
///
/// Throws ListenError. Threads: as OpenListeners().
[[nodiscard]] ListeningSockets OpenSockets(const options::Settings& settings,
                                           std::vector<Listener>& known);

/// Opens /dev/null on each of descriptors 0, 1 and 2 that is closed, as FastCGI allows a web server
/// to leave 1 and 2. Else the next socket becomes descriptor 2, and log lines go to a client.
void EnsureStandardDescriptors();

}  // namespace weft::host::supervisor
