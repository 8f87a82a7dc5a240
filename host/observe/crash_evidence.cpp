#include "host/observe/crash_evidence.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>

#include "host/observe/secret_fields.hpp"

namespace weft::host::observe {

namespace {

template <typename Enum>
Enum Bounded(std::uint64_t value, Enum most) noexcept {
  return value <= static_cast<std::uint64_t>(most) ? static_cast<Enum>(value) : Enum{};
}

template <typename Text>
std::string TextOf(const Text& text) {
  return std::string(text.View());
}

}  // namespace

HeldRequests::HeldRequests(CrashEvidence& evidence) : evidence_(evidence) {
  static_assert(CrashEvidence::kRequests <= std::numeric_limits<std::uint16_t>::max());
  free_.resize(CrashEvidence::kRequests);
  for (std::size_t i = 0; i < free_.size(); ++i) {
    free_[i] = static_cast<std::uint16_t>(free_.size() - 1 - i);
  }
}

HeldRequest* HeldRequests::Take() noexcept {
  if (free_.empty()) {
    evidence_.requests_not_named.Add();
    return nullptr;
  }
  const auto place = free_.back();
  free_.pop_back();
  auto& request = evidence_.requests[place];
  request.id.Set({});
  request.method.Set({});
  request.path.Set({});
  request.entry.Set({});
  request.handler.Set({});
  return &request;
}

void HeldRequests::GiveBack(HeldRequest* request) noexcept {
  if (request == nullptr) {
    evidence_.requests_not_named.Subtract();
    return;
  }
  request->number.Set(0);
  // It has room: the place came from there.
  free_.push_back(static_cast<std::uint16_t>(request - evidence_.requests.data()));
}

CrashFacts ReadEvidence(const CrashEvidence& evidence, std::chrono::steady_clock::time_point now) {
  // All bits are a value of every member, and what of them is no number or text is looked at before it is used.
  const auto copy = std::make_unique<CrashEvidence>();
  std::memcpy(static_cast<void*>(copy.get()), static_cast<const void*>(&evidence), sizeof evidence);
  CrashFacts facts;
  const auto now_ns = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count());
  facts.step = Bounded(static_cast<std::uint64_t>(copy->step.load(std::memory_order_relaxed)),
                       CrashStep::kModules);
  if (copy->signal <= 0 || copy->signal >= NSIG) {
    facts.step = CrashStep::kNothing;
  }
  const bool has_work = facts.step >= CrashStep::kWork;
  for (const auto& held : copy->requests) {
    const auto number = held.number.Value();
    if (number == 0) {
      continue;
    }
    CrashFacts::Request request{.number = number,
                                .id = TextOf(held.id),
                                .method = TextOf(held.method),
                                .path = TextOf(held.path),
                                .entry = TextOf(held.entry),
                                .handler = TextOf(held.handler),
                                .state = Bounded(held.state.Value(), RequestState::kFinished),
                                .has_crashed = has_work && number == copy->request};
    if (request.id.empty()) {
      request.id = TextOf(copy->id_prefix) + std::to_string(number);
    }
    if (const auto started = held.started_ns.Value(); started != 0 && started <= now_ns) {
      request.age = std::chrono::nanoseconds(now_ns - started);
    }
    facts.requests.push_back(std::move(request));
  }
  std::ranges::stable_sort(facts.requests, [](const auto& one, const auto& other) {
    return one.has_crashed != other.has_crashed ? one.has_crashed : one.age > other.age;
  });
  // One that falls below 0 was left half changed; more than anybody may have in flight is none either.
  constexpr std::uint64_t kMostRequests = 100'000'000;
  if (const auto more = copy->requests_not_named.Value(); more <= kMostRequests) {
    facts.requests_not_named = more;
  }
  facts.has_terminated = copy->has_terminated != 0;
  if (facts.has_terminated) {
    facts.exception_type = TextOf(copy->exception_type);
    facts.exception_text = TextOf(copy->exception_text);
  }
  if (facts.step == CrashStep::kNothing) {
    return facts;
  }
  facts.signal = copy->signal;
  facts.code = copy->code;
  facts.access = Bounded(copy->access, CrashAccess::kExecute);
  facts.address = copy->address;
  facts.sender = copy->sender;
  facts.sender_user = copy->sender_user;
  facts.system_call = copy->system_call;
  facts.thread = copy->thread;
  facts.thread_name = TextOf(copy->thread_name);
  // What was begun is there as far as it went.
  facts.role = Bounded(copy->role, CrashRole::kPool);
  facts.overflow = TextOf(copy->overflow);
  facts.advice = TextOf(copy->advice);
  // The worker could not: a signal's handler takes no memory.
  facts.work = WithoutSecrets(copy->work.View());
  facts.message = TextOf(copy->message);
  const auto modules = std::min<std::size_t>(copy->modules, CrashEvidence::kModules);
  const auto frames = std::min<std::size_t>(copy->frames, CrashEvidence::kFrames);
  for (std::size_t i = 0; i < frames; ++i) {
    const auto& frame = copy->frame[i];
    CrashFacts::Frame read{.address = frame.address};
    if (frame.module != 0 && frame.module <= modules) {
      read.offset = frame.offset;
      read.module = TextOf(copy->module[frame.module - 1].path);
    }
    facts.frames.push_back(std::move(read));
  }
  facts.frames_left_out = frames == CrashEvidence::kFrames ? copy->frames_left_out : 0;
  return facts;
}

}  // namespace weft::host::observe
