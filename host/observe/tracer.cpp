#include "host/observe/tracer.hpp"

#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include <weft/http_request.hpp>
#include "host/observe/secret_fields.hpp"

namespace weft::host::observe {

namespace {

using std::chrono::nanoseconds;

/// Of one request; a handler may log in a loop. 64: what it says on its way, on a screen or two; more are counted, and the log has
/// them. Of 2 KiB: a sentence with a path or an SQL statement, and with it the top of a stack. So no request's trace takes more
/// than some 256 KiB.
constexpr std::size_t kMaxLines = 64;
constexpr std::size_t kLongestLine = 2048;
/// Kept for reuse, with the memory of their texts. 64: as many as plain handlers run at once by default.
constexpr std::size_t kSpares = 64;

}  // namespace

void RequestTrace::SetTarget(const HttpRequest& request) noexcept {
  try {
    const auto& variables = request.ServerVariables();
    record_.host = variables.Find("HTTP_HOST").value_or(variables.Get("SERVER_NAME"));
    record_.script_path = request.FilePath();
    record_.path_info = request.PathInfo();
    record_.query = WithoutSecrets(request.QueryStringText());
    record_.site_folder = request.MapPath("/");
  } catch (const std::bad_alloc&) {
    record_.script_path.clear();
  }
}

void RequestTrace::SetAnswer(const HttpHeaders& headers) noexcept {
  record_.answered = Clock::now() - began_;
  record_.response_fields.clear();
  try {
    for (const auto& [name, value] : headers) {
      record_.response_fields.emplace_back(name, ShownValue(name, value));
    }
  } catch (const std::bad_alloc&) {
    record_.response_fields.clear();
  }
}

void RequestTrace::SetError(std::string_view error) noexcept {
  try {
    record_.error = WithoutSecrets(error);
  } catch (const std::bad_alloc&) {
    // The log has it.
  }
}

Tracer::Tracer(TraceRing& ring, TraceRing::Part part, std::string_view viewer)
    : ring_(ring), part_(part), viewer_(viewer) {
  spare_.reserve(kSpares);
  SetLogListener(this);
}

Tracer::~Tracer() { SetLogListener(nullptr); }

RequestTrace* Tracer::Begin(const HttpContext& context,
                            RequestTrace::Clock::time_point began) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) {
      spare_.push_back(std::make_unique<RequestTrace>());
    }
    auto& trace = *spare_.back();
    trace.began_ = began;
    for (auto& step : trace.steps_) {
      step.store(-1, std::memory_order_relaxed);
    }
    trace.record_ = {};
    trace.record_.request_id = context.RequestId();
    trace.record_.mappings = mappings_;
    trace.record_.began = std::chrono::system_clock::now() -
                          std::chrono::duration_cast<std::chrono::system_clock::duration>(
                              RequestTrace::Clock::now() - began);
    in_flight_.emplace(trace.record_.request_id, std::move(spare_.back()));
    spare_.pop_back();
    trace.Note(TraceStep::kParsed);
    return &trace;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void Tracer::Write(RequestTrace* trace, const RequestRecord& record) noexcept {
  if (!viewer_.empty() && record.type == viewer_ && (record.status < 400 || record.status == 404)) {
    return;
  }
  if (trace != nullptr) {
    trace->Note(TraceStep::kEnded);
  }
  const auto now = RequestTrace::Clock::now();
  try {
    TraceRecord whole;
    if (trace != nullptr) {
      const std::lock_guard lock(mutex_);
      whole = trace->record_;
      std::ranges::transform(trace->steps_, whole.steps.begin(), [](const auto& step) {
        return nanoseconds(step.load(std::memory_order_relaxed));
      });
      whole.duration = now - trace->began_;
    } else {
      whole.duration = record.duration;
      whole.began = std::chrono::system_clock::now() - record.duration;
      whole.request_id = record.request_id;
    }
    whole.worker = ::getpid();
    whole.status = record.status;
    whole.outcome = record.outcome;
    whole.id = record.id;
    whole.header_bytes_sent = record.header_bytes_sent;
    whole.body_bytes_sent = record.body_bytes_sent;
    whole.body_bytes_received = record.body_bytes_received;
    whole.client = record.remote_address;
    whole.method = record.method;
    whole.url = WithoutSecrets(record.raw_url);
    whole.entry = record.entry;
    if (record.entry_where != nullptr) {
      whole.entry_where = record.entry_where->ToString();
    }
    whole.type = record.type;
    whole.cause = record.cause;
    whole.log_text = WithoutSecrets(record.log_text);
    if (record.request != nullptr) {
      // Its handler may be at work still: what no handler changes.
      const auto& variables = record.request->ServerVariables();
      whole.parameters.reserve(variables.size());
      for (const auto& [name, value] : variables) {
        whole.parameters.emplace_back(name, ShownValue(name, value));
      }
    }
    ring_.Write(part_, now, Encode(whole, ring_.Bytes()));
  } catch (const std::bad_alloc&) {
    // No memory to tell of it: the request itself went well.
  }
}

void Tracer::End(RequestTrace& trace) noexcept {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = in_flight_.equal_range(trace.record_.request_id);
  const auto found = std::find_if(
      begin, end, [&trace](const auto& other) { return other.second.get() == &trace; });
  if (found == end) {
    return;
  }
  auto ended = in_flight_.extract(found);
  if (spare_.size() < kSpares && spare_.size() < spare_.capacity()) {
    spare_.push_back(std::move(ended.mapped()));
  }
}

void Tracer::OnEvent(Level level, std::string_view request, std::string_view text,
                     std::string_view stack) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    const auto [begin, end] = in_flight_.equal_range(request);
    for (auto at = begin; at != end; ++at) {
      const auto& trace = at->second;
      auto& of = trace->record_;
      if (of.lines.size() >= kMaxLines) {
        ++of.lines_omitted;
        continue;
      }
      std::string line = WithoutSecrets(text.substr(0, kLongestLine));
      if (!stack.empty()) {
        line.append("\n").append(stack.substr(0, kLongestLine));
      }
      of.lines.push_back({.level = static_cast<std::uint8_t>(level),
                          .at = RequestTrace::Clock::now() - trace->began_,
                          .text = std::move(line)});
    }
  } catch (const std::bad_alloc&) {
    // The log has it.
  }
}

}  // namespace weft::host::observe
