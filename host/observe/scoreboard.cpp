#include "host/observe/scoreboard.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace weft::host::observe {

namespace {

/// "weftfig", and a number that grows when what lies where is changed.
constexpr std::uint64_t kMagic = 0x7765'6674'6669'6703;
/// So often the supervisor may be in the middle of adding up, each time for less than a millisecond; it may also have been stopped
/// there, and then what it has is better than nothing.
constexpr int kReadAttempts = 8;

std::size_t Pages(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

template <typename Enum>
Enum Bounded(std::uint64_t value, Enum most) noexcept {
  return value <= static_cast<std::uint64_t>(most) ? static_cast<Enum>(value) : most;
}

}  // namespace

struct Scoreboard::Place {
  Figure is_taken;
  Figure pid;
  Figure stage;
  Figure generation;
};

/// What the memory begins with. The parts follow, each on pages of its own, and in each the evidence on its own; the first is
/// of the workers that have ended.
struct Scoreboard::Layout {
  Figure magic;
  Figure part_bytes;
  Figure parts;  // the first one not counted
  HostFigures host;

  static std::size_t HeadBytes(std::size_t parts) {
    return Pages(sizeof(Layout) + parts * sizeof(Place));
  }
  static std::size_t EvidenceOffset() { return Pages(sizeof(WorkerFigures)); }
  static std::size_t PartBytes() { return EvidenceOffset() + Pages(sizeof(CrashEvidence)); }
  static std::size_t Bytes(std::size_t parts) {
    return HeadBytes(parts) + (parts + 1) * PartBytes();
  }
};

std::string_view NameOf(HostStage stage) noexcept {
  switch (stage) {
    case HostStage::kStarting:
      return "starting";
    case HostStage::kServing:
      return "serving";
    case HostStage::kDraining:
      return "draining";
    case HostStage::kStopping:
      return "stopping";
  }
  return {};
}

HostStage HostStageOf(std::uint64_t number) noexcept {
  return Bounded(number, HostStage::kStopping);
}

std::string_view NameOf(WorkerStage stage) noexcept {
  switch (stage) {
    case WorkerStage::kStarting:
      return "starting";
    case WorkerStage::kReady:
      return "ready";
    case WorkerStage::kRetiring:
      return "retiring";
    case WorkerStage::kEnding:
      return "ending";
  }
  return {};
}

Scoreboard::Scoreboard(std::size_t workers) : parts_(workers) {
  const auto bytes = Layout::Bytes(workers);
  int descriptor = ::memfd_create("weft-figures", MFD_CLOEXEC);
  // Beyond a limit of file sizes (ulimit -f) it cannot grow.
  if (descriptor >= 0 && ::ftruncate(descriptor, static_cast<off_t>(bytes)) != 0) {
    ::close(std::exchange(descriptor, -1));
  }
  try {
    Map(bytes, descriptor);
  } catch (const std::system_error&) {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
    throw;
  }
  descriptor_ = descriptor;
  // The memory is zeros, which is what all of these begin with.
  auto& layout = *::new (static_cast<void*>(memory_)) Layout;
  layout.part_bytes.Set(Layout::PartBytes());
  layout.parts.Set(parts_);
  layout.magic.Set(kMagic);
}

std::unique_ptr<Scoreboard> Scoreboard::Adopt(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    throw std::system_error(errno, std::system_category(), "the host's figures");
  }
  const auto bytes = static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
  std::unique_ptr<Scoreboard> board(new Scoreboard);
  if (bytes >= sizeof(Layout)) {
    board->Map(bytes, descriptor);
    const auto& layout = *reinterpret_cast<const Layout*>(board->memory_);
    const auto parts = layout.parts.Value();
    if (layout.magic.Value() == kMagic && layout.part_bytes.Value() == Layout::PartBytes() &&
        parts <= bytes / Layout::PartBytes() && bytes == Layout::Bytes(parts)) {
      board->parts_ = parts;
      board->descriptor_ = descriptor;
      return board;
    }
  }
  throw std::runtime_error("the host's figures are of another version of Weft");
}

Scoreboard::~Scoreboard() {
  if (memory_ != nullptr) {
    ::munmap(memory_, bytes_);
  }
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

void Scoreboard::Map(std::size_t bytes, int descriptor) {
  const int flags = MAP_SHARED | MAP_NORESERVE | (descriptor < 0 ? MAP_ANONYMOUS : 0);
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (memory == MAP_FAILED) {
    throw std::system_error(errno, std::system_category(), "memory for the host's figures");
  }
  memory_ = static_cast<std::byte*>(memory);
  bytes_ = bytes;
}

HostFigures& Scoreboard::Host() noexcept { return reinterpret_cast<Layout*>(memory_)->host; }
const HostFigures& Scoreboard::Host() const noexcept {
  return reinterpret_cast<const Layout*>(memory_)->host;
}

Scoreboard::Place* Scoreboard::PlaceOf(Part part) const noexcept {
  return part && *part < parts_ ? reinterpret_cast<Place*>(memory_ + sizeof(Layout)) + *part
                                : nullptr;
}

WorkerFigures& Scoreboard::PartAt(std::size_t number) const noexcept {
  return *reinterpret_cast<WorkerFigures*>(memory_ + Layout::HeadBytes(parts_) +
                                           number * Layout::PartBytes());
}

Scoreboard::Part Scoreboard::Take() noexcept {
  for (std::size_t i = 0; i < parts_; ++i) {
    auto& place = *PlaceOf(i);
    if (place.is_taken.Value() == 0) {
      place.pid.Set(0);
      place.generation.Set(0);
      SetStage(i, WorkerStage::kStarting);
      place.is_taken.Set(1);
      return i;
    }
  }
  return std::nullopt;
}

void Scoreboard::SetProcess(Part part, pid_t pid, std::uint64_t generation) noexcept {
  if (auto* const place = PlaceOf(part)) {
    place->pid.Set(static_cast<std::uint64_t>(pid));
    place->generation.Set(generation);
  }
}

void Scoreboard::SetStage(Part part, WorkerStage stage) noexcept {
  if (auto* const place = PlaceOf(part)) {
    place->stage.Set(static_cast<std::uint64_t>(stage));
  }
}

void Scoreboard::GiveBack(Part part) noexcept {
  auto* const place = PlaceOf(part);
  if (place == nullptr || place->is_taken.Value() == 0) {
    return;
  }
  auto& host = Host();
  auto& figures = PartAt(*part + 1);
  host.folds.fetch_add(1);
  try {
    Fold(figures, PartAt(0));
  } catch (const std::bad_alloc&) {
    // Some of what it had counted is lost.
  }
  // Zeros again, and no memory until the next worker writes there.
  if (::madvise(&figures, Layout::PartBytes(), MADV_REMOVE) != 0) {
    ::new (static_cast<void*>(&figures)) WorkerFigures;
    std::memset(static_cast<void*>(EvidenceOf(part)), 0, sizeof(CrashEvidence));
  }
  place->is_taken.Set(0);
  host.folds.fetch_add(1);
}

void Scoreboard::KeepOnly(Part part) noexcept {
  if (part && *part >= parts_) {
    part.reset();
  }
  // Where the system refuses, all is as before.
  static_cast<void>(::mprotect(memory_, bytes_, PROT_READ));
  if (part) {
    static_cast<void>(::mprotect(&PartAt(*part + 1), Layout::PartBytes(), PROT_READ | PROT_WRITE));
  }
  if (descriptor_ >= 0) {
    ::close(std::exchange(descriptor_, -1));
  }
}

WorkerFigures& Scoreboard::Of(Part part) noexcept {
  if (part && *part < parts_) {
    return PartAt(*part + 1);
  }
  if (!unseen_) {
    unseen_ = std::make_unique<WorkerFigures>();
  }
  return *unseen_;
}

CrashEvidence* Scoreboard::EvidenceOf(Part part) const noexcept {
  if (!part || *part >= parts_) {
    return nullptr;
  }
  auto* const figures = reinterpret_cast<std::byte*>(&PartAt(*part + 1));
  return reinterpret_cast<CrashEvidence*>(figures + Layout::EvidenceOffset());
}

Scoreboard::AllFigures Scoreboard::ReadAll(std::chrono::steady_clock::time_point now) const {
  AllFigures all{.at = now, .workers = {}, .sum = Read(PartAt(0), now)};
  for (std::size_t i = 0; i < parts_; ++i) {
    const auto& place = *PlaceOf(i);
    if (place.is_taken.Value() == 0) {
      continue;
    }
    Worker worker;
    worker.pid = static_cast<pid_t>(place.pid.Value());
    worker.stage = Bounded(place.stage.Value(), WorkerStage::kEnding);
    worker.generation = place.generation.Value();
    worker.figures = Read(PartAt(i + 1), now);
    all.sum.Add(worker.figures);
    worker.figures.entries = {};
    all.workers.push_back(std::move(worker));
  }
  return all;
}

std::size_t Scoreboard::ReadLoads(Part but, std::size_t& from,
                                  std::span<Load> loads) const noexcept {
  std::size_t count = 0;
  for (std::size_t looks = 0; looks < parts_ && count < loads.size(); ++looks) {
    const std::size_t i = from < parts_ ? from : 0;
    from = i + 1;
    const auto& place = *PlaceOf(i);
    if (i == but || place.is_taken.Value() == 0 ||
        place.stage.Value() != static_cast<std::uint64_t>(WorkerStage::kReady)) {
      continue;
    }
    const auto& figures = PartAt(i + 1);
    const auto threads = figures.handlers.threads.Value();
    loads[count++] = {.connections = figures[Count::kConnections].Value(),
                      .waits = figures.waits.Value() != 0,
                      .queued = figures.handlers.queued.Value(),
                      // Both change one after the other.
                      .busy_threads = threads - std::min(threads, figures.handlers.idle.Value())};
  }
  return count;
}

bool Scoreboard::HasConnections() const noexcept {
  for (std::size_t i = 0; i < parts_; ++i) {
    if (PlaceOf(i)->is_taken.Value() != 0 && PartAt(i + 1)[Count::kConnections].Value() != 0) {
      return true;
    }
  }
  return false;
}

Scoreboard::AllFigures Scoreboard::All(std::chrono::steady_clock::time_point now) const {
  const auto& folds = Host().folds;
  for (int attempt = 1;; ++attempt) {
    const auto before = folds.load();
    auto all = ReadAll(now);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (attempt == kReadAttempts || (before % 2 == 0 && folds.load() == before)) {
      return all;
    }
  }
}

}  // namespace weft::host::observe
