#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <weft/http_context.hpp>
#include <weft/http_headers.hpp>
#include "host/observe/log.hpp"
#include "host/observe/trace_record.hpp"
#include "host/observe/trace_ring.hpp"

namespace weft::host::observe {

/// What is noted of a request while it is served.
///
/// Threads: Note() from any; what else there is on the request's fiber.
class RequestTrace {
 public:
  using Clock = std::chrono::steady_clock;

  /// The first time counts.
  void Note(TraceStep step) noexcept {
    auto& at = steps_[static_cast<std::size_t>(step)];
    if (at.load(std::memory_order_relaxed) < 0) {
      at.store((Clock::now() - began_).count(), std::memory_order_relaxed);
    }
  }
  /// What the mapping is looked for by. Keeps nothing where there is no memory.
  void SetTarget(const HttpRequest& request) noexcept;
  /// The header block is sent now. Keeps nothing where there is no memory.
  void SetAnswer(const HttpHeaders& headers) noexcept;
  void SetError(std::string_view error) noexcept;
  void AddReading(Clock::duration time) noexcept { record_.reading_body += time; }
  void AddWriting(Clock::duration time) noexcept { record_.writing += time; }

 private:
  friend class Tracer;

  Clock::time_point began_{};
  std::array<std::atomic<std::int64_t>, kTraceSteps> steps_{};
  TraceRecord record_{};  // its lines are the tracer's
};

/// Keeps the traces of one worker's requests, and writes each into the host's ring when its request is over.
///
/// While it lives, what is logged of a request in flight becomes part of its trace, by HttpContext::RequestId(): where clients
/// choose that, requests of one id have each other's lines.
///
/// Threads: the reactor's. Lifetime: `ring` must outlive it; and it what logs.
class Tracer final : private ILogListener {
 public:
  /// `viewer`: the class, by RequestRecord::type, whose requests have no trace where all went well: who looks at traces is not to
  /// see himself. Of static storage; empty: there is none.
  Tracer(TraceRing& ring, TraceRing::Part part, std::string_view viewer);
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;
  ~Tracer() override;

  /// What tells one mapping table from another, in all of the host's processes.
  void SetMappings(std::uint64_t mappings) noexcept { mappings_ = mappings; }

  /// A request begins, or `began`; null where there is no memory. It lives until End().
  [[nodiscard]] RequestTrace* Begin(const HttpContext& context,
                                    RequestTrace::Clock::time_point began) noexcept;
  /// Its record is made; `trace`: null where nothing else is known. Noted from then on counts for nothing.
  void Write(RequestTrace* trace, const RequestRecord& record) noexcept;
  /// It is over.
  void End(RequestTrace& trace) noexcept;

 private:
  void OnEvent(Level level, std::string_view request, std::string_view text,
               std::string_view stack) noexcept override;

  TraceRing& ring_;
  const TraceRing::Part part_;
  const std::string_view viewer_;
  std::uint64_t mappings_ = 0;
  std::mutex mutex_;  // what follows, and the lines of those in flight
  /// By the id in their records, which need not be theirs alone.
  std::unordered_multimap<std::string_view, std::unique_ptr<RequestTrace>> in_flight_;
  std::vector<std::unique_ptr<RequestTrace>> spare_;
};

}  // namespace weft::host::observe
