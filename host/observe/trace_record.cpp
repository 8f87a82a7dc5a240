#include "host/observe/trace_record.hpp"

#include <algorithm>
#include <cstring>

namespace weft::host::observe {

namespace {

using std::chrono::nanoseconds;

constexpr std::string_view kCut = "\u2026";  // where a text goes on that was cut

/// The texts that come once take half of the room at most, and lists what is left.
constexpr std::size_t kTexts = 15;
constexpr std::size_t kNumbers = 12 + kTraceSteps;
/// Of one value in a list.
constexpr std::size_t kLongestValue = 2048;

class Writer {
 public:
  explicit Writer(std::size_t room) : room_(room) { bytes_.reserve(std::min(room, kUsualBytes)); }

  void Number(std::uint64_t number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  void Time(nanoseconds time) { Number(static_cast<std::uint64_t>(time.count())); }

  void Text(std::string_view text, std::size_t longest) {
    const bool is_cut = text.size() > longest;
    const auto kept = is_cut ? text.substr(0, longest - std::min(longest, kCut.size())) : text;
    const auto size = static_cast<std::uint32_t>(kept.size() + (is_cut ? kCut.size() : 0));
    bytes_.append(reinterpret_cast<const char*>(&size), sizeof size).append(kept);
    if (is_cut) {
      bytes_.append(kCut);
    }
  }

  /// Each by `write`, as long as there is room, but for `kept_free` bytes.
  template <typename List, typename Write>
  void All(const List& list, std::uint64_t omitted, std::size_t kept_free, Write write) {
    kept_free += kEndBytes;
    std::size_t written = 0;
    for (const auto& element : list) {
      const auto before = bytes_.size();
      bytes_.push_back(1);
      write(element);
      if (bytes_.size() + kept_free > room_) {
        bytes_.resize(before);
        break;
      }
      ++written;
    }
    bytes_.push_back(0);
    Number(omitted + (list.size() - written));
  }

  std::string Take() { return std::move(bytes_); }

  /// Of a list's end.
  static constexpr std::size_t kEndBytes = 1 + sizeof(std::uint64_t);

 private:
  static constexpr std::size_t kUsualBytes = 4096;

  std::size_t room_;
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  [[nodiscard]] bool IsWrong() const noexcept { return is_wrong_; }

  std::uint64_t Number() {
    std::uint64_t number = 0;
    Copy(&number, sizeof number);
    return number;
  }
  nanoseconds Time() { return nanoseconds(static_cast<std::int64_t>(Number())); }
  char Byte() {
    char byte = 0;
    Copy(&byte, sizeof byte);
    return byte;
  }

  std::string Text() {
    std::uint32_t size = 0;
    Copy(&size, sizeof size);
    if (is_wrong_ || size > rest_.size()) {
      is_wrong_ = true;
      return {};
    }
    const auto text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return std::string(text);
  }

  template <typename List, typename Read>
  void All(List& list, std::uint64_t& omitted, Read read) {
    while (Byte() == 1 && !is_wrong_) {
      list.push_back(read());
    }
    omitted = Number();
  }

 private:
  void Copy(void* to, std::size_t bytes) {
    if (is_wrong_ || bytes > rest_.size()) {
      is_wrong_ = true;
      return;
    }
    std::memcpy(to, rest_.data(), bytes);
    rest_.remove_prefix(bytes);
  }

  std::string_view rest_;
  bool is_wrong_ = false;
};

template <typename Record>
auto TextsOf(Record& record) {
  return std::array{&record.request_id, &record.client, &record.method,
                    &record.url,        &record.entry,  &record.entry_where,
                    &record.type,       &record.cause,  &record.error,
                    &record.log_text,   &record.host,   &record.script_path,
                    &record.path_info,  &record.query,  &record.site_folder};
}

}  // namespace

std::string Encode(const TraceRecord& record, std::size_t max_bytes) {
  Writer writer(max_bytes);
  writer.Time(record.began.time_since_epoch());
  writer.Time(record.duration);
  writer.Number(static_cast<std::uint64_t>(record.worker));
  writer.Number(static_cast<std::uint64_t>(record.status));
  writer.Number(static_cast<std::uint64_t>(record.outcome));
  writer.Number(record.id);
  writer.Number(record.header_bytes_sent);
  writer.Number(record.body_bytes_sent);
  writer.Number(record.body_bytes_received);
  for (const auto step : record.steps) {
    writer.Time(step);
  }
  writer.Time(record.answered);
  writer.Time(record.reading_body);
  writer.Time(record.writing);
  writer.Number(record.mappings);
  constexpr std::size_t kFixed = (kNumbers + 1) * sizeof(std::uint64_t) +
                                 kTexts * sizeof(std::uint32_t) + 3 * Writer::kEndBytes;
  const auto room = max_bytes - std::min(max_bytes, kFixed);
  const auto texts = TextsOf(record);
  static_assert(std::tuple_size_v<decltype(texts)> == kTexts);
  for (const auto* const text : texts) {
    writer.Text(*text, std::max(room / 2 / kTexts, std::size_t{16}));
  }
  const auto longest = std::min(room / 8, kLongestValue);
  const auto field = [&](const TraceRecord::Field& of) {
    writer.Text(of.first, longest / 4);
    writer.Text(of.second, longest);
  };
  writer.All(record.lines, record.lines_omitted, room / 3, [&](const TraceRecord::Line& line) {
    writer.Number(line.level);
    writer.Time(line.at);
    writer.Text(line.text, longest);
  });
  writer.All(record.response_fields, record.response_fields_omitted, room / 5, field);
  writer.All(record.parameters, record.parameters_omitted, 0, field);
  return writer.Take();
}

std::optional<TraceRecord> DecodeTrace(std::string_view bytes) {
  Reader reader(bytes);
  TraceRecord record;
  record.began = std::chrono::system_clock::time_point(reader.Time());
  record.duration = reader.Time();
  record.worker = static_cast<pid_t>(reader.Number());
  record.status = static_cast<int>(std::min<std::uint64_t>(reader.Number(), 999));
  record.outcome = static_cast<Outcome>(
      std::min(reader.Number(), static_cast<std::uint64_t>(Outcome::kRefused)));
  record.id = reader.Number();
  record.header_bytes_sent = reader.Number();
  record.body_bytes_sent = reader.Number();
  record.body_bytes_received = reader.Number();
  for (auto& step : record.steps) {
    step = reader.Time();
  }
  record.answered = reader.Time();
  record.reading_body = reader.Time();
  record.writing = reader.Time();
  record.mappings = reader.Number();
  for (auto* const text : TextsOf(record)) {
    *text = reader.Text();
  }
  const auto field = [&] {
    TraceRecord::Field of;
    of.first = reader.Text();
    of.second = reader.Text();
    return of;
  };
  reader.All(record.lines, record.lines_omitted, [&] {
    TraceRecord::Line line;
    line.level = static_cast<std::uint8_t>(std::min<std::uint64_t>(reader.Number(), 3));
    line.at = reader.Time();
    line.text = reader.Text();
    return line;
  });
  reader.All(record.response_fields, record.response_fields_omitted, field);
  reader.All(record.parameters, record.parameters_omitted, field);
  if (reader.IsWrong()) {
    return std::nullopt;
  }
  return record;
}

}  // namespace weft::host::observe
