#include "host/handling/handler_registry.hpp"

#include <cxxabi.h>

#include <cstdlib>
#include <stdexcept>
#include <typeindex>
#include <unordered_map>
#include <utility>

#include "host/handling/unusable_type.hpp"
#include "host/observe/log.hpp"

namespace weft::host::handling {

namespace {

/// Keeps reusable instances; the most recently returned serves next, for it is the warmest.
class PooledClass final : public HandlerClass {
 public:
  PooledClass(std::function<std::unique_ptr<IHttpHandler>()> create,
              std::optional<HandlerTraits> traits, std::size_t max_idle)
      : create_(std::move(create)), traits_(traits), max_idle_(max_idle) {}

  Loan Borrow(HttpContext&) override {
    if (idle_.empty()) {
      return {Create()};
    }
    Loan loan{std::move(idle_.back())};
    idle_.pop_back();
    return loan;
  }

  std::unique_ptr<IHttpHandler> Create() override {
    auto handler = create_();
    if (!handler) {
      throw NoHandlerError("the module made no handler: its function returned null");
    }
    return handler;
  }

  bool MayServeAgain(const IHttpHandler& handler) const override { return handler.IsReusable(); }
  void Reset(IHttpHandler& handler) const override {
    if (auto* const resettable = dynamic_cast<IHttpResettableHandler*>(&handler)) {
      resettable->Reset();
    }
  }

  void Return(std::unique_ptr<IHttpHandler> handler) override {
    if (idle_.size() < max_idle_) {
      idle_.push_back(std::move(handler));
    }
  }

  Lifetime LifetimeOfInstances() const noexcept override { return Lifetime::kInstance; }
  std::optional<HandlerTraits> Traits() const noexcept override { return traits_; }

 private:
  std::function<std::unique_ptr<IHttpHandler>()> create_;
  std::optional<HandlerTraits> traits_;
  std::size_t max_idle_;
  std::vector<std::unique_ptr<IHttpHandler>> idle_;
};

/// Stands for a shared handler where a handler of its own is asked for. It is never entered: FactoryClass lends what it
/// stands for, so that the request runs as that handler says of itself.
class SharedReference final : public IHttpHandler {
 public:
  explicit SharedReference(const IHttpSharedHandler& handler) : handler_(handler) {}

  const IHttpSharedHandler& Handler() const noexcept { return handler_; }
  void ProcessRequest(HttpContext& context) override { handler_.ProcessRequest(context); }
  bool IsReusable() const override { return false; }

 private:
  const IHttpSharedHandler& handler_;
};

class SharedClass final : public HandlerClass {
 public:
  explicit SharedClass(std::shared_ptr<const IHttpSharedHandler> handler)
      : handler_(std::move(handler)) {}

  Loan Borrow(HttpContext&) override { return {nullptr, handler_.get()}; }
  std::unique_ptr<IHttpHandler> Create() override {
    return std::make_unique<SharedReference>(*handler_);
  }
  bool MayServeAgain(const IHttpHandler&) const override { return false; }
  void Reset(IHttpHandler&) const override {}
  void Return(std::unique_ptr<IHttpHandler>) override {}

  Lifetime LifetimeOfInstances() const noexcept override { return Lifetime::kShared; }
  std::optional<HandlerTraits> Traits() const noexcept override {
    return HandlerTraits{
        .is_async = dynamic_cast<const IHttpSharedAsyncHandler*>(handler_.get()) != nullptr,
        .is_bufferless = dynamic_cast<const IHttpBufferlessHandler*>(handler_.get()) != nullptr};
  }

 private:
  std::shared_ptr<const IHttpSharedHandler> handler_;
};

class FactoryClass final : public HandlerClass {
 public:
  explicit FactoryClass(std::unique_ptr<IHttpHandlerFactory> factory)
      : factory_(std::move(factory)) {}

  Loan Borrow(HttpContext& context) override {
    const auto& request = context.Request();
    Loan loan{factory_->GetHandler(context, request.HttpMethod(), request.FilePath(),
                                   request.PhysicalPath())};
    if (!loan.own) {
      throw NoHandlerError("the factory returned no handler for " +
                           std::string(request.FilePath()));
    }
    if (const auto* const reference = dynamic_cast<const SharedReference*>(loan.own.get())) {
      return {nullptr, &reference->Handler()};
    }
    return loan;
  }

  std::unique_ptr<IHttpHandler> Create() override {
    throw TypeError("the class is a factory, which makes handlers for requests alone");
  }

  bool MayServeAgain(const IHttpHandler&) const override { return true; }
  void Reset(IHttpHandler&) const override {}
  void Return(std::unique_ptr<IHttpHandler> handler) override {
    factory_->ReleaseHandler(std::move(handler));
  }

  Lifetime LifetimeOfInstances() const noexcept override { return Lifetime::kFactory; }
  std::optional<HandlerTraits> Traits() const noexcept override { return {}; }

 private:
  std::unique_ptr<IHttpHandlerFactory> factory_;
};

std::string Demangled(const std::type_info& type) {
  int status = 0;
  char* const demangled = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string name = status == 0 ? demangled : type.name();
  std::free(demangled);
  return name;
}

/// Logs that an instance is lost, from within a catch block. Threads: any one, unlike NameOf().
void LogLoss(const HttpContext& context, const std::type_info& type,
             std::string_view what) noexcept {
  try {
    std::string line =
        "request " + context.RequestId() + ": " + Demangled(type) + ": " + std::string(what) + ": ";
    try {
      throw;
    } catch (const std::exception& error) {
      line += error.what();
    } catch (...) {
      line += "an exception that is no std::exception";
    }
    observe::Log(observe::Level::kError, line);
  } catch (...) {
    // No memory to tell of it.
  }
}

template <typename Interface, typename Handler>
bool Is(const Handler& handler) {
  return dynamic_cast<const Interface*>(&handler) != nullptr;
}

const std::type_info& TypeOf(const Loan& loan) {
  if (loan.shared != nullptr) {
    return typeid(*loan.shared);
  }
  const IHttpHandler& handler = *loan.own;
  return typeid(handler);
}

}  // namespace

std::string_view NameOf(const std::type_info& type) {
  // Few, for there are only as many as classes; and kept, for the types are never unloaded.
  static auto& names = *new std::unordered_map<std::type_index, std::string>();
  auto& name = names[type];
  if (name.empty()) {
    name = Demangled(type);
  }
  return name;
}

std::string_view ToString(Lifetime lifetime) noexcept {
  switch (lifetime) {
    case Lifetime::kInstance:
      return "instance";
    case Lifetime::kShared:
      return "shared";
    case Lifetime::kFactory:
      return "factory";
  }
  return "unknown";
}

HandlerLease::HandlerLease(HandlerClass& handler_class, HttpContext& context)
    : class_(handler_class),
      context_(context),
      loan_(handler_class.Borrow(context)),
      type_(TypeOf(loan_)),
      is_async_(loan_.shared != nullptr ? Is<IHttpSharedAsyncHandler>(*loan_.shared)
                                        : Is<IHttpAsyncHandler>(*loan_.own)),
      is_bufferless_(loan_.shared != nullptr ? Is<IHttpBufferlessHandler>(*loan_.shared)
                                             : Is<IHttpBufferlessHandler>(*loan_.own)) {}

void HandlerLease::ProcessRequest(HttpContext& context) {
  if (loan_.shared != nullptr) {
    loan_.shared->ProcessRequest(context);
    return;
  }
  try {
    loan_.own->ProcessRequest(context);
  } catch (...) {
    loan_.own.reset();
    throw;
  }
  try {
    if (class_.MayServeAgain(*loan_.own)) {
      class_.Reset(*loan_.own);
      is_ready_ = true;
    }
  } catch (...) {
    LogLoss(context_, type_, "the instance is dropped, it failed after its request");
  }
  // A plain handler is destroyed on its thread of the pool, where it may block.
  if (!is_ready_) {
    loan_.own.reset();
  }
}

HandlerLease::~HandlerLease() {
  if (!loan_.own) {
    return;
  }
  try {
    if (is_ready_ || class_.MayServeAgain(*loan_.own)) {
      class_.Return(std::move(loan_.own));
    }
  } catch (...) {
    LogLoss(context_, type_, "a handler was not taken back");
  }
}

void HandlerRegistry::Add(std::string_view class_name,
                          std::unique_ptr<HandlerClass> handler_class) {
  if (class_name.empty()) {
    throw std::invalid_argument("a class is registered without a name");
  }
  if (!classes_.emplace(class_name, std::move(handler_class)).second) {
    throw std::invalid_argument("class " + std::string(class_name) + " is registered twice");
  }
}

void HandlerRegistry::AddPooled(std::string_view class_name,
                                std::function<std::unique_ptr<IHttpHandler>()> create,
                                std::optional<HandlerTraits> traits) {
  if (!create) {
    throw std::invalid_argument("class " + std::string(class_name) +
                                " is registered without a function");
  }
  Add(class_name, std::make_unique<PooledClass>(std::move(create), traits, pool_));
}

void HandlerRegistry::AddHandler(std::string_view class_name,
                                 std::function<std::unique_ptr<IHttpHandler>()> create) {
  AddPooled(class_name, std::move(create), {});
}

void HandlerRegistry::AddHandler(std::string_view class_name,
                                 std::function<std::unique_ptr<IHttpHandler>()> create,
                                 const HandlerTraits& traits) {
  AddPooled(class_name, std::move(create), traits);
}

void HandlerRegistry::AddSharedHandler(std::string_view class_name,
                                       std::shared_ptr<const IHttpSharedHandler> handler) {
  if (!handler) {
    throw std::invalid_argument("class " + std::string(class_name) +
                                " is registered without an instance");
  }
  Add(class_name, std::make_unique<SharedClass>(std::move(handler)));
}

void HandlerRegistry::AddFactory(std::string_view class_name,
                                 std::unique_ptr<IHttpHandlerFactory> factory) {
  if (!factory) {
    throw std::invalid_argument("class " + std::string(class_name) +
                                " is registered without a factory");
  }
  Add(class_name, std::make_unique<FactoryClass>(std::move(factory)));
}

void HandlerRegistry::OnStart(std::function<void(HttpApplicationState&)> hook) {
  if (!hook) {
    throw std::invalid_argument("OnStart() is given no function");
  }
  start_hooks_.push_back(std::move(hook));
}

void HandlerRegistry::OnStop(std::function<void(HttpApplicationState&)> hook) {
  if (!hook) {
    throw std::invalid_argument("OnStop() is given no function");
  }
  stop_hooks_.push_back(std::move(hook));
}

HandlerClass* HandlerRegistry::Find(std::string_view class_name) const noexcept {
  const auto at = classes_.find(class_name);
  return at == classes_.end() ? nullptr : at->second.get();
}

std::vector<std::string> HandlerRegistry::ClassNames() const {
  std::vector<std::string> names;
  for (const auto& [name, handler_class] : classes_) {
    names.push_back(name);
  }
  return names;
}

}  // namespace weft::host::handling
