#include "host/pipeline/nested_execution.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include <weft/http_exception.hpp>
#include <weft/http_handler.hpp>
#include "host/pipeline/request_mapping.hpp"

namespace weft::host::pipeline {

namespace {

std::string NameOf(std::string_view path, std::string_view query) {
  std::string name(path);
  if (!query.empty()) {
    name.append("?").append(query);
  }
  return name;
}

}  // namespace

/// While it lives one more execution is going on.
class NestedExecution::Step {
 public:
  enum class Kind { kPath, kHandler };

  /// Throws HttpException(500) where it must not be.
  Step(NestedExecution& execution, const HttpRequest& request, std::string name, Kind kind)
      : execution_(execution) {
    auto& chain = execution.chain_;
    if (chain.empty()) {
      chain.push_back(NameOf(request.Path(), request.QueryStringText()));
    }
    const bool is_its_own =
        kind == Kind::kPath && std::find(chain.begin(), chain.end(), name) != chain.end();
    const bool is_too_deep = chain.size() > execution.max_depth_;
    chain.push_back(std::move(name));
    if (is_its_own || is_too_deep) {
      auto reason = is_its_own ? "it is being executed already"
                               : "more than " + std::to_string(execution.max_depth_) +
                                     " executions in one another (--max-execute-depth)";
      HttpException refusal(500, {}, execution.Chain() + ": " + reason);
      Leave();
      throw refusal.WithCause(cause::kExecutionRefused);
    }
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  ~Step() { Leave(); }

 private:
  void Leave() noexcept {
    auto& chain = execution_.chain_;
    chain.pop_back();
    if (chain.size() == 1) {
      chain.clear();  // the request's own path may be another one next time
    }
  }

  NestedExecution& execution_;
};

std::string NestedExecution::Chain() const {
  std::string text;
  for (const auto& name : chain_) {
    text.append(text.empty() ? "" : ", executing ").append(name);
  }
  return text;
}

void NestedExecution::RequireHandlersThread() const {
  if (io_.Gateway() == nullptr && !runtime::Runtime::OnReactorThread()) {
    throw std::logic_error(
        "HttpContext::Server() is used inside weft::Offload: call it before or after");
  }
}

void NestedExecution::RequireStack() const {
  if (runtime_.StackIsShort()) {
    throw HttpException(500, {},
                        Chain() +
                            ": three quarters of the stack are used up (--stack-size, or "
                            "\"stackBytes\" in its mapping)")
        .WithCause(cause::kExecutionRefused);
  }
}

void NestedExecution::OnFiber(const std::function<void()>& function) {
  auto* const gateway = io_.Gateway();
  if (gateway == nullptr) {
    RequireHandlersThread();
    function();
    return;
  }
  auto* const outer = std::exchange(waiting_thread_, gateway);
  io_.SetGateway(nullptr);
  const auto back = [&] {
    io_.SetGateway(gateway);
    waiting_thread_ = outer;
  };
  try {
    gateway->RunOnFiber(function);
  } catch (...) {
    back();
    throw;
  }
  back();
}

void NestedExecution::OnThread(const std::function<void()>& function) {
  used_thread_ = true;
  if (io_.Gateway() != nullptr) {
    function();
    return;
  }
  const auto run = [&](runtime::IFiberGateway& gateway) {
    io_.SetGateway(&gateway);
    try {
      function();
    } catch (...) {
      io_.SetGateway(nullptr);
      throw;
    }
    io_.SetGateway(nullptr);
  };
  if (auto* const gateway = waiting_thread_) {
    gateway->RunOnThread([&] { run(*gateway); });
  } else if (io_.HeadersSent()) {
    // Half an answer has left: it is let in.
    runtime_.RunOnPoolPastBound(run);
  } else {
    runtime_.RunOnPool(run);
  }
}

void NestedExecution::Run(bool is_async, HttpContext& context,
                          const std::function<void()>& function) {
  const auto entered = [&] {
    context.Cancellation().ThrowIfCancellationRequested();
    function();
  };
  if (is_async) {
    OnFiber(entered);
  } else {
    OnThread(entered);
  }
}

void NestedExecution::Execute(HttpContext& context, std::string_view path, std::string_view query) {
  auto& request = context.Request();
  RequireHandlersThread();
  const Step step(*this, request, NameOf(path, query), Step::Kind::kPath);
  HttpRequest::Paths callers;
  request.SwapPaths(callers);
  const auto* const callers_sections = context.SetSections(nullptr);
  const auto give_back = [&] {
    request.SwapPaths(callers);
    context.SetSections(callers_sections);
  };
  std::string_view mapping_cause;
  std::string allow;
  try {
    request.RewritePath(path, {});
    request.SetQueryStringText(std::string(query));
    std::unique_ptr<handling::HandlerLease> lease;
    const auto end_lease = [&] {
      if (lease) {
        OnFiber([&] { lease.reset(); });
      }
    };
    try {
      OnFiber([&] {
        RequireStack();
        const auto mapped = MapNestedRequest(context, handlers_, mapping_cause, allow);
        auto& handler_class = handlers_.ClassOf(*mapped.entry);
        context.SetSections(mapped.settings->sections.get());
        mapping_cause = {};
        lease.reset(
            new handling::HandlerLease(handling::LeaseFor(*mapped.entry, handler_class, context)));
      });
      if (!lease->IsBufferless()) {
        request.ReadBodyAhead();
      }
      Run(lease->IsAsync(), context, [&] { lease->ProcessRequest(context); });
    } catch (...) {
      end_lease();
      throw;
    }
    end_lease();
  } catch (...) {
    give_back();
    const auto error = std::current_exception();
    if (FailureOf(error) == nullptr) {
      failure_ = {error, Chain(), mapping_cause, std::move(allow)};
    }
    throw;
  }
  give_back();
}

void NestedExecution::Execute(HttpContext& context, IHttpHandler& handler) {
  std::string name = "an instance of ";
  OnFiber([&] { name += handling::NameOf(typeid(handler)); });
  const Step step(*this, context.Request(), std::move(name), Step::Kind::kHandler);
  try {
    OnFiber([&] { RequireStack(); });
    RunHandler(context, handler, [&] { handler.ProcessRequest(context); });
  } catch (...) {
    const auto error = std::current_exception();
    if (FailureOf(error) == nullptr) {
      failure_ = {error, Chain()};
    }
    throw;
  }
}

void NestedExecution::RunInstead(HttpContext& context, std::shared_ptr<IHttpHandler>& handler) {
  if (++run_instead_ > max_depth_) {
    throw HttpException(500, {},
                        "more than " + std::to_string(max_depth_) +
                            " handlers named by RemapHandler() one after the other "
                            "(--max-execute-depth)")
        .WithCause(cause::kExecutionRefused);
  }
  RunHandler(context, *handler, [&] {
    const auto own = std::move(handler);
    own->ProcessRequest(context);
  });
}

void NestedExecution::RunHandler(HttpContext& context, const IHttpHandler& handler,
                                 const std::function<void()>& function) {
  if (dynamic_cast<const IHttpBufferlessHandler*>(&handler) == nullptr) {
    context.Request().ReadBodyAhead();
  }
  Run(dynamic_cast<const IHttpAsyncHandler*>(&handler) != nullptr, context, function);
}

std::chrono::milliseconds NestedExecution::Timeout() {
  std::chrono::milliseconds timeout{0};
  OnFiber([&] {
    if (deadline_.at != Clock::time_point::max()) {
      timeout = std::chrono::floor<std::chrono::milliseconds>(deadline_.at - deadline_.started);
    }
  });
  return timeout;
}

void NestedExecution::SetTimeout(std::chrono::milliseconds timeout) {
  OnFiber([&] {
    if (deadline_.at != Clock::time_point::max()) {
      deadline_.at = deadline_.started + timeout;
    }
  });
}

}  // namespace weft::host::pipeline
