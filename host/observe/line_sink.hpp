#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace weft::host::observe {

/// Where whole lines go: a descriptor, a file that can be opened anew, or journald.
///
/// Lines for journald are records of its native protocol, `NAME=value` lines with an empty line behind the last: what
/// "line" means below is such a record then.
///
/// Threads: one at a time.
class LineSink {
 public:
  enum class Kind { kDescriptor, kFile, kJournal };

  /// Where journald listens.
  static constexpr std::string_view kJournalSocket = "/run/systemd/journal/socket";

  /// `descriptor` must stay open as long as this object.
  static LineSink ToDescriptor(int descriptor);
  /// A file that lines are appended to, mode 0640 when it is made, or a FIFO, which the process must be allowed to read
  /// as well. Throws std::system_error, which begins with `what` and the path.
  static LineSink ToFile(const std::string& path, const std::string& what);
  /// A datagram socket at `path`. Whether anybody listens there shows with the first line: journald may be restarted.
  static LineSink ToJournal(std::string path);

  /// Throws as ToFile() would; opens nothing for good, and a FIFO not at all, whose reader would take the
  /// closing for the end.
  static void CheckFile(const std::string& path, const std::string& what);

  /// Of the same file: what to write to where it cannot be opened anew. Throws std::system_error.
  LineSink Duplicate() const;

  LineSink(LineSink&& other) noexcept;
  LineSink& operator=(LineSink&&) = delete;
  ~LineSink();

  /// Writes the beginning of `lines`, and returns how many bytes of it were taken; 0: none now; -1: errno says why. Does not
  /// wait for a reader.
  ///
  /// A pipe gets at most PIPE_BUF bytes at once, and no more than whole lines where there is one, so that those of others do not
  /// come between. A file gets all of them in one write, which the kernel appends as one. journald gets one record.
  ssize_t Write(std::string_view lines) noexcept;
  /// Whether it cuts lines where it takes only a part: who writes the next one ends the cut one first.
  bool MayCut() const noexcept { return kind_ != Kind::kJournal; }
  /// Lines in `lines`.
  std::size_t Count(std::string_view lines) const noexcept;
  /// For poll(2); -1: there is nothing to wait for.
  int Descriptor() const noexcept { return descriptor_; }

  /// Opens the file of this name anew, as after it was renamed; what is no file stays as it is. False: it cannot be, errno says
  /// why, and the one of before is written on.
  bool Reopen() noexcept;
  Kind What() const noexcept { return kind_; }

 private:
  LineSink(Kind kind, int descriptor, std::string path)
      : kind_(kind), descriptor_(descriptor), path_(std::move(path)) {}
  void LookAtFile() noexcept;
  ssize_t SendRecord(std::string_view lines) noexcept;
  bool Connect() noexcept;

  Kind kind_;
  int descriptor_;
  bool is_regular_ = false;  // a file, of which a write takes all
  std::string path_;
};

}  // namespace weft::host::observe
