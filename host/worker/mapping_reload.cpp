#include "host/worker/mapping_reload.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <ctime>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "host/observe/log.hpp"
#include "host/worker/change_watch.hpp"
#include "mappings/fingerprint.hpp"
#include "mappings/loader.hpp"

namespace weft::host::worker {

namespace {

using Clock = std::chrono::steady_clock;
using observe::Level;
using observe::Log;
using std::chrono::milliseconds;

/// How often tables are looked at that requests still used.
constexpr milliseconds kDiscardTick{1'000};

/// Fingerprints of the files that are shared by all workers, in the file of the lock.
///
/// Threads: any, of any process.
class SharedFingerprints {
 public:
  using Word = std::atomic<std::uint64_t>;
  static_assert(Word::is_always_lock_free);

  struct Words {
    /// That every worker serves with, or has been told of. Who begins to look for changes learns from it whether it began
    /// itself with newer files than those who never look.
    Word told;
    /// Of the last reload that was logged. Who adopts learns from it whether it has found newer files than those.
    Word logged;
  };

  /// `file`: -1, or one that cannot be shared: nothing is known.
  explicit SharedFingerprints(int file) noexcept {
    if (file >= 0 && ::ftruncate(file, sizeof(Words)) == 0) {
      void* const memory =
          ::mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      words_ = memory == MAP_FAILED ? nullptr : static_cast<Words*>(memory);
    }
  }
  SharedFingerprints(const SharedFingerprints&) = delete;
  SharedFingerprints& operator=(const SharedFingerprints&) = delete;
  ~SharedFingerprints() {
    if (words_ != nullptr) {
      ::munmap(words_, sizeof(Words));
    }
  }

  /// Of the first worker.
  void Begin(std::uint64_t fingerprint) noexcept {
    if (words_ != nullptr) {
      for (Word* const word : {&words_->told, &words_->logged}) {
        std::uint64_t nothing = 0;
        word->compare_exchange_strong(nothing, fingerprint);
      }
    }
  }
  /// True: another one was known until now.
  bool Set(Word Words::*which, std::uint64_t fingerprint) noexcept {
    const std::uint64_t before = words_ == nullptr ? 0 : (words_->*which).exchange(fingerprint);
    return before != 0 && before != fingerprint;
  }
  [[nodiscard]] bool IsKnownToDiffer(Word Words::*which, std::uint64_t fingerprint) const noexcept {
    const std::uint64_t known = words_ == nullptr ? 0 : (words_->*which).load();
    return known != 0 && known != fingerprint;
  }

 private:
  Words* words_ = nullptr;
};

/// That this thread has used so far.
std::chrono::nanoseconds ProcessorTime() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::string Counted(std::size_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string TextOf(const std::vector<mappings::Problem>& problems) {
  std::string text;
  for (const auto& problem : problems) {
    text += problem.ToString() + "\n";
  }
  return text;
}

/// To name where no file is to blame.
std::string Place(const mappings::MappingSources& sources) {
  return (sources.directory.empty() ? sources.document_roots.front().directory : sources.directory)
      .string();
}

}  // namespace

/// What the thread and the others share. The thread holds a share of its own: should a file system hold it when
/// the worker ends, it is left behind.
class MappingReload::Thread : public std::enable_shared_from_this<MappingReload::Thread> {
 public:
  Thread(Options options, boost::asio::io_context& io, Apply apply, Report report)
      : options_(std::move(options)),
        io_(io),
        apply_(std::move(apply)),
        report_(std::move(report)),
        fingerprinter_(options_.sources),
        looked_at_(Clock::now()),
        first_look_(options_.interval > milliseconds(0) ? fingerprinter_.Take() : 0),
        watch_(first_look_),
        shared_(options_.lock) {}

  void Start(const AtStart& start) {
    if (start.refused.empty()) {
      shared_.Begin(first_look_);
    }
    if (!start.refused.empty() && options_.interval > milliseconds(0)) {
      last_refusal_ = TextOf(start.refused);
      retry_at_ = Clock::now() + kRetry;
    }
    if (start.was_read) {
      Tell({.cause = ReloadReport::Cause::kStart,
            .accepted = start.refused.empty(),
            .fingerprint = first_look_,
            .read_at = looked_at_,
            .problem_count = start.refused.size(),
            .problems = start.refused});
    }
    thread_ = std::thread([self = shared_from_this()] { self->Run(); });
  }

  void Request(ReloadOrder order) noexcept {
    const std::scoped_lock lock(mutex_);
    // Who wants to be told has it told.
    if (!requested_ || order == ReloadOrder::kCheck) {
      requested_ = order;
    }
    wake_.notify_all();
  }

  void Stop() noexcept {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }

  void Leave() noexcept {
    Stop();
    if (!thread_.joinable()) {
      return;
    }
    std::unique_lock lock(mutex_);
    const bool has_ended = wake_.wait_for(lock, kFarewell, [this] { return ended_; });
    lock.unlock();
    if (has_ended) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

 private:
  using Shared = SharedFingerprints::Words;
  enum class Cause { kChange, kCheck, kAdopt, kRetry };

  void Run() noexcept {
    look_at_ = Clock::now() + options_.interval;
    while (WaitForWork()) {
      try {
        Work();
      } catch (const std::exception& error) {
        Log(Level::kError, "the mappings cannot be reloaded now, for this reason:");
        Log(Level::kError, error.what());
        look_at_ = Clock::now() + kRetry;
        retry_at_ = look_at_;
      }
    }
    discarded_.clear();
    const std::scoped_lock lock(mutex_);
    ended_ = true;
    wake_.notify_all();
  }

  /// False: it is to stop.
  bool WaitForWork() {
    auto until = Clock::time_point::max();
    if (options_.interval > milliseconds(0)) {
      until = look_at_;
    }
    if (retry_at_) {
      until = std::min(until, *retry_at_);
    }
    if (!discarded_.empty()) {
      until = std::min(until, Clock::now() + kDiscardTick);
    }
    if (unsent_) {
      until = std::min(until, Clock::now() + kReportRetry);
    }
    std::unique_lock lock(mutex_);
    const auto is_awaited = [this] { return stopping_ || requested_; };
    if (until == Clock::time_point::max()) {
      wake_.wait(lock, is_awaited);
    } else {
      wake_.wait_until(lock, until, is_awaited);
    }
    return !stopping_;
  }

  void Work() {
    // Nobody else has a share of these, so nobody can get one.
    std::erase_if(discarded_, [](const auto& table) { return table.use_count() == 1; });
    TellUnsent();
    std::optional<ReloadOrder> order;
    {
      const std::scoped_lock lock(mutex_);
      order = std::exchange(requested_, std::nullopt);
    }
    if (order) {
      Reload(*order == ReloadOrder::kCheck ? Cause::kCheck : Cause::kAdopt);
    } else if (options_.interval > milliseconds(0) && Clock::now() >= look_at_) {
      LookForChanges();
    }
    if (retry_at_ && Clock::now() >= *retry_at_) {
      Reload(Cause::kRetry);
    }
  }

  void Tell(ReloadReport report) {
    unsent_ = std::move(report);
    TellUnsent();
  }

  void TellUnsent() {
    if (unsent_ && report_(*unsent_)) {
      if (unsent_->accepted && unsent_->cause == ReloadReport::Cause::kReload) {
        shared_.Set(&Shared::told, unsent_->fingerprint);  // the others will have it
      }
      unsent_.reset();
    }
  }

  void LookForChanges() {
    const auto began = Clock::now();
    if (!Leads()) {
      look_at_ = began + options_.interval;
      return;
    }
    if (!std::exchange(has_led_, true) &&
        shared_.IsKnownToDiffer(&Shared::told, watch_.Fingerprint())) {
      // It began with newer files than the others, none of which looks: they are to be told.
      Reload(Cause::kChange);
      look_at_ = Clock::now() + options_.interval;
      return;
    }
    const auto used_before = ProcessorTime();
    const auto fingerprint = fingerprinter_.Take();
    const auto now = Clock::now();
    // A file server that is slow gets a rest as well.
    const auto rest = std::max<Clock::duration>(
        {options_.interval, kLookShare * (ProcessorTime() - used_before), now - began});
    switch (watch_.Saw(fingerprint, now)) {
      case ChangeWatch::Next::kRest:
        look_at_ = now + rest;
        break;
      case ChangeWatch::Next::kLookSoon:
        look_at_ = now + ChangeWatch::kSettled;
        break;
      case ChangeWatch::Next::kRead:
        Reload(Cause::kChange, fingerprint, began);
        look_at_ = Clock::now() + rest;
        break;
    }
  }

  /// The lock is the kernel's to take back when the process ends, however it does.
  bool Leads() noexcept {
    if (!leads_ && options_.lock >= 0) {
      struct flock whole {};
      whole.l_type = F_WRLCK;
      whole.l_whence = SEEK_SET;
      leads_ = ::fcntl(options_.lock, F_SETLK, &whole) == 0;
    }
    return leads_ || options_.lock < 0;
  }

  void Reload(Cause cause) {
    const auto looked_at = Clock::now();
    Reload(cause, fingerprinter_.Take(), looked_at);
  }

  /// `fingerprint`: of the files, from `looked_at` on.
  void Reload(Cause cause, std::uint64_t fingerprint, Clock::time_point looked_at) {
    retry_at_.reset();
    watch_.Read(fingerprint);
    const auto began = Clock::now();
    auto loaded = mappings::Load(options_.sources);
    Applied applied;
    if (loaded.table) {
      auto answer = ApplyOnReactor(std::move(loaded.table));
      if (!answer) {
        return;  // the worker ends
      }
      applied = std::move(*answer);
    }
    if (applied.discarded) {
      discarded_.push_back(std::move(applied.discarded));
    }
    const bool types_are_wrong = !applied.problems.empty();
    auto problems = std::move(loaded.problems);
    problems.insert(problems.end(), applied.problems.begin(), applied.problems.end());
    if (!applied.accepted && problems.empty()) {
      problems.push_back({{Place(options_.sources), 0, 0},
                          mappings::Problem::Severity::kError,
                          "There is no memory for these mappings."});
    }
    if (applied.accepted) {
      ++table_;
      last_refusal_.clear();
      const bool is_newer = shared_.Set(&Shared::logged, fingerprint);
      const bool is_logged = cause == Cause::kAdopt && options_.is_supervised && !is_newer;
      LogAccepted(is_logged, problems, Clock::now() - began);
    } else {
      LogRefused(cause, problems, types_are_wrong);
      if (options_.interval > milliseconds(0) || cause == Cause::kAdopt || cause == Cause::kRetry) {
        retry_at_ = Clock::now() + kRetry;
      }
    }
    Tell({.accepted = applied.accepted,
          .fingerprint = fingerprint,
          .read_at = looked_at,
          .problem_count = problems.size(),
          .problems = std::move(problems)});
  }

  /// Nothing: the worker ends.
  std::optional<Applied> ApplyOnReactor(std::shared_ptr<const mappings::MappingTable> table) {
    std::unique_lock lock(mutex_);
    if (stopping_) {
      return std::nullopt;  // there may be no reactor any more
    }
    boost::asio::post(io_, [self = shared_from_this(), table = std::move(table)]() mutable {
      self->ApplyNow(std::move(table));
    });
    wake_.wait(lock, [this] { return stopping_ || applied_; });
    return std::exchange(applied_, std::nullopt);
  }

  void ApplyNow(std::shared_ptr<const mappings::MappingTable> table) {
    {
      const std::scoped_lock lock(mutex_);
      if (stopping_) {
        return;
      }
    }
    Applied applied;
    try {
      applied = apply_(std::move(table));
    } catch (const std::bad_alloc&) {
      // Refused, and no words to say why.
    }
    const std::scoped_lock lock(mutex_);
    applied_ = std::move(applied);
    wake_.notify_all();
  }

  /// `is_logged`: another worker has done it for all.
  void LogAccepted(bool is_logged, const std::vector<mappings::Problem>& problems,
                   Clock::duration took) const {
    std::string line = "the mappings were reloaded in " +
                       std::to_string(std::chrono::ceil<milliseconds>(took).count()) +
                       " ms, this is table " + std::to_string(table_) + " of this process";
    if (!problems.empty()) {
      line += ", with " + Counted(problems.size(), "warning");
    }
    Log(is_logged ? Level::kDebug : Level::kInfo, line);
    LogProblems(is_logged ? std::vector<mappings::Problem>{} : problems);
  }

  void LogRefused(Cause cause, const std::vector<mappings::Problem>& problems,
                  bool types_are_wrong) {
    auto text = TextOf(problems);
    if (cause == Cause::kRetry && text == last_refusal_) {
      return;
    }
    last_refusal_ = std::move(text);
    std::string line = "the mappings were not reloaded, those of before serve on: " +
                       Counted(problems.size(), "problem") + ", which follow";
    if (types_are_wrong) {
      line += "; modules are loaded when the host starts, so that a new one needs a restart";
    }
    Log(Level::kError, line);
    LogProblems(problems);
  }

  static void LogProblems(const std::vector<mappings::Problem>& problems) {
    for (const auto& problem : problems) {
      const bool is_error = problem.severity == mappings::Problem::Severity::kError;
      Log(is_error ? Level::kError : Level::kWarning, problem.ToString());
    }
  }

  const Options options_;
  boost::asio::io_context& io_;
  const Apply apply_;
  const Report report_;

  // The thread's own, once it runs.
  mappings::Fingerprinter fingerprinter_;
  const Clock::time_point looked_at_;  // for the first time
  const std::uint64_t first_look_;
  ChangeWatch watch_;
  SharedFingerprints shared_;
  bool leads_ = false;
  bool has_led_ = false;
  Clock::time_point look_at_;
  std::optional<Clock::time_point> retry_at_;
  std::string last_refusal_;
  std::uint64_t table_ = 1;  // that serves; 1 is that of the start
  std::optional<ReloadReport> unsent_;
  std::vector<std::shared_ptr<const void>> discarded_;

  std::thread thread_;  // the reactor's
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::optional<ReloadOrder> requested_;
  std::optional<Applied> applied_;
  bool stopping_ = false;
  bool ended_ = false;
};

MappingReload::MappingReload(Options options, boost::asio::io_context& io, Apply apply,
                             Report report)
    : thread_(
          std::make_shared<Thread>(std::move(options), io, std::move(apply), std::move(report))) {}

MappingReload::~MappingReload() { thread_->Leave(); }

void MappingReload::Start(const AtStart& start) { thread_->Start(start); }

void MappingReload::Request(ReloadOrder order) noexcept { thread_->Request(order); }

void MappingReload::Stop() noexcept { thread_->Stop(); }

}  // namespace weft::host::worker
