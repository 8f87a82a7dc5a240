// The web server's side of FastCGI, for tests: encodes requests, decodes responses, and talks to a
// host over a socket without hiding anything that travels.
//
// Three layers, usable apart: bytes out (Encode...), bytes in (RecordDecoder, ResponseCollector,
// ParseCgiResponse), and a blocking socket (FcgiClient). MakeParams builds the parameters that a
// named web server would send.
//
// What it does not imitate:
//  - a web server's judgement: nothing is retried, pooled, rewritten or hidden, no header is merged
//    into a reply, and a response is neither cut nor padded to its Content-Length;
//  - URL normalisation: "..", "//" and case pass as they are, only %xx is decoded;
//  - HTTP parsing: the headers of a WebRequest are taken as given, also where a server refuses them
//    (lighttpd: two spellings of one name; nginx drops names with '_' or '.');
//  - the file system: no try_files, index files or stat walk; the caller names the PATH_INFO;
//  - authorizer and filter parameters (the roles can be sent, MakeParams knows responders only);
//  - TLS details, REDIRECT_URI, REMOTE_USER, chunked bodies, extended CONNECT.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::testsupport {

// ---- The protocol's words. Any value of the underlying type may be cast in, to send nonsense.

enum class RecordType : std::uint8_t {
  kBeginRequest = 1,
  kAbortRequest = 2,
  kEndRequest = 3,
  kParams = 4,
  kStdin = 5,
  kStdout = 6,
  kStderr = 7,
  kData = 8,
  kGetValues = 9,
  kGetValuesResult = 10,
  kUnknownType = 11,
};

enum class Role : std::uint16_t { kResponder = 1, kAuthorizer = 2, kFilter = 3 };

enum class ProtocolStatus : std::uint8_t {
  kRequestComplete = 0,
  kCantMultiplex = 1,
  kOverloaded = 2,
  kUnknownRole = 3,
};

/// The flag of BEGIN_REQUEST: who closes the connection after END_REQUEST, host or web server.
enum class Connection : std::uint8_t { kClose = 0, kKeep = 1 };

/// FastCGI parameters, or HTTP headers: in their order, duplicates kept.
using Pairs = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kMaxContentBytes = 65535;

/// The peer broke the protocol, or bytes given to a decoder do.
class ProtocolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A wait of FcgiClient lasted longer than its time-out.
class TimeoutError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// ---- Bytes out.

enum class Padding { kNone, kTo8 };
enum class LengthForm { kShortest, kFourBytes };
enum class StreamEnd { kClosed, kOpen };

/// A record header, field by field, so that a test can lie in any of them.
struct RecordHeader {
  std::uint8_t version = 1;
  RecordType type = RecordType::kUnknownType;
  std::uint16_t id = 0;
  std::uint16_t content_bytes = 0;
  std::uint8_t padding_bytes = 0;
  std::uint8_t reserved = 0;
};

std::string EncodeHeader(const RecordHeader& header);

/// One record. Throws std::length_error when `content` exceeds kMaxContentBytes.
std::string EncodeRecord(RecordType type, std::uint16_t id, std::string_view content,
                         Padding padding = Padding::kNone);

std::string EncodeBegin(std::uint16_t id, Role role, Connection connection);
std::string EncodeAbort(std::uint16_t id);

/// END_REQUEST, for fakes of a host.
std::string EncodeEnd(std::uint16_t id, std::uint32_t app_status, ProtocolStatus protocol_status);

/// The question of GET_VALUES (id 0): the names with empty values.
std::string EncodeGetValues(const std::vector<std::string>& names,
                            Padding padding = Padding::kNone);

/// Name/value pairs, without a record around them.
std::string EncodePairs(const Pairs& pairs, LengthForm form = LengthForm::kShortest);

/// `bytes` as records of at most `record_bytes`, and the empty record that ends the stream.
/// Records are cut anywhere, also inside a name/value pair, as H2O does.
std::string EncodeStream(RecordType type, std::uint16_t id, std::string_view bytes,
                         std::size_t record_bytes = kMaxContentBytes,
                         Padding padding = Padding::kNone, StreamEnd end = StreamEnd::kClosed);

/// How a web server cuts a request into records.
struct Framing {
  std::size_t params_record_bytes;
  std::size_t stdin_record_bytes;
  Padding padding;
};

/// Seen from nginx 1.22.1: one PARAMS record, STDIN of at most 32 KiB, all padded to 8.
inline constexpr Framing kNginxFraming{kMaxContentBytes, 32768, Padding::kTo8};
/// Seen from lighttpd 1.4.69: one PARAMS record, the largest STDIN records, no padding.
inline constexpr Framing kLighttpdFraming{kMaxContentBytes, kMaxContentBytes, Padding::kNone};

struct Request {
  Pairs params{};
  std::string body{};
  std::uint16_t id = 1;
  Connection connection = Connection::kKeep;
  Role role = Role::kResponder;
  Framing framing = kNginxFraming;
};

/// BEGIN, PARAMS and STDIN of one request, complete.
std::string EncodeRequest(const Request& request);

// ---- The parameters that a web server would send.

enum class WebServer { kNginx, kLighttpd };

struct WebRequest {
  std::string method = "GET";
  /// "/path?query", or "http://host:port/path?query" ("https" sets HTTPS).
  std::string url = "/";
  /// As the client sent them. Host and Content-Length are added where missing.
  Pairs headers{};
  std::size_t body_bytes = 0;
  /// The tail of the decoded path that the web server splits off; must be one.
  std::string path_info{};
  std::string document_root = "/srv/www";
  std::string remote_addr = "127.0.0.1";
};

/// Names, order and values as observed: nginx 1.22.1 with Debian's fastcgi.conf (repeated headers
/// become repeated parameters), lighttpd 1.4.69 with a suffix mapping (joined, Proxy dropped).
///
/// Throws std::invalid_argument for a URL without a path or a PATH_INFO that is not its tail.
Pairs MakeParams(WebServer server, const WebRequest& request);

// ---- Bytes in.

struct Record {
  RecordType type = RecordType::kUnknownType;
  std::uint16_t id = 0;
  std::uint8_t padding_bytes = 0;
  std::string content;
};

/// A record still inside the decoder.
struct RecordView {
  RecordType type;
  std::uint16_t id;
  std::uint8_t padding_bytes;
  std::string_view content;  // valid until the decoder is fed again
};

/// Cuts a byte stream, fed in any slices, into records.
class RecordDecoder {
 public:
  void Feed(std::string_view bytes);

  /// The next whole record, padding included; nothing until its last byte was fed.
  ///
  /// Throws ProtocolError for a version other than 1: the stream cannot be trusted after that.
  [[nodiscard]] std::optional<RecordView> Next();

  /// Bytes of an unfinished record.
  std::size_t PendingBytes() const { return buffer_.size() - consumed_; }

  /// Forgets everything: the connection is a new one.
  void Reset();

 private:
  std::string buffer_;
  std::size_t consumed_ = 0;
};

/// All records of `bytes`. Throws ProtocolError when the last one is incomplete.
std::vector<Record> DecodeRecords(std::string_view bytes);

/// Throws ProtocolError when an announced length exceeds what is there.
Pairs DecodePairs(std::string_view bytes);

/// What a host said about one request.
struct RequestResult {
  std::string stdout_bytes;
  std::string stderr_bytes;
  bool stdout_closed = false;
  bool stderr_closed = false;
  std::uint32_t app_status = 0;
  ProtocolStatus protocol_status = ProtocolStatus::kRequestComplete;
  /// END_REQUEST arrived. False: the connection ended before it.
  bool ended = false;
};

/// Sorts a response stream by request.
///
/// Throws ProtocolError for what a host must never send: records of the web server's types,
/// application records with id 0, bytes in a stream after its end, an END_REQUEST of a wrong size.
/// It cannot tell records after END_REQUEST from the next request under the same id: look at
/// FindOpen() after a test's last request.
class ResponseCollector {
 public:
  void Feed(std::string_view bytes);

  /// Hands out the oldest ended result of `id` and forgets it.
  [[nodiscard]] std::optional<RequestResult> TakeEnded(std::uint16_t id);

  /// Hands out what has come for `id`, which has not ended, and forgets it; empty if nothing came.
  [[nodiscard]] RequestResult TakeOpen(std::uint16_t id);

  /// What has come for `id` so far, or null. Lives until the next call that is not const.
  const RequestResult* FindOpen(std::uint16_t id) const;

  /// Hands out the oldest management record: GET_VALUES_RESULT or UNKNOWN_TYPE.
  [[nodiscard]] std::optional<Record> TakeManagement();

  /// The ids in the order in which their END_REQUEST came, handed out or not.
  const std::vector<std::uint16_t>& EndOrder() const { return end_order_; }

  std::size_t PendingBytes() const { return decoder_.PendingBytes(); }

 private:
  void Accept(const RecordView& record);

  RecordDecoder decoder_;
  std::map<std::uint16_t, RequestResult> open_;
  std::deque<std::pair<std::uint16_t, RequestResult>> ended_;
  std::deque<Record> management_;
  std::vector<std::uint16_t> end_order_;
};

/// A CGI response as a web server reads it.
struct CgiResponse {
  int status = 200;
  std::string reason;
  Pairs headers;  // without Status
  std::string body;

  /// The first header of that name, letter case ignored, or null.
  const std::string* FindHeader(std::string_view name) const;
};

/// Accepts CRLF and bare LF. Without a Status header: 302 with a Location, else 200, as nginx.
///
/// Throws ProtocolError when there is no header block, or a line of it is no header.
CgiResponse ParseCgiResponse(std::string_view stdout_bytes);

// ---- Sockets.

/// Where a host listens.
struct Endpoint {
  sockaddr_storage address{};
  socklen_t address_bytes = 0;

  /// "unix:/path", "tcp:host:port" or "tcp:[::1]:port". Names are resolved at once, blocking.
  ///
  /// Throws std::invalid_argument.
  static Endpoint Parse(std::string_view text);

  bool IsUnix() const { return address.ss_family == AF_UNIX; }
};

/// One connection to a host. Sends what it is told to, as it is told to.
///
/// Every call ends within the time-out, counted from the call, or throws TimeoutError; a failed
/// system call throws std::system_error. A reset by the peer while reading is an end like any
/// other.
///
/// Threads: one at a time.
class FcgiClient {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kDefaultTimeout{5000};

  explicit FcgiClient(const Endpoint& endpoint, Milliseconds timeout = kDefaultTimeout);
  /// Takes a connected stream socket, and owns it: one half of a socketpair.
  explicit FcgiClient(int connected_socket, Milliseconds timeout = kDefaultTimeout);
  ~FcgiClient();
  FcgiClient(FcgiClient&& other) noexcept;
  FcgiClient& operator=(FcgiClient&& other) noexcept;

  /// Sends all, reading nothing meanwhile (Caddy sends a whole request so).
  void Send(std::string_view bytes);

  /// Sends all, one write per slice, with a pause between them.
  void SendSlices(std::string_view bytes, std::size_t slice_bytes, Milliseconds pause = {});

  /// Sends until everything is sent or the peer took nothing for `quiet`; returns the bytes taken.
  [[nodiscard]] std::size_t SendUntilBlocked(std::string_view bytes, Milliseconds quiet);

  /// Sends and collects responses at the same time, as nginx does. Returns the bytes taken: fewer
  /// than all when the peer closed before the end.
  std::size_t SendWhileReading(std::string_view bytes);

  /// Reads until `id` has ended and returns its result; when the connection ends first, what came,
  /// with `ended` false.
  [[nodiscard]] RequestResult ReadResult(std::uint16_t id);

  /// SendWhileReading, then ReadResult.
  [[nodiscard]] RequestResult Exchange(const Request& request);

  /// Reads until a management record came. Throws ProtocolError when the connection ends first.
  [[nodiscard]] Record ReadManagement();

  /// Reads once, at most `max_bytes`, past the collector: for slow readers and raw streams. Empty
  /// at the end of the connection.
  [[nodiscard]] std::string ReadBytes(std::size_t max_bytes);

  /// Whether the peer closes within `wait`. Bytes that come meanwhile go to the collector.
  [[nodiscard]] bool WaitForClose(Milliseconds wait);

  /// Collects whatever comes within `wait`: to see that nothing does.
  void CollectFor(Milliseconds wait);

  /// Half close: no more bytes to the peer, answers can still come.
  void ShutdownWrite();
  void Close();
  /// Closes with a TCP reset instead of an orderly end. Like Close() on Unix sockets.
  void Reset();

  /// The peer has closed, or reset, the connection.
  bool PeerClosed() const { return peer_closed_; }

  ResponseCollector& Responses() { return responses_; }

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  Deadline NewDeadline() const { return std::chrono::steady_clock::now() + timeout_; }
  /// Waits for one of `events`; returns those that came, 0 after the deadline.
  short Wait(short events, Deadline deadline) const;
  /// As Wait, but throws TimeoutError naming `what`.
  short WaitOrThrow(short events, Deadline deadline, const char* what) const;
  /// Sends without waiting; returns the bytes taken.
  std::size_t SendSome(std::string_view bytes);
  void SendAll(std::string_view bytes, Deadline deadline);
  /// Receives without waiting; nothing when there is nothing. Notes the end of the connection.
  std::string ReceiveSome(std::size_t max_bytes);
  void CollectOnce() { responses_.Feed(ReceiveSome(kReadBytes)); }

  static constexpr std::size_t kReadBytes = 65536;

  int fd_ = -1;
  Milliseconds timeout_;
  bool peer_closed_ = false;
  ResponseCollector responses_;
};

}  // namespace weft::testsupport
