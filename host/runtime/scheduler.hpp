#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/fiber/algo/algorithm.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/scheduler.hpp>
#include <chrono>
#include <cstdint>
#include <map>

namespace weft::host::runtime {

/// The order in which the reactor thread's fibers run, and what it does when none can: first come, first
/// served; with nothing ready it runs the io_context until something is.
///
/// While fibers are always ready, the io_context is polled each time the dispatcher's turn comes, which is once
/// for every round of the queue, so that no fiber can starve input and output by yielding.
///
/// Handlers run on the dispatcher's own stack: they must not wait, and must not throw.
///
/// Threads: the reactor's; notify() from any.
class Scheduler : public boost::fibers::algo::algorithm {
 public:
  explicit Scheduler(boost::asio::io_context& io) noexcept : io_(io) {}

  void awakened(boost::fibers::context* fiber) noexcept override;
  boost::fibers::context* pick_next() noexcept override;
  bool has_ready_fibers() const noexcept override { return !ready_.empty(); }
  void suspend_until(const std::chrono::steady_clock::time_point& time) noexcept override;
  void notify() noexcept override;
#if defined(__SANITIZE_THREAD__)
  ~Scheduler() override;
#endif

 private:
  boost::fibers::context* Next() noexcept;
  /// Handlers run at one turn of the dispatcher while fibers wait for theirs. A few: none waits, so that fibers hardly
  /// do, and neither do connections while fibers are always ready.
  static constexpr int kHandlersPerTurn = 8;

  boost::asio::io_context& io_;
  boost::fibers::scheduler::ready_queue_type ready_;
#if defined(__SANITIZE_THREAD__)
  /// What the sanitizer knows of `fiber`: a history and a stack of its own.
  void* TwinOf(boost::fibers::context* fiber) noexcept;
  std::map<boost::fibers::context*, void*> twins_;
#endif
};

}  // namespace weft::host::runtime
