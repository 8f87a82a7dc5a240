#include "tests/support/fcgi/fcgi_client.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

namespace weft::testsupport {
namespace {

using std::chrono::steady_clock;

void AppendLength(std::string& out, std::size_t length, LengthForm form) {
  if (length > 0x7fffffff) throw std::length_error("a FastCGI name or value below 2^31 bytes");
  if (length < 128 && form == LengthForm::kShortest) {
    out += static_cast<char>(length);
    return;
  }
  out += static_cast<char>(0x80 | (length >> 24));
  out += static_cast<char>(length >> 16);
  out += static_cast<char>(length >> 8);
  out += static_cast<char>(length);
}

std::uint8_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

std::uint16_t Big16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(ByteAt(bytes, at) << 8 | ByteAt(bytes, at + 1));
}

std::uint32_t Big32(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint32_t>(Big16(bytes, at)) << 16 | Big16(bytes, at + 2);
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

const std::string* FindPair(const Pairs& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs) {
    if (EqualsIgnoringCase(key, name)) return &value;
  }
  return nullptr;
}

void Append(Pairs& pairs, const Pairs& more) {
  pairs.insert(pairs.end(), more.begin(), more.end());
}

int HexDigit(char c) {
  c = Lower(c);
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
                        HexDigit(text[i + 2]) >= 0;
    if (!escape) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
    i += 2;
  }
  return out;
}

/// "X-Forwarded-For" becomes "HTTP_X_FORWARDED_FOR".
std::string HeaderParamName(std::string_view header) {
  std::string name = "HTTP_";
  for (char c : header) name += c == '-' ? '_' : Upper(c);
  return name;
}

/// A WebRequest taken apart, with what both web servers need.
struct RequestParts {
  std::string scheme = "http";
  std::string host = "localhost";
  std::string port;
  std::string target;       // raw path and query
  std::string query;        // raw
  std::string path;         // decoded, without PATH_INFO
  std::string path_info;    // decoded
  std::string body_length;  // empty: no body
  Pairs headers;
};

RequestParts TakeApart(const WebRequest& request) {
  RequestParts parts;
  std::string_view rest = request.url;
  std::string host_header = "localhost";
  if (const auto scheme_end = rest.find("://"); scheme_end != rest.npos && rest[0] != '/') {
    parts.scheme = rest.substr(0, scheme_end);
    rest.remove_prefix(scheme_end + 3);
    const auto path_start = std::min(rest.find('/'), rest.size());
    host_header = rest.substr(0, path_start);
    rest.remove_prefix(path_start);
  }
  if (rest.empty() || rest[0] != '/') {
    throw std::invalid_argument("no path in the URL " + request.url);
  }
  if (const std::string* given = FindPair(request.headers, "Host")) host_header = *given;
  const auto colon = host_header.rfind(':');
  const bool has_port =
      colon != host_header.npos && host_header.find(']', colon) == std::string::npos;
  parts.host = has_port ? host_header.substr(0, colon) : host_header;
  parts.port = has_port ? host_header.substr(colon + 1) : parts.scheme == "https" ? "443" : "80";

  parts.target = rest;
  const auto question = std::min(rest.find('?'), rest.size());
  if (question < rest.size()) parts.query = rest.substr(question + 1);
  parts.path = PercentDecode(rest.substr(0, question));
  parts.path_info = request.path_info;
  if (!parts.path_info.empty()) {
    if (!parts.path.ends_with(parts.path_info)) {
      throw std::invalid_argument("PATH_INFO " + parts.path_info + " is no tail of " + parts.path);
    }
    parts.path.resize(parts.path.size() - parts.path_info.size());
  }

  if (!FindPair(request.headers, "Host")) parts.headers.emplace_back("Host", host_header);
  Append(parts.headers, request.headers);
  if (const std::string* given = FindPair(request.headers, "Content-Length")) {
    parts.body_length = *given;
  } else if (request.body_bytes > 0) {
    parts.body_length = std::to_string(request.body_bytes);
    parts.headers.emplace_back("Content-Length", parts.body_length);
  }
  return parts;
}

Pairs MakeNginxParams(const WebRequest& request, const RequestParts& parts) {
  const std::string* content_type = FindPair(parts.headers, "Content-Type");
  Pairs params;
  if (!parts.path_info.empty()) params.emplace_back("PATH_INFO", parts.path_info);
  Append(params, {
                     {"SCRIPT_FILENAME", request.document_root + parts.path},
                     {"QUERY_STRING", parts.query},
                     {"REQUEST_METHOD", request.method},
                     {"CONTENT_TYPE", content_type ? *content_type : ""},
                     {"CONTENT_LENGTH", parts.body_length},
                     {"SCRIPT_NAME", parts.path},
                     {"REQUEST_URI", parts.target},
                     {"DOCUMENT_URI", parts.path + parts.path_info},
                     {"DOCUMENT_ROOT", request.document_root},
                     {"SERVER_PROTOCOL", "HTTP/1.1"},
                     {"REQUEST_SCHEME", parts.scheme},
                 });
  if (parts.scheme == "https") params.emplace_back("HTTPS", "on");
  Append(params, {
                     {"GATEWAY_INTERFACE", "CGI/1.1"},
                     {"SERVER_SOFTWARE", "nginx/1.22.1"},
                     {"REMOTE_ADDR", request.remote_addr},
                     {"REMOTE_PORT", "52918"},
                     {"REMOTE_USER", ""},
                     {"SERVER_ADDR", "127.0.0.1"},
                     {"SERVER_PORT", parts.port},
                     {"SERVER_NAME", parts.host},
                     {"REDIRECT_STATUS", "200"},
                 });
  for (const auto& [name, value] : parts.headers) {
    params.emplace_back(HeaderParamName(name), value);
  }
  return params;
}

Pairs MakeLighttpdParams(const WebRequest& request, const RequestParts& parts) {
  Pairs params{
      {"CONTENT_LENGTH", parts.body_length.empty() ? "0" : parts.body_length},
      {"QUERY_STRING", parts.query},
      {"REQUEST_URI", parts.target},
      {"REDIRECT_STATUS", "200"},
      {"SCRIPT_NAME", parts.path},
  };
  if (!parts.path_info.empty()) {
    params.emplace_back("PATH_INFO", parts.path_info);
    params.emplace_back("PATH_TRANSLATED", request.document_root + parts.path_info);
  }
  Append(params, {
                     {"SCRIPT_FILENAME", request.document_root + parts.path},
                     {"DOCUMENT_ROOT", request.document_root},
                     {"REQUEST_METHOD", request.method},
                     {"SERVER_PROTOCOL", "HTTP/1.1"},
                     {"SERVER_SOFTWARE", "lighttpd/1.4.69"},
                     {"GATEWAY_INTERFACE", "CGI/1.1"},
                     {"REQUEST_SCHEME", parts.scheme},
                 });
  if (parts.scheme == "https") params.emplace_back("HTTPS", "on");
  Append(params, {
                     {"SERVER_PORT", parts.port},
                     {"SERVER_ADDR", "127.0.0.1"},
                     {"SERVER_NAME", parts.host},
                     {"REMOTE_ADDR", request.remote_addr},
                     {"REMOTE_PORT", "36554"},
                 });
  const auto first_header = static_cast<std::ptrdiff_t>(params.size());
  for (const auto& [header, value] : parts.headers) {
    if (EqualsIgnoringCase(header, "Proxy")) continue;
    const bool is_type = EqualsIgnoringCase(header, "Content-Type");
    const std::string name = is_type ? "CONTENT_TYPE" : HeaderParamName(header);
    const auto same = std::find_if(params.begin() + first_header, params.end(),
                                   [&](const auto& param) { return param.first == name; });
    if (same == params.end()) {
      params.emplace_back(name, value);
    } else {
      same->second += (name == "HTTP_COOKIE" ? "; " : ", ") + value;
    }
  }
  return params;
}

[[noreturn]] void ThrowErrno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void SetNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) ThrowErrno("fcntl(O_NONBLOCK)");
}

}  // namespace

// ---- Bytes out.

std::string EncodeHeader(const RecordHeader& header) {
  return {
      static_cast<char>(header.version),
      static_cast<char>(header.type),
      static_cast<char>(header.id >> 8),
      static_cast<char>(header.id),
      static_cast<char>(header.content_bytes >> 8),
      static_cast<char>(header.content_bytes),
      static_cast<char>(header.padding_bytes),
      static_cast<char>(header.reserved),
  };
}

std::string EncodeRecord(RecordType type, std::uint16_t id, std::string_view content,
                         Padding padding) {
  if (content.size() > kMaxContentBytes) {
    throw std::length_error("a record of " + std::to_string(content.size()) + " bytes");
  }
  RecordHeader header;
  header.type = type;
  header.id = id;
  header.content_bytes = static_cast<std::uint16_t>(content.size());
  if (padding == Padding::kTo8) {
    header.padding_bytes = static_cast<std::uint8_t>((8 - content.size() % 8) % 8);
  }
  std::string out = EncodeHeader(header);
  out += content;
  out.append(header.padding_bytes, '\0');
  return out;
}

std::string EncodeBegin(std::uint16_t id, Role role, Connection connection) {
  const auto role_number = static_cast<std::uint16_t>(role);
  std::string content(8, '\0');
  content[0] = static_cast<char>(role_number >> 8);
  content[1] = static_cast<char>(role_number);
  content[2] = static_cast<char>(connection);
  return EncodeRecord(RecordType::kBeginRequest, id, content);
}

std::string EncodeAbort(std::uint16_t id) {
  return EncodeRecord(RecordType::kAbortRequest, id, "");
}

std::string EncodeEnd(std::uint16_t id, std::uint32_t app_status, ProtocolStatus protocol_status) {
  std::string content(8, '\0');
  for (std::size_t i = 0; i < 4; ++i) content[i] = static_cast<char>(app_status >> (24 - 8 * i));
  content[4] = static_cast<char>(protocol_status);
  return EncodeRecord(RecordType::kEndRequest, id, content);
}

std::string EncodeGetValues(const std::vector<std::string>& names, Padding padding) {
  Pairs pairs;
  for (const std::string& name : names) pairs.emplace_back(name, "");
  return EncodeRecord(RecordType::kGetValues, 0, EncodePairs(pairs), padding);
}

std::string EncodePairs(const Pairs& pairs, LengthForm form) {
  std::string out;
  for (const auto& [name, value] : pairs) {
    AppendLength(out, name.size(), form);
    AppendLength(out, value.size(), form);
    out += name;
    out += value;
  }
  return out;
}

std::string EncodeStream(RecordType type, std::uint16_t id, std::string_view bytes,
                         std::size_t record_bytes, Padding padding, StreamEnd end) {
  if (record_bytes == 0) throw std::invalid_argument("records of 0 bytes");
  std::string out;
  while (!bytes.empty()) {
    const std::string_view content = bytes.substr(0, record_bytes);
    out += EncodeRecord(type, id, content, padding);
    bytes.remove_prefix(content.size());
  }
  if (end == StreamEnd::kClosed) out += EncodeRecord(type, id, "");
  return out;
}

std::string EncodeRequest(const Request& request) {
  const Framing& framing = request.framing;
  return EncodeBegin(request.id, request.role, request.connection) +
         EncodeStream(RecordType::kParams, request.id, EncodePairs(request.params),
                      framing.params_record_bytes, framing.padding) +
         EncodeStream(RecordType::kStdin, request.id, request.body, framing.stdin_record_bytes,
                      framing.padding);
}

Pairs MakeParams(WebServer server, const WebRequest& request) {
  const RequestParts parts = TakeApart(request);
  return server == WebServer::kNginx ? MakeNginxParams(request, parts)
                                     : MakeLighttpdParams(request, parts);
}

// ---- Bytes in.

void RecordDecoder::Feed(std::string_view bytes) {
  // Dropped here and not in Next(), whose views must survive until now.
  buffer_.erase(0, consumed_);
  consumed_ = 0;
  buffer_ += bytes;
}

std::optional<RecordView> RecordDecoder::Next() {
  const std::string_view rest = std::string_view(buffer_).substr(consumed_);
  if (!rest.empty() && ByteAt(rest, 0) != 1) {
    throw ProtocolError("record version " + std::to_string(ByteAt(rest, 0)));
  }
  if (rest.size() < kHeaderBytes) return std::nullopt;
  const std::size_t content_bytes = Big16(rest, 4);
  const std::uint8_t padding_bytes = ByteAt(rest, 6);
  const std::size_t record_bytes = kHeaderBytes + content_bytes + padding_bytes;
  if (rest.size() < record_bytes) return std::nullopt;
  consumed_ += record_bytes;
  return RecordView{static_cast<RecordType>(ByteAt(rest, 1)), Big16(rest, 2), padding_bytes,
                    rest.substr(kHeaderBytes, content_bytes)};
}

void RecordDecoder::Reset() {
  buffer_.clear();
  consumed_ = 0;
}

std::vector<Record> DecodeRecords(std::string_view bytes) {
  RecordDecoder decoder;
  decoder.Feed(bytes);
  std::vector<Record> records;
  while (const auto view = decoder.Next()) {
    records.push_back({view->type, view->id, view->padding_bytes, std::string(view->content)});
  }
  if (decoder.PendingBytes() > 0) {
    throw ProtocolError(std::to_string(decoder.PendingBytes()) + " bytes of an incomplete record");
  }
  return records;
}

Pairs DecodePairs(std::string_view bytes) {
  const auto take = [&bytes](std::size_t count) {
    if (bytes.size() < count) throw ProtocolError("a name/value pair exceeds its record");
    const std::string_view taken = bytes.substr(0, count);
    bytes.remove_prefix(count);
    return taken;
  };
  const auto take_length = [&]() -> std::size_t {
    if (bytes.empty() || ByteAt(bytes, 0) < 128) return ByteAt(take(1), 0);
    return Big32(take(4), 0) & 0x7fffffff;
  };
  Pairs pairs;
  while (!bytes.empty()) {
    const std::size_t name_bytes = take_length();
    const std::size_t value_bytes = take_length();
    const std::string_view name = take(name_bytes);
    pairs.emplace_back(name, take(value_bytes));
  }
  return pairs;
}

void ResponseCollector::Feed(std::string_view bytes) {
  decoder_.Feed(bytes);
  while (const auto record = decoder_.Next()) Accept(*record);
}

void ResponseCollector::Accept(const RecordView& record) {
  const auto fail = [&record](const char* what) {
    throw ProtocolError("record of type " + std::to_string(static_cast<int>(record.type)) +
                        ", id " + std::to_string(record.id) + ": " + what);
  };
  const bool is_management =
      record.type == RecordType::kGetValuesResult || record.type == RecordType::kUnknownType;
  if (is_management) {
    if (record.id != 0) fail("a management record with an id");
    management_.push_back(
        {record.type, record.id, record.padding_bytes, std::string(record.content)});
    return;
  }
  if (record.id == 0) fail("an application record without an id");

  const auto append = [&](std::string& bytes, bool& closed) {
    if (closed) fail("bytes after the end of the stream");
    bytes += record.content;
    closed = record.content.empty();
  };
  RequestResult& result = open_[record.id];
  switch (record.type) {
    case RecordType::kStdout:
      append(result.stdout_bytes, result.stdout_closed);
      break;
    case RecordType::kStderr:
      append(result.stderr_bytes, result.stderr_closed);
      break;
    case RecordType::kEndRequest:
      if (record.content.size() != 8) fail("END_REQUEST is not 8 bytes");
      result.app_status = Big32(record.content, 0);
      result.protocol_status = static_cast<ProtocolStatus>(ByteAt(record.content, 4));
      result.ended = true;
      ended_.emplace_back(record.id, std::move(result));
      open_.erase(record.id);
      end_order_.push_back(record.id);
      break;
    default:
      fail("not a host's record");
  }
}

std::optional<RequestResult> ResponseCollector::TakeEnded(std::uint16_t id) {
  const auto found = std::find_if(ended_.begin(), ended_.end(),
                                  [id](const auto& entry) { return entry.first == id; });
  if (found == ended_.end()) return std::nullopt;
  RequestResult result = std::move(found->second);
  ended_.erase(found);
  return result;
}

RequestResult ResponseCollector::TakeOpen(std::uint16_t id) {
  const auto node = open_.extract(id);
  return node ? std::move(node.mapped()) : RequestResult{};
}

const RequestResult* ResponseCollector::FindOpen(std::uint16_t id) const {
  const auto found = open_.find(id);
  return found == open_.end() ? nullptr : &found->second;
}

std::optional<Record> ResponseCollector::TakeManagement() {
  if (management_.empty()) return std::nullopt;
  Record record = std::move(management_.front());
  management_.pop_front();
  return record;
}

const std::string* CgiResponse::FindHeader(std::string_view name) const {
  return FindPair(headers, name);
}

CgiResponse ParseCgiResponse(std::string_view stdout_bytes) {
  CgiResponse response;
  std::string status_text;
  std::string_view rest = stdout_bytes;
  while (true) {
    const auto line_end = rest.find('\n');
    if (line_end == rest.npos) throw ProtocolError("the header block has no end");
    std::string_view line = rest.substr(0, line_end);
    rest.remove_prefix(line_end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) break;
    const auto colon = line.find(':');
    if (colon == 0 || colon == line.npos || line.find_first_of(" \t") < colon) {
      throw ProtocolError("no header: " + std::string(line));
    }
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    value.remove_suffix(value.size() - (value.find_last_not_of(" \t") + 1));
    const std::string_view name = line.substr(0, colon);
    if (EqualsIgnoringCase(name, "Status")) {
      if (!status_text.empty()) throw ProtocolError("two Status headers");
      status_text = value;
    } else {
      response.headers.emplace_back(name, value);
    }
  }
  if (response.headers.empty() && status_text.empty()) throw ProtocolError("no header block");
  if (status_text.empty()) {
    response.status = response.FindHeader("Location") ? 302 : 200;
  } else {
    const bool three_digits = status_text.size() >= 3 &&
                              status_text.find_first_not_of("0123456789") >= 3 &&
                              (status_text.size() == 3 || status_text[3] == ' ');
    if (!three_digits) throw ProtocolError("no status: " + status_text);
    response.status = std::stoi(status_text.substr(0, 3));
    if (status_text.size() > 4) response.reason = status_text.substr(4);
  }
  response.body = rest;
  return response;
}

// ---- Sockets.

Endpoint Endpoint::Parse(std::string_view text) {
  Endpoint endpoint;
  const std::string shown(text);
  if (text.starts_with("unix:")) {
    const std::string_view path = text.substr(5);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
      throw std::invalid_argument("a socket path of 1 to 107 bytes: " + shown);
    }
    path.copy(address.sun_path, path.size());
    std::memcpy(&endpoint.address, &address, sizeof address);
    endpoint.address_bytes = sizeof address;
    return endpoint;
  }
  const auto colon = text.rfind(':');
  if (!text.starts_with("tcp:") || colon <= 4) {
    throw std::invalid_argument("unix:/path or tcp:host:port: " + shown);
  }
  std::string host(text.substr(4, colon - 4));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port(text.substr(colon + 1));
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    throw std::invalid_argument(shown + ": " + gai_strerror(error));
  }
  std::memcpy(&endpoint.address, found->ai_addr, found->ai_addrlen);
  endpoint.address_bytes = found->ai_addrlen;
  freeaddrinfo(found);
  return endpoint;
}

FcgiClient::FcgiClient(const Endpoint& endpoint, Milliseconds timeout) : timeout_(timeout) {
  const Deadline deadline = NewDeadline();
  fd_ = socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) ThrowErrno("socket");
  try {
    const auto* address = reinterpret_cast<const sockaddr*>(&endpoint.address);
    while (connect(fd_, address, endpoint.address_bytes) != 0) {
      if (errno == EINPROGRESS) {
        WaitOrThrow(POLLOUT, deadline, "connect");
        int error = 0;
        socklen_t error_bytes = sizeof error;
        if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0 || error != 0) {
          throw std::system_error(error, std::generic_category(), "connect");
        }
        break;
      }
      // A Unix socket says EAGAIN while the backlog is full, and cannot be polled for room.
      if (errno != EAGAIN) ThrowErrno("connect");
      if (steady_clock::now() >= deadline) throw TimeoutError("connect: the backlog stays full");
      std::this_thread::sleep_for(Milliseconds(1));
    }
  } catch (...) {
    Close();
    throw;
  }
}

FcgiClient::FcgiClient(int connected_socket, Milliseconds timeout)
    : fd_(connected_socket), timeout_(timeout) {
  SetNonBlocking(fd_);
}

FcgiClient::~FcgiClient() { Close(); }

FcgiClient::FcgiClient(FcgiClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      timeout_(other.timeout_),
      peer_closed_(other.peer_closed_),
      responses_(std::move(other.responses_)) {}

FcgiClient& FcgiClient::operator=(FcgiClient&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(timeout_, other.timeout_);
  std::swap(peer_closed_, other.peer_closed_);
  std::swap(responses_, other.responses_);
  return *this;
}

void FcgiClient::Send(std::string_view bytes) { SendAll(bytes, NewDeadline()); }

void FcgiClient::SendSlices(std::string_view bytes, std::size_t slice_bytes, Milliseconds pause) {
  if (slice_bytes == 0) throw std::invalid_argument("slices of 0 bytes");
  const Deadline deadline = NewDeadline();
  while (!bytes.empty()) {
    const std::string_view slice = bytes.substr(0, slice_bytes);
    SendAll(slice, deadline);
    bytes.remove_prefix(slice.size());
    if (pause.count() > 0 && !bytes.empty()) std::this_thread::sleep_for(pause);
  }
}

std::size_t FcgiClient::SendUntilBlocked(std::string_view bytes, Milliseconds quiet) {
  const Deadline deadline = NewDeadline();
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    if (!Wait(POLLOUT, std::min(deadline, steady_clock::now() + quiet))) break;
    sent += SendSome(bytes.substr(sent));
  }
  return sent;
}

std::size_t FcgiClient::SendWhileReading(std::string_view bytes) {
  const Deadline deadline = NewDeadline();
  std::size_t sent = 0;
  while (sent < bytes.size() && !peer_closed_) {
    const short ready = WaitOrThrow(POLLIN | POLLOUT, deadline, "send");
    if (ready & (POLLIN | POLLHUP | POLLERR)) CollectOnce();
    if (peer_closed_ || !(ready & POLLOUT)) continue;
    try {
      sent += SendSome(bytes.substr(sent));
    } catch (const std::system_error& error) {
      // The answer that explains the close may still be on its way to us.
      if (error.code().value() != EPIPE && error.code().value() != ECONNRESET) throw;
      break;
    }
  }
  return sent;
}

RequestResult FcgiClient::ReadResult(std::uint16_t id) {
  const Deadline deadline = NewDeadline();
  while (true) {
    if (auto result = responses_.TakeEnded(id)) return *std::move(result);
    if (peer_closed_) return responses_.TakeOpen(id);
    WaitOrThrow(POLLIN, deadline, "read a response");
    CollectOnce();
  }
}

RequestResult FcgiClient::Exchange(const Request& request) {
  SendWhileReading(EncodeRequest(request));
  return ReadResult(request.id);
}

Record FcgiClient::ReadManagement() {
  const Deadline deadline = NewDeadline();
  while (true) {
    if (auto record = responses_.TakeManagement()) return *std::move(record);
    if (peer_closed_) throw ProtocolError("closed before a management record came");
    WaitOrThrow(POLLIN, deadline, "read a management record");
    CollectOnce();
  }
}

std::string FcgiClient::ReadBytes(std::size_t max_bytes) {
  const Deadline deadline = NewDeadline();
  std::string bytes;
  while (bytes.empty() && !peer_closed_) {
    WaitOrThrow(POLLIN, deadline, "read");
    bytes = ReceiveSome(max_bytes);
  }
  return bytes;
}

bool FcgiClient::WaitForClose(Milliseconds wait) {
  const Deadline deadline = steady_clock::now() + wait;
  while (!peer_closed_ && Wait(POLLIN, deadline)) CollectOnce();
  return peer_closed_;
}

void FcgiClient::CollectFor(Milliseconds wait) { static_cast<void>(WaitForClose(wait)); }

void FcgiClient::ShutdownWrite() {
  if (shutdown(fd_, SHUT_WR) != 0 && errno != ENOTCONN) ThrowErrno("shutdown");
}

void FcgiClient::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void FcgiClient::Reset() {
  const linger abrupt{1, 0};
  if (fd_ >= 0) setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  Close();
}

short FcgiClient::Wait(short events, Deadline deadline) const {
  if (fd_ < 0) throw std::logic_error("FcgiClient: used after Close()");
  while (true) {
    const auto left = std::chrono::ceil<Milliseconds>(deadline - steady_clock::now()).count();
    pollfd entry{fd_, events, 0};
    const int count = poll(&entry, 1, static_cast<int>(std::max<decltype(left)>(left, 0)));
    if (count > 0) return entry.revents;
    if (count == 0) return 0;
    if (errno != EINTR) ThrowErrno("poll");
  }
}

short FcgiClient::WaitOrThrow(short events, Deadline deadline, const char* what) const {
  const short ready = Wait(events, deadline);
  if (!ready) {
    throw TimeoutError(std::string(what) + ": nothing for " + std::to_string(timeout_.count()) +
                       " ms");
  }
  return ready;
}

std::size_t FcgiClient::SendSome(std::string_view bytes) {
  const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (errno == EAGAIN || errno == EINTR) return 0;
  ThrowErrno("send");
}

void FcgiClient::SendAll(std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    WaitOrThrow(POLLOUT, deadline, "send");
    bytes.remove_prefix(SendSome(bytes));
  }
}

std::string FcgiClient::ReceiveSome(std::size_t max_bytes) {
  std::string bytes(max_bytes, '\0');
  const ssize_t received = recv(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (received < 0 && errno != ECONNRESET) {
    if (errno == EAGAIN || errno == EINTR) return {};
    ThrowErrno("recv");
  }
  if (received <= 0) peer_closed_ = true;
  bytes.resize(received > 0 ? static_cast<std::size_t>(received) : 0);
  return bytes;
}

}  // namespace weft::testsupport
