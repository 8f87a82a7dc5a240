#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "host/worker/message.hpp"
#include "mappings/mapping_table.hpp"
#include "mappings/problem.hpp"
#include "mappings/sources.hpp"

namespace weft::host::worker {

/// Who is told of a reload, in the value that goes with a SIGHUP (sigqueue(3)): a plain kill(2) has none.
enum class ReloadOrder : int {
  kCheck = 0,  ///< Read, serve with it if it is sound, and log what came of it.
  kAdopt =
      1,  ///< Another worker has found it sound and logged it: log only what goes wrong, and files that are newer still.
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
  /// When a report that could not be taken is given again.
  static constexpr std::chrono::milliseconds kReportRetry{250};
  /// Looking takes no more than one part in so many of a processor, or less often is looked.
  static constexpr int kLookShare = 20;
  /// How long the destructor waits for a thread that a file system holds.
  static constexpr std::chrono::milliseconds kFarewell{1'000};

  struct Options {
    mappings::MappingSources sources;  ///< As for mappings::Load(); not empty.
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
  /// Called on the thread after each reload, and by Start(). False: it could not be taken, and is given once more,
  /// unless there is a newer one by then. Must not throw but std::bad_alloc.
  using Report = std::function<bool(const ReloadReport&)>;

  /// Looks at the files: from now on they are watched, so read those of the start afterwards. `io` must outlive
  /// this object. Blocks on files.
  MappingReload(Options options, boost::asio::io_context& io, Apply apply, Report report);
  MappingReload(const MappingReload&) = delete;
  MappingReload& operator=(const MappingReload&) = delete;
  /// Waits for the thread, no longer than kFarewell.
  ~MappingReload();

  /// What the worker's start came to, about the files since the constructor looked at them.
  struct AtStart {
    bool was_read = true;  ///< Not: it took over a table, and did not look at them.
    /// What is wrong with them: the worker serves with another table than theirs. It was logged. Empty: nothing is.
    std::vector<mappings::Problem> refused{};
  };

  /// Reports the start, and starts the thread. Throws std::system_error when there is no thread to be had.
  void Start(const AtStart& start);
  /// Asks for a reload. Several that come before it begins are one.
  void Request(ReloadOrder order) noexcept;
  /// Nothing is applied from now on.
  void Stop() noexcept;

 private:
  class Thread;
  std::shared_ptr<Thread> thread_;
};

}  // namespace weft::host::worker
