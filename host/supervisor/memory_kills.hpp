#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace weft::host::supervisor {

/// How often the kernel has killed a process for want of memory: of this process's control group, whose workers are in it, where that
/// is counted; else of the whole machine.
class MemoryKills {
 public:
  /// `root`: where /proc and /sys are; "/".
  explicit MemoryKills(const std::filesystem::path& root = "/");

  /// Whether there was one since the last call, or the start. It reads a file of the kernel's.
  [[nodiscard]] bool HaveRisen();

 private:
  [[nodiscard]] std::optional<std::uint64_t> Count() const;

  std::filesystem::path file_;  ///< what counts them; it may be missing: then none is seen
  std::optional<std::uint64_t> last_;
};

}  // namespace weft::host::supervisor
