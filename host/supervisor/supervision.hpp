#pragma once

#include <poll.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/host_report.hpp"
#include "host/observe/listen_queue.hpp"
#include "host/observe/scoreboard.hpp"
#include "host/observe/trace_ring.hpp"
#include "host/options/exit_code.hpp"
#include "host/supervisor/control_socket.hpp"
#include "host/supervisor/crash_report.hpp"
#include "host/supervisor/crash_reporter.hpp"
#include "host/supervisor/file_descriptor.hpp"
#include "host/supervisor/mappings_state.hpp"
#include "host/supervisor/memory_kills.hpp"
#include "host/supervisor/parked_connections.hpp"
#include "host/supervisor/place.hpp"
#include "host/supervisor/reload_state.hpp"
#include "host/supervisor/scaling.hpp"
#include "host/supervisor/service_manager.hpp"
#include "host/supervisor/supervisor.hpp"
#include "host/supervisor/trial.hpp"
#include "host/supervisor/worker_exit.hpp"
#include "host/worker/message.hpp"

namespace weft::host::supervisor {

/// What Supervise() runs. Its rooms: supervisor.cpp (the loop, signals, the end of processes, stopping),
/// supervisor_workers.cpp (the workers of this generation), supervisor_models.cpp (how many of them, and those that are
/// recycled), supervisor_generations.cpp (the generations before and after
/// it), supervisor_status.cpp (what it tells of all that).
///
/// Threads: one.
class Supervisor {
 public:
  Supervisor(const options::Settings& settings, ListeningSockets sockets,
             const WorkerMain& worker_main, const LogLine& log, const NewMappings& new_mappings,
             Generations generations);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  int Run();

 private:
  using Clock = std::chrono::steady_clock;
  using SystemClock = std::chrono::system_clock;
  using milliseconds = std::chrono::milliseconds;
  enum class Stage { kRunning, kDraining, kHurrying, kKilling };

  /// What a worker gets beyond the drain time (and after SIGINT, which leaves no drain time). It then
  /// cancels what is left, gives that a second to clean up, and ends by itself even if some handler
  /// does not; a kill before that would take its last words and the requests' records.
  static constexpr milliseconds kKillGrace{2'000};

  /// The queues of the listening sockets are looked at so often at most, when there is something else to do, and whenever
  /// somebody asks.
  static constexpr milliseconds kQueueInterval{1'000};

  // The loop.
  void TakeOverSignals();
  void OpenWatchLock();
  void OpenPassing();
  void WaitForEvents();
  [[nodiscard]] int PollTimeout(Clock::time_point now) const;
  void ReadSignals();
  void OnSignal(int signal, pid_t sender);
  void Reap();
  void Collect(pid_t pid);
  void Stop(Stage stage);
  void KillWhenOverdue();
  void SendToAll(int signal) const;
  [[nodiscard]] bool AnyAlive() const;
  [[nodiscard]] bool Lives(pid_t pid) const;
  /// Calls `function` with each place that a process fills, with each that retires, and those of earlier generations.
  template <typename F>
  void ForEachProcess(F function);
  template <typename F>
  void ForEachProcess(F function) const;

  // The workers of this generation.
  void StartDueWorkers();
  void Start(Place& place);
  [[noreturn]] void BecomeWorker(const std::string& name, FileDescriptor channel,
                                 FileDescriptor output, observe::Scoreboard::Part part) noexcept;
  [[nodiscard]] Clock::time_point StartDeadline(const Place& place) const;
  void KillLateStarters();
  void KillCutOff();
  void ReadMessages(Place& place) noexcept;
  void OnReady(Place& place);
  void ReplaceRetiring();
  void OnReport(Place& place, worker::ReloadReport report);
  static void HaveAdopted(const Place& place);
  void AskForReload();
  void OnDeath(Place& place, int status);
  void OnRetired(Place& place, int status);
  /// Who has sent a SIGKILL, if one has ended a worker.
  enum class Killer { kOthers, kSupervisor };
  /// What is known of a worker that has ended, before its part of the figures goes.
  [[nodiscard]] CrashReport ReportOf(const Place& place, pid_t pid, const WorkerExit& exit,
                                     Killer killer);
  /// Tells of it, if it was not to end so.
  void TellCrash(const CrashReport& report);
  /// In a child process that tells of something: nothing of the host's is kept open.
  void CloseDescriptors() noexcept;
  void GiveUp(int exit_code, const std::string& line);

  // How many there are, and which of them leave that are well.
  [[nodiscard]] bool IsScaled() const {
    return settings_.process_model != options::ProcessModel::kStatic;
  }
  /// This generation serves, so that workers may come and go one by one.
  [[nodiscard]] bool IsSettled() const;
  [[nodiscard]] std::size_t Wanted() const;
  void WantAtStart();
  void Scale();
  [[nodiscard]] double LoadOf(Place& place, milliseconds since, bool& has_worked) const;
  void WantMore(std::size_t count);
  void WantLess(std::size_t count);
  [[nodiscard]] Clock::time_point NextLookAtLoad() const;
  [[nodiscard]] bool WaitsForDemand() const;
  void AppendDemandEvents();
  void HandleDemand(std::span<const pollfd> events);
  void OnDemand(const std::string& why);
  void ReturnParked();
  [[nodiscard]] bool MayRecycle() const;
  void RecycleDue();
  void Recycle(Place& place);
  void RelieveRecycled(Place& successor);
  void SetDue(Place& place);
  [[nodiscard]] Clock::time_point NextRecycling() const;
  void HaveLeave(Place& place);
  [[nodiscard]] bool IsTooManyCrashes(const std::string& line);

  // Generations.
  [[nodiscard]] static std::unique_ptr<observe::Scoreboard> FiguresOf(
      const std::optional<Handover>& taken_over, std::size_t places, const LogLine& log);
  [[nodiscard]] static ServiceStage ServiceOf(const std::optional<Handover>& taken_over);
  void TakeOver(Handover&& handover);
  void RequestReload();
  void BeginDueReload();
  void OnTrialEnd(int status);
  void BecomeNextWhenIdle();
  [[nodiscard]] Handover MakeHandover() const;
  void Refuse(std::vector<std::string> reasons);
  void RelieveOld();
  void HaveLeft(Place& place);
  void KillLateLeavers();
  void OnOldEnd(Place& place, int status);
  void OnOldReport(const Place& place, const worker::ReloadReport& report);
  /// Some of before are there still.
  [[nodiscard]] bool OldServe() const { return !old_.empty(); }
  /// So that nothing that goes wrong now ends the host: it may pass.
  [[nodiscard]] bool HasServed() const { return any_was_ready_ || generation_ > 1; }

  // The status.
  void TellServiceManager() noexcept;
  void TellFigures();
  void LookAtQueues(Clock::time_point now);
  [[nodiscard]] std::string Answer(std::string_view request);
  [[nodiscard]] std::string SetLevel(std::string_view name) const;
  [[nodiscard]] observe::HostReport Report();
  [[nodiscard]] HostStatus Status() const;
  [[nodiscard]] WorkerStatus StatusOf(const Place& place) const;

  const options::Settings& settings_;
  const WorkerMain& worker_main_;
  const LogLine& log_;
  const NewMappings& new_mappings_;
  Generations generations_;
  const std::string root_;  ///< --chroot of the start
  const milliseconds drain_timeout_;
  const bool spawned_;
  const pid_t own_pid_ = ::getpid();
  /// Children that are not known by number: as process 1 those that others have left, and after a takeover those that write
  /// reports of crashes for the supervisor of before.
  const bool has_unknown_children_ = own_pid_ == 1 || generations_.taken_over.has_value();

  SystemClock::time_point since_ = SystemClock::now();

  std::unique_ptr<observe::Scoreboard> figures_;  ///< never null
  std::unique_ptr<observe::TraceRing> traces_;    ///< of this generation; null: none are kept
  std::uint64_t tables_before_ = 0;               ///< that earlier programs have counted
  FileDescriptor log_level_;                      ///< for the next program
  ListeningSockets sockets_;
  observe::ListenQueues queues_;
  Clock::time_point queues_seen_{};
  std::optional<ControlSocket> control_;
  std::vector<ControlSocket> metrics_;
  ServiceManager service_manager_;
  CrashReporter crash_reporter_;
  MemoryKills memory_kills_;
  std::vector<Place> places_;
  /// Workers that retire, and have been replaced; no more than there are places. They never move but when one has ended.
  std::vector<Place> retiring_;
  FileDescriptor signals_;
  FileDescriptor watch_lock_;   ///< for the workers
  FileDescriptor passing_in_;   ///< for the workers: where they get connections that others pass on
  FileDescriptor passing_out_;  ///< and where they pass on theirs

  std::uint64_t mappings_ = 0;    ///< The fingerprint of the last new ones; 0: those of the start.
  MappingsState mappings_state_;  ///< for the status
  bool reload_wanted_ = false;    ///< of the mappings, and no worker is ready
  pid_t asked_ = -1;              ///< The worker that is to reload them; -1: none.

  std::uint64_t generation_ = 1;
  /// Workers of earlier generations. They never move but when one has ended.
  std::vector<Place> old_;
  std::uint64_t adopted_by_old_ = 0;  ///< the mappings that they serve with
  /// Sockets that this generation does not want any more, as long as earlier ones serve.
  std::vector<Listener> old_listeners_;
  ReloadState reload_;
  std::uint64_t told_of_generation_ = 1;  ///< That it serves.
  std::optional<Trial> trial_;
  std::optional<Trial::Passed> passed_;    ///< a trial that has, until this becomes the new program
  std::string tried_file_;                 ///< which version of the program's file
  Clock::time_point become_next_until_{};  ///< Clients of the control socket have that long to end.

  Scaling scaling_;
  Clock::time_point looked_at_load_{};
  bool told_of_limit_ = false;  ///< The load asks for more than there may be.
  ParkedConnections parked_;    ///< of a host without workers
  CrashWindow crashes_;
  std::minstd_rand chance_{std::random_device()()};

  std::vector<pollfd>
      events_;  ///< has room for all that there are, so that a round needs no memory
  std::vector<char> packet_ = std::vector<char>(worker::kMaxMessageBytes);
  sigset_t inherited_mask_{};
  bool any_was_ready_ = false;
  std::size_t failed_starts_ = 0;  ///< as long as none was ready
  Stage stage_ = Stage::kRunning;
  Clock::time_point kill_at_ = Clock::time_point::max();
  int exit_code_ = options::kExitOk;
};

template <typename F>
void Supervisor::ForEachProcess(F function) {
  for (std::vector<Place>* const places : {&places_, &retiring_, &old_}) {
    for (Place& place : *places) {
      if (place.pid > 0) function(place);
    }
  }
}

template <typename F>
void Supervisor::ForEachProcess(F function) const {
  for (const std::vector<Place>* const places : {&places_, &retiring_, &old_}) {
    for (const Place& place : *places) {
      if (place.pid > 0) function(place);
    }
  }
}

}  // namespace weft::host::supervisor
