#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/http_handler.hpp>
#include "host/handling/handler_table.hpp"
#include "host/observe/access_log.hpp"
#include "host/pipeline/pipeline.hpp"
#include "tests/support/captured_stderr.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/run_in_fiber.hpp"
#include "tests/support/server_variables.hpp"

namespace weft::test {

/// One request, and its peer.
struct TestRequest {
  TestRequest(std::string with_method, std::string with_path, VariableList with_more = {})
      : method(std::move(with_method)), path(std::move(with_path)), more(std::move(with_more)) {
    exchange.token = cancellation.Token();
  }

  std::string method;
  std::string path;
  std::string remote = "192.0.2.1";
  VariableList more;  ///< further variables; the texts are the caller's
  MemoryExchange exchange;
  CancellationSource cancellation;
};

enum class Kind { kPlain, kAsync, kPlainBufferless, kAsyncBufferless };
inline constexpr Kind kAllKinds[] = {Kind::kPlain, Kind::kAsync, Kind::kPlainBufferless,
                                     Kind::kAsyncBufferless};

using Function = std::function<void(HttpContext&)>;

/// A path that is answered by the test's own function.
struct Route {
  std::string path;
  Kind kind = Kind::kAsync;
  Function function;
  bool reusable = false;
  std::string verb = "*";
  std::string attributes = {};  ///< further ones of the entry, as `, "lock": true`
};

/// What a test says of its pipeline.
struct PipelineOptions {
  host::pipeline::Pipeline::Limits limits{.max_requests = 1000,
                                          .max_request_bytes = 1000,
                                          .max_buffered_bytes = 10'000,
                                          .output_buffer_bytes = 64};
  host::runtime::Runtime::Options runtime = RoomyStacks();
};

/// A pipeline over a real runtime, with the test's functions for handlers.
///
/// Threads: the reactor's, which is the test's own; the test runs on a fiber.
class PipelineHost {
 public:
  /// Runs `test`, ends every request, and returns the lines of the access log. What the test throws, a failed
  /// REQUIRE too, is thrown here.
  static std::vector<std::string> Run(const PipelineOptions& options,
                                      const std::function<void(PipelineHost&)>& test);
  static std::vector<std::string> Run(const std::function<void(PipelineHost&)>& test) {
    return Run({}, test);
  }

  /// Serves these and nothing else. `more` stands in the mapping file before `httpHandlers`, and
  /// `more_handlers` in front of the routes there.
  void Serve(const std::vector<Route>& routes, std::string_view more = {},
             std::string_view more_handlers = {});
  /// The table that Serve() made last.
  std::weak_ptr<const host::handling::HandlerTable> Table() const { return table_; }

  /// Processes a request on this fiber.
  void Process(TestRequest& request);
  /// Makes a request for `path` and processes it.
  std::unique_ptr<TestRequest> Get(std::string path, VariableList more = {});

  host::runtime::Runtime& Runtime() noexcept { return runtime_; }
  host::pipeline::Pipeline& Pipeline() noexcept { return pipeline_; }
  host::handling::TypeResolver& Resolver() noexcept { return resolver_; }
  host::handling::HandlerRegistry& Classes() { return resolver_.BuiltIn(); }
  /// Handlers that were made, and those that are still there.
  int Made() const noexcept { return *made_; }
  int Living() const noexcept { return *living_; }
  /// What was logged so far.
  std::string Log() const { return stderr_.Text(); }

 private:
  PipelineHost(host::runtime::Runtime& runtime, host::observe::AccessLog& access_log,
               const CapturedStderr& captured, const PipelineOptions& options)
      : runtime_(runtime),
        stderr_(captured),
        resolver_({}),
        pipeline_(runtime, access_log, options.limits) {}

  host::runtime::Runtime& runtime_;
  const CapturedStderr& stderr_;
  std::shared_ptr<int> made_ = std::make_shared<int>(0);
  std::shared_ptr<int> living_ = std::make_shared<int>(0);
  int tables_ = 0;
  host::handling::TypeResolver resolver_;
  std::weak_ptr<const host::handling::HandlerTable> table_;
  host::pipeline::Pipeline pipeline_;
};

/// The value of a key of an access line, without quotes; empty where there is no such key.
std::string FieldOf(const std::string& line, std::string_view key);

}  // namespace weft::test
