#include <weft/http_context.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <random>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <weft/detail/config_sections.hpp>
#include <weft/detail/request_execution.hpp>
#include <weft/detail/request_id.hpp>
#include <weft/http_date.hpp>
#include <weft/http_handler.hpp>
#include <weft/http_headers.hpp>
#include "handlers/contract/site_path.hpp"

namespace weft {

namespace {

/// Long enough for what proxies make, and short enough for a line of a log.
constexpr std::size_t kMaxRequestIdBytes = 128;

bool IsRequestIdCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view("-._~+=@:").find(c) != std::string_view::npos;
}

bool IsRequestId(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestIdBytes &&
         std::all_of(text.begin(), text.end(), IsRequestIdCharacter);
}

/// Small letters alone, and not all zeros.
bool IsTraceNumber(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }) &&
         text.find_first_not_of('0') != std::string_view::npos;
}

/// `version-traceid-parentid-flags` (W3C Trace Context, section 3.2); a version to come may have more behind it.
/// Empty where it is malformed.
std::string_view TraceIdOf(std::string_view traceparent) {
  constexpr std::size_t kBytes = 55;
  if (traceparent.size() < kBytes || traceparent[2] != '-' || traceparent[35] != '-' ||
      traceparent[52] != '-') {
    return {};
  }
  const auto version = traceparent.substr(0, 2);
  const auto flags = traceparent.substr(53, 2);
  const bool may_go_on =
      version != "00" && traceparent.size() > kBytes && traceparent[kBytes] == '-';
  if (version == "ff" || (version != "00" && !IsTraceNumber(version)) ||
      (flags != "00" && !IsTraceNumber(flags)) || (traceparent.size() > kBytes && !may_go_on) ||
      !IsTraceNumber(traceparent.substr(36, 16))) {
    return {};
  }
  const auto trace_id = traceparent.substr(3, 32);
  return IsTraceNumber(trace_id) ? trace_id : std::string_view();
}

/// Of this process: 64 random bits. First asked for when there is a request, so that each worker has its own.
const std::string& ProcessPrefix() {
  static const auto& prefix = *new std::string([] {
    std::random_device device;
    const auto bits = (static_cast<std::uint64_t>(device()) << 32) | device();
    std::array<char, 17> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), bits, 16).ptr;
    const std::string text(digits.data(), end);
    return std::string(16 - text.size(), '0') + text + "-";
  }());
  return prefix;
}

}  // namespace

namespace detail {

std::size_t WriteRequestId(const ServerVariableCollection& variables, std::uint64_t number,
                           std::span<char> into) noexcept {
  if (const auto given = variables.Get("HTTP_X_REQUEST_ID"); IsRequestId(given)) {
    return given.copy(into.data(), into.size());
  }
  if (const auto trace_id = TraceIdOf(variables.Get("HTTP_TRACEPARENT")); !trace_id.empty()) {
    return trace_id.copy(into.data(), into.size());
  }
  const auto prefix = ProcessPrefix().copy(into.data(), into.size());
  std::array<char, 20> digits{};  // as many as 64 bits have
  const auto* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
  return prefix + text.copy(into.data() + prefix, into.size() - prefix);
}

/// What most requests have nothing of.
struct ContextState {
  HttpItemCollection items;
  std::optional<HttpPrincipal> user;
  std::vector<std::exception_ptr> errors;
  std::vector<std::function<void(HttpContext&)>> request_completed;
  std::shared_ptr<IHttpHandler> remapped_handler;
};

}  // namespace detail

bool HttpPrincipal::IsInRole(std::string_view role) const noexcept {
  return std::any_of(roles.begin(), roles.end(),
                     [role](const std::string& mine) { return EqualsIgnoreCase(mine, role); });
}

HttpContext::HttpContext(ServerVariableCollection variables, HttpWorkerRequest& worker_request,
                         CancellationToken cancellation, std::size_t response_buffer_bytes,
                         const HttpRequestSettings* settings, std::uint64_t request_number)
    : request_(std::move(variables), worker_request, settings),
      response_(worker_request, request_, response_buffer_bytes),
      cancellation_(std::move(cancellation)),
      timestamp_(std::chrono::system_clock::now()),
      monotonic_timestamp_(std::chrono::steady_clock::now()),
      request_number_(request_number),
      is_debugging_enabled_(settings != nullptr && settings->debug) {
  response_.SetContext(*this);
}

HttpContext::~HttpContext() = default;

detail::ContextState& HttpContext::State() const {
  if (!state_) {
    state_ = std::make_unique<detail::ContextState>();
  }
  return *state_;
}

namespace {

bool IsBelow(std::string_view path, std::string_view folder) {
  return folder == "/" || path == folder ||
         (path.substr(0, folder.size()) == folder && path.substr(folder.size(), 1) == "/");
}

}  // namespace

void HttpContext::RewritePath(std::string_view file_path, std::string_view path_info,
                              std::optional<std::string_view> query) {
  if (!IsPlainPath(file_path) || (!path_info.empty() && !IsPlainPath(path_info)) ||
      !IsBelow(file_path, request_.ApplicationPath())) {
    throw std::invalid_argument("HttpContext::RewritePath(): '" + std::string(file_path) +
                                std::string(path_info) + "' is no normal path of the application " +
                                request_.ApplicationPath());
  }
  // A copy first: it may be of the path that goes.
  auto new_query = query ? std::optional<std::string>(*query) : std::nullopt;
  request_.RewritePath(file_path, path_info);
  if (new_query) {
    request_.SetQueryStringText(*std::move(new_query));
  }
}

bool HttpContext::PreconditionsHold(const Validators& current) {
  if (ExecutionDepth() != 0) {
    return true;
  }
  response_.RequireHeadersNotWritten("PreconditionsHold()");
  const auto result = EvaluatePreconditions(request_.HttpMethod(), RequestConditions(request_),
                                            current, std::chrono::system_clock::now());
  if (result == PreconditionResult::kNotModified) {
    // Of what the client has; the policy may have it as well.
    auto& headers = response_.headers_;
    if (current.etag && !headers.Contains("ETag")) {
      headers.Append("ETag", current.etag->ToHeaderValue());
    } else if (current.last_modified && !headers.Contains("Last-Modified")) {
      headers.Append("Last-Modified", FormatHttpDate(std::min(*current.last_modified,
                                                              std::chrono::system_clock::now())));
    }
  }
  response_.AnswerPrecondition(result);
  return result == PreconditionResult::kHolds;
}

HttpApplicationState& HttpContext::Application() const {
  if (application_ == nullptr) {
    throw std::logic_error("HttpContext::Application(): there is no host that has one");
  }
  return *application_;
}

std::optional<std::string_view> HttpContext::GetSection(std::string_view name) const noexcept {
  return sections_ == nullptr ? std::nullopt : sections_->Find(name);
}

void HttpContext::RemapHandler(std::shared_ptr<IHttpHandler> handler) {
  if (ExecutionDepth() != 0) {
    throw std::logic_error(
        "HttpContext::RemapHandler() while another handler executes this one: use Transfer()");
  }
  State().remapped_handler = std::move(handler);
}

std::shared_ptr<IHttpHandler> HttpContext::TakeRemappedHandler() noexcept {
  return state_ ? std::exchange(state_->remapped_handler, nullptr) : nullptr;
}

std::size_t HttpContext::ExecutionDepth() const noexcept {
  return execution_ == nullptr ? 0 : execution_->Depth();
}

detail::IRequestExecution& HttpContext::Execution() const {
  if (execution_ == nullptr) {
    throw std::logic_error(
        "HttpContext::Server(): there is no host to execute handlers by, or to set a deadline");
  }
  return *execution_;
}

HttpItemCollection& HttpContext::Items() { return State().items; }

const HttpPrincipal& HttpContext::User() const {
  auto& user = State().user;
  if (!user) {
    const auto& variables = request_.ServerVariables();
    user.emplace(HttpPrincipal{
        std::string(variables.Get("REMOTE_USER")), std::string(variables.Get("AUTH_TYPE")), {}});
  }
  return *user;
}

void HttpContext::SetUser(HttpPrincipal user) { State().user = std::move(user); }

std::exception_ptr HttpContext::Error() const noexcept {
  return state_ && !state_->errors.empty() ? state_->errors.front() : nullptr;
}

std::vector<std::exception_ptr> HttpContext::AllErrors() const {
  return state_ ? state_->errors : std::vector<std::exception_ptr>();
}

void HttpContext::AddError(std::exception_ptr error) {
  if (error == nullptr) {
    throw std::invalid_argument("HttpContext::AddError() of no error");
  }
  State().errors.push_back(std::move(error));
}

void HttpContext::ClearError() noexcept {
  if (state_) {
    state_->errors.clear();
  }
}

void HttpContext::AddOnRequestCompleted(std::function<void(HttpContext&)> callback) {
  if (!callback) {
    throw std::invalid_argument("HttpContext::AddOnRequestCompleted() of an empty function");
  }
  State().request_completed.push_back(std::move(callback));
}

std::string HttpContext::RequestId() const {
  // Made anew each time: the log of a worker that ends may ask for it while the handler does.
  std::array<char, kMaxRequestIdBytes> id{};
  return {id.data(), detail::WriteRequestId(request_.ServerVariables(), request_number_, id)};
}

bool HttpContext::HasRequestCompleted() const noexcept {
  return state_ && (!state_->request_completed.empty() || !state_->items.empty() ||
                    state_->remapped_handler != nullptr);
}

void HttpContext::RunRequestCompleted(
    const std::function<void(std::exception_ptr)>& report) noexcept {
  if (!state_) {
    return;
  }
  auto& callbacks = state_->request_completed;
  while (!callbacks.empty()) {
    try {
      const auto callback = std::move(callbacks.back());
      callbacks.pop_back();
      callback(*this);
    } catch (...) {
      report(std::current_exception());
    }
  }
  state_->items.Clear();
  state_->remapped_handler.reset();
}

}  // namespace weft
