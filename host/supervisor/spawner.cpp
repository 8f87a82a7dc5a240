#include "host/supervisor/spawner.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <string_view>

#include "host/supervisor/file_descriptor.hpp"

namespace weft::host::supervisor {
namespace {

/// Ends a moment after what it has spawned has started.
constexpr std::string_view kDaemonizer = "spawn-fcgi";

/// By the name of the program that runs, as the kernel has it.
bool ParentIs(std::string_view name) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/comm", static_cast<int>(::getppid()));
  const FileDescriptor file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 32> text{};
  const ssize_t count = file.IsOpen() ? ::read(file.Number(), text.data(), text.size()) : -1;
  if (count <= 0) return false;
  std::string_view comm(text.data(), static_cast<std::size_t>(count));
  if (comm.ends_with('\n')) comm.remove_suffix(1);
  return comm == name;
}

/// Whether the socket is a Unix one whose file has been removed.
bool FileIsGone(int socket) noexcept {
  sockaddr_un name{};
  socklen_t length = sizeof(name);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&name), &length) != 0 ||
      name.sun_family != AF_UNIX || length <= offsetof(sockaddr_un, sun_path) ||
      // An abstract name has no file; a relative path tells nothing, for the folder may be another.
      name.sun_path[0] != '/') {
    return false;
  }
  std::array<char, sizeof(name.sun_path) + 1> path{};  // a name may fill it without an end
  std::ranges::copy(name.sun_path, path.begin());
  struct stat status {};
  return ::lstat(path.data(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

}  // namespace

bool EndWithSpawner(const options::Settings& settings, const ListeningSockets& sockets) noexcept {
  if (!sockets.spawned) return true;
  const bool stays = settings.outlive_spawner || ParentIs(kDaemonizer);
  ::prctl(PR_SET_PDEATHSIG, stays ? 0 : SIGTERM);
  // In this order: it removes the file before it ends. Inside a root of our own its path is another's.
  return stays || !settings.chroot.empty() ||
         !std::ranges::all_of(sockets.listeners, [](const Listener& listener) {
           return FileIsGone(listener.Descriptor());
         });
}

}  // namespace weft::host::supervisor
