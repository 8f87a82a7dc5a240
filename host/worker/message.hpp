#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mappings/problem.hpp"

namespace weft::host::worker {

/// A worker's word that it accepts connections.
struct Ready {};

/// A worker's word that it is about to load a module, which may end the process or not come to an end.
struct Loading {
  std::string module{};  ///< Its file; empty: none is being loaded any more.
};

/// A worker's word that it takes no new requests and ends when those that it has have ended, because a handler holds one of its
/// threads for good: another worker shall serve in its place at once.
struct Retiring {};

/// A worker's word that it has done what it is for (--recycle-requests, --recycle-memory). It serves on: another one shall be ready
/// before it is told to leave.
struct Recycle {
  enum class Reason { kRequests, kMemory };
  Reason reason = Reason::kRequests;
  std::uint64_t value = 0;  ///< So many requests, or bytes.

  friend bool operator==(const Recycle&, const Recycle&) = default;
};

/// A worker's word about mapping files that it has read.
struct ReloadReport {
  enum class Cause {
    kStart,   ///< For its own start.
    kReload,  ///< While it served.
  };
  Cause cause = Cause::kReload;
  bool accepted = false;          ///< It serves with them; if not, with those of before.
  std::uint64_t fingerprint = 0;  ///< Of these files (mappings::Fingerprinter).
  /// When the reading began, by the steady clock, which all processes of the machine share: of two readings the later
  /// one knows better.
  std::chrono::steady_clock::time_point read_at{};
  std::size_t problem_count = 0;  ///< That were found, warnings as well.
  /// As many of them as a message holds, errors first.
  std::vector<mappings::Problem> problems{};
};

/// A worker's word about its stacks and stalls, from time to time.
struct Figures {
  struct Stacks {
    std::size_t stack_bytes = 0;
    std::size_t usable_bytes = 0;  ///< Without the guard.
    std::size_t fibers = 0;
    std::size_t most_used_bytes = 0;

    friend bool operator==(const Stacks&, const Stacks&) = default;
  };
  std::vector<Stacks> stacks{};  ///< The least size first.
  std::uint64_t stalls = 0;
  std::chrono::milliseconds longest_stall{0};

  friend bool operator==(const Figures&, const Figures&) = default;
};

/// What a worker tells its supervisor, through a SOCK_SEQPACKET socket of its own: one packet a message.
using Message = std::variant<Ready, Loading, Retiring, Recycle, ReloadReport, Figures>;

/// The most bytes of a message. 64 KiB: a socket's buffer (net.core.wmem_default) holds three.
inline constexpr std::size_t kMaxMessageBytes = 65'536;
/// The most problems in a message. 100: more than anybody reads; the log has all.
inline constexpr std::size_t kMaxReportedProblems = 100;

/// The most sizes of stacks in a message: powers of two, of which a machine has no more.
inline constexpr std::size_t kMaxStackSizes = 32;

/// The packet. Problems beyond kMaxReportedProblems, or beyond what kMaxMessageBytes hold, are left out, and
/// `problem_count` tells; a very long sentence is cut.
[[nodiscard]] std::string Encode(const Message& message);

/// Nothing for what Encode() does not make: a worker runs its handlers' code, so that no packet is trusted.
/// Throws std::bad_alloc alone.
[[nodiscard]] std::optional<Message> Decode(std::string_view packet);

/// Sends it without waiting. False: the buffer is full, try again later. A supervisor that is gone counts as told.
/// Threads: any. Throws std::bad_alloc.
[[nodiscard]] bool TrySend(int channel, const Message& message);

}  // namespace weft::host::worker
