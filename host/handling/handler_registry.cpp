#include "host/handling/handler_registry.hpp"

#include <cxxabi.h>

#include <cstdlib>
#include <stdexcept>
#include <typeindex>
#include <unordered_map>
#include <utility>

#include <weft/http_exception.hpp>
#include "host/observe/log.hpp"

namespace weft::host::handling {

namespace {

/// Keeps reusable instances; the most recently returned serves next, for it is the warmest.
class PooledClass final : public HandlerClass {
 public:
  PooledClass(std::function<std::unique_ptr<IHttpHandler>()> create, std::size_t max_idle)
      : create_(std::move(create)), max_idle_(max_idle) {}

  IHttpHandler& Borrow(HttpContext&, std::unique_ptr<IHttpHandler>& owned) override {
    if (idle_.empty()) {
      owned = Create();
    } else {
      owned = std::move(idle_.back());
      idle_.pop_back();
    }
    return *owned;
  }

  std::unique_ptr<IHttpHandler> Create() override {
    auto handler = create_();
    if (!handler) {
      throw HttpException(500, {}, "the module made no handler: its function returned null");
    }
    return handler;
  }

  void Return(std::unique_ptr<IHttpHandler> owned, bool failed) override {
    if (owned && !failed && idle_.size() < max_idle_ && owned->IsReusable()) {
      idle_.push_back(std::move(owned));
    }
  }

 private:
  std::function<std::unique_ptr<IHttpHandler>()> create_;
  std::size_t max_idle_;
  std::vector<std::unique_ptr<IHttpHandler>> idle_;
};

class SharedClass final : public HandlerClass {
 public:
  explicit SharedClass(std::shared_ptr<IHttpHandler> handler) : handler_(std::move(handler)) {}

  IHttpHandler& Borrow(HttpContext&, std::unique_ptr<IHttpHandler>&) override { return *handler_; }
  std::unique_ptr<IHttpHandler> Create() override {
    throw HttpException(500, {},
                        "the class has one shared instance; map it with an `add`, not by a file");
  }
  void Return(std::unique_ptr<IHttpHandler>, bool) override {}

 private:
  std::shared_ptr<IHttpHandler> handler_;
};

class FactoryClass final : public HandlerClass {
 public:
  explicit FactoryClass(std::unique_ptr<IHttpHandlerFactory> factory)
      : factory_(std::move(factory)) {}

  IHttpHandler& Borrow(HttpContext& context, std::unique_ptr<IHttpHandler>& owned) override {
    const auto& request = context.Request();
    owned = factory_->GetHandler(context, request.HttpMethod(), request.FilePath(),
                                 request.PhysicalPath());
    if (!owned) {
      throw HttpException(500, {},
                          "the factory returned no handler for " + std::string(request.FilePath()));
    }
    return *owned;
  }

  std::unique_ptr<IHttpHandler> Create() override {
    throw HttpException(500, {}, "the class is a factory; map it with an `add`, not by a file");
  }

  void Return(std::unique_ptr<IHttpHandler> owned, bool failed) override {
    if (owned && !failed) {
      factory_->ReleaseHandler(std::move(owned));
    }
  }

 private:
  std::unique_ptr<IHttpHandlerFactory> factory_;
};

}  // namespace

std::string_view NameOf(const std::type_info& type) {
  // Few, for there are only as many as classes; and kept, for the types are never unloaded.
  static auto& names = *new std::unordered_map<std::type_index, std::string>();
  auto& name = names[type];
  if (name.empty()) {
    int status = 0;
    char* const demangled = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
    name = status == 0 ? demangled : type.name();
    std::free(demangled);
  }
  return name;
}

HandlerLease::~HandlerLease() {
  try {
    class_.Return(std::move(owned_), failed_);
  } catch (const std::exception& error) {
    observe::Log(observe::Level::kError,
                 std::string("a handler was not taken back: ") + error.what());
  } catch (...) {
    observe::Log(observe::Level::kError, "a handler was not taken back: its class threw");
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

void HandlerRegistry::AddHandler(std::string_view class_name,
                                 std::function<std::unique_ptr<IHttpHandler>()> create) {
  if (!create) {
    throw std::invalid_argument("class " + std::string(class_name) +
                                " is registered without a function");
  }
  Add(class_name, std::make_unique<PooledClass>(std::move(create), max_idle_));
}

void HandlerRegistry::AddSharedHandler(std::string_view class_name,
                                       std::shared_ptr<IHttpHandler> handler) {
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
