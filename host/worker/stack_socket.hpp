#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>

namespace weft::host::worker {

/// Where a worker tells its stacks (StackServer): a Unix socket in the abstract namespace, which leaves no file behind and is
/// gone with the process. Containers that share a network share that namespace, but have numbers of processes of their own.
struct StackSocketName {
  sockaddr_un address{};
  socklen_t bytes = 0;
};

/// Of the process `pid` among those that the caller sees.
inline StackSocketName StackSocketOf(pid_t pid) {
  struct stat processes {};
  if (::stat("/proc/self/ns/pid", &processes) != 0) {
    processes.st_ino = 0;
  }
  const std::string name =
      "weft-stacks/" + std::to_string(processes.st_ino) + "/" + std::to_string(pid);
  StackSocketName socket;
  socket.address.sun_family = AF_UNIX;
  std::memcpy(socket.address.sun_path + 1, name.data(), name.size());
  socket.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return socket;
}

}  // namespace weft::host::worker
