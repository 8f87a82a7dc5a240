#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "host/observe/line_writer.hpp"
#include "host/options/settings.hpp"
#include "host/pipeline/pipeline.hpp"
#include "host/runtime/runtime.hpp"
#include "host/runtime/stall_watch.hpp"

namespace weft::host::worker {

/// Tells of each request that takes longer than its threshold, once: with its handler, how long it waited and ran, and the
/// stack of the handler at that moment, of whatever kind it is. From a thread of its own, for symbols are read from files.
///
/// Threads: construct and destroy on the reactor's thread; Tell() from there, NoteStall() from any.
class SlowLog {
 public:
  /// Requests that wait to be told; more are counted in the next. 16: where many are slow at once, some tell why.
  static constexpr std::size_t kMaxWaiting = 16;
  /// How long the reactor may take to have a fiber write down its stack.
  static constexpr std::chrono::milliseconds kPatience{1'000};

  /// Throws std::system_error where the file cannot be opened. `runtime` must outlive it.
  SlowLog(const options::Settings& settings, runtime::Runtime& runtime);
  SlowLog(const SlowLog&) = delete;
  SlowLog& operator=(const SlowLog&) = delete;
  ~SlowLog();

  void Tell(pipeline::SlowRequest request) noexcept;
  /// What the stall watch has seen: the stack of a request that may be told as slow when it has let go.
  void NoteStall(const runtime::StallWatch::Stall& stall) noexcept;
  void Reopen() noexcept;
  void Flush() noexcept;

 private:
  struct Stack {
    std::string frames;
    std::string note;  ///< for the end of the sentence
  };

  void Run();
  void Write(const pipeline::SlowRequest& request, std::uint64_t untold);
  Stack StackOf(const pipeline::SlowRequest& request);
  std::optional<Stack> StackOfStall(const pipeline::SlowRequest& request);

  runtime::Runtime& runtime_;
  std::unique_ptr<observe::LineWriter> writer_;  // null: the log's
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<pipeline::SlowRequest> waiting_;
  std::uint64_t untold_ = 0;
  bool stops_ = false;
  std::string stalled_;  // what the last stall was of, and its stack
  std::string stall_frames_;
  std::thread thread_;
};

}  // namespace weft::host::worker
