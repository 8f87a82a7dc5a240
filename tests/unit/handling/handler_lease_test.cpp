#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "host/handling/handler_registry.hpp"
#include "tests/support/captured_stderr.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"
#include "tests/unit/handling/handlers.hpp"

namespace weft::host::handling {
namespace {

using test::Fates;
using test::TrackedHandler;

/// A registry, and a request to borrow for.
struct Subject {
  explicit Subject(std::size_t pool = 64) : registry(pool) {}

  HandlerClass& Class() const { return *registry.Find("Class"); }
  static TrackedHandler& Handler(const HandlerLease& lease) {
    return dynamic_cast<TrackedHandler&>(*lease.Instance());
  }
  static int Number(const HandlerLease& lease) { return Handler(lease).Number(); }
  /// A request, from the loan to the return.
  void Serve() {
    HandlerLease lease(Class(), context);
    lease.ProcessRequest(context);
  }

  test::MemoryExchange exchange;
  HttpContext context{test::MakeVariables({{"REQUEST_METHOD", "PUT"},
                                           {"SCRIPT_NAME", "/a.x"},
                                           {"PATH_INFO", "/tail"},
                                           {"DOCUMENT_ROOT", "/srv"}}),
                      exchange,
                      {},
                      1024};
  Fates fates;
  HandlerRegistry registry;
};

struct PooledSubject : Subject {
  explicit PooledSubject(std::size_t pool = 64) : Subject(pool) {
    registry.AddHandler("Class",
                        [this] { return std::make_unique<TrackedHandler>(fates, reusable); });
  }

  bool reusable = true;
};

TEST_CASE("HandlerLease: a reusable handler serves one request after another") {
  PooledSubject subject;
  for (int i = 0; i < 3; ++i) {
    HandlerLease lease(subject.Class(), subject.context);
    CHECK(subject.Number(lease) == 1);
    lease.ProcessRequest(subject.context);
  }
  CHECK(subject.fates.made == 1);
  CHECK(subject.fates.destroyed == 0);
}

TEST_CASE("HandlerLease: a handler on loan is lent to nobody else") {
  PooledSubject subject;
  const HandlerLease first(subject.Class(), subject.context);
  const HandlerLease second(subject.Class(), subject.context);
  CHECK(first.Instance() != second.Instance());
  CHECK(subject.fates.made == 2);
}

TEST_CASE("HandlerLease: the handler that came back last is lent first") {
  PooledSubject subject;
  std::optional<HandlerLease> first(std::in_place, subject.Class(), subject.context);
  std::optional<HandlerLease> second(std::in_place, subject.Class(), subject.context);
  std::optional<HandlerLease> third(std::in_place, subject.Class(), subject.context);
  second.reset();
  third.reset();
  first.reset();
  std::vector<int> order;
  const HandlerLease a(subject.Class(), subject.context);
  const HandlerLease b(subject.Class(), subject.context);
  const HandlerLease c(subject.Class(), subject.context);
  for (const auto* const lease : {&a, &b, &c}) {
    order.push_back(subject.Number(*lease));
  }
  CHECK(order == std::vector<int>{1, 3, 2});
}

TEST_CASE("HandlerLease: a handler that is not reusable is destroyed where it ran") {
  PooledSubject subject;
  subject.reusable = false;
  for (int i = 1; i <= 3; ++i) {
    HandlerLease lease(subject.Class(), subject.context);
    CHECK(subject.Number(lease) == i);
    lease.ProcessRequest(subject.context);
    CHECK(subject.fates.destroyed == i);
    CHECK(lease.Instance() == nullptr);
    CHECK(lease.Type() == typeid(TrackedHandler));
  }
}

TEST_CASE("HandlerLease: a handler that was not entered goes back too, if it is reusable") {
  PooledSubject subject;
  { const HandlerLease lease(subject.Class(), subject.context); }
  CHECK(subject.fates.destroyed == 0);
  {
    const HandlerLease lease(subject.Class(), subject.context);
    CHECK(subject.Number(lease) == 1);
    subject.Handler(lease).SetReusable(false);
  }
  CHECK(subject.fates.destroyed == 1);
}

TEST_CASE("HandlerLease: whether it is reusable is asked after each request") {
  PooledSubject subject;
  subject.Serve();
  {
    HandlerLease lease(subject.Class(), subject.context);
    CHECK(subject.Number(lease) == 1);
    subject.Handler(lease).SetReusable(false);
    lease.ProcessRequest(subject.context);
  }
  CHECK(subject.fates.destroyed == 1);
}

TEST_CASE("HandlerLease: a handler that failed serves no more, reusable or not") {
  PooledSubject subject;
  {
    HandlerLease lease(subject.Class(), subject.context);
    subject.Handler(lease).SetFailing(true);
    CHECK_THROWS_WITH_AS(lease.ProcessRequest(subject.context), "the request failed",
                         std::runtime_error);
  }
  CHECK(subject.fates.destroyed == 1);
  const HandlerLease lease(subject.Class(), subject.context);
  CHECK(subject.Number(lease) == 2);
}

TEST_CASE("HandlerLease: idle handlers are kept up to the bound, the others destroyed") {
  PooledSubject subject(2);
  {
    const HandlerLease a(subject.Class(), subject.context);
    const HandlerLease b(subject.Class(), subject.context);
    const HandlerLease c(subject.Class(), subject.context);
  }
  CHECK(subject.fates.made == 3);
  CHECK(subject.fates.destroyed == 1);
}

TEST_CASE("HandlerLease: with no room for idle handlers each request has its own") {
  PooledSubject subject(0);
  subject.Serve();
  subject.Serve();
  CHECK(subject.fates.made == 2);
  CHECK(subject.fates.destroyed == 2);
}

TEST_CASE("HandlerRegistry: its idle handlers die with it") {
  Fates fates;
  {
    Subject subject;
    subject.registry.AddHandler("Class", [&] { return std::make_unique<TrackedHandler>(fates); });
    { const HandlerLease lease(subject.Class(), subject.context); }
    CHECK(fates.destroyed == 0);
  }
  CHECK(fates.destroyed == 1);
}

TEST_CASE("HandlerLease: a function that makes no handler is told so") {
  Subject subject;
  subject.registry.AddHandler("Class", [] { return nullptr; });
  CHECK_THROWS_WITH_AS(HandlerLease(subject.Class(), subject.context),
                       "the module made no handler: its function returned null", NoHandlerError);
}

TEST_CASE(
    "HandlerLease: what a constructor throws comes to who borrows, and the next one may try") {
  Subject subject;
  int calls = 0;
  subject.registry.AddHandler("Class", [&]() -> std::unique_ptr<IHttpHandler> {
    if (++calls == 1) {
      throw std::runtime_error("not yet");
    }
    return std::make_unique<TrackedHandler>(subject.fates);
  });
  CHECK_THROWS_WITH_AS(HandlerLease(subject.Class(), subject.context), "not yet",
                       std::runtime_error);
  const HandlerLease lease(subject.Class(), subject.context);
  CHECK(subject.Number(lease) == 1);
}

TEST_CASE("HandlerLease: a pooled class makes handlers of their own for who asks by name") {
  PooledSubject subject;
  { const HandlerLease lease(subject.Class(), subject.context); }
  const auto own = subject.Class().Create();
  CHECK(dynamic_cast<TrackedHandler&>(*own).Number() == 2);
}

/// A handler that is cleaned between two requests.
class ResettableHandler final : public IHttpHandler, public IHttpResettableHandler {
 public:
  struct Calls {
    std::vector<std::string> all;
    bool reusable = true;
    bool failing = false;
    std::function<void()> on_reset;
    int made = 0;
    int destroyed = 0;
  };

  explicit ResettableHandler(Calls& calls) : calls_(calls) { ++calls_.made; }
  ResettableHandler(const ResettableHandler&) = delete;
  ResettableHandler& operator=(const ResettableHandler&) = delete;
  ~ResettableHandler() override { ++calls_.destroyed; }

  void ProcessRequest(HttpContext&) override {
    calls_.all.emplace_back("ProcessRequest");
    if (calls_.failing) {
      throw std::runtime_error("the request failed");
    }
  }
  bool IsReusable() const override {
    calls_.all.emplace_back("IsReusable");
    return calls_.reusable;
  }
  void Reset() override {
    calls_.all.emplace_back("Reset");
    if (calls_.on_reset) {
      calls_.on_reset();
    }
  }

 private:
  Calls& calls_;
};

struct ResettableSubject : Subject {
  ResettableSubject() {
    registry.AddHandler("Class", [this] { return std::make_unique<ResettableHandler>(calls); });
  }

  ResettableHandler::Calls calls;
};

using Names = std::vector<std::string>;

TEST_CASE("HandlerLease: a handler is reset after its request, before it is kept for another") {
  ResettableSubject subject;
  {
    HandlerLease lease(subject.Class(), subject.context);
    lease.ProcessRequest(subject.context);
    CHECK(subject.calls.all == Names{"ProcessRequest", "IsReusable", "Reset"});
  }
  CHECK(subject.calls.all.size() == 3);
  subject.Serve();
  CHECK(subject.calls.made == 1);
}

TEST_CASE("HandlerLease: a handler that serves no more is not reset") {
  ResettableSubject subject;
  SUBCASE("not reusable") {
    subject.calls.reusable = false;
    subject.Serve();
    CHECK(subject.calls.all == Names{"ProcessRequest", "IsReusable"});
  }
  SUBCASE("failed") {
    subject.calls.failing = true;
    CHECK_THROWS_AS(subject.Serve(), std::runtime_error);
    CHECK(subject.calls.all == Names{"ProcessRequest"});
  }
  CHECK(subject.calls.destroyed == 1);
}

TEST_CASE("HandlerLease: a handler that was not entered is not reset") {
  ResettableSubject subject;
  { const HandlerLease lease(subject.Class(), subject.context); }
  CHECK(subject.calls.all == Names{"IsReusable"});
  CHECK(subject.calls.destroyed == 0);
}

TEST_CASE("HandlerLease: a handler that throws when it is reset is dropped and logged") {
  ResettableSubject subject;
  const test::CapturedStderr captured;
  SUBCASE("an exception") {
    subject.calls.on_reset = [] { throw std::runtime_error("the rollback failed"); };
    subject.Serve();
    CHECK(captured.Text().find("ResettableHandler: the instance is dropped, it failed after its "
                               "request: the rollback failed\n") != std::string::npos);
  }
  SUBCASE("anything else") {
    subject.calls.on_reset = [] { throw 42; };
    subject.Serve();
    CHECK(captured.Text().find("no std::exception") != std::string::npos);
  }
  CHECK(captured.Text().find(" error: ") != std::string::npos);
  CHECK(subject.calls.destroyed == 1);
  subject.calls.on_reset = nullptr;
  subject.Serve();
  CHECK(subject.calls.made == 2);
  CHECK(subject.calls.destroyed == 1);
}

/// A shared handler that says which one it is.
template <typename... Bases>
class SharedHandler final : public Bases... {
 public:
  explicit SharedHandler(int& served) : served_(served) {}
  void ProcessRequest(HttpContext& context) const override {
    ++served_;
    if (context.Request().HttpMethod() == "THROW") {
      throw std::runtime_error("the request failed");
    }
  }

 private:
  int& served_;
};

TEST_CASE("HandlerLease: a shared handler serves all at once, failed or not") {
  Subject subject;
  int served = 0;
  AddSharedHandler(subject.registry, "Class",
                   std::make_shared<SharedHandler<IHttpSharedHandler>>(served));
  HttpContext failing(test::MakeVariables({{"REQUEST_METHOD", "THROW"}}), subject.exchange, {},
                      1024);
  {
    HandlerLease first(subject.Class(), failing);
    HandlerLease second(subject.Class(), subject.context);
    CHECK(first.Instance() == nullptr);
    CHECK(first.Type() == typeid(SharedHandler<IHttpSharedHandler>));
    CHECK_THROWS_AS(first.ProcessRequest(failing), std::runtime_error);
    second.ProcessRequest(subject.context);
  }
  subject.Serve();
  CHECK(served == 3);
}

TEST_CASE("HandlerLease: what a handler is decides where it runs, and when it is called") {
  Subject subject;
  int served = 0;
  const auto add = [&](std::string_view name, auto handler) {
    AddSharedHandler(subject.registry, name, std::move(handler));
  };
  add("plain", std::make_shared<SharedHandler<IHttpSharedHandler>>(served));
  add("async", std::make_shared<SharedHandler<IHttpSharedAsyncHandler>>(served));
  add("plain bufferless",
      std::make_shared<SharedHandler<IHttpSharedHandler, IHttpBufferlessHandler>>(served));
  add("async bufferless",
      std::make_shared<SharedHandler<IHttpSharedAsyncHandler, IHttpBufferlessHandler>>(served));
  for (const std::string name : {"plain", "async", "plain bufferless", "async bufferless"}) {
    CAPTURE(name);
    const HandlerLease lease(*subject.registry.Find(name), subject.context);
    CHECK(lease.IsAsync() == name.starts_with("async"));
    CHECK(lease.IsBufferless() == name.ends_with("bufferless"));
    const auto traits = subject.registry.Find(name)->Traits();
    REQUIRE(traits.has_value());
    CHECK(traits->is_async == lease.IsAsync());
    CHECK(traits->is_bufferless == lease.IsBufferless());
  }
}

/// A factory that asks the class `Class` by name, as the one for files does.
class AskingFactory final : public IHttpHandlerFactory {
 public:
  AskingFactory(HandlerRegistry& registry, int& released)
      : registry_(registry), released_(released) {}
  std::unique_ptr<IHttpHandler> GetHandler(HttpContext&, std::string_view, std::string_view,
                                           std::string_view) override {
    return registry_.Find("Class")->Create();
  }
  void ReleaseHandler(std::unique_ptr<IHttpHandler>) override { ++released_; }

 private:
  HandlerRegistry& registry_;
  int& released_;
};

TEST_CASE("HandlerLease: a factory that asks for a shared class by name lends its one instance") {
  int served = 0;
  int released = 0;
  const auto check = [&]<typename... Bases>(const SharedHandler<Bases...>*) {
    Subject subject;
    const auto shared = std::make_shared<SharedHandler<Bases...>>(served);
    AddSharedHandler(subject.registry, "Class", shared);
    subject.registry.AddFactory("factory",
                                std::make_unique<AskingFactory>(subject.registry, released));
    auto& factory = *subject.registry.Find("factory");
    HttpContext failing(test::MakeVariables({{"REQUEST_METHOD", "THROW"}}), subject.exchange, {},
                        1024);
    HandlerLease direct(subject.Class(), subject.context);
    HandlerLease first(factory, failing);
    HandlerLease second(factory, subject.context);
    // It runs as when an entry names the class.
    CHECK(second.Type() == direct.Type());
    CHECK(second.IsAsync() == direct.IsAsync());
    CHECK(second.IsBufferless() == direct.IsBufferless());
    CHECK(second.Instance() == nullptr);
    served = 0;
    CHECK_THROWS_AS(first.ProcessRequest(failing), std::runtime_error);
    second.ProcessRequest(subject.context);
    CHECK(served == 2);
    CHECK(shared.use_count() == 2);  // nobody else keeps it
  };
  check(static_cast<const SharedHandler<IHttpSharedHandler>*>(nullptr));
  check(static_cast<const SharedHandler<IHttpSharedAsyncHandler>*>(nullptr));
  check(static_cast<const SharedHandler<IHttpSharedHandler, IHttpBufferlessHandler>*>(nullptr));
  check(
      static_cast<const SharedHandler<IHttpSharedAsyncHandler, IHttpBufferlessHandler>*>(nullptr));
  CHECK(released == 0);
}

/// A factory that keeps what it is asked and what it is given back.
///
/// It does not imitate pooling.
class RecordingFactory final : public IHttpHandlerFactory {
 public:
  struct Calls {
    std::vector<std::string> asked;
    std::vector<const IHttpHandler*> returned;
    bool null = false;
    bool throws = false;
    std::function<void()> on_release;
  };

  RecordingFactory(Calls& calls, Fates& fates) : calls_(calls), fates_(fates) {}

  std::unique_ptr<IHttpHandler> GetHandler(HttpContext&, std::string_view verb,
                                           std::string_view file_path,
                                           std::string_view path_translated) override {
    calls_.asked.push_back(std::string(verb) + " " + std::string(file_path) + " " +
                           std::string(path_translated));
    if (calls_.throws) {
      throw std::runtime_error("no handler today");
    }
    return calls_.null ? nullptr : std::make_unique<TrackedHandler>(fates_);
  }

  void ReleaseHandler(std::unique_ptr<IHttpHandler> handler) override {
    calls_.returned.push_back(handler.get());
    if (calls_.on_release) {
      calls_.on_release();
    }
  }

 private:
  Calls& calls_;
  Fates& fates_;
};

struct FactorySubject : Subject {
  FactorySubject() {
    registry.AddFactory("Class", std::make_unique<RecordingFactory>(calls, fates));
  }

  RecordingFactory::Calls calls;
};

TEST_CASE("HandlerLease: a factory is told verb, path and file, and gets its handler back") {
  FactorySubject subject;
  const IHttpHandler* lent = nullptr;
  {
    const HandlerLease lease(subject.Class(), subject.context);
    lent = lease.Instance();
    CHECK(subject.calls.returned.empty());
  }
  CHECK(subject.calls.asked == std::vector<std::string>{"PUT /a.x /srv/a.x"});
  REQUIRE(subject.calls.returned.size() == 1);
  CHECK(subject.calls.returned[0] == lent);
  CHECK(subject.fates.destroyed == 1);
}

TEST_CASE("HandlerLease: a factory gets its handler back, reusable or not") {
  FactorySubject subject;
  {
    HandlerLease lease(subject.Class(), subject.context);
    subject.Handler(lease).SetReusable(false);
    lease.ProcessRequest(subject.context);
    CHECK(subject.fates.destroyed == 0);
  }
  CHECK(subject.calls.returned.size() == 1);
}

TEST_CASE("HandlerLease: a factory does not get a handler back that failed") {
  FactorySubject subject;
  {
    HandlerLease lease(subject.Class(), subject.context);
    subject.Handler(lease).SetFailing(true);
    CHECK_THROWS_AS(lease.ProcessRequest(subject.context), std::runtime_error);
  }
  CHECK(subject.calls.returned.empty());
  CHECK(subject.fates.destroyed == 1);
}

TEST_CASE("HandlerLease: a factory that returns null is told so, and gets nothing back") {
  FactorySubject subject;
  subject.calls.null = true;
  CHECK_THROWS_WITH_AS(HandlerLease(subject.Class(), subject.context),
                       "the factory returned no handler for /a.x", NoHandlerError);
  CHECK(subject.calls.returned.empty());
}

TEST_CASE("HandlerLease: what a factory throws comes to who borrows") {
  FactorySubject subject;
  subject.calls.throws = true;
  CHECK_THROWS_WITH_AS(HandlerLease(subject.Class(), subject.context), "no handler today",
                       std::runtime_error);
  CHECK(subject.calls.returned.empty());
}

TEST_CASE(
    "HandlerLease: a factory that throws when it takes a handler back is contained, and logged") {
  FactorySubject subject;
  const test::CapturedStderr captured;
  SUBCASE("an exception") {
    subject.calls.on_release = [] { throw std::runtime_error("no room"); };
    { const HandlerLease lease(subject.Class(), subject.context); }
    CHECK(captured.Text().find("a handler was not taken back: no room\n") != std::string::npos);
  }
  SUBCASE("anything else") {
    subject.calls.on_release = [] { throw 42; };
    { const HandlerLease lease(subject.Class(), subject.context); }
    CHECK(captured.Text().find("a handler was not taken back: an exception that is no") !=
          std::string::npos);
  }
  CHECK(subject.fates.destroyed == 1);
}

TEST_CASE(
    "HandlerLease: a handler that throws when it is asked whether it is reusable is destroyed") {
  class Moody final : public IHttpHandler {
   public:
    explicit Moody(Fates& fates) : fates_(fates) { ++fates_.made; }
    Moody(const Moody&) = delete;
    Moody& operator=(const Moody&) = delete;
    ~Moody() override { ++fates_.destroyed; }
    void ProcessRequest(HttpContext&) override {}
    bool IsReusable() const override { throw std::runtime_error("do not ask"); }

   private:
    Fates& fates_;
  };
  Subject subject;
  subject.registry.AddHandler("Class", [&] { return std::make_unique<Moody>(subject.fates); });
  const test::CapturedStderr captured;
  subject.Serve();
  CHECK(subject.fates.destroyed == 1);
  CHECK(captured.Text().find("do not ask") != std::string::npos);
}

TEST_CASE("HandlerLease: while one is returned during an exception, the exception goes on") {
  FactorySubject subject;
  subject.calls.on_release = [] { throw std::runtime_error("from ReleaseHandler"); };
  const test::CapturedStderr captured;
  try {
    const HandlerLease lease(subject.Class(), subject.context);
    throw std::logic_error("from the request");
  } catch (const std::exception& error) {
    CHECK(std::string(error.what()) == "from the request");
  }
}

}  // namespace
}  // namespace weft::host::handling
