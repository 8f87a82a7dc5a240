#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <weft/cause.hpp>
#include <weft/conditional_request.hpp>
#include <weft/export.hpp>
#include <weft/http_cache_policy.hpp>
#include <weft/http_cookie.hpp>
#include <weft/http_headers.hpp>

namespace weft {

class HttpRequest;
class HttpWorkerRequest;
namespace detail {
class RegularFile;
}

/// What the client gets.
///
/// Body bytes are gathered, and sent with a Content-Length when the handler returns, unless they outgrow the
/// buffer or Flush() is called: then the header block goes out and the body follows as it is written.
///
/// Threads: one at a time, the handler's.
/// Throws: members that change status or headers throw std::logic_error once HeadersWritten(); members that
/// send throw OperationCancelled when the client has gone.
class WEFT_API HttpResponse {
 public:
  /// The answer to `request`, which must outlive it, sent to `sink`. `buffer_bytes` bounds what is gathered before the
  /// body is sent piece by piece.
  HttpResponse(HttpWorkerRequest& sink, const HttpRequest& request, std::size_t buffer_bytes);
  ~HttpResponse();
  HttpResponse(const HttpResponse&) = delete;
  HttpResponse& operator=(const HttpResponse&) = delete;

  int StatusCode() const noexcept { return status_; }
  /// 200 to 599; 200 at first. Resets the description.
  void SetStatusCode(int status);
  std::string_view StatusDescription() const noexcept;
  /// Throws std::invalid_argument for control characters, or more than 512 bytes.
  void SetStatusDescription(std::string_view description);

  const HttpHeaders& Headers() const noexcept { return headers_; }
  /// Replaces the fields of that name. Throws as HttpHeaders::Set(); Connection and Transfer-Encoding are the
  /// web server's to send, and throw std::invalid_argument.
  void SetHeader(std::string_view name, std::string_view value);
  /// Adds a field beside others of its name. Throws as SetHeader().
  void AppendHeader(std::string_view name, std::string_view value);
  bool RemoveHeader(std::string_view name);
  /// "text/html; charset=utf-8" unless set; an empty text sends none.
  void SetContentType(std::string_view content_type);
  void AppendCookie(const HttpCookie& cookie);

  /// What caches may do with the answer, and its validators. Made when it is first asked for. Throws std::logic_error
  /// once HeadersWritten().
  HttpCachePolicy& Cache();
  /// Whether what the handler would write now gets anywhere. False for HEAD, for a status without a body, and where the
  /// validators that were set so far (by Cache(), or as the fields ETag and Last-Modified) and the conditions of a GET make it a
  /// 304 or a 412: the handler can spare its work and return. What is written nonetheless is dropped.
  ///
  /// The host does the same by itself when it makes the header block of a 2xx answer to GET or HEAD (RFC 9110, section
  /// 13.2): a handler that sets a validator needs nothing else. A 304 keeps the fields that section 15.4.5 asks for, and
  /// those that are not about the content, cookies say.
  bool IsBodyWanted() const;

  /// Says why the answer is what it is, for the access log, where the handler gives it without an exception.
  void SetCause(CauseName cause);
  /// Empty where none was set. Lifetime: static storage.
  std::string_view Cause() const noexcept;

  /// Adds to the body.
  void Write(std::string_view text);
  void BinaryWrite(std::span<const std::byte> bytes);
  /// Adds a file to the body, behind what was written before: text and files in any order are one body, with one
  /// Content-Length where nothing of it has left yet. The file is opened here and read when it is sent, in pieces: it costs
  /// the same memory whatever its size. What is sent are the bytes that it has now, however it grows; where it is found
  /// shorter the answer is cut (cause `file_changed`). One that is removed or replaced by renaming is sent as it was.
  ///
  /// `path` is absolute, as HttpRequest::MapPath() makes them. Throws HttpException(404) where there is no such file, or it is
  /// no regular one, HttpException(403) where the worker may not read it, both with their cause; std::invalid_argument for a
  /// relative path; as Offload(). In an async handler the fiber waits for the disk.
  void WriteFile(const std::string& path);
  /// The same with `bytes` of it from `offset` on. Throws std::out_of_range where it has not as many.
  void WriteFile(const std::string& path, std::uint64_t offset, std::uint64_t bytes);
  /// The same with a file that is open already, ranges of one file as often as wanted. Blocks nowhere.
  void WriteFile(std::shared_ptr<const detail::RegularFile> file, std::uint64_t offset,
                 std::uint64_t bytes);
  /// As WriteFile(): ASP.NET's other name for it, where WriteFile() reads the whole file into memory.
  void TransmitFile(const std::string& path) { WriteFile(path); }
  void TransmitFile(const std::string& path, std::uint64_t offset, std::uint64_t bytes) {
    WriteFile(path, offset, bytes);
  }
  /// Sends what was written so far to the client now.
  void Flush();
  /// Sets how much is gathered before the body is sent piece by piece; 0: each Write() is sent.
  void SetBufferBytes(std::size_t bytes) noexcept { buffer_bytes_ = bytes; }
  /// Drops body bytes that were not sent yet.
  void ClearContent() noexcept;
  /// Drops everything: status, headers, body. Throws std::logic_error once HeadersWritten().
  void Clear();

  bool HeadersWritten() const noexcept { return headers_written_; }
  /// Body bytes written by the handler so far, also those that HEAD suppresses.
  std::uint64_t BytesWritten() const noexcept { return bytes_written_; }

  /// Sends what is left. The host calls it after the handler returned; a second call does nothing.
  void Complete();

 private:
  friend class HttpContext;
  struct Details;

  Details& Lazy();
  /// What the conditions of the request ask for, with the validators that there are now.
  PreconditionResult CheckedPreconditions() const;
  /// Makes the answer a 304 or 412 without content, or leaves it.
  void AnswerPrecondition(PreconditionResult result);
  /// What is done to the fields before they are sent. Doing it twice changes nothing.
  void PrepareHeaders();
  void RequireHeadersNotWritten(const char* member) const;
  void SendHeaders();
  void SendBuffer();
  void SendBufferWithFiles();
  /// Body bytes that wait for SendBuffer(), those of files included.
  std::uint64_t BufferedBytes() const noexcept;
  bool StatusAllowsBody() const noexcept;
  bool HasBody() const noexcept { return !head_ && !suppress_content_ && StatusAllowsBody(); }

  HttpWorkerRequest& sink_;
  const HttpRequest& request_;
  bool head_;
  std::size_t buffer_bytes_;
  int status_ = 200;
  std::string description_;
  HttpHeaders headers_;
  std::string buffer_;
  struct Files;
  std::unique_ptr<Files> files_;  // between the bytes of buffer_; null where there are none
  std::uint64_t bytes_written_ = 0;
  std::uint64_t head_bytes_ = 0;  // that GET would have sent
  bool headers_written_ = false;
  bool completed_ = false;
  bool suppress_content_ = false;
  std::unique_ptr<Details> details_;  // what few responses have
};

}  // namespace weft
