#include "host/worker/worker.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <typeinfo>
#include <utility>
#include <vector>

#include "handlers/builtin/builtin.hpp"
#include "host/fastcgi/responder.hpp"
#include "host/fastcgi/server.hpp"
#include "host/handling/handler_table.hpp"
#include "host/handling/module_loader.hpp"
#include "host/observe/access_log.hpp"
#include "host/observe/crash_evidence.hpp"
#include "host/observe/host_report.hpp"
#include "host/observe/listen_queue.hpp"
#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/options/version.hpp"
#include "host/pipeline/pipeline.hpp"
#include "host/runtime/crash_handler.hpp"
#include "host/runtime/epoll_watch.hpp"
#include "host/runtime/memory_reserve.hpp"
#include "host/runtime/memory_trim.hpp"
#include "host/runtime/runtime.hpp"
#include "host/runtime/stall_watch.hpp"
#include "host/runtime/thread_stack.hpp"
#include "host/worker/mapping_reload.hpp"
#include "host/worker/message.hpp"
#include "host/worker/recycling.hpp"
#include "host/worker/slow_log.hpp"
#include "host/worker/stack_server.hpp"
#include "host/worker/stack_text.hpp"
#include "host/worker/start_watch.hpp"
#include "host/worker/static_files.hpp"
#include "host/worker/trace_view.hpp"
#include "mappings/loader.hpp"
#include "mappings/type_name.hpp"

namespace weft::host::worker {

namespace {

using Clock = std::chrono::steady_clock;
using observe::Level;
using observe::Log;

/// How often deadlines are looked at, while anything has one. They are seconds; a quarter of one is precise enough.
constexpr std::chrono::milliseconds kTick{250};
/// The same while the worker ends, and somebody waits for it.
constexpr std::chrono::milliseconds kDrainTick{10};
/// What cancelled requests get to clean up and answer before the process ends without them. The supervisor's
/// kKillGrace, after which it kills, is longer.
constexpr std::chrono::milliseconds kCancelGrace{1000};
/// For a thread that is stuck to write down its stack. It takes it at once, unless it has blocked signals or waits
/// for a device.
constexpr std::chrono::milliseconds kStackPatience{200};
/// Until when after the drain time modules may stop. Longer than kCancelGrace, and shorter than kKillGrace.
constexpr std::chrono::milliseconds kStopGrace{1500};

/// While a worker passes its connections on: the time that those have to come to rest by themselves, which never do where
/// requests of many clients overlap on them; from then on they take no more requests for a moment, again and again. A moment
/// is so short because one long request would hold up all others on its connection.
constexpr std::chrono::milliseconds kRestByThemselves{200};
constexpr std::chrono::milliseconds kHeldBack{100};
constexpr std::chrono::milliseconds kBetweenHolds{400};
/// And at the end of the drain time for good: what is not read by then is for whoever gets the connection.
constexpr std::chrono::milliseconds kLastHold{1000};

/// How often the supervisor is told of stacks and stalls, if anything has changed.
constexpr std::chrono::milliseconds kFiguresInterval{1000};

/// "4-17" of "request 4-17 GET /a: shop::Report"; empty where it is another text.
std::string_view RequestIdOf(std::string_view what) {
  constexpr std::string_view kBegin = "request ";
  if (!what.starts_with(kBegin)) {
    return {};
  }
  what.remove_prefix(kBegin.size());
  return what.substr(0, what.find(' '));
}

void LogStall(std::chrono::milliseconds threshold, const runtime::StallWatch::Stall& stall) {
  const auto held_for = std::to_string(stall.held_for.count()) + " ms";
  const auto what = stall.what.empty() ? "what is no request" : stall.what;
  std::string message = "stall: " + what;
  if (stall.has_ended) {
    message += ": has let go of the reactor's thread after " + held_for;
  } else {
    message +=
        ": holds the reactor's thread, and all other requests of this worker wait, for " +
        held_for + " so far (--stall-threshold " + options::FormatDuration(threshold) + ")" +
        (stall.stack.empty() ? "; its stack could not be taken: it has gone on, or takes no signals"
                             : "") +
        (stall.untold == 0 ? ""
                           : "; " + std::to_string(stall.untold) +
                                 " before it were counted and not told, for there were many");
  }
  const auto frames = WithoutCallers(stall.stack);
  const std::array fields{observe::LogField("held_ms", stall.held_for.count()),
                          observe::LogField("ended", stall.has_ended ? "yes" : "no")};
  Log({.level = Level::kWarning,
       .message = message,
       .event = "stall",
       .request = RequestIdOf(stall.what),
       .fields = fields,
       .stack = frames,
       .is_about_no_request = true});
}

runtime::Runtime::Options RuntimeOptions(const options::Settings& settings,
                                         observe::WorkerFigures& figures) {
  return {.stack_bytes = settings.stack_size,
          .idle_stacks = settings.idle_stacks,
          .blocking_threads = settings.blocking_threads,
          .blocking_queue = settings.blocking_queue,
          .max_tasks = settings.max_tasks,
          .blocking_idle = settings.blocking_idle,
          .queue_timeout = settings.queue_timeout,
          .shed = {.target = settings.shed_target, .interval = settings.shed_interval},
          .pool_figures = &figures.handlers,
          .offload_figures = &figures.offload};
}

pipeline::Pipeline::Limits PipelineLimits(const options::Settings& settings) {
  return {.max_requests = settings.max_requests,
          .max_request_bytes = settings.max_request_bytes,
          .max_buffered_bytes = settings.max_buffered_bytes,
          .output_buffer_bytes = settings.output_buffer_bytes,
          .request = {.max_fields = settings.max_fields,
                      .debug = settings.debug,
                      .trusted_proxies = settings.trusted_proxies,
                      .forwarded_fields = settings.BelievedFields(),
                      .body_memory_bytes = settings.body_memory_bytes,
                      .temporary_folder = settings.temporary_folder,
                      .max_field_bytes = settings.max_field_bytes,
                      .max_form_bytes = settings.max_form_bytes,
                      .max_field_name_bytes = settings.max_field_name_bytes,
                      .max_files = settings.max_files,
                      .max_part_header_bytes = settings.max_part_header_bytes},
          .max_execute_depth = settings.max_execute_depth,
          .max_temporary_bytes = settings.max_temporary_bytes,
          .max_finished = settings.max_finished,
          .finish_timeout = settings.finish_timeout,
          .response = settings.response,
          .overdue_grace = settings.overdue_grace,
          .slow_threshold = settings.slow_log_threshold};
}

fastcgi::Server::Limits ServerLimits(const options::Settings& settings, bool spawned,
                                     observe::WorkerFigures& figures) {
  const auto workers = std::max<std::size_t>(settings.WorkerCount(spawned), 1);
  fastcgi::Server::Limits limits{settings.max_connections,
                                 settings.linger_timeout,
                                 settings.file_send_buffer_bytes,
                                 settings.allowed_clients,
                                 {},
                                 &figures};
  limits.connection.max_requests = settings.max_requests_per_connection;
  limits.connection.max_params_bytes = settings.max_params_bytes;
  limits.connection.max_params = settings.max_params;
  limits.connection.stdin_buffer_bytes = settings.stdin_buffer_bytes;
  limits.connection.max_request_bytes = settings.max_request_bytes;
  limits.connection.output_buffer_bytes = settings.output_buffer_bytes;
  limits.connection.header_timeout = settings.header_timeout;
  limits.connection.idle_timeout = settings.idle_timeout;
  limits.connection.send_timeout = settings.send_timeout;
  limits.connection.application_max_connections = settings.max_connections * workers;
  // Who asks takes it for what a connection may carry.
  limits.connection.application_max_requests =
      std::min(settings.max_requests, settings.max_requests_per_connection);
  return limits;
}

sigset_t HandledSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) {
    sigaddset(&signals, number);
  }
  return signals;
}

/// The signals are blocked already.
int OpenSignals() {
  const auto signals = HandledSignals();
  const int descriptor = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), "signalfd");
  }
  return descriptor;
}

/// One worker process, put together. Members are in the order in which they need each other.
class Worker {
 public:
  enum class Purpose { kServe, kTry };

  /// `watch`: null where there is a supervisor.
  Worker(const WorkerStart& start, std::unique_ptr<StartWatch> watch, Purpose purpose)
      : start_watch_(std::move(watch)),
        reserve_(start.settings.memory_reserve),
        start_(start),
        settings_(start.settings),
        own_board_(start.figures == nullptr ? OwnBoard() : nullptr),
        board_(start.figures == nullptr ? *own_board_ : *start.figures),
        figures_(board_.Of(start.figures == nullptr ? kOwnPart : start.part)),
        evidence_(board_.EvidenceOf(start.figures == nullptr ? kOwnPart : start.part)),
        own_traces_(
            start.figures == nullptr && settings_.trace != 0
                ? std::make_unique<observe::TraceRing>(1, settings_.trace, settings_.trace_bytes)
                : nullptr),
        traces_(own_traces_ ? own_traces_.get() : start.traces),
        access_log_(settings_.access_log, settings_.access_log_format, settings_.access_log_skip),
        runtime_(RuntimeOptions(settings_, figures_)),
        crash_handler_(purpose == Purpose::kServe ? CrashHandlerFor(start, evidence_) : nullptr),
        resolver_(settings_.ModuleFolders(), settings_.handler_pool,
                  [this](const std::filesystem::path& file) { SayLoading(file.string()); }),
        pipeline_(runtime_, access_log_, PipelineLimits(settings_), &figures_),
        responder_(runtime_, pipeline_, settings_.body_timeout),
        server_(
            runtime_.Io(), responder_, ServerLimits(settings_, start.spawned, figures_),
            [](void* self, const fastcgi::RefusedRequest& refused) {
              static_cast<Worker*>(self)->pipeline_.RecordRefusal(refused.status, refused.detail);
            },
            this),
        signals_(runtime_.Io(), OpenSignals()),
        tick_(runtime_.Io()),
        alive_(runtime_.Io()),
        recycling_(settings_, std::minstd_rand(std::random_device()())) {}

  int Try() {
    log_thread_.emplace();
    if (!LoadHandlers() || !StartModules()) {
      return options::kExitConfiguration;
    }
    cancel_at_ = Clock::now() + settings_.DrainTimeout(start_.spawned);
    if (resolver_.HasStopHooks()) {
      StopModules();
    }
    return options::kExitOk;
  }

  int Run() {
    if (traces_ != nullptr) {
      tracer_.emplace(*traces_, own_traces_ ? kOwnPart : start_.part,
                      handling::NameOf(typeid(builtin::TraceHandler)));
      pipeline_.SetTracer(&*tracer_);
    }
    SayLoading({});
    runtime::PrepareStackCapture();
    NameRequests();
    log_thread_.emplace();
    TellStacks();
    PrepareReload();
    if (!LoadHandlers()) {
      return options::kExitConfiguration;
    }
    if (!StartModules()) {
      return options::kExitConfiguration;
    }
    if (reload_) {
      reload_->Start(read_at_start_);
    }
    start_watch_.reset();
    WaitForSignal();
    server_.SetOnConnection([this] {
      memory_trim_.Worked();
      if (!is_ticking_) {
        WaitForTick(TickTime());
      }
    });
    // A mapping may ask for it at any time; without a file there is nothing that could be missing then.
    if (settings_.slow_log_threshold.count() != 0 || !settings_.slow_log.empty()) {
      slow_log_.emplace(settings_, runtime_);
    }
    pipeline_.SetOnSlow([this](pipeline::SlowRequest request) {
      if (!slow_log_) {
        slow_log_.emplace(settings_, runtime_);
      }
      slow_log_->Tell(std::move(request));
    });
    WatchStalls();
    ShareConnections();
    for (const int socket : start_.listening_sockets) {
      server_.Listen(socket);
    }
    if (start_.passed_in >= 0) {
      server_.ListenForPassed(start_.passed_in);
    }
    Tick();
    if (own_board_) {
      OwnQueues().Begin(own_board_->Host());
      own_board_->SetStage(kOwnPart, observe::WorkerStage::kReady);
      own_board_->Host().stage.Set(static_cast<std::uint64_t>(observe::HostStage::kServing));
    }
    if (const auto problem = recycling_.OnReady(); !problem.empty()) {
      Log(Level::kWarning, std::string(problem));
    }
    SayReady();
    SayAlive();
    runtime_.Run();
    runtime::TellWaits(nullptr);
    stall_watch_.reset();
    slow_log_.reset();
    if (resolver_.HasStopHooks()) {
      StopModules();
    }
    return ExitCode();
  }

 private:
  static constexpr std::size_t kOwnPart = 0;

  /// Of a host that is this process alone.
  static std::unique_ptr<observe::Scoreboard> OwnBoard() {
    auto board = std::make_unique<observe::Scoreboard>(1);
    static_cast<void>(board->Take());
    board->SetProcess(kOwnPart, getpid(), 1);
    board->Host().generation.Set(1);
    board->Host().supervisor.Set(static_cast<std::uint64_t>(getpid()));
    board->Host().since_ms.Set(
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                       std::chrono::system_clock::now().time_since_epoch())
                                       .count()));
    board->Host().worker_places.Set(1);
    board->Host().worker_starts.Set(1);
    return board;
  }

  static std::unique_ptr<runtime::CrashHandler> CrashHandlerFor(const WorkerStart& start,
                                                                observe::CrashEvidence* evidence) {
    if (evidence == nullptr) {
      return nullptr;
    }
    using Audience = runtime::CrashHandler::Audience;
    return std::make_unique<runtime::CrashHandler>(
        *evidence, start.supervisor < 0 ? Audience::kStandardError : Audience::kSupervisor);
  }

  void NameRequests() {
    if (evidence_ != nullptr) {
      held_requests_.emplace(*evidence_);
      pipeline_.SetHeldRequests(&*held_requests_);
    }
  }

  /// For `weft stacks`, from the start: what a module does while it is loaded is told, too.
  void TellStacks() {
    try {
      stack_server_.emplace(runtime_);
    } catch (const std::system_error& error) {
      Log(Level::kWarning, std::string("'weft stacks' cannot ask this worker: ") + error.what());
    }
  }

  void WatchStalls() {
    const auto threshold = settings_.stall_threshold;
    if (threshold <= threshold.zero()) {
      return;
    }
    try {
      stall_watch_.emplace(threshold, [this, threshold](const runtime::StallWatch::Stall& stall) {
        LogStall(threshold, stall);
        if (slow_log_) {
          slow_log_->NoteStall(stall);
        }
      });
    } catch (const std::system_error& error) {
      Log(Level::kWarning, std::string("nobody looks for stalls (--stall-threshold): ") +
                               error.what() + ": more threads are needed (ulimit -u)");
    }
  }

  /// With the other workers of the host, if there is a supervisor, who starts them.
  void ShareConnections() {
    if (settings_.share_connections == options::ShareConnections::kOff || own_board_ ||
        !start_.part) {
      return;
    }
    runtime::TellWaits(&figures_.waits);
    const bool passes_on = settings_.share_connections == options::ShareConnections::kAll;
    server_.ShareWith(std::make_unique<fastcgi::Sharing>(
                          fastcgi::Sharing::Options{.passes_on = passes_on,
                                                    .threads = settings_.blocking_threads,
                                                    .first = *start_.part + 1},
                          [this](std::size_t& from, std::span<fastcgi::Sharing::Load> loads) {
                            return board_.ReadLoads(start_.part, from, loads);
                          }),
                      start_.passed_out);
  }

  /// If anything has changed. False: there may be more to tell, the next time.
  bool SayFigures(Clock::time_point now) {
    if (start_.supervisor < 0) {
      return true;
    }
    if (now < figures_due_) {
      return false;
    }
    figures_due_ = now + kFiguresInterval;
    bool is_all = true;
    Figures figures;
    for (const auto& use : runtime_.StackUses()) {
      figures.stacks.push_back(
          {use.stack_bytes, use.usable_bytes, use.fibers, use.most_used_bytes});
    }
    if (stall_watch_) {
      const auto seen = stall_watch_->Seen();
      figures.stalls = seen.stalls;
      figures.longest_stall = seen.longest;
      is_all = !seen.is_going_on;
    }
    if (figures != said_figures_) {
      if (!TrySend(start_.supervisor, figures)) {
        return false;
      }
      said_figures_ = std::move(figures);
    }
    return is_all;
  }

  void CountStalls() noexcept {
    if (stall_watch_) {
      const auto seen = stall_watch_->Seen();
      figures_[observe::Count::kStalls].Set(seen.stalls);
      figures_[observe::Count::kLongestStallMs].Set(
          static_cast<std::uint64_t>(seen.longest.count()));
    }
  }

  bool StartModules() {
    const auto failure = resolver_.StartModules(
        application_, [this](const std::filesystem::path& file) { SayLoading(file.string()); });
    SayLoading({});
    if (!failure.empty()) {
      Log(Level::kError, failure);
      return false;
    }
    pipeline_.SetApplication(&application_);
    return true;
  }

  /// On a thread of their own, for nobody knows how long they take.
  void StopModules() {
    struct State {
      std::mutex mutex;
      std::condition_variable changed;
      std::string module;
      bool ended = false;
    };
    State state;
    std::thread thread([&] {
      resolver_.StopModules(application_, [&](const std::filesystem::path& file) {
        const std::lock_guard lock(state.mutex);
        state.module = file.string();
      });
      const std::lock_guard lock(state.mutex);
      state.ended = true;
      state.changed.notify_one();
    });
    {
      std::unique_lock lock(state.mutex);
      if (!state.changed.wait_until(lock, StopModulesUntil(), [&] { return state.ended; })) {
        observe::WriteToStandardError("weft: what module " + state.module +
                                      " gave to OnStop() did not end in time; the process ends "
                                      "without it\n");
        ForgetRequests();
        FlushLogs();
        std::_Exit(ExitCode());
      }
    }
    thread.join();
  }

  Clock::time_point StopModulesUntil() const {
    const auto latest = Clock::now() + settings_.DrainTimeout(start_.spawned);
    return std::min(*cancel_at_, latest) + kStopGrace;
  }

  /// Where nobody watches but a service manager, an end that nobody asked for is told by the exit code.
  int ExitCode() const {
    return retires_ && !asked_to_stop_ && start_.supervisor < 0 && !start_.spawned
               ? options::kExitSoftware
               : options::kExitOk;
  }

  observe::ListenQueues OwnQueues() const {
    std::vector<observe::ListenQueues::Socket> sockets;
    const auto count = std::min(start_.listening_sockets.size(), start_.addresses.size());
    for (std::size_t i = 0; i < count; ++i) {
      sockets.push_back({start_.listening_sockets[i], start_.addresses[i]});
    }
    return observe::ListenQueues(std::move(sockets));
  }

  /// Of the whole host, as a request asks for it.
  observe::HostReport Report() {
    // Where there is a supervisor, it does so. The sockets are closed when the worker begins to end.
    if (own_board_ && !cancel_at_) {
      OwnQueues().Look(own_board_->Host());
    }
    return observe::ReadReport(board_, options::Version(), Clock::now());
  }

  bool LoadHandlers() {
    builtin::Options built_in{.ashx_check_interval = settings_.ashx_check_interval,
                              .ashx_files = settings_.ashx_files};
    try {
      built_in.static_files = StaticFilesOf(settings_);
    } catch (const std::exception& error) {
      Log(Level::kError, std::string("--mime-types: ") + error.what());
      return false;
    }
    built_in.host_status = {
        .json = [this] { return observe::ReportToJson(Report()); },
        .open_metrics = [this] { return observe::ReportToOpenMetrics(Report()); },
        .open_metrics_type = observe::kOpenMetricsType,
        .why_not_ready =
            [this] {
              std::string why_not;
              static_cast<void>(Report().IsReady(&why_not));
              return why_not;
            }};
    if (traces_ != nullptr) {
      built_in.traces = {.answer =
                             [this](const builtin::TraceQuestion& question) {
                               return AnswerTraces(*traces_, handlers_, mappings_mark_, question);
                             },
                         .clear = [this] { traces_->Clear(Clock::now()); }};
    }
    builtin::RegisterHandlers(
        resolver_.BuiltIn(),
        [this](std::string_view type_text) -> builtin::CreateHandler {
          auto& handler_class = resolver_.ResolveForFile(type_text);
          return [&handler_class] { return handler_class.Create(); };
        },
        built_in);
    // Where nobody looks for changes, files that changed since the last reload are not taken by the way.
    const bool may_be_ahead = settings_.reload_interval > std::chrono::milliseconds(0);
    if (!may_be_ahead && start_.last_mappings && Apply(start_.last_mappings).accepted) {
      read_at_start_.was_read = false;
      return true;
    }
    auto loaded = mappings::Load(settings_.Mappings());
    auto problems = std::move(loaded.problems);
    if (loaded.table) {
      auto applied = Apply(std::move(loaded.table));
      if (applied.accepted) {
        return true;
      }
      problems.insert(problems.end(), applied.problems.begin(), applied.problems.end());
    }
    observe::LogProblems(problems);
    if (!start_.last_mappings || !Apply(start_.last_mappings).accepted) {
      return false;
    }
    Log(Level::kError, "the mapping files are wrong: this worker serves with those of before");
    read_at_start_.refused = std::move(problems);
    return true;
  }

  /// Serves with a table from now on, if its types can be used.
  MappingReload::Applied Apply(std::shared_ptr<const mappings::MappingTable> table) {
    MappingReload::Applied applied;
    auto handlers = std::make_shared<const handling::HandlerTable>(std::move(table), resolver_);
    applied.problems = handlers->Problems();
    applied.accepted = applied.problems.empty();
    if (applied.accepted) {
      pipeline_.SetHandlers(handlers);
      if (tracer_) {
        mappings_mark_ = MarkOf(handlers->Mappings());
        tracer_->SetMappings(mappings_mark_);
      }
      std::swap(handlers, handlers_);
    }
    applied.discarded = std::move(handlers);
    return applied;
  }

  /// Before the files are read for the start, so that no change after it is missed.
  void PrepareReload() {
    if (settings_.Mappings().Empty()) {
      return;
    }
    const int supervisor = start_.supervisor;
    reload_.emplace(
        MappingReload::Options{.sources = settings_.Mappings(),
                               .interval = settings_.reload_interval,
                               .lock = start_.watch_lock,
                               .is_supervised = supervisor >= 0},
        runtime_.Io(),
        [this](std::shared_ptr<const mappings::MappingTable> table) {
          return Apply(std::move(table));
        },
        [supervisor, reloaded = start_.progress.reloaded](const ReloadReport& report) {
          if (reloaded) {
            reloaded();
          }
          return supervisor < 0 || TrySend(supervisor, report);
        });
  }

  void WaitForSignal() {
    signals_.async_wait(signals_.wait_read, [this](const boost::system::error_code& error) {
      if (error) {
        return;
      }
      signalfd_siginfo info{};
      while (read(signals_.native_handle(), &info, sizeof info) == sizeof info) {
        OnSignal(info);
      }
      WaitForSignal();
    });
  }

  void OnSignal(const signalfd_siginfo& info) {
    const int number = static_cast<int>(info.ssi_signo);
    // A web server that spawns sends SIGINT to its whole group and means itself; SIGUSR1 means this process.
    const bool stops =
        number == SIGTERM || number == SIGQUIT || (number == SIGUSR1 && start_.spawned);
    const bool alone = start_.supervisor < 0 && !start_.spawned;
    const bool has_order = number == SIGTERM && info.ssi_code == SI_QUEUE && start_.passed_out >= 0;
    if (has_order && info.ssi_int == static_cast<int>(StopOrder::kPassOn)) {
      PassOn();
    } else if (has_order && info.ssi_int == static_cast<int>(StopOrder::kLeave)) {
      Leave();
    } else if (stops && alone && cancel_at_) {
      // Asked a second time, and there is no supervisor.
      StopFor(info, std::chrono::milliseconds(0));
    } else if (stops) {
      StopFor(info, settings_.DrainTimeout(start_.spawned));
    } else if (number == SIGINT && !start_.spawned) {
      StopFor(info, std::chrono::milliseconds(0));
    } else if (number == SIGHUP) {
      Reload(info);
    } else if (number == SIGUSR1) {
      observe::ReopenLog();
      access_log_.Reopen();
      if (slow_log_) {
        slow_log_->Reopen();
      }
    } else if (number == SIGUSR2 && start_.supervisor < 0) {
      Log(Level::kWarning,
          "SIGUSR2: a process that serves itself (--workers 0) cannot be reloaded without losing "
          "requests: nothing was done; give --workers 1 or more, or restart it");
    } else {
      Log(Level::kInfo, "signal " + std::to_string(number) + " is not used: nothing was done");
    }
  }

  void Reload(const signalfd_siginfo& info) {
    const bool adopts = info.ssi_code == SI_QUEUE && start_.supervisor >= 0 &&
                        info.ssi_int == static_cast<int>(ReloadOrder::kAdopt);
    if (!reload_) {
      Log(Level::kInfo,
          "SIGHUP: there are no mapping files to be reloaded (--mappings, "
          "--document-root-mappings)");
      return;
    }
    if (start_.progress.reloading) {
      start_.progress.reloading();
    }
    reload_->Request(adopts ? ReloadOrder::kAdopt : ReloadOrder::kCheck);
  }

  void StopFor(const signalfd_siginfo& info, std::chrono::milliseconds drain_time) {
    // Of others the supervisor has told, whose signal it is.
    if (start_.supervisor < 0) {
      Log(Level::kInfo,
          std::string("SIG") + sigabbrev_np(static_cast<int>(info.ssi_signo)) + " from process " +
              std::to_string(info.ssi_pid) +
              (drain_time.count() == 0 ? ": stopping at once"
                                       : ": stopping, running requests have " +
                                             options::FormatDuration(drain_time) + " to end"));
    }
    Stop(drain_time);
  }

  void Stop(std::chrono::milliseconds drain_time) {
    asked_to_stop_ = true;
    passing_on_since_.reset();
    BeginToEnd(Clock::now() + drain_time);
    server_.Drain(fastcgi::Server::Backlog::kTake);
    WaitForTick(std::chrono::milliseconds(0));
  }

  /// Other workers go on with the connections.
  void PassOn() {
    if (asked_to_stop_) {
      return;
    }
    asked_to_stop_ = true;
    const auto now = Clock::now();
    BeginToEnd(now + settings_.DrainTimeout(start_.spawned));
    passing_on_since_ = now;
    server_.PassOnTo(start_.passed_out, fastcgi::Server::Backlog::kTake);
    WaitForTick(std::chrono::milliseconds(0));
  }

  /// Another worker is in its place, or none is needed.
  void Leave() {
    if (cancel_at_) {
      return;
    }
    leaves_ = true;
    BeginToEnd(Clock::time_point::max());
    passing_on_since_ = Clock::now();
    server_.PassOnTo(start_.passed_out, fastcgi::Server::Backlog::kLeave);
    WaitForTick(std::chrono::milliseconds(0));
  }

  /// Asks to be replaced, where it is due.
  void LookAtRecycling(Clock::time_point now) {
    if (start_.supervisor < 0 || cancel_at_) {
      return;
    }
    std::uint64_t ended = 0;
    for (auto count = observe::Count::kNoAnswer; count <= observe::Count::kClientGone;
         count = static_cast<observe::Count>(static_cast<int>(count) + 1)) {
      ended += figures_[count].Value();
    }
    if (const auto wish = recycling_.Look(ended, now); wish && TrySend(start_.supervisor, *wish)) {
      recycling_.IsTold();
    }
  }

  /// Whether connections with requests in flight take no more of them.
  bool HoldsBack(Clock::time_point now) const {
    const auto passing_on = now - *passing_on_since_;
    if (*cancel_at_ - now <= kLastHold) {
      return true;
    }
    return passing_on >= kRestByThemselves &&
           (passing_on - kRestByThemselves) % (kHeldBack + kBetweenHolds) < kHeldBack;
  }

  void BeginToEnd(Clock::time_point cancel_at) {
    if (!cancel_at_) {
      if (reload_) {
        reload_->Stop();
      }
      if (start_.on_stop) {
        start_.on_stop();
      }
      if (own_board_) {
        own_board_->SetStage(kOwnPart, observe::WorkerStage::kEnding);
        own_board_->Host().stage.Set(static_cast<std::uint64_t>(observe::HostStage::kDraining));
      }
      cancel_at_ = cancel_at;
    } else if (cancel_at < *cancel_at_) {
      cancel_at_ = cancel_at;
    }
  }

  /// A handler holds a thread for good: what it has done to its locks, its module and its memory nobody knows. What else is in
  /// flight is finished, by its own deadlines.
  void Retire(const std::vector<pipeline::StuckHandler>& stuck) {
    for (const auto& handler : stuck) {
      TellWhereItIsStuck(handler);
    }
    if (std::exchange(retires_, true) || cancel_at_) {
      return;
    }
    Log(Level::kWarning,
        "the worker takes no more requests, and ends when those that it has have ended");
    const bool is_supervised = start_.supervisor >= 0;
    retirement_told_ = !is_supervised || TrySend(start_.supervisor, Retiring{});
    BeginToEnd(Clock::time_point::max());
    if (start_.passed_out >= 0) {
      passing_on_since_ = Clock::now();
      server_.PassOnTo(start_.passed_out, fastcgi::Server::Backlog::kLeave);
    } else {
      server_.Drain(is_supervised ? fastcgi::Server::Backlog::kLeave
                                  : fastcgi::Server::Backlog::kTake);
    }
  }

  /// Beside the reactor: symbol tables are read from files.
  void TellWhereItIsStuck(const pipeline::StuckHandler& stuck) {
    auto tell = [stuck, grace = settings_.overdue_grace] {
      std::array<void*, runtime::kMaxStackFrames> frames_of_thread{};
      const auto count = runtime::CaptureStack(stuck.thread, frames_of_thread, kStackPatience);
      const auto message = stuck.description + ": its handler did not return within " +
                           std::to_string(grace.count()) +
                           " ms of its cancellation (--overdue-grace); the request is " +
                           std::to_string(stuck.age.count()) + " ms old, and its thread " +
                           std::to_string(stuck.thread) +
                           (count == 0 ? " does not say where it is" : " is here:");
      const auto frames = runtime::Symbolise(std::span(frames_of_thread).first(count));
      Log({.level = Level::kError,
           .message = message,
           .event = "stuck_handler",
           .request = RequestIdOf(stuck.description),
           .stack = frames});
    };
    try {
      tellers_.emplace_back(tell);
    } catch (const std::system_error&) {
      tell();  // no thread to be had
    }
  }

  void Tick() {
    const auto now = Clock::now();
    reserve_.Refill();
    try {
      server_.EndOverdue(now);
      server_.EvenOut(now);
    } catch (const std::bad_alloc&) {
      // The next turn may have more memory.
    }
    if (const auto stuck = pipeline_.CancelOverdue(now); !stuck.empty()) {
      Retire(stuck);
    }
    pipeline_.TellSlow(now);
    if (!retirement_told_) {
      retirement_told_ = TrySend(start_.supervisor, Retiring{});
    }
    runtime_.SurveyStacks();
    CountStalls();
    try {
      LookAtRecycling(now);
      figures_said_ = SayFigures(now);
    } catch (const std::bad_alloc&) {
      figures_said_ = false;  // as above
    }
    const bool may_trim = memory_trim_.Look(now, runtime_.FibersInUse() != 0);
    if (passing_on_since_) {
      server_.PassOn(HoldsBack(now));
    }
    if (cancel_at_ && Drain(now)) {
      return;
    }
    if (cancel_at_) {
      WaitForTick(kDrainTick);
    } else if (HasDeadlines()) {
      WaitForTick(TickTime());
    } else {
      is_ticking_ = false;  // the next connection goes on
      if (may_trim) {
        TickIn(runtime::MemoryTrim::kRest);
      }
    }
  }

  /// Slow requests are seen half a threshold late at most.
  std::chrono::milliseconds TickTime() const {
    const auto threshold = pipeline_.LeastSlowThreshold();
    return threshold.count() == 0 ? kTick : std::clamp(threshold / 2, kDrainTick, kTick);
  }

  /// Whether time alone may ask for something. A worker without connections and requests sleeps until there is one.
  bool HasDeadlines() const {
    return server_.Connections() != 0 || runtime_.FibersInUse() != 0 || !retirement_told_ ||
           !figures_said_ || runtime::MemoryReserve::Spent();
  }

  void WaitForTick(std::chrono::milliseconds time) {
    is_ticking_ = true;
    TickIn(time);
  }

  /// In the place of the next turn, if there was to be one.
  void TickIn(std::chrono::milliseconds time) {
    tick_.expires_after(time);
    tick_.async_wait([this](const boost::system::error_code& error) {
      if (!error) {
        Tick();
      }
    });
  }

  /// True when the worker is done.
  bool Drain(Clock::time_point now) {
    // The rest looks at every fiber.
    const bool has_requests = pipeline_.RequestsInFlight() != pipeline_.StuckRequests();
    const bool is_done = !has_requests && (server_.Connections() == 0 || now >= *cancel_at_) &&
                         runtime_.WorkInUse() == pipeline_.StuckWork();
    if (is_done && pipeline_.StuckRequests() != 0) {
      EndWithoutThem();
    }
    if (is_done) {
      server_.Abandon();
      signals_.cancel();
      runtime_.Stop();
      return true;
    }
    if ((retires_ || leaves_) && *cancel_at_ == Clock::time_point::max() &&
        server_.Connections() == 0 && !has_requests) {
      // What is left are tasks that outlive their requests, which no deadline ends.
      cancel_at_ = now + settings_.DrainTimeout(start_.spawned);
    }
    if (now < *cancel_at_) {
      return false;
    }
    if (!cancelled_at_) {
      cancelled_at_ = now;
      if (const auto requests = pipeline_.RequestsInFlight(); requests != 0) {
        Log(Level::kWarning,
            std::to_string(requests) + " requests did not end in time and are cancelled");
      } else {
        // Their requests have ended, and nobody is left to cancel them.
        Log(Level::kWarning,
            std::to_string(runtime_.WorkInUse()) +
                " tasks of weft::Async() that outlive their requests did not end in time");
      }
      pipeline_.CancelAll(CancellationReason::kShutdown);
    } else if (now - *cancelled_at_ >= kCancelGrace) {
      EndWithoutThem();
    }
    return false;
  }

  /// Handlers that do not end would hold up every destructor; the kernel takes back what they have.
  [[noreturn]] void EndWithoutThem() {
    for (auto& teller : tellers_) {
      teller.join();
    }
    const auto line = "weft: " + std::to_string(runtime_.WorkInUse()) +
                      " requests and tasks did not obey their cancellation; the process ends "
                      "without them\n";
    observe::WriteToStandardError(line);
    pipeline_.RecordUnfinished();
    ForgetRequests();
    FlushLogs();
    std::_Exit(ExitCode());
  }

  /// They are told by the worker itself: its end is no crash.
  void ForgetRequests() noexcept {
    if (evidence_ == nullptr) {
      return;
    }
    evidence_->requests_not_named.Set(0);
    for (auto& request : evidence_->requests) {
      request.number.Set(0);
    }
  }

  void FlushLogs() noexcept {
    access_log_.Flush();
    if (slow_log_) {
      slow_log_->Flush();
    }
    log_thread_->Flush();
  }

  /// An empty name: no module is being loaded any more. What there is no room for is not waited for.
  void SayLoading(std::string file) const {
    if (start_watch_) {
      start_watch_->SetModule(file);
    }
    if (start_.supervisor >= 0) {
      static_cast<void>(TrySend(start_.supervisor, Loading{std::move(file)}));
    }
  }

  void SayReady() const {
    while (start_.supervisor >= 0 && !TrySend(start_.supervisor, Ready{})) {
      pollfd writable{start_.supervisor, POLLOUT, 0};
      poll(&writable, 1, -1);
    }
    if (start_.progress.ready) {
      start_.progress.ready();
    }
  }

  void SayAlive() {
    if (!start_.progress.alive) {
      return;
    }
    const auto next = start_.progress.alive();
    if (next == Clock::time_point::max()) {
      return;
    }
    alive_.expires_at(next);
    alive_.async_wait([this](const boost::system::error_code& error) {
      if (!error) {
        SayAlive();
      }
    });
  }

  std::unique_ptr<StartWatch> start_watch_;  // until it listens
  runtime::MemoryReserve reserve_;
  const WorkerStart& start_;
  const options::Settings& settings_;
  std::unique_ptr<observe::Scoreboard> own_board_;  // where there is no supervisor
  observe::Scoreboard& board_;
  observe::WorkerFigures& figures_;
  observe::CrashEvidence* evidence_;                    // null: nobody would read it
  std::optional<observe::HeldRequests> held_requests_;  // with it
  /// From Run() on: what is logged while modules are loaded is written in place, for one that ends the process
  /// would take a thread's lines along. First of all, so that it goes last.
  std::optional<observe::LogThread> log_thread_;
  std::unique_ptr<observe::TraceRing> own_traces_;  // where there is no supervisor
  observe::TraceRing* traces_;                      // null: none are kept
  std::optional<observe::Tracer> tracer_;
  std::uint64_t mappings_mark_ = 0;
  observe::AccessLog access_log_;
  runtime::Runtime runtime_;
  /// Before modules are loaded, which may crash at that; null where nobody would read of it.
  std::unique_ptr<runtime::CrashHandler> crash_handler_;
  std::optional<runtime::StallWatch> stall_watch_;  // while it serves
  std::optional<StackServer> stack_server_;
  std::optional<SlowLog> slow_log_;  // while it serves
  /// Outlives the handlers, which may use it to their end.
  HttpApplicationState application_;
  handling::TypeResolver resolver_;
  pipeline::Pipeline pipeline_;
  std::shared_ptr<const handling::HandlerTable> handlers_;  // that the pipeline serves with
  MappingReload::AtStart read_at_start_;
  fastcgi::Responder responder_;
  fastcgi::Server server_;
  boost::asio::posix::stream_descriptor signals_;
  boost::asio::steady_timer tick_;
  boost::asio::steady_timer alive_;
  bool is_ticking_ = false;
  runtime::MemoryTrim memory_trim_;
  std::optional<Clock::time_point> cancel_at_;
  std::optional<Clock::time_point> cancelled_at_;
  std::optional<Clock::time_point> passing_on_since_;
  std::optional<MappingReload> reload_;
  bool asked_to_stop_ = false;
  bool retires_ = false;
  bool leaves_ = false;
  bool retirement_told_ = true;
  std::vector<std::jthread> tellers_;  // of stacks; joined at the end
  Clock::time_point figures_due_{};
  Figures said_figures_;
  bool figures_said_ = false;
  Recycling recycling_;
};

}  // namespace

namespace {

/// Descriptors beside connections: sockets, logs, modules, what handlers open.
constexpr rlim_t kOtherDescriptors = 1024;

/// Raises the soft limit of open files, as far as the hard one lets, to what --max-connections needs.
void RaiseDescriptorLimit(std::size_t max_connections) {
  rlimit limit{};
  const rlim_t wanted = max_connections + kOtherDescriptors;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
    return;
  }
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < max_connections) {
    Log(Level::kWarning, "--max-connections " + std::to_string(max_connections) + " needs " +
                             std::to_string(wanted) + " open files, the limit is " +
                             std::to_string(limit.rlim_cur) + " (ulimit -n)");
  }
}

/// Logs what the system refused, and returns the exit code for it.
int EndFor(const std::error_code& error, std::string_view what) {
  const int exit_code = options::ExitCodeFor(error);
  // What is refused by it here is a thread.
  const bool is_thread = error == std::errc::resource_unavailable_try_again;
  Log(Level::kError,
      "the worker cannot go on: " + std::string(what) +
          (exit_code == options::kExitNoPermission ? ": give this user the right to it"
           : is_thread ? ": raise the limit of threads (ulimit -u, or TasksMax of its service)"
                       : ": raise the system's limit (ulimit -n), or free what is used up"));
  return exit_code;
}

}  // namespace

void BlockSignals() noexcept {
  for (const int number : {SIGPIPE, SIGXFSZ}) {
    signal(number, SIG_IGN);
  }
  const auto signals = HandledSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

namespace {

template <typename F>
int Guarded(F run) {
  try {
    return run();
  } catch (const std::system_error& error) {
    return EndFor(error.code(), error.what());
  } catch (const boost::system::system_error& error) {  // Asio's, which is no std::system_error
    return EndFor(error.code(), error.what());
  } catch (const std::bad_alloc& error) {
    return EndFor(std::make_error_code(std::errc::not_enough_memory), error.what());
  } catch (const std::exception& error) {
    Log(Level::kError, std::string("the worker cannot go on, a fault of Weft: ") + error.what());
    return options::kExitSoftware;
  }
}

}  // namespace

int RunWorker(const WorkerStart& start) {
  BlockSignals();
  RaiseDescriptorLimit(start.settings.max_connections);
  return Guarded([&] {
    return Worker(start, start.supervisor < 0 ? std::make_unique<StartWatch>(start) : nullptr,
                  Worker::Purpose::kServe)
        .Run();
  });
}

int TryWorker(const WorkerStart& start) {
  return Guarded([&] { return Worker(start, nullptr, Worker::Purpose::kTry).Try(); });
}

}  // namespace weft::host::worker
