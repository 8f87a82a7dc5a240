#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/figure.hpp"
#include "host/observe/worker_figures.hpp"

namespace weft::host::observe {

/// A text in memory that outlives who writes it. What does not fit is cut.
///
/// Threads: one at a time writes; it is read when nobody does.
template <std::size_t kBytes>
class EvidenceText {
 public:
  /// Async-signal-safe, as Append().
  void Set(std::string_view text) noexcept {
    bytes_ = 0;
    Append(text);
  }
  void Append(std::string_view text) noexcept {
    bytes_ = static_cast<std::uint16_t>(bytes_ + text.copy(text_.data() + bytes_, kBytes - bytes_));
  }
  /// Whatever was left there.
  [[nodiscard]] std::string_view View() const noexcept {
    return {text_.data(), bytes_ < kBytes ? bytes_ : kBytes};
  }

 private:
  static_assert(kBytes < 65'536);
  std::uint16_t bytes_ = 0;
  std::array<char, kBytes> text_{};
};

/// A request that a worker holds, as it is named after the worker's death, of whatever kind that was.
struct HeldRequest {
  Figure number;        ///< Within the process; 0: none. Set last, and cleared first.
  Figure started_ns;    ///< By the steady clock, which all processes share.
  Figure state;         ///< RequestState
  EvidenceText<62> id;  ///< empty: CrashEvidence::id_prefix and the number
  EvidenceText<14> method;
  EvidenceText<158> path;
  EvidenceText<62> entry;
  EvidenceText<94> handler;
};

/// How far a worker came that wrote down its own crash; each step may have been the last.
enum class CrashStep : std::uint8_t { kNothing, kFacts, kWork, kMessage, kFrames, kModules };

/// What a worker leaves behind: the requests that it holds at any time, and, if it crashes, where and why. It lies in memory
/// that it shares with its supervisor (Scoreboard), which reads it when the worker has ended. Nothing in it is to be trusted: see
/// ReadEvidence().
struct CrashEvidence {
  /// 256: as many handlers as run at once on threads, four times over, and more than anybody reads; further ones are counted.
  static constexpr std::size_t kRequests = 256;
  static constexpr std::size_t kInnerFrames = 64;
  /// Of a stack that is deeper: where it began.
  static constexpr std::size_t kOuterFrames = 32;
  static constexpr std::size_t kFrames = kInnerFrames + kOuterFrames;
  static constexpr std::size_t kModules = 32;

  struct Frame {
    std::uint64_t address;
    std::uint64_t offset;  ///< in the module's file
    std::uint32_t module;  ///< its number, from 1 on; 0: it lies in none
  };
  struct Module {
    std::uint64_t inode;  ///< of the file, when it was loaded
    EvidenceText<254> path;
  };

  EvidenceText<62> id_prefix;  ///< of requests that no web server has given one
  Figure requests_not_named;
  std::array<HeldRequest, kRequests> requests;

  // Of std::terminate().
  std::uint32_t has_terminated;
  EvidenceText<254> exception_type;  ///< as the compiler mangles it; empty: there was no exception
  EvidenceText<510> exception_text;  ///< what()

  // Of the signal.
  std::atomic<CrashStep> step;
  std::int32_t signal;
  std::int32_t code;     ///< si_code
  std::uint32_t access;  ///< CrashAccess
  std::uint64_t address;
  std::int64_t sender;  ///< the process, where one has sent it
  std::int64_t sender_user;
  std::int64_t system_call;
  std::uint64_t at_ns;  ///< by the steady clock
  std::int64_t thread;
  EvidenceText<14> thread_name;
  std::uint32_t role;          ///< CrashRole
  std::uint64_t request;       ///< HeldRequest::number of the one that it worked for; 0: none
  EvidenceText<510> work;      ///< "request 4-17 GET /a: shop::Report"
  EvidenceText<174> overflow;  ///< whose stack was over; empty: it was not
  EvidenceText<126> advice;    ///< what would help then
  EvidenceText<510> message;   ///< of assert() or of the C library, on the way to abort()
  std::uint32_t frames;
  std::uint32_t frames_left_out;  ///< between kInnerFrames and the outer ones
  std::array<Frame, kFrames> frame;
  std::uint32_t modules;
  std::array<Module, kModules> module;
};

/// What was done with the address of a fault.
enum class CrashAccess : std::uint8_t { kUnknown, kRead, kWrite, kExecute };
/// Which thread it was.
enum class CrashRole : std::uint8_t {
  kOther,    ///< of a module, or of the host, that serves no request
  kReactor,  ///< the reactor itself
  kFiber,    ///< the reactor's thread, on a fiber
  kPool,     ///< a thread for plain handlers or offloaded calls
};

/// The requests that a worker holds, in memory that outlives it: names each in one of the places that there are.
///
/// Threads: the reactor's. Lifetime: `evidence` must outlive it.
class HeldRequests {
 public:
  explicit HeldRequests(CrashEvidence& evidence);

  /// What the ids of requests begin with whose HeldRequest::id is left empty.
  void SetIdPrefix(std::string_view prefix) noexcept { evidence_.id_prefix.Set(prefix); }

  /// A place, of which all but the number is to be written; null: there is none left, and it is counted. Never throws.
  [[nodiscard]] HeldRequest* Take() noexcept;
  void GiveBack(HeldRequest* request) noexcept;

 private:
  CrashEvidence& evidence_;
  /// The one used last is the next: what is not needed at once takes no memory.
  std::vector<std::uint16_t> free_;
};

/// What was read of a worker's evidence.
struct CrashFacts {
  struct Request {
    std::uint64_t number = 0;
    std::string id{};
    std::string method{};
    std::string path{};
    std::string entry{};
    std::string handler{};  ///< its class; empty: there was none yet
    RequestState state = RequestState::kOnFiber;
    std::chrono::nanoseconds age{-1};  ///< when it was read; negative: it cannot be told
    bool has_crashed = false;          ///< The thread that crashed worked for it.
  };
  struct Frame {
    std::uint64_t address = 0;
    std::uint64_t offset = 0;
    std::string module{};  ///< its file; empty: it lies in none
  };

  /// The one that crashed first, then the oldest.
  std::vector<Request> requests{};
  std::uint64_t requests_not_named = 0;

  bool has_terminated = false;
  std::string exception_type{};
  std::string exception_text{};

  CrashStep step = CrashStep::kNothing;  ///< Of what follows only what it reached is there.
  int signal = 0;
  int code = 0;
  CrashAccess access = CrashAccess::kUnknown;
  std::uint64_t address = 0;
  std::int64_t sender = 0;
  std::int64_t sender_user = 0;
  std::int64_t system_call = 0;
  std::int64_t thread = 0;
  std::string thread_name{};
  CrashRole role = CrashRole::kOther;
  std::string work{};  ///< without the secrets in its query
  std::string overflow{};
  std::string advice{};
  std::string message{};
  std::vector<Frame> frames{};
  std::uint64_t frames_left_out = 0;  ///< behind the first CrashEvidence::kInnerFrames
};

/// Reads what a worker has left, whatever it is: numbers that cannot be are 0, texts are cut; they may have any bytes. It is copied
/// first, for a process that the worker has started may write there still. Throws std::bad_alloc.
[[nodiscard]] CrashFacts ReadEvidence(const CrashEvidence& evidence,
                                      std::chrono::steady_clock::time_point now);

}  // namespace weft::host::observe
