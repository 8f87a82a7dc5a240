#include "host/observe/output_capture.hpp"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <iostream>
#include <streambuf>
#include <system_error>
#include <utility>

#include "host/observe/log.hpp"
#include "host/observe/write_piece.hpp"

namespace weft::host::observe {

namespace {

// A marked piece: RECORD o|e UNIT thread UNIT request UNIT handler UNIT =|+ text NEWLINE. Its text ends a line (=), or is
// continued (+). It is written at once, for PIPE_BUF bytes are not mixed with others' in a pipe.
constexpr char kRecord = '\x1e';
constexpr char kUnit = '\x1f';
constexpr std::size_t kMaxMarkBytes = 640;
constexpr std::size_t kMaxPieceText = PIPE_BUF - kMaxMarkBytes - 8;

std::atomic<std::uint64_t> g_dropped{0};

/// A text of fixed room: nothing here may need memory, for a process that has none left says so here.
struct Piece {
  std::array<char, PIPE_BUF> bytes;
  std::size_t used = 0;

  void Append(std::string_view text) noexcept {
    used += text.copy(bytes.data() + used, bytes.size() - used);
  }
  void Append(char c) noexcept { Append({&c, 1}); }
  void AppendName(std::string_view text) noexcept {
    for (const char c : text) {
      Append(static_cast<unsigned char>(c) < 0x20 ? '?' : c);
    }
  }
};

void WriteMarked(char stream, std::string_view text, bool ends) noexcept {
  std::array<char, 400> request;
  std::array<char, 160> handler;
  WorkDescription work{.request = request, .handler = handler};
  DescribeCurrentWork(work);
  Piece piece;
  std::array<char, 16> thread;
  const auto end = std::to_chars(thread.data(), thread.data() + thread.size(), ::gettid()).ptr;
  piece.Append(kRecord);
  piece.Append(stream);
  piece.Append(kUnit);
  piece.Append({thread.data(), static_cast<std::size_t>(end - thread.data())});
  piece.Append(kUnit);
  piece.AppendName({request.data(), work.request_bytes});
  piece.Append(kUnit);
  piece.AppendName({handler.data(), work.handler_bytes});
  piece.Append(kUnit);
  piece.Append(ends ? '=' : '+');
  piece.Append(text);
  piece.Append('\n');
  // As it is the last, this is all or nothing.
  if (WritePiece(STDERR_FILENO, {piece.bytes.data(), piece.used}) <= 0) {
    g_dropped.fetch_add(1, std::memory_order_relaxed);
  }
}

void WriteAll(char stream, std::string_view text) noexcept {
  if (g_dropped.load(std::memory_order_relaxed) != 0) {
    const auto dropped = g_dropped.exchange(0, std::memory_order_relaxed);
    std::array<char, 80> line;
    const int bytes = ::snprintf(line.data(), line.size(),
                                 "(%llu pieces of output before this were dropped: too many)",
                                 static_cast<unsigned long long>(dropped));
    WriteMarked(stream, {line.data(), static_cast<std::size_t>(std::max(bytes, 0))}, true);
  }
  while (!text.empty()) {
    const auto newline = text.find('\n');
    const auto line = text.substr(0, std::min(newline, kMaxPieceText));
    const bool ends = line.size() == newline;
    WriteMarked(stream, line, ends);
    text.remove_prefix(line.size() + (ends ? 1 : 0));
  }
}

/// In place of what std::cout, std::cerr and std::clog write to. Keeps nothing back: a process may end at any time.
class MarkingBuffer final : public std::streambuf {
 public:
  explicit MarkingBuffer(char stream) noexcept : stream_(stream) {}

 protected:
  int_type overflow(int_type c) override {
    if (!traits_type::eq_int_type(c, traits_type::eof())) {
      const char byte = traits_type::to_char_type(c);
      WriteAll(stream_, {&byte, 1});
    }
    return traits_type::not_eof(c);
  }
  std::streamsize xsputn(const char* text, std::streamsize bytes) override {
    WriteAll(stream_, {text, static_cast<std::size_t>(bytes)});
    return bytes;
  }

 private:
  const char stream_;
};

ssize_t WriteCookie(void* cookie, const char* text, std::size_t bytes) {
  const int error = errno;
  WriteAll(cookie == nullptr ? 'e' : 'o', {text, bytes});
  errno = error;
  return static_cast<ssize_t>(bytes);
}

FILE* OpenStream(void* cookie) {
  FILE* const stream = ::fopencookie(
      cookie, "w", {.read = nullptr, .write = &WriteCookie, .seek = nullptr, .close = nullptr});
  if (stream == nullptr) {
    throw std::system_error(errno, std::generic_category(), "fopencookie");
  }
  // As the C library has them: what is written to standard error is not kept back.
  ::setvbuf(stream, nullptr, cookie == nullptr ? _IONBF : _IOLBF, BUFSIZ);
  return stream;
}

}  // namespace

void CaptureOutput(int pipe) {
  const int before = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (before < 0) {
    throw std::system_error(errno, std::generic_category(), "fcntl");
  }
  static int of_output = 0;
  FILE* const error = OpenStream(nullptr);
  FILE* const output = OpenStream(&of_output);
  if (::dup2(pipe, STDOUT_FILENO) < 0 || ::dup2(pipe, STDERR_FILENO) < 0) {
    throw std::system_error(errno, std::generic_category(), "dup2");
  }
  ::close(pipe);
  SetStandardErrorOfLog(before);
  // Never destroyed: what ends the process may still write.
  static auto& of_cerr = *new MarkingBuffer('e');
  static auto& of_cout = *new MarkingBuffer('o');
  std::cerr.rdbuf(&of_cerr);
  std::clog.rdbuf(&of_cerr);
  std::cout.rdbuf(&of_cout);
  stderr = error;
  stdout = output;
}

struct OutputReader::Mark {
  bool is_error = true;
  std::string_view of;  ///< all but what says whether it ends
  std::string_view request;
  std::string_view handler;
  bool ends = true;
  std::string_view text;
};

bool OutputReader::ParseMark(std::string_view text, Mark& mark) {
  if (text.size() < 2 || text[0] != kRecord || (text[1] != 'e' && text[1] != 'o')) {
    return false;
  }
  std::array<std::size_t, 4> units{};
  std::size_t at = 1;
  for (auto& unit : units) {
    unit = text.find(kUnit, at + 1);
    if (unit == std::string_view::npos) {
      return false;
    }
    at = unit;
  }
  if (at + 1 >= text.size() || (text[at + 1] != '=' && text[at + 1] != '+')) {
    return false;
  }
  mark.is_error = text[1] == 'e';
  mark.of = text.substr(0, at);
  mark.request = text.substr(units[1] + 1, units[2] - units[1] - 1);
  mark.handler = text.substr(units[2] + 1, units[3] - units[2] - 1);
  mark.ends = text[at + 1] == '=';
  mark.text = text.substr(at + 2);
  return true;
}

OutputReader::Unfinished& OutputReader::UnfinishedOf(std::string_view of) {
  const auto found = std::ranges::find(state_.unfinished, of, &Unfinished::of);
  if (found != state_.unfinished.end()) {
    return *found;
  }
  if (state_.unfinished.size() >= kMaxUnfinished) {
    Give(state_.unfinished.front());
    state_.unfinished.pop_front();
  }
  return state_.unfinished.emplace_back(
      Unfinished{.of = std::string(of), .text = {}, .left_out = 0});
}

void OutputReader::Append(std::string_view of, std::string_view text, bool ends) {
  auto& line = UnfinishedOf(of);
  const auto room = kMaxLineBytes - std::min(kMaxLineBytes, line.text.size());
  line.text.append(text.substr(0, room));
  line.left_out += text.size() - std::min(text.size(), room);
  if (ends) {
    const auto whole = std::move(line);
    std::erase_if(state_.unfinished, [&line](const Unfinished& other) { return &other == &line; });
    Give(whole);
  }
}

void OutputReader::Give(const Unfinished& line) {
  Mark mark;
  const std::string marked = line.of + kUnit + "=";
  if (line.of.empty() || !ParseMark(marked, mark)) {
    mark = {};
  }
  take_({.is_error = mark.is_error,
         .request = mark.request,
         .handler = mark.handler,
         .text = line.text,
         .left_out = line.left_out});
}

void OutputReader::Read(std::string_view bytes) {
  while (!bytes.empty()) {
    // A marked piece ends with its line, and begins wherever it does: in an unmarked line that is not ended, too.
    const bool is_marked = !state_.packet.empty() && state_.packet[0] == kRecord;
    const auto stop = is_marked ? bytes.find('\n') : bytes.find_first_of("\n\x1e");
    const auto part = bytes.substr(0, stop);
    if (state_.packet.empty() && stop == 0 && bytes[0] == kRecord) {
      state_.packet.push_back(kRecord);
      bytes.remove_prefix(1);
      continue;
    }
    if (is_marked) {
      state_.packet.append(
          part.substr(0, 2 * PIPE_BUF - std::min<std::size_t>(2 * PIPE_BUF, state_.packet.size())));
      if (stop == std::string_view::npos) {
        return;
      }
      bytes.remove_prefix(stop + 1);
      const std::string packet = std::exchange(state_.packet, {});
      Mark mark;
      if (ParseMark(packet, mark)) {
        Append(mark.of, mark.text, mark.ends);
      } else {
        Append({}, packet, true);
      }
      continue;
    }
    const bool ends = stop != std::string_view::npos && bytes[stop] == '\n';
    if (!part.empty() || ends) {
      Append({}, part, ends);
    }
    if (stop == std::string_view::npos) {
      return;
    }
    bytes.remove_prefix(ends ? stop + 1 : stop);
  }
}

void OutputReader::End() {
  if (!state_.packet.empty()) {
    Append({}, std::exchange(state_.packet, {}), true);
  }
  while (!state_.unfinished.empty()) {
    const auto line = std::move(state_.unfinished.front());
    state_.unfinished.pop_front();
    if (!line.text.empty()) {
      Give(line);
    }
  }
}

}  // namespace weft::host::observe
