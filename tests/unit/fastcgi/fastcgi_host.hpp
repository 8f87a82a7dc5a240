#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/async.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_handler.hpp>
#include "host/fastcgi/connection.hpp"
#include "host/fastcgi/responder.hpp"
#include "host/observe/access_log.hpp"
#include "host/pipeline/pipeline.hpp"
#include "host/runtime/runtime.hpp"
#include "tests/support/fcgi/fcgi_client.hpp"

namespace weft::test {

/// A socket in memory, with the Connection on it. It takes what it is told to take, and keeps it.
///
/// It does not imitate delays, or a kernel's buffers.
class MemorySocket final : public host::fastcgi::IConnectionSocket {
 public:
  std::ptrdiff_t Send(std::string_view bytes) override;
  std::ptrdiff_t SendPieces(std::span<const std::string_view> pieces) override;
  std::ptrdiff_t SendPiped(std::string_view before, int pipe, std::size_t bytes) override;
  void NotifyWhenWritable() override { asked_for_writable = true; }
  void ReadingChanged() override { ++reading_changes; }
  void End(Ending how) override { ended = how; }

  /// The host's answers so far, sorted by request. Throws ProtocolError where they are malformed.
  testsupport::ResponseCollector Answers() const;

  std::string sent;
  std::vector<std::size_t> writes;  // the size of each Send()
  std::size_t takes =
      static_cast<std::size_t>(-1);  // bytes that Send() takes before it says "none now"
  bool gone = false;                 // Send() fails
  bool asked_for_writable = false;
  int reading_changes = 0;
  std::optional<Ending> ended;
};

/// Everything of a worker that a FastCGI request passes, but for its sockets: connections are given bytes by
/// the test, handlers are the test's functions.
///
/// Threads: the test's, which is the reactor. The test itself runs on a fiber.
class FastCgiHost {
 public:
  using Clock = host::fastcgi::Connection::Clock;
  using Function = std::function<void(HttpContext&)>;
  /// kPlainBufferless: on a thread, as kPlain.
  enum class Kind { kAsync, kPlain, kBufferless, kPlainBufferless };

  struct Options {
    host::fastcgi::ConnectionLimits limits{};
    std::chrono::milliseconds body_timeout{60'000};
    std::size_t max_buffered_bytes = std::size_t{1} << 30;
  };

  /// Runs `test` on a fiber of a runtime of its own, then ends every request. What it throws, also a failed
  /// REQUIRE, is thrown here.
  static void Run(const Options& options, const std::function<void(FastCgiHost&)>& test);
  static void Run(const std::function<void(FastCgiHost&)>& test) { Run(Options(), test); }

  FastCgiHost(host::runtime::Runtime& runtime, const Options& options);
  ~FastCgiHost();

  /// Serves `/name.ashx` with `function`.
  void Serve(const std::string& path, Kind kind, Function function);

  struct Peer {
    MemorySocket socket;
    std::unique_ptr<host::fastcgi::Connection> connection;

    /// Bytes from the web server; then every fiber runs until it waits.
    void Feed(std::string_view bytes);
  };
  Peer& Connect();

  /// What a worker does when its time is over.
  void CancelAll(CancellationReason reason) { pipeline_.CancelAll(reason); }

  /// Ends the requests that still wait, where a test leaves some: what handlers captured must outlive them.
  void EndAll();

  /// Bytes of bodies that are held in memory.
  std::size_t BodyBytes() { return pipeline_.Bodies().UsedBytes(); }

  /// Lets every fiber run until all of them wait.
  static void Settle();
  /// Settles until `condition`; fails the test after 10 s.
  static void Await(const std::function<bool()>& condition);

  std::vector<std::pair<int, std::string>> refusals;  // of requests that no fiber served

 private:
  host::runtime::Runtime& runtime_;
  const Options options_;
  host::observe::AccessLog access_log_;
  host::handling::TypeResolver resolver_;
  host::pipeline::Pipeline pipeline_;
  host::fastcgi::Responder responder_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

/// Answers with "hello".
void Hello(HttpContext& context);
/// Answers with the body's length and text, as "5:abcde".
void EchoBody(HttpContext& context);

// Records of a request, as nginx sends them, on a kept connection.
std::string Begin(std::uint16_t id);
/// The whole stream, of a POST where there is a body.
std::string Params(std::uint16_t id, std::string_view url, std::size_t body_bytes = 0);
/// One record; without bytes, the end of the stream.
std::string Stdin(std::uint16_t id, std::string_view bytes = {});
/// The whole bytes of a request for `url`.
std::string RequestBytes(std::uint16_t id, std::string_view url, std::string_view body = {},
                         testsupport::Connection connection = testsupport::Connection::kKeep);

/// The answer to the first request of that id. Fails the test where it has not ended.
testsupport::CgiResponse AnswerTo(const MemorySocket& socket, std::uint16_t id);

}  // namespace weft::test
