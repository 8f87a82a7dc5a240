// What a web server relays at best: a FastCGI application that reads nothing, computes nothing and only sends.
//
//   fcgi-relay --listen unix:PATH
//
// A request whose query is bytes=N is answered with N bytes, any other with "Hello, world". One connection at a time;
// the records are those that Weft makes of a file: 32 KiB each, four in one sendmsg().

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kContent = 32 * 1024;
constexpr std::size_t kRecords = 4;

bool ReadAll(int socket, char* to, std::size_t size) {
  while (size != 0) {
    const auto count = read(socket, to, size);
    if (count <= 0) {
      return false;
    }
    to += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

bool Send(int socket, std::vector<iovec> parts) {
  while (!parts.empty()) {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    auto count = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (count < 0) {
      return false;
    }
    while (!parts.empty() && static_cast<std::size_t>(count) >= parts.front().iov_len) {
      count -= static_cast<ssize_t>(parts.front().iov_len);
      parts.erase(parts.begin());
    }
    if (!parts.empty()) {
      parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + count;
      parts.front().iov_len -= static_cast<std::size_t>(count);
    }
  }
  return true;
}

std::string Header(unsigned type, unsigned id, std::size_t content) {
  std::string header(8, '\0');
  header[0] = 1;
  header[1] = static_cast<char>(type);
  header[2] = static_cast<char>(id >> 8);
  header[3] = static_cast<char>(id & 0xff);
  header[4] = static_cast<char>(content >> 8);
  header[5] = static_cast<char>(content & 0xff);
  return header;
}

bool SendText(int socket, std::string text) { return Send(socket, {{text.data(), text.size()}}); }

bool Answer(int socket, unsigned id, std::string_view params) {
  constexpr std::string_view kName = "bytes=";
  const auto at = params.find(kName);
  const std::uint64_t bytes = at == std::string_view::npos
                                  ? 0
                                  : std::strtoull(params.data() + at + kName.size(), nullptr, 10);
  std::string text = "Content-Type: application/octet-stream\r\nContent-Length: " +
                     std::to_string(bytes == 0 ? 12 : bytes) + "\r\n\r\n";
  if (bytes == 0) {
    text += "Hello, world";
  }
  if (!SendText(socket, Header(6, id, text.size()) + text)) {
    return false;
  }
  static std::vector<char> content(kContent, 'x');
  for (std::uint64_t left = bytes; left != 0;) {
    std::string headers[kRecords];
    std::vector<iovec> parts;
    for (std::size_t i = 0; i < kRecords && left != 0; ++i) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, kContent));
      headers[i] = Header(6, id, size);
      parts.push_back({headers[i].data(), headers[i].size()});
      parts.push_back({content.data(), size});
      left -= size;
    }
    if (!Send(socket, std::move(parts))) {
      return false;
    }
  }
  return SendText(socket, Header(6, id, 0) + Header(3, id, 8) + std::string(8, '\0'));
}

void Serve(int socket) {
  char header[8];
  std::string params;
  bool keep = false;
  while (ReadAll(socket, header, sizeof header)) {
    const auto at = [&header](int i) { return static_cast<unsigned char>(header[i]); };
    const auto size = static_cast<std::size_t>(at(4) << 8 | at(5));
    std::string content(size + at(6), '\0');
    if (!ReadAll(socket, content.data(), content.size())) {
      return;
    }
    if (at(1) == 1) {  // BEGIN_REQUEST
      keep = (content[2] & 1) != 0;
      params.clear();
    } else if (at(1) == 4) {  // PARAMS
      params.append(content, 0, size);
    } else if (at(1) == 5 && size == 0) {  // the end of STDIN
      if (!Answer(socket, static_cast<unsigned>(at(2) << 8 | at(3)), params) || !keep) {
        return;
      }
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  constexpr std::string_view kUnix = "unix:";
  const std::string_view where = count == 3 ? arguments[2] : "";
  sockaddr_un address{};
  if (count != 3 || std::string_view(arguments[1]) != "--listen" || !where.starts_with(kUnix) ||
      where.size() - kUnix.size() >= sizeof address.sun_path) {
    std::fputs("usage: fcgi-relay --listen unix:PATH\n", stderr);
    return 64;
  }
  address.sun_family = AF_UNIX;
  where.copy(address.sun_path, sizeof address.sun_path - 1, kUnix.size());
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 16) != 0) {
    std::perror("fcgi-relay");
    return 1;
  }
  for (;;) {
    const int socket = accept(listener, nullptr, nullptr);
    if (socket >= 0) {
      Serve(socket);
      close(socket);
    }
  }
}
