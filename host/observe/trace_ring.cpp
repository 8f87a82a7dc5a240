#include "host/observe/trace_ring.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

namespace weft::host::observe {

namespace {

using Word = std::atomic<std::uint64_t>;
static_assert(sizeof(Word) == sizeof(std::uint64_t) && Word::is_always_lock_free);

constexpr std::size_t WordsFor(std::size_t bytes) noexcept {
  return (bytes + sizeof(Word) - 1) / sizeof(Word);
}

std::size_t Pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

/// A slot may be overwritten while it is read; that takes microseconds.
constexpr int kReadAttempts = 4;

std::uint64_t Number(TraceRing::Time time) noexcept {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

}  // namespace

/// On a page that all may write.
struct TraceRing::Head {
  Word cleared_at;  // records of this time, by the steady clock, and of before are gone
};

/// What a part begins with.
struct TraceRing::Ring {
  Word written;  // the number of the last one
};

/// What words follow that hold the record.
struct TraceRing::Slot {
  Word lock;
  Word number;
  Word at;
  Word bytes;
};

TraceRing::TraceRing(std::size_t parts, std::size_t records, std::size_t bytes)
    : parts_(parts),
      records_(records),
      bytes_(bytes),
      slot_bytes_(sizeof(Slot) + WordsFor(bytes) * sizeof(Word)),
      ring_bytes_(Pages(sizeof(Ring) + records * slot_bytes_)) {
  memory_bytes_ = Pages(sizeof(Head)) + parts_ * ring_bytes_;
  // Zeros, which is what all of it begins with; pages are given when they are first written.
  void* const memory = ::mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::system_error(errno, std::system_category(), "memory for the traces of requests");
  }
  memory_ = static_cast<std::byte*>(memory);
}

TraceRing::~TraceRing() { ::munmap(memory_, memory_bytes_); }

TraceRing::Head& TraceRing::HeadOf() const noexcept { return *reinterpret_cast<Head*>(memory_); }

TraceRing::Ring& TraceRing::RingOf(std::size_t part) const noexcept {
  return *reinterpret_cast<Ring*>(memory_ + Pages(sizeof(Head)) + part * ring_bytes_);
}

TraceRing::Slot& TraceRing::SlotOf(std::size_t part, std::uint64_t number) const noexcept {
  auto* const slots = reinterpret_cast<std::byte*>(&RingOf(part)) + sizeof(Ring);
  return *reinterpret_cast<Slot*>(slots + number % records_ * slot_bytes_);
}

std::atomic<std::uint64_t>* TraceRing::WordsOf(Slot& slot) noexcept {
  return reinterpret_cast<Word*>(&slot + 1);
}

void TraceRing::KeepOnly(Part part) noexcept {
  // Where the system refuses, all is as before.
  const auto head = Pages(sizeof(Head));
  static_cast<void>(::mprotect(memory_ + head, memory_bytes_ - head, PROT_READ));
  if (part && *part < parts_) {
    static_cast<void>(::mprotect(&RingOf(*part), ring_bytes_, PROT_READ | PROT_WRITE));
  }
}

TraceRing::Slot& TraceRing::Begin(std::size_t part, std::uint64_t number,
                                  std::uint64_t& end) noexcept {
  auto& slot = SlotOf(part, number);
  // Odd already, where its writer was killed.
  const auto odd = slot.lock.load(std::memory_order_relaxed) | 1U;
  slot.lock.store(odd, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  end = odd + 1;
  return slot;
}

void TraceRing::Write(Part part, Time at, std::string_view record) noexcept {
  if (!part || *part >= parts_ || record.size() > bytes_) {
    return;
  }
  auto& ring = RingOf(*part);
  const auto number = ring.written.load(std::memory_order_relaxed) + 1;
  std::uint64_t end = 0;
  auto& slot = Begin(*part, number, end);
  slot.number.store(number, std::memory_order_relaxed);
  slot.at.store(Number(at), std::memory_order_relaxed);
  slot.bytes.store(record.size(), std::memory_order_relaxed);
  auto* word = WordsOf(slot);
  for (; !record.empty(); ++word) {
    const auto count = std::min(record.size(), sizeof(std::uint64_t));
    std::uint64_t value = 0;
    std::memcpy(&value, record.data(), count);
    word->store(value, std::memory_order_relaxed);
    record.remove_prefix(count);
  }
  slot.lock.store(end, std::memory_order_release);
  ring.written.store(number, std::memory_order_release);
}

void TraceRing::WriteHalf(Part part, std::string_view record) noexcept {
  std::uint64_t end = 0;
  const auto number = RingOf(*part).written.load(std::memory_order_relaxed) + 1;
  auto& slot = Begin(*part, number, end);
  slot.number.store(number, std::memory_order_relaxed);
  slot.bytes.store(record.size(), std::memory_order_relaxed);
}

std::optional<TraceRing::Record> TraceRing::Read(Id id, bool with_bytes) const {
  auto& slot = SlotOf(id.part, id.number);
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const auto lock = slot.lock.load(std::memory_order_acquire);
    if (lock % 2 != 0) {
      continue;
    }
    const auto number = slot.number.load(std::memory_order_relaxed);
    const auto at = slot.at.load(std::memory_order_relaxed);
    Record record{.id = id, .at = Time(std::chrono::nanoseconds(at))};
    if (with_bytes) {
      // The bits may be any.
      record.bytes.resize(
          std::min<std::uint64_t>(slot.bytes.load(std::memory_order_relaxed), bytes_));
      const auto* word = WordsOf(slot);
      for (std::size_t done = 0; done < record.bytes.size(); ++word, done += sizeof(Word)) {
        const auto value = word->load(std::memory_order_relaxed);
        std::memcpy(record.bytes.data() + done, &value,
                    std::min(record.bytes.size() - done, sizeof value));
      }
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (slot.lock.load(std::memory_order_relaxed) != lock) {
      continue;
    }
    if (lock == 0 || number != id.number ||
        at <= HeadOf().cleared_at.load(std::memory_order_relaxed)) {
      return std::nullopt;
    }
    return record;
  }
  return std::nullopt;
}

std::vector<TraceRing::Record> TraceRing::Last() const {
  std::vector<Record> last;
  for (std::size_t part = 0; part < parts_; ++part) {
    const auto written = RingOf(part).written.load(std::memory_order_acquire);
    const auto count = std::min<std::uint64_t>(written, records_);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (auto record = Read({part, written - i}, /*with_bytes=*/false)) {
        last.push_back(std::move(*record));
      }
    }
  }
  std::ranges::sort(last, std::ranges::greater(), &Record::at);
  if (last.size() > records_) {
    last.resize(records_);
  }
  std::erase_if(last, [this](Record& record) {
    auto whole = Read(record.id, /*with_bytes=*/true);
    if (whole) {
      record = std::move(*whole);
    }
    return !whole;
  });
  return last;
}

std::optional<TraceRing::Record> TraceRing::Find(Id id) const {
  return id.part < parts_ && id.number != 0 ? Read(id, /*with_bytes=*/true) : std::nullopt;
}

void TraceRing::Clear(Time now) noexcept {
  HeadOf().cleared_at.store(Number(now), std::memory_order_relaxed);
}

}  // namespace weft::host::observe
