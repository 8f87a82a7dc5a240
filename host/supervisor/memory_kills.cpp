#include "host/supervisor/memory_kills.hpp"

#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace weft::host::supervisor {
namespace {

/// `root` and a path that begins with a slash.
std::filesystem::path Below(const std::filesystem::path& root, std::string_view path) {
  return root / std::filesystem::path(path).relative_path();
}

bool Exists(const std::filesystem::path& file) {
  std::error_code error;
  return std::filesystem::exists(file, error);
}

/// Of the second version's groups, then of the first one's, then of the machine.
std::filesystem::path FileThatCounts(const std::filesystem::path& root) {
  std::ifstream groups(Below(root, "/proc/self/cgroup"));
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const auto controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const auto path = std::filesystem::path(line.substr(second + 1)).relative_path();
    if (controllers == ",,") {
      const auto file = Below(root, "/sys/fs/cgroup") / path / "memory.events";
      if (Exists(file)) return file;
    } else if (controllers.find(",memory,") != std::string::npos) {
      const auto file = Below(root, "/sys/fs/cgroup/memory") / path / "memory.oom_control";
      if (Exists(file)) return file;
    }
  }
  return Below(root, "/proc/vmstat");
}

}  // namespace

MemoryKills::MemoryKills(const std::filesystem::path& root)
    : file_(FileThatCounts(root)), last_(Count()) {}

std::optional<std::uint64_t> MemoryKills::Count() const {
  std::ifstream file(file_);
  std::string name;
  std::uint64_t count = 0;
  while (file >> name >> count) {
    if (name == "oom_kill") return count;
  }
  return std::nullopt;
}

bool MemoryKills::HaveRisen() {
  const auto now = Count();
  const auto before = std::exchange(last_, now);
  return now && before && *now > *before;
}

}  // namespace weft::host::supervisor
