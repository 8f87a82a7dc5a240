#pragma once

#include <sys/types.h>

#include <chrono>
#include <string_view>
#include <thread>

#include "host/runtime/runtime.hpp"

namespace weft::host::worker {

/// Tells whoever asks at StackSocketOf() of this process, if it is the same user or root, the stacks of all requests:
/// `weft stacks`. From a thread of its own, so that a reactor that is held up is told of as well.
///
/// Threads: construct and destroy on the reactor's thread.
class StackServer {
 public:
  /// How long the reactor may take to begin with it; then it is held up.
  static constexpr std::chrono::milliseconds kPatience{1'000};

  /// Throws std::system_error where the system refuses. `runtime` must outlive it.
  explicit StackServer(runtime::Runtime& runtime);
  StackServer(const StackServer&) = delete;
  StackServer& operator=(const StackServer&) = delete;
  ~StackServer();

 private:
  void Run() noexcept;
  void Serve(int client) const;
  void Tell(int client) const;
  /// False: the client has gone, does not read, or this ends. An empty text only asks.
  bool Send(int client, std::string_view text) const;

  runtime::Runtime& runtime_;
  const pid_t reactor_;
  int socket_ = -1;
  int stop_ = -1;
  std::thread thread_;
};

}  // namespace weft::host::worker
