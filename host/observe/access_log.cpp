#include "host/observe/access_log.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <utility>

#include "host/observe/log.hpp"

namespace weft::host::observe {

namespace {

/// Lines of so long are written together: nobody sees that they come later, and a busy worker writes 500 times a second instead of
/// for each request.
constexpr std::chrono::milliseconds kGather{2};

}  // namespace

void AccessLog::Check(const std::string& target) {
  if (target.empty() || target == "-") {
    return;
  }
  LineSink::CheckFile(target, "access log");
}

void AccessLog::Flush() noexcept {
  if (writer_) {
    writer_->Flush();
  }
}

AccessLog::AccessLog(const std::string& target, options::AccessFormat format,
                     std::vector<std::string> skip)
    : format_(std::move(format)), skip_(std::move(skip)) {
  if (target.empty()) {
    return;
  }
  const bool is_standard_error = target == "-";
  writer_ = std::make_unique<LineWriter>(
      is_standard_error ? LineSink::ToDescriptor(StandardErrorOfLog())
                        : LineSink::ToFile(target, "access log"),
      LineWriter::Options{
          .name = "the access log " + target,
          .tell_dropped = [this,
                           target](std::uint64_t dropped) { return TellDropped(target, dropped); },
          .gather = kGather,
          .is_last_resort = is_standard_error});
}

void AccessLog::Reopen() noexcept {
  if (writer_) {
    writer_->Reopen();
  }
}

bool AccessLog::Skips(const RequestRecord& record) const noexcept {
  if (skip_.empty() || record.status >= 400) {
    return false;
  }
  const std::string_view url = record.raw_url;
  const auto path = url.substr(0, url.find('?'));
  return std::ranges::any_of(skip_, [path](std::string_view skipped) {
    return skipped.ends_with('*') ? path.starts_with(skipped.substr(0, skipped.size() - 1))
                                  : path == skipped;
  });
}

/// Who reads records reads nothing else: only a log in Weft's own forms has a line of it.
std::string AccessLog::TellDropped(const std::string& target, std::uint64_t dropped) const {
  using Style = options::AccessFormat::Style;
  const auto count = std::to_string(dropped);
  switch (format_.style) {
    case Style::kText:
      return "weft: " + count + " lines of the log were dropped: nobody read it";
    case Style::kJson:
      return R"({"time":")" + Timestamp() + R"(","pid":)" + std::to_string(::getpid()) +
             R"(,"dropped":)" + count + "}";
    case Style::kParts:
      break;
  }
  const auto message =
      count + " lines of the access log " + target + " were dropped: nobody read it";
  const std::array fields{LogField("dropped", dropped)};
  Log({.level = Level::kWarning,
       .message = message,
       .event = "access_lines_dropped",
       .fields = fields,
       .is_about_no_request = true});
  return {};
}

void AccessLog::Write(const RequestRecord& record) noexcept {
  if (!writer_ || Skips(record)) {
    return;
  }
  try {
    writer_->Write(FormatAccessLine(format_, record));
  } catch (...) {
    // No memory for a line: the request itself went well.
  }
}

}  // namespace weft::host::observe
