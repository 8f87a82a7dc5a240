#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/cancellation.hpp>
#include <weft/cause.hpp>
#include <weft/conditional_request.hpp>
#include <weft/export.hpp>
#include <weft/http_cache_policy.hpp>
#include <weft/http_cookie.hpp>
#include <weft/http_headers.hpp>
#include <weft/http_response_settings.hpp>

namespace weft {

class HttpContext;
class HttpRequest;
class HttpWorkerRequest;
namespace detail {
class ContentEncoder;
class RegularFile;
}  // namespace detail

/// Whether a body may be compressed for its client.
enum class Compression {
  kAsHost,  ///< as the host's `--compression` says
  kOn,      ///< also where that says nothing
  kOff  ///< never: for answers that hold a secret beside what a stranger may put into the request (BREACH)
};

/// What the client gets.
///
/// Body bytes are gathered, and sent with a Content-Length when the handler returns, unless they outgrow the
/// buffer or Flush() is called: then the header block goes out and the body follows as it is written.
///
/// A handler may announce its body's length itself, by a field Content-Length. What it writes has to agree with it: else the
/// answer is 500, or, where its header block has left, cut (causes `answer_too_long`, `answer_too_short`). Answers with
/// status 204, 205 and 304, and those to HEAD, have no body, whatever is written.
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

  // Status.

  int StatusCode() const noexcept { return status_; }
  /// 200 to 599; 200 at first. Resets the description.
  void SetStatusCode(int status);
  std::string_view StatusDescription() const noexcept;
  /// Throws std::invalid_argument for control characters, or more than 512 bytes.
  void SetStatusDescription(std::string_view description);
  /// Both: `404 Not Found`.
  std::string Status() const;
  /// Sets both; without a description it is the status's own. Throws std::invalid_argument for what does not begin with
  /// three digits and a blank, and as the members for each do.
  void SetStatus(std::string_view status);
  /// Says why the answer is what it is, for the access log, where the handler gives it without an exception.
  void SetCause(CauseName cause);
  /// Empty where none was set. Lifetime: static storage.
  std::string_view Cause() const noexcept;

  // Header fields.

  const HttpHeaders& Headers() const noexcept { return headers_; }
  /// Replaces the fields of that name. Throws as HttpHeaders::Set(), and std::invalid_argument for a Content-Length that is
  /// no number, for Status (see SetStatusCode()), and for what is about the web server's connection with its client and not
  /// about the answer (RFC 9110, section 7.6.1): Connection, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding,
  /// Upgrade.
  void SetHeader(std::string_view name, std::string_view value);
  /// Adds a field beside others of its name; replaces one of which there is one only: Content-Type, Content-Length, ETag,
  /// Last-Modified, Location. Throws as SetHeader().
  void AppendHeader(std::string_view name, std::string_view value);
  /// AppendHeader(), by ASP.NET's other name for it.
  void AddHeader(std::string_view name, std::string_view value) { AppendHeader(name, value); }
  /// Says whether there was one.
  bool RemoveHeader(std::string_view name);
  /// Status, header fields and cookies are again what they were at first; the body stays.
  void ClearHeaders();

  /// The Content-Type field as it will be sent: `text/html; charset=utf-8` unless it was set; empty: none. Lifetime: until it
  /// changes.
  std::string_view ContentType() const noexcept;
  /// Sets the media type. Where the text names no charset, the one of before stays, and is added for types that are text:
  /// `text/` anything, and XML and JavaScript where a handler has named one. An image has none. An empty text sends no
  /// field.
  void SetContentType(std::string_view content_type);
  /// What ContentType() names after `charset=`; empty: nothing. Lifetime: as that.
  std::string_view Charset() const noexcept;
  /// Says in which encoding the text is that is written, without converting it; the media type stays. Empty: it is not
  /// said. Throws std::invalid_argument for what is no token.
  void SetCharset(std::string_view charset);

  // Cookies.

  /// Those that were set so far, read from the fields Set-Cookie.
  std::vector<HttpCookie> Cookies() const;
  /// Adds a cookie. Throws as HttpCookie::ToHeaderValue().
  void AppendCookie(const HttpCookie& cookie);
  /// Adds a cookie in place of those that browsers hold for the same: equal name, domain and path.
  void SetCookie(const HttpCookie& cookie);
  /// Takes back what AppendCookie() or SetCookie() have added under that name; says whether there was any. The
  /// client keeps what it has: see ExpireCookie().
  bool RemoveCookie(std::string_view name);
  /// Has the client forget a cookie; path and domain are to be those that it was set with. Of `cookie` only these count, and
  /// what it must have beside them to be taken: Secure, HttpOnly, SameSite, Partitioned.
  void ExpireCookie(HttpCookie cookie);

  // Caches.

  /// What caches may do with the answer, and its validators. Made when it is first asked for. Throws std::logic_error
  /// once HeadersWritten().
  HttpCachePolicy& Cache();
  /// Whether what the handler would write now gets anywhere. False for HEAD, for a status without a body, and where the
  /// validators that were set so far (by Cache(), or as the fields ETag and Last-Modified) and the conditions of a GET make it a
  /// 304 or a 412: the handler can spare its work and return. What is written nonetheless is dropped.
  ///
  /// The host does the same by itself when it makes the header block of a 2xx answer to GET or HEAD (RFC 9110, section
  /// 13.2): a handler that sets a validator needs nothing else. A 304 keeps the fields that section 15.4.5 asks for, and
  /// those that are not about the content, cookies say. What is compared is the state that the handler names, as
  /// HttpContext::PreconditionsHold() does: that a strong entity tag becomes a weak one where the body is compressed changes
  /// nothing of that.
  bool IsBodyWanted() const;

  // Body.

  /// Adds to the body. Throws std::logic_error once it is complete, and HttpException(500) for what goes over a
  /// Content-Length.
  void Write(std::string_view text);
  void BinaryWrite(std::span<const std::byte> bytes);
  /// Write() as a stream, for code that wants one. It has no buffer of its own, its locale is the classic one, and
  /// std::flush and std::endl push nothing to the client: that is for Flush() below. What Write() throws it lets
  /// through. Made when it is first asked for. Lifetime: of the response.
  std::ostream& Output();
  /// Adds a file to the body, behind what was written before: text and files in any order are one body, with one
  /// Content-Length where nothing of it has left yet. The file is opened here and read when it is sent, in pieces: it costs
  /// the same memory whatever its size. What is sent are the bytes that it has now, however it grows; where it is found
  /// shorter the answer is cut (cause `file_changed`). One that is removed or replaced by renaming is sent as it was.
  ///
  /// A file that is the whole body of a 200, in a folder that the host's `--sendfile` names, is sent by the web server:
  /// docs/guide/files.md says when.
  ///
  /// `path` is absolute, as HttpRequest::MapPath() makes them. Throws HttpException(404) where there is no such file, or it is
  /// no regular one, HttpException(403) where the worker may not read it, both with their cause; std::invalid_argument for a
  /// relative path; as Offload(). In an async handler the fiber waits for the disk.
  void WriteFile(const std::string& path);
  /// The same with `bytes` of it from `offset` on. Throws std::out_of_range where it has not as many.
  void WriteFile(const std::string& path, std::uint64_t offset, std::uint64_t bytes);
  /// The same with a file that is open already, ranges of one file as often as wanted. Waits for the disk only where what
  /// was gathered is sent now: without a buffer, and when many files are held open.
  void WriteFile(std::shared_ptr<const detail::RegularFile> file, std::uint64_t offset,
                 std::uint64_t bytes);
  /// As WriteFile(): ASP.NET's other name for it, where WriteFile() reads the whole file into memory.
  void TransmitFile(const std::string& path) { WriteFile(path); }
  void TransmitFile(const std::string& path, std::uint64_t offset, std::uint64_t bytes) {
    WriteFile(path, offset, bytes);
  }
  /// Whether the body is compressed where its client accepts that: text, JSON, scripts, XML, SVG, WebAssembly and fonts of 1
  /// KiB and more, unless it has a Content-Encoding already, or Cache-Control: no-transform, or is a part (206). It is told by
  /// Content-Encoding and Vary; a strong ETag becomes a weak one. A 304 and a 206 tell by their fields
  /// what the whole answer would. Before anything is sent.
  void SetCompression(Compression compression);
  /// Sends what was written so far to the client now.
  void Flush();
  /// Sets how much is gathered before the body is sent piece by piece; 0: each Write() is sent to the client at once.
  void SetBufferBytes(std::size_t bytes) noexcept { buffer_bytes_ = bytes; }
  /// Whether what is written is gathered.
  bool BufferOutput() const noexcept { return buffer_bytes_ != 0; }
  /// False: each Write() is sent to the client at once. True: it is gathered again, as much as before.
  void SetBufferOutput(bool buffer_output);
  /// Drops body bytes that were not sent yet.
  void ClearContent() noexcept;
  /// As ClearContent(), and as in ASP.NET: status and header fields stay. See ClearHeaders().
  void Clear() noexcept { ClearContent(); }
  /// What SetSuppressContent() was told, or a 304 or 412 that the request's conditions have made of the answer.
  bool SuppressContent() const noexcept { return suppress_content_; }
  /// True: the header block is sent, and no body from now on.
  void SetSuppressContent(bool suppress) noexcept { suppress_content_ = suppress; }

  bool HeadersWritten() const noexcept { return headers_written_; }
  /// Body bytes written by the handler so far, also those that HEAD suppresses.
  std::uint64_t BytesWritten() const noexcept { return bytes_written_; }

  // Redirects.

  /// Has the client go to another URL: sets status and Location, and puts a page with a link in place of what was
  /// written. The handler returns then; nothing is thrown to end it.
  ///
  /// `url` is resolved by ResolveUrl(), and one that is relative stays so: clients resolve it against the request's (RFC
  /// 9110, section 10.2.2). Characters that may not stand in a URL are percent-encoded: blanks, what is not ASCII,
  /// `"<>\^{|}` and a backquote, and brackets outside the host.
  ///
  /// Throws std::invalid_argument for a control character, for what is no URL reference after that (RFC 3986), and for a
  /// status that is not 301, 302, 303, 307 or 308. Where the URL is a client's word: see IsLocalUrl().
  void Redirect(std::string_view url, int status = 302);
  /// 301: for good; clients may make a GET of a POST.
  void RedirectPermanent(std::string_view url) { Redirect(url, 301); }
  /// 303: to be asked for by GET, after a POST.
  void RedirectSeeOther(std::string_view url) { Redirect(url, 303); }
  /// 307: with the same method and body.
  void RedirectPreserveMethod(std::string_view url) { Redirect(url, 307); }
  /// 308: for good, with the same method and body.
  void RedirectPermanentPreserveMethod(std::string_view url) { Redirect(url, 308); }
  /// The Location field, or empty. Lifetime: until it changes.
  std::string_view RedirectLocation() const noexcept;
  /// Sets the Location field, as Redirect() does; empty: removes it.
  void SetRedirectLocation(std::string_view url);
  /// Whether the status is one of Redirect()'s, and there is a Location.
  bool IsRequestBeingRedirected() const noexcept;
  /// The URL, with the application's path in place of a `~` at its begin: `~/orders` becomes `/shop/orders`. Slashes and
  /// backslashes behind `~/` are passed over, for browsers would take `//orders` for a host.
  std::string ResolveUrl(std::string_view url) const;
  /// Whether a URL leads nowhere but to this site: `/...` or `~/...`, without a second slash or a backslash behind that, and
  /// without control characters. What a client says where to go on (`?returnUrl=`) is asked about here before it is
  /// followed: else anybody can send the site's users elsewhere in its name.
  static bool IsLocalUrl(std::string_view url) noexcept;

  // Before the answer, and after it.

  /// Has `callback` called just before the header block is sent, where the handler runs; it may change status, header
  /// fields and cookies, drop the body by ClearContent() or SetSuppressContent(), and write none. In the order in which they were
  /// added, as in ASP.NET; one that a callback adds comes last. What one throws is thrown to who sends, again at every
  /// attempt: the answer becomes the error's. Answers that the host makes of errors are sent without them.
  ///
  /// Throws std::invalid_argument for an empty one, std::logic_error once HeadersWritten() and where there is no HttpContext.
  void AddOnSendingHeaders(std::function<void(HttpContext&)> callback);
  /// Completes the answer, lets go of the client, and returns: the client and its web server are done with the request, and
  /// the handler works on. True: it is so. False: as many handlers work on as may (`--max-finished`), or an answer may not
  /// end before its handler where this runs; the client has all that was written, and the request ends with the handler.
  ///
  /// After it nothing can be written; a body that was not read whole can be read no more. The request has a new deadline,
  /// `--finish-timeout` from now; it is still in flight for `--max-requests`, and who stops the worker waits for it as for
  /// others. Its cancellation now means that deadline, or the end of the worker, and no longer that the client has left. What
  /// the handler throws is logged, and answers nothing. Its line in the access log is written now (`outcome=finished`).
  ///
  /// A second call returns what the first did. Throws as Flush() does.
  bool Finish();

  // The client, and the log.

  /// False once it is known that the client has left, and after Finish(): nothing that is sent gets there.
  bool IsClientConnected() const noexcept;
  /// Cancelled when the client leaves, and by nothing else. Throws std::logic_error where there is no HttpContext.
  CancellationToken ClientDisconnectedToken();
  /// Adds to this request's line in the access log, as `log="..."`, escaped. 1024 bytes in all; of what is more the
  /// begin is kept, and `...` behind it.
  void AppendToLog(std::string_view text);
  /// What AppendToLog() has gathered. Lifetime: until it changes.
  std::string_view LogText() const noexcept;
  /// Cuts the connection, as HttpRequest::Abort(): does not return.
  [[noreturn]] void Close();

  // The host's.

  /// The context that this is the response of. It does so once.
  void SetContext(HttpContext& context) noexcept { context_ = &context; }
  /// The host does so once, before the handler. Lifetime: must outlive the response; null: the defaults.
  void SetSettings(const HttpResponseSettings* settings) noexcept { settings_ = settings; }

  /// Sends what is left. The host calls it after the handler returned; a second call does nothing.
  void Complete();

 private:
  friend class HttpContext;
  struct Details;
  struct Files;

  Details& Lazy();
  /// What the conditions of the request ask for, with the validators that there are now.
  PreconditionResult CheckedPreconditions() const;
  /// Makes the answer a 304 or 412 without content, or leaves it.
  void AnswerPrecondition(PreconditionResult result);
  /// What is done to the fields before they are sent, with the body's length where that is known. Doing it twice changes
  /// nothing.
  void PrepareHeaders(std::optional<std::uint64_t> length);
  void RequireHeadersNotWritten(const char* member) const;
  /// The length that the header fields announce.
  std::optional<std::uint64_t> AnnouncedLength() const noexcept;
  /// Throws where a body of so many bytes, or more, is longer than that.
  void CheckLength(std::uint64_t bytes) const;
  [[noreturn]] void ThrowLengthDiffers(std::uint64_t bytes) const;
  void CheckLengthWith(std::size_t bytes) const;
  void Send(std::string_view bytes);
  void RunSendingHeaders();
  void RequireNotSendingHeaders(const char* member) const;
  void AnnounceLength();
  void SendHeaders();
  /// The rest of that, once PrepareHeaders() is done.
  void SendPreparedHeaders();
  /// Decides it, once, with the body's length where that is known, and says so in the fields. Returns what the body is to be
  /// compressed by.
  std::optional<ContentCoding> BeginCompression(std::optional<std::uint64_t> length);
  void Encode(std::string_view bytes, bool finish, std::string& to);
  void EncodeBuffer();
  void FlushEncoder(bool finish);
  /// Of the body, as the handler wrote them.
  void SendBytes(std::string_view bytes);
  void SendPiped(int pipe, std::size_t bytes);
  void SendBuffer();
  void SendBufferWithFiles();
  /// Has the web server send the one file that is the whole body. False: it shall not, or may not.
  bool TryHandOverFile();
  /// The folder by which the web server may send it; null: it shall not, or may not.
  const SendfileRoot* HandOverRoot() const;
  /// Body bytes that wait for SendBuffer(), those of files included.
  std::uint64_t BufferedBytes() const noexcept;
  bool StatusAllowsBody() const noexcept;
  bool HasBody() const noexcept { return !head_ && !suppress_content_ && StatusAllowsBody(); }

  HttpWorkerRequest& sink_;
  const HttpRequest& request_;
  HttpContext* context_ = nullptr;
  const HttpResponseSettings* settings_ = nullptr;
  bool head_;
  bool suppress_content_ = false;
  bool headers_written_ = false;
  bool completed_ = false;
  bool finish_called_ = false;
  bool finished_ = false;
  bool compression_decided_ = false;
  bool encoded_ = false;  // Content-Encoding is told
  Compression compression_ = Compression::kAsHost;
  mutable bool is_unconditional_ = false;  // it is known that the request has no condition
  bool etag_weakened_ = false;             // the handler's was strong, and the body is compressed
  int status_ = 200;
  std::size_t buffer_bytes_;
  std::string description_;
  HttpHeaders headers_;
  std::string buffer_;
  std::unique_ptr<Files> files_;  // between the bytes of buffer_; null where there are none
  std::uint64_t bytes_written_ = 0;
  std::uint64_t head_bytes_ = 0;            // that GET would have sent
  std::optional<std::uint64_t> announced_;  // by the header block that was sent
  std::uint64_t body_bytes_sent_ = 0;
  std::unique_ptr<detail::ContentEncoder> encoder_;  // of a body that is being compressed
  std::unique_ptr<Details> details_;                 // what few responses have
};

}  // namespace weft
