#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <weft/export.hpp>
#include <weft/input_stream.hpp>

namespace weft {

/// What becomes of a file that is there already.
enum class ExistingFile {
  kReplace,  ///< the new one takes its place, all at once; who has the old one open keeps that
  kRefuse,   ///< it stays, and std::system_error with EEXIST is thrown
};

/// A file that a form has sent (RFC 7578): a range of the request's body, wherever that lies.
///
/// Lifetime: that of its request. Threads: one at a time, the handler's.
class WEFT_API HttpPostedFile {
 public:
  /// The form's control, as FileName() of none has it.
  const std::string& Name() const noexcept { return name_; }
  /// The name that the client gave it, made fit for a file system: the last segment of either slash; in UTF-8, without
  /// control characters and those that turn text around; `_` for each of `<>:"|?*` and for bytes that are no UTF-8;
  /// no dot or blank at its ends (but for one before an ending, which goes as well); with `_` before the name of a device of
  /// Windows; and no longer than 200 bytes, its ending kept. Empty where nothing is left, and where no file was chosen.
  ///
  /// Two files may have one name, and so may a file that is on the disk: a name of the handler's own is better.
  const std::string& FileName() const noexcept { return file_name_; }
  /// The same as it was sent. Anything may stand in it.
  const std::string& RawFileName() const noexcept { return raw_file_name_; }
  /// The part's Content-Type field, or empty. What the client says, which need not be so.
  const std::string& ContentType() const noexcept { return content_type_; }
  /// In bytes.
  std::uint64_t ContentLength() const noexcept { return stream_.Length(); }
  /// What is in it. One stream, which is where the last read has left it.
  HttpBodyStream& InputStream() noexcept { return stream_; }

  /// Copies it to a file, which appears under its name when it is whole: until then it has none, or one that begins
  /// with `.weft-` beside it where the file system cannot do without. The kernel copies what lies in a temporary file.
  /// The file has the permissions 0666 without the process's umask. It is not synced to the disk: it survives the
  /// process's end, not the machine's.
  ///
  /// `path` is absolute; std::invalid_argument is thrown for another one, for nobody knows what a worker's folder is.
  /// Throws std::system_error with the path and the cause; there is no new file then. May block: an async handler's
  /// fiber leaves it to another thread.
  void SaveAs(const std::filesystem::path& path,
              ExistingFile existing = ExistingFile::kReplace) const;

  /// HttpRequest makes them.
  HttpPostedFile(std::string name, std::string file_name, std::string raw_file_name,
                 std::string content_type, HttpBodyStream stream) noexcept;

 private:
  std::string name_;
  std::string file_name_;
  std::string raw_file_name_;
  std::string content_type_;
  HttpBodyStream stream_;
};

/// The files of a form, in their order. Names are those of the form's controls; they ignore ASCII letter case and may
/// repeat: one control can send several files.
class WEFT_API HttpFileCollection {
 public:
  /// The first file of that name; null where there is none.
  HttpPostedFile* Get(std::string_view name) noexcept;
  /// Throws std::out_of_range.
  HttpPostedFile& Get(std::size_t index) { return files_.at(index); }
  /// All files of that name.
  std::vector<HttpPostedFile*> GetMultiple(std::string_view name);
  /// The name of each file, so that one which repeats is there as often. Lifetime: that of the collection.
  std::vector<std::string_view> AllKeys() const;
  std::size_t Count() const noexcept { return files_.size(); }

  std::deque<HttpPostedFile>::iterator begin() noexcept { return files_.begin(); }
  std::deque<HttpPostedFile>::iterator end() noexcept { return files_.end(); }

  /// HttpRequest does so.
  void Append(HttpPostedFile file) { files_.push_back(std::move(file)); }

 private:
  std::deque<HttpPostedFile> files_;
};

}  // namespace weft
