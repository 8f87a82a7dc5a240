#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/observe/line_writer.hpp"
#include "host/observe/request_record.hpp"

namespace weft::host::observe {

/// Writes a line for each request, where it is asked to.
class AccessLog {
 public:
  /// `target`: empty for none, `-` for standard error, else a file that lines are appended to, or a FIFO, which the
  /// process must be allowed to read as well. Readers of a FIFO may come and go: what it holds waits for the next
  /// one, what it does not hold is dropped and counted.
  /// Throws std::system_error when the file cannot be opened. Waits for no reader.
  /// `format`: how; `skip`: paths whose successes are left out, as --access-log-skip takes them.
  explicit AccessLog(const std::string& target, options::AccessFormat format = {},
                     std::vector<std::string> skip = {});
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;
  /// Throws as the constructor would; opens nothing for good, and a FIFO not at all, whose reader would take the
  /// closing for the end. Before a process has threads.
  static void Check(const std::string& target);

  void Flush() noexcept;
  /// Opens the file anew, soon, as after it was renamed: each line goes whole to the one or to the other.
  void Reopen() noexcept;
  bool Enabled() const noexcept { return writer_ != nullptr; }
  void Write(const RequestRecord& record) noexcept;

 private:
  std::string TellDropped(const std::string& target, std::uint64_t dropped) const;
  bool Skips(const RequestRecord& record) const noexcept;

  options::AccessFormat format_;
  std::vector<std::string> skip_;
  std::unique_ptr<LineWriter> writer_;
};

}  // namespace weft::host::observe
