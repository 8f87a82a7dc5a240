#include "tests/support/fcgi/fcgi_client.hpp"

#include <doctest/doctest.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <system_error>
#include <thread>

namespace weft::testsupport {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using namespace std::string_literals;

std::string Value(const Pairs& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs) {
    if (key == name) return value;
  }
  return "(absent)";
}

/// What a host answers to one request: one STDOUT record, its end, END_REQUEST.
std::string Answer(std::uint16_t id, std::string_view stdout_bytes) {
  return EncodeStream(RecordType::kStdout, id, stdout_bytes) +
         EncodeEnd(id, 0, ProtocolStatus::kRequestComplete);
}

/// A client on one half of a socketpair; the test plays the host on the other.
struct Wire {
  Wire() : Wire(Connect()) {}
  ~Wire() { CloseHost(); }

  void CloseHost() {
    if (host >= 0) close(std::exchange(host, -1));
  }
  void HostSays(std::string_view bytes) const {
    REQUIRE(write(host, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  std::string HostReads() const {
    std::string bytes(1 << 20, '\0');
    const ssize_t received = read(host, bytes.data(), bytes.size());
    REQUIRE(received >= 0);
    bytes.resize(static_cast<std::size_t>(received));
    return bytes;
  }

  int host;
  FcgiClient client;

 private:
  explicit Wire(std::array<int, 2> fds) : host(fds[0]), client(fds[1], milliseconds(2000)) {}
  static std::array<int, 2> Connect() {
    std::array<int, 2> fds{};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0);
    return fds;
  }
};

}  // namespace

TEST_CASE("EncodeRecord: header, content and padding to eight bytes") {
  CHECK(EncodeRecord(RecordType::kStdin, 0x0102, "abc", Padding::kTo8) ==
        "\x01\x05\x01\x02\x00\x03\x05\x00"s + "abc" + std::string(5, '\0'));
  CHECK(EncodeRecord(RecordType::kStdin, 1, "abc").size() == 11);
  CHECK(EncodeRecord(RecordType::kStdin, 1, "12345678", Padding::kTo8).size() == 16);
  CHECK_THROWS_AS(EncodeRecord(RecordType::kStdin, 1, std::string(65536, 'x')), std::length_error);
}

TEST_CASE("EncodeBegin: role and keep-connection flag") {
  CHECK(EncodeBegin(7, Role::kFilter, Connection::kKeep) ==
        "\x01\x01\x00\x07\x00\x08\x00\x00\x00\x03\x01\x00\x00\x00\x00\x00"s);
  CHECK(EncodeBegin(7, Role::kResponder, Connection::kClose)[10] == 0);
}

TEST_CASE("EncodeHeader: every field can lie") {
  RecordHeader header;
  header.version = 9;
  header.type = static_cast<RecordType>(200);
  header.id = 0xffff;
  header.content_bytes = 0x1234;
  header.padding_bytes = 255;
  header.reserved = 1;
  CHECK(EncodeHeader(header) == "\x09\xc8\xff\xff\x12\x34\xff\x01"s);
}

TEST_CASE("EncodePairs: one-byte lengths below 128, four bytes from there") {
  CHECK(EncodePairs({{"A", "b"}}) == "\x01\x01"s + "Ab");
  CHECK(EncodePairs({{"A", "b"}}, LengthForm::kFourBytes) ==
        "\x80\x00\x00\x01\x80\x00\x00\x01"s + "Ab");
  const std::string value(128, 'v');
  CHECK(EncodePairs({{"A", value}}) == "\x01\x80\x00\x00\x80"s + "A" + value);
  CHECK(EncodePairs({{"", ""}}) == "\0\0"s);
}

TEST_CASE("DecodePairs: reads back what EncodePairs wrote") {
  const Pairs pairs{
      {"A", "1"}, {"A", "2"}, {"", ""}, {std::string(300, 'n'), std::string(70000, 'v')}};
  CHECK(DecodePairs(EncodePairs(pairs)) == pairs);
  CHECK(DecodePairs(EncodePairs(pairs, LengthForm::kFourBytes)) == pairs);
}

TEST_CASE("DecodePairs: refuses lengths beyond the bytes") {
  CHECK_THROWS_AS(DecodePairs("\x05"s), ProtocolError);
  CHECK_THROWS_AS(DecodePairs("\x05\x01"s + "abc"), ProtocolError);
  CHECK_THROWS_AS(DecodePairs("\xff\xff\xff\xff\xff\xff\xff\xff"s + "abc"), ProtocolError);
}

TEST_CASE("EncodeStream: cuts anywhere and ends with an empty record") {
  const auto records = DecodeRecords(EncodeStream(RecordType::kParams, 3, "abcdefg", 3));
  REQUIRE(records.size() == 4);
  CHECK(records[0].content == "abc");
  CHECK(records[2].content == "g");
  CHECK(records[3].content.empty());
  CHECK(EncodeStream(RecordType::kStdin, 1, "") == EncodeRecord(RecordType::kStdin, 1, ""));
  CHECK(EncodeStream(RecordType::kStdin, 1, "", 10, Padding::kNone, StreamEnd::kOpen).empty());
}

TEST_CASE("EncodeRequest: nginx's framing") {
  Request request;
  request.params = {{"REQUEST_METHOD", "POST"}};
  request.body = std::string(40000, 'b');
  const auto records = DecodeRecords(EncodeRequest(request));
  REQUIRE(records.size() == 6);
  CHECK(records[0].type == RecordType::kBeginRequest);
  CHECK(records[1].type == RecordType::kParams);
  CHECK(DecodePairs(records[1].content) == request.params);
  CHECK(records[2].content.empty());
  CHECK(records[3].content.size() == 32768);
  CHECK(records[4].content.size() == 40000 - 32768);
  CHECK(records[5].content.empty());
  CHECK(EncodeRequest(request).size() % 8 == 0);
}

TEST_CASE("EncodeGetValues: empty values under id 0") {
  const auto records = DecodeRecords(EncodeGetValues({"FCGI_MAX_CONNS", "X"}));
  REQUIRE(records.size() == 1);
  CHECK(records[0].id == 0);
  CHECK(DecodePairs(records[0].content) == Pairs{{"FCGI_MAX_CONNS", ""}, {"X", ""}});
}

TEST_CASE("RecordDecoder: the same records in slices of every size") {
  const std::string bytes = EncodeRecord(RecordType::kStdout, 1, "hello", Padding::kTo8) +
                            EncodeRecord(RecordType::kStderr, 2, "") + Answer(9, "x");
  for (std::size_t slice = 1; slice <= bytes.size(); ++slice) {
    RecordDecoder decoder;
    std::vector<std::string> contents;
    for (std::size_t at = 0; at < bytes.size(); at += slice) {
      decoder.Feed(std::string_view(bytes).substr(at, slice));
      while (const auto record = decoder.Next()) contents.emplace_back(record->content);
    }
    CHECK(contents == std::vector<std::string>{"hello", "", "x", "", std::string(8, '\0')});
    CHECK(decoder.PendingBytes() == 0);
  }
}

TEST_CASE("RecordDecoder: refuses another version, at its first byte") {
  RecordDecoder decoder;
  decoder.Feed("H");
  CHECK_THROWS_AS(static_cast<void>(decoder.Next()), ProtocolError);
}

TEST_CASE("DecodeRecords: refuses an incomplete record") {
  const std::string bytes = Answer(1, "abc");
  CHECK_THROWS_AS(DecodeRecords(std::string_view(bytes).substr(0, bytes.size() - 1)),
                  ProtocolError);
}

TEST_CASE("ResponseCollector: interleaved requests are kept apart") {
  ResponseCollector responses;
  responses.Feed(EncodeRecord(RecordType::kStdout, 1, "a"));
  responses.Feed(EncodeRecord(RecordType::kStdout, 3, "x") +
                 EncodeRecord(RecordType::kStderr, 1, "oops"));
  responses.Feed(EncodeRecord(RecordType::kStdout, 1, "b") +
                 EncodeEnd(3, 0x01020304, ProtocolStatus::kOverloaded));

  CHECK_FALSE(responses.TakeEnded(1));
  REQUIRE(responses.FindOpen(1));
  CHECK(responses.FindOpen(1)->stdout_bytes == "ab");
  const auto third = responses.TakeEnded(3);
  REQUIRE(third);
  CHECK(third->ended);
  CHECK(third->stdout_bytes == "x");
  CHECK_FALSE(third->stdout_closed);
  CHECK(third->app_status == 0x01020304);
  CHECK(third->protocol_status == ProtocolStatus::kOverloaded);

  const RequestResult first = responses.TakeOpen(1);
  CHECK(first.stdout_bytes == "ab");
  CHECK(first.stderr_bytes == "oops");
  CHECK_FALSE(first.ended);
  CHECK_FALSE(responses.FindOpen(1));
  CHECK(responses.EndOrder() == std::vector<std::uint16_t>{3});
}

TEST_CASE("ResponseCollector: one id used twice gives two results in order") {
  ResponseCollector responses;
  responses.Feed(Answer(1, "first") + Answer(1, "second"));
  CHECK(responses.TakeEnded(1)->stdout_bytes == "first");
  CHECK(responses.TakeEnded(1)->stdout_bytes == "second");
  CHECK_FALSE(responses.TakeEnded(1));
}

TEST_CASE("ResponseCollector: management records come apart from the requests") {
  ResponseCollector responses;
  responses.Feed(EncodeRecord(RecordType::kStdout, 1, "a") +
                 EncodeRecord(RecordType::kGetValuesResult, 0, EncodePairs({{"N", "1"}})) +
                 Answer(1, "b"));
  CHECK(DecodePairs(responses.TakeManagement()->content) == Pairs{{"N", "1"}});
  CHECK_FALSE(responses.TakeManagement());
  CHECK(responses.TakeEnded(1)->stdout_bytes == "ab");
}

TEST_CASE("ResponseCollector: refuses what a host must not send") {
  ResponseCollector responses;
  const auto refuses = [&](const std::string& bytes) {
    CHECK_THROWS_AS(responses.Feed(bytes), ProtocolError);
  };
  SUBCASE("a web server's record") { refuses(EncodeRecord(RecordType::kStdin, 1, "a")); }
  SUBCASE("an application record with id 0") { refuses(EncodeRecord(RecordType::kStdout, 0, "a")); }
  SUBCASE("a management record with an id") {
    refuses(EncodeRecord(RecordType::kUnknownType, 1, "12345678"));
  }
  SUBCASE("bytes after the end of a stream") {
    refuses(EncodeRecord(RecordType::kStdout, 1, "") + EncodeRecord(RecordType::kStdout, 1, "a"));
  }
  SUBCASE("a stream closed twice") {
    refuses(EncodeRecord(RecordType::kStderr, 1, "") + EncodeRecord(RecordType::kStderr, 1, ""));
  }
  SUBCASE("a short END_REQUEST") { refuses(EncodeRecord(RecordType::kEndRequest, 1, "1234")); }
}

TEST_CASE("ParseCgiResponse: status, headers in order, body") {
  const CgiResponse response = ParseCgiResponse(
      "Status: 404 Not Found\r\nX-A: 1\r\nx-a:  2 \r\nContent-Type: "
      "text/plain\r\n\r\nbody\r\n\r\n");
  CHECK(response.status == 404);
  CHECK(response.reason == "Not Found");
  CHECK(response.headers == Pairs{{"X-A", "1"}, {"x-a", "2"}, {"Content-Type", "text/plain"}});
  CHECK(response.body == "body\r\n\r\n");
  REQUIRE(response.FindHeader("content-TYPE"));
  CHECK(*response.FindHeader("content-TYPE") == "text/plain");
  CHECK_FALSE(response.FindHeader("Status"));
}

TEST_CASE("ParseCgiResponse: what stands in for a status") {
  CHECK(ParseCgiResponse("A: b\n\n").status == 200);
  CHECK(ParseCgiResponse("Location: /x\n\n").status == 302);
  CHECK(ParseCgiResponse("Location: /x\nStatus: 201\n\n").status == 201);
}

TEST_CASE("ParseCgiResponse: refuses what is no header block") {
  for (const char* bytes :
       {"", "Hello", "A: b\r\n", "\r\nbody", "no colon\r\n\r\n", ": x\r\n\r\n", "A B: c\r\n\r\n",
        " folded: x\r\n\r\n", "Status: abc\r\n\r\n", "Status: 20\r\n\r\n", "Status: 2000\r\n\r\n",
        "Status: 200\r\nStatus: 200\r\n\r\n"}) {
    CAPTURE(bytes);
    CHECK_THROWS_AS(ParseCgiResponse(bytes), ProtocolError);
  }
}

TEST_CASE("MakeParams: nginx, as seen on the wire") {
  WebRequest request;
  request.method = "POST";
  request.url = "http://localhost:18411/hello.ashx?a=1";
  request.document_root = "/w";
  request.headers = {{"Content-Type", "text/plain"}, {"X-A", "1"}, {"X-A", "2"}, {"Proxy", "p"}};
  request.body_bytes = 5;
  const Pairs expected{
      {"SCRIPT_FILENAME", "/w/hello.ashx"},
      {"QUERY_STRING", "a=1"},
      {"REQUEST_METHOD", "POST"},
      {"CONTENT_TYPE", "text/plain"},
      {"CONTENT_LENGTH", "5"},
      {"SCRIPT_NAME", "/hello.ashx"},
      {"REQUEST_URI", "/hello.ashx?a=1"},
      {"DOCUMENT_URI", "/hello.ashx"},
      {"DOCUMENT_ROOT", "/w"},
      {"SERVER_PROTOCOL", "HTTP/1.1"},
      {"REQUEST_SCHEME", "http"},
      {"GATEWAY_INTERFACE", "CGI/1.1"},
      {"SERVER_SOFTWARE", "nginx/1.22.1"},
      {"REMOTE_ADDR", "127.0.0.1"},
      {"REMOTE_PORT", "52918"},
      {"REMOTE_USER", ""},
      {"SERVER_ADDR", "127.0.0.1"},
      {"SERVER_PORT", "18411"},
      {"SERVER_NAME", "localhost"},
      {"REDIRECT_STATUS", "200"},
      {"HTTP_HOST", "localhost:18411"},
      {"HTTP_CONTENT_TYPE", "text/plain"},
      {"HTTP_X_A", "1"},
      {"HTTP_X_A", "2"},
      {"HTTP_PROXY", "p"},
      {"HTTP_CONTENT_LENGTH", "5"},
  };
  CHECK(MakeParams(WebServer::kNginx, request) == expected);
}

TEST_CASE("MakeParams: lighttpd, as seen on the wire") {
  WebRequest request;
  request.url = "http://localhost:18412/hello.ashx/x%20y/z?q";
  request.path_info = "/x y/z";
  request.document_root = "/w";
  request.headers = {
      {"Cookie", "a=b"}, {"X-A", "1"}, {"Cookie", "c=d"}, {"x-a", "2"}, {"proxy", "p"}};
  const Pairs expected{
      {"CONTENT_LENGTH", "0"},
      {"QUERY_STRING", "q"},
      {"REQUEST_URI", "/hello.ashx/x%20y/z?q"},
      {"REDIRECT_STATUS", "200"},
      {"SCRIPT_NAME", "/hello.ashx"},
      {"PATH_INFO", "/x y/z"},
      {"PATH_TRANSLATED", "/w/x y/z"},
      {"SCRIPT_FILENAME", "/w/hello.ashx"},
      {"DOCUMENT_ROOT", "/w"},
      {"REQUEST_METHOD", "GET"},
      {"SERVER_PROTOCOL", "HTTP/1.1"},
      {"SERVER_SOFTWARE", "lighttpd/1.4.69"},
      {"GATEWAY_INTERFACE", "CGI/1.1"},
      {"REQUEST_SCHEME", "http"},
      {"SERVER_PORT", "18412"},
      {"SERVER_ADDR", "127.0.0.1"},
      {"SERVER_NAME", "localhost"},
      {"REMOTE_ADDR", "127.0.0.1"},
      {"REMOTE_PORT", "36554"},
      {"HTTP_HOST", "localhost:18412"},
      {"HTTP_COOKIE", "a=b; c=d"},
      {"HTTP_X_A", "1, 2"},
  };
  CHECK(MakeParams(WebServer::kLighttpd, request) == expected);
}

TEST_CASE("MakeParams: hosts, ports and schemes") {
  const auto params = [](const std::string& url) {
    return MakeParams(WebServer::kNginx, {.url = url});
  };
  CHECK(Value(params("/a"), "SERVER_PORT") == "80");
  CHECK(Value(params("/a"), "HTTP_HOST") == "localhost");
  CHECK(Value(params("/a"), "HTTPS") == "(absent)");
  CHECK(Value(params("https://example.org/a"), "SERVER_PORT") == "443");
  CHECK(Value(params("https://example.org/a"), "HTTPS") == "on");
  CHECK(Value(params("http://[::1]:8080/a"), "SERVER_NAME") == "[::1]");
  CHECK(Value(params("http://[::1]:8080/a"), "SERVER_PORT") == "8080");
  CHECK(Value(params("http://[::1]/a"), "SERVER_PORT") == "80");
  CHECK(Value(params("/a?next=http://x/y"), "QUERY_STRING") == "next=http://x/y");
  CHECK_THROWS_AS(params("a"), std::invalid_argument);
  CHECK_THROWS_AS(params("http://example.org"), std::invalid_argument);
  CHECK_THROWS_AS(MakeParams(WebServer::kNginx, {.url = "/a/b", .path_info = "/c"}),
                  std::invalid_argument);
}

TEST_CASE("Endpoint: what can be parsed") {
  CHECK(Endpoint::Parse("unix:/tmp/x.sock").IsUnix());
  CHECK(Endpoint::Parse("tcp:127.0.0.1:9000").address.ss_family == AF_INET);
  CHECK(Endpoint::Parse("tcp:[::1]:9000").address.ss_family == AF_INET6);
  for (const char* text : {"", "unix:", "/tmp/x", "tcp:9000", "tcp::9000", "tcp:127.0.0.1:http!"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Endpoint::Parse(text), std::invalid_argument);
  }
  CHECK_THROWS_AS(Endpoint::Parse("unix:/" + std::string(107, 'p')), std::invalid_argument);
}

TEST_CASE("FcgiClient: an exchange") {
  Wire wire;
  wire.HostSays(Answer(1, "A: b\r\n\r\nHi"));
  const Request request{.params = {{"A", "b"}}};
  const RequestResult result = wire.client.Exchange(request);
  CHECK(result.ended);
  CHECK(result.stdout_closed);
  CHECK(ParseCgiResponse(result.stdout_bytes).body == "Hi");
  CHECK(wire.HostReads() == EncodeRequest(request));
}

TEST_CASE("FcgiClient: a connection that ends early gives what came") {
  Wire wire;
  wire.HostSays(EncodeRecord(RecordType::kStdout, 1, "half"));
  wire.CloseHost();
  const RequestResult result = wire.client.ReadResult(1);
  CHECK_FALSE(result.ended);
  CHECK(result.stdout_bytes == "half");
  CHECK(wire.client.PeerClosed());
  CHECK(wire.client.ReadBytes(10).empty());
  CHECK_THROWS_AS(wire.client.Send("x"), std::system_error);
  CHECK_THROWS_AS(static_cast<void>(wire.client.ReadManagement()), ProtocolError);
}

TEST_CASE("FcgiClient: every wait ends") {
  std::array<int, 2> fds{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0);
  FcgiClient client(fds[0], milliseconds(50));
  const std::string too_much(8 << 20, 'x');
  const auto begin = steady_clock::now();
  CHECK_THROWS_AS(static_cast<void>(client.ReadResult(1)), TimeoutError);
  CHECK_THROWS_AS(static_cast<void>(client.ReadManagement()), TimeoutError);
  CHECK_THROWS_AS(static_cast<void>(client.ReadBytes(1)), TimeoutError);
  CHECK_FALSE(client.WaitForClose(milliseconds(20)));
  CHECK_THROWS_AS(client.Send(too_much), TimeoutError);
  CHECK_THROWS_AS(client.SendWhileReading(too_much), TimeoutError);
  CHECK(client.SendUntilBlocked(too_much, milliseconds(10)) < too_much.size());
  CHECK(steady_clock::now() - begin < milliseconds(2000));
  close(fds[1]);
}

TEST_CASE("FcgiClient: reads while it sends, so a full host does not deadlock") {
  Wire wire;
  const std::string body(4 << 20, 'b');
  std::thread host([&] {
    // Answers more than a socket holds before it reads anything.
    FcgiClient server(dup(wire.host));
    server.Send(EncodeStream(RecordType::kStdout, 1, body));
    std::size_t received = 0;
    while (received < body.size()) received += server.ReadBytes(65536).size();
    server.Send(EncodeEnd(1, 0, ProtocolStatus::kRequestComplete));
  });
  CHECK(wire.client.SendWhileReading(body) == body.size());
  const RequestResult result = wire.client.ReadResult(1);
  host.join();
  CHECK(result.ended);
  CHECK(result.stdout_bytes == body);
}

TEST_CASE("FcgiClient: an answer that comes before the host closed on our body is not lost") {
  Wire wire;
  wire.HostSays(Answer(1, "Status: 413\r\n\r\n"));
  wire.CloseHost();
  const std::string body(4 << 20, 'b');
  CHECK(wire.client.SendWhileReading(body) < body.size());
  CHECK(wire.client.ReadResult(1).stdout_bytes == "Status: 413\r\n\r\n");
}

TEST_CASE("FcgiClient: slices, half close, close") {
  Wire wire;
  wire.client.SendSlices("abcdefg", 3);
  wire.client.ShutdownWrite();
  std::string received;
  while (true) {
    const std::string bytes = wire.HostReads();
    if (bytes.empty()) break;
    received += bytes;
  }
  CHECK(received == "abcdefg");
  wire.HostSays(Answer(1, "still heard"));
  CHECK(wire.client.ReadResult(1).stdout_bytes == "still heard");
  CHECK_FALSE(wire.client.WaitForClose(milliseconds(1)));
  wire.CloseHost();
  CHECK(wire.client.WaitForClose(milliseconds(1000)));
  wire.client.Close();
  CHECK_THROWS_AS(wire.client.Send("x"), std::logic_error);
}

TEST_CASE("FcgiClient: management answers") {
  Wire wire;
  wire.HostSays(EncodeRecord(RecordType::kGetValuesResult, 0, EncodePairs({{"FCGI_MAX_REQS", "5"}}),
                             Padding::kTo8));
  CHECK(DecodePairs(wire.client.ReadManagement().content) == Pairs{{"FCGI_MAX_REQS", "5"}});
}

TEST_CASE("FcgiClient: connects to a Unix and to a TCP socket") {
  Endpoint endpoint;
  std::string path;
  int listener = -1;
  SUBCASE("unix") {
    path = "/tmp/weft_fcgi_client_test." + std::to_string(getpid());
    endpoint = Endpoint::Parse("unix:" + path);
    CHECK_THROWS_AS(FcgiClient(endpoint, milliseconds(100)), std::system_error);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  }
  SUBCASE("tcp") {
    endpoint = Endpoint::Parse("tcp:127.0.0.1:0");
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  }
  auto* address = reinterpret_cast<sockaddr*>(&endpoint.address);
  REQUIRE(bind(listener, address, endpoint.address_bytes) == 0);
  REQUIRE(listen(listener, 1) == 0);
  REQUIRE(getsockname(listener, address, &endpoint.address_bytes) == 0);

  FcgiClient client(endpoint);
  client.Send("x");
  const int accepted = accept(listener, nullptr, nullptr);
  char byte = 0;
  CHECK(read(accepted, &byte, 1) == 1);
  CHECK(byte == 'x');
  client.Reset();
  close(accepted);

  // A backlog that nobody empties: a Unix socket refuses to queue, and the wait ends.
  if (endpoint.IsUnix()) {
    std::vector<FcgiClient> queued;
    CHECK_THROWS_AS(for (int i = 0; i < 10; ++i) queued.emplace_back(endpoint, milliseconds(50)),
                    TimeoutError);
    unlink(path.c_str());
  }
  close(listener);
}

TEST_CASE("FcgiClient: a refused TCP connection is a system_error") {
  Endpoint endpoint = Endpoint::Parse("tcp:127.0.0.1:0");
  const int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto* address = reinterpret_cast<sockaddr*>(&endpoint.address);
  REQUIRE(bind(bound, address, endpoint.address_bytes) == 0);
  REQUIRE(getsockname(bound, address, &endpoint.address_bytes) == 0);
  CHECK_THROWS_AS(FcgiClient(endpoint, milliseconds(500)), std::system_error);
  close(bound);
}

}  // namespace weft::testsupport
