#include "host/worker/recycling.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace weft::host::worker {
namespace {

/// Of a line `RssAnon:     1234 kB`.
std::optional<std::uint64_t> BytesOf(std::string_view status, std::string_view name) {
  for (auto at = status.find(name); at != std::string_view::npos; at = status.find(name, at + 1)) {
    if (at != 0 && status[at - 1] != '\n') {
      continue;
    }
    auto text = status.substr(at + name.size());
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    std::uint64_t kibibytes = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), kibibytes);
    return error == std::errc() ? std::optional(kibibytes * 1024) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t Lowered(std::uint64_t bound, std::size_t percent, std::minstd_rand& chance) {
  const double most = static_cast<double>(bound) * static_cast<double>(percent) / 100;
  const auto less =
      static_cast<std::uint64_t>(std::uniform_real_distribution(0.0, 1.0)(chance) * most);
  return bound == 0 ? 0 : std::max<std::uint64_t>(1, bound - std::min(less, bound));
}

std::optional<std::uint64_t> OwnMemoryOf(std::string_view status) {
  const auto resident = BytesOf(status, "RssAnon:");
  if (!resident) {
    return std::nullopt;
  }
  return *resident + BytesOf(status, "VmSwap:").value_or(0);
}

std::optional<std::uint64_t> Recycling::OwnMemory() {
  const int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return std::nullopt;
  }
  std::array<char, 4096> text;  // some 1,500 bytes; what matters comes early
  const auto count = read(file, text.data(), text.size());
  close(file);
  return count <= 0 ? std::nullopt
                    : OwnMemoryOf(std::string_view(text.data(), static_cast<std::size_t>(count)));
}

Recycling::Recycling(const options::Settings& settings, std::minstd_rand chance,
                     std::optional<std::uint64_t> (*own_memory)())
    : requests_(Lowered(settings.recycle_requests, settings.recycle_jitter, chance)),
      memory_(settings.recycle_memory),
      own_memory_(own_memory) {}

std::string_view Recycling::OnReady() {
  if (memory_ == 0) {
    return {};
  }
  const auto now = own_memory_();
  if (now && *now <= memory_) {
    return {};
  }
  memory_ = 0;
  return now ? "--recycle-memory is less than a worker has before its first request: it is not "
               "looked "
               "at, raise it"
             : "--recycle-memory is not looked at: /proc/self/status does not tell how much memory "
               "a "
               "process has";
}

std::optional<Recycle> Recycling::Look(std::uint64_t ended, Clock::time_point now) {
  if (is_told_) {
    return std::nullopt;
  }
  if (!wish_ && requests_ != 0 && ended >= requests_) {
    wish_ = {.reason = Recycle::Reason::kRequests, .value = ended};
  }
  if (!wish_ && memory_ != 0 && now >= memory_due_) {
    memory_due_ = now + kMemoryInterval;
    if (const auto memory = own_memory_(); memory && *memory > memory_) {
      wish_ = {.reason = Recycle::Reason::kMemory, .value = *memory};
    }
  }
  return wish_;
}

}  // namespace weft::host::worker
