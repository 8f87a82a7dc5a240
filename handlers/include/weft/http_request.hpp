#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/export.hpp>
#include <weft/http_headers.hpp>
#include <weft/http_posted_file.hpp>
#include <weft/http_request_settings.hpp>
#include <weft/input_stream.hpp>
#include <weft/name_value_collection.hpp>
#include <weft/quality_list.hpp>
#include <weft/server_variables.hpp>

namespace weft {

class HttpWorkerRequest;
struct FormData;
struct ForwardedClient;
struct MultipartLimits;

/// How a request's body is read: whoever has begun in one way goes on in it.
enum class ReadEntityBodyMode {
  kNone,        ///< not yet
  kClassic,     ///< whole: Body(), Form(), Files(), InputStream(), TotalBytes(), BinaryRead()
  kBufferless,  ///< as it arrives, and nothing is kept: GetBufferlessInputStream()
  kBuffered,    ///< as it arrives, and kept: GetBufferedInputStream(); from its end on as kClassic
};

/// What the client asked for.
///
/// Every text is owned by the request, and lives as long as its HttpContext, unless a member says otherwise.
/// Threads: one at a time, the handler's.
class WEFT_API HttpRequest {
 public:
  /// `settings`: as HttpContext has it.
  HttpRequest(ServerVariableCollection variables, HttpWorkerRequest& source,
              const HttpRequestSettings* settings = nullptr);
  ~HttpRequest();
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;

  /// The method as it was sent (RFC 9110, section 9); letter case counts.
  std::string_view HttpMethod() const noexcept { return method_; }
  /// HttpMethod(), unless SetRequestType() has set another: for handlers that let a form ask for PUT, say. The
  /// mappings and the web server go by HttpMethod(). Lifetime: until SetRequestType().
  std::string_view RequestType() const noexcept;
  void SetRequestType(std::string_view type);
  /// FilePath() and PathInfo() together: the decoded path, without query.
  const std::string& Path() const noexcept { return path_; }
  /// The decoded path of the handler's own file, as the mapping split it. Lifetime: until RewritePath().
  std::string_view FilePath() const noexcept {
    return std::string_view(path_).substr(0, file_path_length_);
  }
  /// What follows FilePath(): empty, or beginning with `/`. Lifetime: until RewritePath().
  std::string_view PathInfo() const noexcept {
    return std::string_view(path_).substr(file_path_length_);
  }
  /// Path and query as the client sent them, undecoded; unaffected by rewrites. Where the web server says only what they
  /// are when decoded (no REQUEST_URI), the path is encoded anew.
  std::string_view RawUrl() const noexcept;
  /// The absolute URL that the client asked for: `https://example.org:8443/a%20b?c=d`. The scheme is that of
  /// IsSecureConnection(), the host a trusted proxy's, or else that of the Host field, or else SERVER_NAME with
  /// SERVER_PORT; in small letters, without the scheme's own port. Path and query are RawUrl(), unaffected by
  /// rewrites; bytes that may not stand in a URL are percent-encoded. Empty where nobody names a host. Made at the
  /// first call. Throws HttpException(400) for a Host field that is no host (cause `host_malformed`).
  const std::string& Url() const;
  /// The query as it was sent, without `?`.
  /// Lifetime: until SetQueryStringText().
  std::string_view QueryStringText() const noexcept {
    return query_text_ ? std::string_view(*query_text_) : variables_.Get("QUERY_STRING");
  }
  /// The decoded query, in its order; names ignore letter case and may repeat. Parsed at the first call. Throws
  /// HttpException(400) for a broken percent-escape (cause `query_malformed`), and for more fields than the host's
  /// `--max-fields` (`too_many_fields`).
  const NameValueCollection& QueryString() const;

  /// The file that FilePath() names below the document root; it need not exist. Empty where the web server
  /// named no document root.
  std::string PhysicalPath() const { return MapPath(FilePath()); }
  /// The file that a decoded path of this site names below the document root. As PhysicalPath(). `.` and `..` are resolved
  /// first, so that no path leads out of the site; links on the disk may. Throws HttpException(400) for a path that is
  /// not absolute, leads above the root, or has a backslash or a NUL (causes `path_not_absolute` and so on).
  std::string MapPath(std::string_view path) const;
  /// The path of the application that the request belongs to: `/`, or `/shop`.
  const std::string& ApplicationPath() const noexcept { return application_path_; }
  /// The folder of ApplicationPath() on the disk. As PhysicalPath().
  std::string PhysicalApplicationPath() const { return MapPath(ApplicationPath()); }
  /// FilePath() as the application sees it: `~/orders/new.ashx`, wherever the application is. FilePath() itself where
  /// it is not below ApplicationPath().
  std::string AppRelativeCurrentExecutionFilePath() const;

  /// The header fields that the web server passed on, made from the HTTP_* variables, CONTENT_TYPE and
  /// CONTENT_LENGTH: names in their usual spelling, fields of one name joined (RFC 9110, section 5.3).
  const HttpHeaders& Headers() const;
  /// One of these fields by its variable, `HTTP_ACCEPT_ENCODING` say, without making the others. Where the web server sent
  /// one for each line of a name their values are joined by commas: a list is whole then, and of a field that stands alone,
  /// a date or Range, comes what none of them is, so that its readers pass it over as they do what is malformed. Absent where
  /// there is none.
  std::optional<std::string_view> FindField(std::string_view variable) const;
  /// The cookies as they were sent, in their order (RFC 6265bis, section 4.2). Parsed at the first call. Throws
  /// HttpException(400) for a control character (cause `cookie_malformed`), and for more cookies than the host's
  /// `--max-fields` (`too_many_fields`).
  const NameValueCollection& Cookies() const;
  const ServerVariableCollection& ServerVariables() const noexcept { return variables_; }

  /// The Content-Type field, or empty.
  std::string_view ContentType() const noexcept { return variables_.Get("CONTENT_TYPE"); }
  /// The character encoding of the body that Content-Type names (`charset`), in small letters; empty where it names
  /// none that could be one. It is a name alone, nothing is converted. Not HTTP's Content-Encoding, `gzip` say.
  std::string ContentEncoding() const;
  /// The announced length of the body; absent when the client did not say (a chunked body), and when what
  /// it said is no number.
  std::optional<std::uint64_t> ContentLength() const noexcept;
  /// The media types that the client prefers, out of Accept: the most wanted first, what it cannot take (quality 0)
  /// last; malformed items are passed over. Empty where it did not say: it takes anything. Parsed at the first call.
  const std::vector<QualityValue>& AcceptTypes() const;
  /// The languages that the client's user prefers, out of Accept-Language. As AcceptTypes().
  const std::vector<QualityValue>& UserLanguages() const;
  /// The User-Agent field, or empty.
  std::string_view UserAgent() const noexcept { return variables_.Get("HTTP_USER_AGENT"); }
  /// The Referer field: the URL, absolute or relative, of the page that led here. Empty where there is none, and
  /// where it is no URI reference (RFC 3986, section 4.1). Any client can send any.
  std::string_view UrlReferrer() const noexcept;

  /// Whether the client has logged in at the web server (REMOTE_USER). Who it is: HttpContext::User().
  bool IsAuthenticated() const noexcept { return !variables_.Get("REMOTE_USER").empty(); }

  /// The address of the client: what trusted proxies (the host's `--trusted-proxies`) say, or else that of the web
  /// server's own client (REMOTE_ADDR). Where they say nothing that can be read it is the proxy's.
  std::string_view UserHostAddress() const;
  /// The name of the client, where the web server looks names up (REMOTE_HOST), else its address.
  std::string_view UserHostName() const;
  /// Whether the client is on the web server's machine: UserHostAddress() is of the loopback interface, or the
  /// server's own (SERVER_ADDR). False where a header field says that the request came through a proxy (Forwarded,
  /// Via, X-Forwarded-For, X-Real-IP) and no trusted one says from where: the address is the proxy's then.
  bool IsLocal() const;
  /// Whether the client's connection is encrypted: what trusted proxies say, or else the web server (HTTPS, or
  /// REQUEST_SCHEME).
  bool IsSecureConnection() const;
  /// Whether a trusted proxy sent a field about the client that cannot be read, and counts for nothing.
  bool HasMalformedForwardedFields() const;

  /// The whole body. A handler that is not an IHttpBufferlessHandler has it before it is called, and any other waits
  /// here for its end. One that is longer than the host's `--body-memory-bytes` lies in a temporary file, which is mapped into
  /// memory here: its pages are read as they are touched, and may make an async handler's thread wait for the disk. Who does
  /// not need it in one piece reads InputStream().
  ///
  /// This and the members below, to Files(), throw std::logic_error after GetBufferlessInputStream(), for nothing was
  /// kept then, and before GetBufferedInputStream() was read to its end; HttpException(507 or 500) where a temporary file
  /// cannot be written; and as HttpWorkerRequest.
  std::string_view Body();
  /// The same from its first byte to its last, and back. One stream, which is where the last read has left it.
  HttpBodyStream& InputStream();
  /// How long the body is, whatever was announced.
  std::uint64_t TotalBytes();
  /// The next bytes of InputStream(), at most so many.
  std::string BinaryRead(std::size_t count);
  /// The fields of a form in the body, in their order; names ignore letter case and may repeat. Of
  /// application/x-www-form-urlencoded and of multipart/form-data, whatever the method; empty for any other Content-Type.
  /// Parsed at the first call, with Files(). Values are the bytes that were sent, decoded; nobody checks that they are
  /// UTF-8, as in QueryString().
  ///
  /// Throws HttpException(400) for a broken percent-escape (cause `form_malformed`), for a multipart body that is not
  /// well-formed, and one that has a part without a name (`multipart_malformed`, `part_header_too_large`), for more fields
  /// than the host's `--max-fields` (`too_many_fields`), and more files than its `--max-files` (`too_many_files`);
  /// HttpException(413) for a field over `--max-field-bytes` or `--max-field-name-bytes`, and fields over `--max-form-bytes`
  /// together (`form_too_large`).
  const NameValueCollection& Form();
  /// The files of a form in the body. As Form().
  HttpFileCollection& Files();

  /// The body as it arrives. For an IHttpBufferlessHandler; for any other the body has come already, and is read from
  /// where it lies. Always the same stream. Throws std::logic_error where another way was begun.
  HttpInputStream& GetBufferlessInputStream();
  /// The body as it arrives, kept as it is read: at its end Form() and its neighbours have it too. As GetBufferlessInputStream().
  HttpInputStream& GetBufferedInputStream();
  weft::ReadEntityBodyMode ReadEntityBodyMode() const noexcept { return body_mode_; }
  /// The host's bounds, for a MultipartReader.
  MultipartLimits MultipartBounds() const noexcept;
  /// Reads the body to its end, and leaves open in which way the handler does. The host does so before a handler that is no
  /// IHttpBufferlessHandler. Throws as Body().
  void ReadBodyAhead();

  /// Ends the request without an answer, or in the middle of one: the web server's connection is cut, and what the
  /// client sees of that is the web server's to say (502, usually). For peers that deserve no answer.
  ///
  /// Does not return: throws OperationCancelled, which the handler lets pass.
  [[noreturn]] void Abort();

  /// Sets FilePath() and PathInfo(). The host does so once, with what the mapping found.
  void RewritePath(std::string_view file_path, std::string_view path_info);
  /// Sets QueryStringText(), and with it QueryString(). HttpContext::RewritePath() does so.
  void SetQueryStringText(std::string text);
  /// Sets ApplicationPath(). The host does so once, as the mapping files have it.
  void SetApplicationPath(std::string path) { application_path_ = std::move(path); }

  /// What the members above set. The host keeps it while another handler has the request.
  struct Paths {
    std::string path;
    std::size_t file_path_length = 0;
    std::string application_path = "/";
    std::optional<std::string> query_text;
    std::optional<NameValueCollection> query;
  };
  /// Exchanges them. Views into what is swapped out are valid again when it is swapped in.
  void SwapPaths(Paths& paths) noexcept;

 private:
  friend class HttpInputStream;
  struct BodyState;
  struct Details;
  Details& Lazy() const;
  BodyState& BodyOfRequest();
  /// Has the whole body for a member of this name.
  void RequireBody(const char* member);
  /// The stream of this way.
  HttpInputStream& StreamOf(weft::ReadEntityBodyMode mode, const char* member);
  std::size_t ReadAndKeep(std::span<char> buffer);
  void FinishBody();
  /// Tells the host what is kept.
  void HoldBody();
  FormData& ParsedForm(const char* member);
  /// Null where no proxy is trusted.
  const ForwardedClient* Client() const;

  ServerVariableCollection variables_;
  const HttpRequestSettings* settings_;
  std::string_view method_;
  std::string path_;
  std::size_t file_path_length_ = 0;
  std::string application_path_ = "/";
  HttpWorkerRequest& source_;
  weft::ReadEntityBodyMode body_mode_ = weft::ReadEntityBodyMode::kNone;
  bool body_complete_ = false;
  std::unique_ptr<BodyState> body_;  // null while nothing of it was read, and where there is none
  std::optional<std::string> query_text_;  // in place of QUERY_STRING
  mutable std::optional<NameValueCollection> query_;
  mutable std::optional<NameValueCollection> cookies_;
  mutable std::optional<HttpHeaders> headers_;
  mutable std::unique_ptr<Details> details_;  // what few handlers ask for
};

}  // namespace weft
