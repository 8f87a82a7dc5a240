#include "host/options/settings.hpp"

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

namespace weft::host::options {
namespace {

constexpr std::chrono::milliseconds kDrainTimeoutWhenSpawned{2'000};
constexpr std::chrono::milliseconds kDrainTimeout{30'000};
constexpr std::chrono::milliseconds kWorkerIdleTimeout{10'000};

struct AddressPrinter {
  std::string operator()(const UnixAddress& address) const { return "unix:" + address.path; }
  std::string operator()(const TcpAddress& address) const {
    const bool is_v6 = address.host.find(':') != std::string::npos;
    return "tcp:" + (is_v6 ? "[" + address.host + "]" : address.host) + ":" +
           std::to_string(address.port);
  }
  std::string operator()(const DescriptorAddress& address) const {
    return "fd:" + std::to_string(address.number);
  }
};

}  // namespace

std::string ToString(const ListenAddress& address) { return std::visit(AddressPrinter{}, address); }

Environment Settings::KeptVariables(bool spawned) const {
  if (environment) {
    return *environment;
  }
  return {.all = spawned,
          .kept = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ",
                   "TMPDIR"}};
}

ForwardedFields Settings::BelievedFields() const {
  if (forwarded_headers.empty()) {
    return {};
  }
  const auto has = [this](std::string_view name) {
    return std::find(forwarded_headers.begin(), forwarded_headers.end(), name) !=
           forwarded_headers.end();
  };
  return {.forwarded = has("forwarded"),
          .x_forwarded_for = has("x-forwarded-for"),
          .x_forwarded_proto = has("x-forwarded-proto"),
          .x_forwarded_host = has("x-forwarded-host")};
}

std::size_t Settings::WorkerCount(bool spawned) const {
  if (workers) return *workers;
  if (spawned) return 0;
  // glibc answers with the cores of the affinity mask, so taskset and cpusets are honoured.
  return std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

std::size_t Settings::MinWorkers() const {
  return process_model == ProcessModel::kOnDemand ? 0 : min_workers.value_or(1);
}

std::size_t Settings::MinSpareWorkers() const { return min_spare_workers.value_or(1); }

std::size_t Settings::MaxSpareWorkers() const {
  return max_spare_workers.value_or(MinSpareWorkers() + 1);
}

std::chrono::milliseconds Settings::WorkerIdleTimeout() const {
  return worker_idle_timeout.value_or(kWorkerIdleTimeout);
}

std::string_view Settings::NeedsSupervisor() const {
  if (process_model != ProcessModel::kStatic) return "--process-model";
  if (recycle_requests != 0) return "--recycle-requests";
  if (recycle_age.count() != 0) return "--recycle-age";
  if (recycle_memory != 0) return "--recycle-memory";
  if (max_crashes) return "--max-crashes";
  if (!crash_dir.empty()) return "--crash-dir";
  return {};
}

std::chrono::milliseconds Settings::DrainTimeout(bool spawned) const {
  if (drain_timeout) return *drain_timeout;
  return spawned ? kDrainTimeoutWhenSpawned : kDrainTimeout;
}

std::vector<std::filesystem::path> Settings::ModuleFolders() const {
  if (!modules.empty()) return modules;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  for (std::filesystem::path folder :
       {program.parent_path().parent_path() / "modules",
        (program.parent_path() / WEFT_MODULES_FROM_PROGRAMS).lexically_normal()}) {
    if (std::filesystem::is_directory(folder, error)) return {std::move(folder)};
  }
  return {};
}

}  // namespace weft::host::options
