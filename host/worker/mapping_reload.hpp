#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "mappings/mapping_table.hpp"
#include "mappings/problem.hpp"

namespace weft::host::worker {

/// What a worker's reloads have come to so far.
struct ReloadStatus {
  enum class Outcome { kNone, kLoaded, kRefused };

  /// The most problems that are kept. 100: more than anybody reads; the log has all.
  static constexpr std::size_t kMaxProblems = 100;

  /// Counts the tables that this worker has served with; 1 is that of its start.
  std::uint64_t table = 1;
  std::chrono::system_clock::time_point serving_since{};
  Outcome last_outcome = Outcome::kNone;  ///< Of the last reload.
  std::chrono::system_clock::time_point last_at{};
  std::size_t problem_count = 0;              ///< That it found, warnings as well.
  std::vector<mappings::Problem> problems{};  ///< The first of them.
};

/// A worker's word to its supervisor about a reload. Written whole, for it is shorter than PIPE_BUF.
struct ReloadReport {
  pid_t process = -1;
  std::uint32_t accepted = 0;
  std::uint64_t fingerprint = 0;  ///< Of the files that were read (mappings::Fingerprinter).
  std::uint64_t problem_count = 0;
};

/// Who is told of a reload, in the value that goes with a SIGHUP (sigqueue(3)): a plain kill(2) has none.
enum class ReloadOrder : int {
  kCheck = 0,  ///< Read, serve with it if it is sound, and log what came of it.
  kAdopt = 1,  ///< Another worker has found it sound and logged it: log only what goes wrong.
};

/// Reads the mapping files again while the worker serves: on demand, and when they have changed.
///
/// A thread of its own looks at the files and reads them, so that no request waits for a disk. A sound table is
/// handed to the reactor, which resolves its types and swaps it in; with any error the one before serves on,
/// and every problem is logged, once. Of the workers of one host only that which holds `lock` looks for changes;
/// the supervisor tells the others. What keeps failing is tried again every kRetry, for the cause may be none
/// that the files show (a lack of descriptors).
///
/// Threads: construct, Start(), Stop() and destroy on the reactor's; the rest from any.
class MappingReload {
 public:
  static constexpr std::chrono::milliseconds kRetry{10'000};
  /// Looking takes no more than one part in so many of a processor, or less often is looked.
  static constexpr int kLookShare = 20;
  /// How long the destructor waits for a thread that a file system holds.
  static constexpr std::chrono::milliseconds kFarewell{1'000};

  struct Options {
    std::filesystem::path directory;  ///< As for mappings::Load().
    std::chrono::milliseconds
        interval{};  ///< From one look for changes to the next; 0: none are looked for.
    /// A file that one process at a time locks (fcntl(2)), and with it becomes the one that looks; -1: this is.
    int lock = -1;
    /// Whether a supervisor logs that there is a new table; else it is done here.
    bool is_supervised = false;
  };

  struct Applied {
    bool accepted = false;
    std::vector<mappings::Problem> problems{};  ///< With the types; any: it is refused.
    /// The table that serves no more, or never will: requests may still use it. It is destroyed on the thread.
    std::shared_ptr<const void> discarded{};
  };
  /// Takes a sound table into service, or refuses it. Called on the reactor. Must not throw but std::bad_alloc.
  using Apply = std::function<Applied(std::shared_ptr<const mappings::MappingTable>)>;
  /// Called on the thread after each reload. Must not throw.
  using Report = std::function<void(const ReloadReport&)>;

  /// Looks at the files: from now on they are watched, so read those of the start afterwards. `io` must outlive
  /// this object. Blocks on files.
  MappingReload(Options options, boost::asio::io_context& io, Apply apply, Report report);
  MappingReload(const MappingReload&) = delete;
  MappingReload& operator=(const MappingReload&) = delete;
  /// Waits for the thread, no longer than kFarewell.
  ~MappingReload();

  /// Starts the thread. `refused`: what is wrong with the files, when the worker serves with another table than
  /// theirs; it was logged. Throws std::system_error when there is no thread to be had.
  void Start(const std::vector<mappings::Problem>& refused);
  /// Asks for a reload. Several that come before it begins are one.
  void Request(ReloadOrder order) noexcept;
  /// Nothing is applied from now on.
  void Stop() noexcept;

  [[nodiscard]] ReloadStatus Status() const;

 private:
  class Thread;
  std::shared_ptr<Thread> thread_;
};

}  // namespace weft::host::worker
