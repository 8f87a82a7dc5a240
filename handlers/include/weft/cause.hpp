#pragma once

#include <string_view>

namespace weft {

/// Why an answer is what it is, for machines: lower-case words joined by underscores, which keep their text in all
/// versions. It stands in the access log; no client sees it.
///
/// The compiler takes a string literal alone, and only one of that form: `CauseName("order_unknown")`.
/// Lifetime: the text has static storage.
class CauseName {
 public:
  /// None.
  constexpr CauseName() noexcept = default;
  consteval CauseName(const char* text) : text_(text) {  // NOLINT(google-explicit-constructor)
    if (!IsWellFormed(text_)) {
      throw "a cause is lower-case words, digits too, joined by underscores";
    }
  }

  /// Empty: there is none.
  constexpr std::string_view Text() const noexcept { return text_; }

 private:
  static constexpr bool IsWellFormed(std::string_view text) {
    bool word = false;
    for (const char c : text) {
      if (c == '_' && !word) {
        return false;
      }
      word = c != '_';
      if (word && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')) {
        return false;
      }
    }
    return word;
  }

  std::string_view text_;
};

/// The causes that the host and its built-in handlers give. Those of the search for a mapping are in
/// mappings/mapping_table.hpp; docs/guide/causes.md lists all.
namespace cause {

// Files: static ones, and those that name a handler.
inline constexpr CauseName kFileNotFound("file_not_found");   ///< 404: there is none of this name
inline constexpr CauseName kFileForbidden("file_forbidden");  ///< 403: the worker may not read it
inline constexpr CauseName kNotAFile("not_a_file");  ///< 404: a folder, or something special
inline constexpr CauseName kFileHidden(
    "file_hidden");  ///< 404: a segment begins with a dot, or it is a mapping file
inline constexpr CauseName kFileHasPathInfo(
    "file_has_path_info");  ///< 404: a tail behind a static file's name
inline constexpr CauseName kFileLinkRefused(
    "file_link_refused");  ///< 404: a symbolic link on the way is not followed (--follow-links)
inline constexpr CauseName kNoDocumentRoot(
    "no_document_root");  ///< 404: the web server names no file
inline constexpr CauseName kFileChanged(
    "file_changed");  ///< 500, or a cut answer: it became shorter while it was sent

// The host's status.
inline constexpr CauseName kClientNotLocal(
    "client_not_local");  ///< 403: weft::StatusHandler answers clients of this machine alone

// Handlers.
inline constexpr CauseName kHandlerFileInvalid(
    "handler_file_invalid");  ///< 500: a `.ashx` file names no class
inline constexpr CauseName kHandlerTypeUnknown(
    "handler_type_unknown");  ///< 500: a mapping's type cannot be used
inline constexpr CauseName kHandlerNotMade(
    "handler_not_made");  ///< 500: a constructor or factory threw, or made none
inline constexpr CauseName kExecutionRefused(
    "execution_refused");  ///< 500: an execution of itself, or too many in one another
inline constexpr CauseName kHandlerFailed("handler_failed");  ///< 500: ProcessRequest() threw
inline constexpr CauseName kAnswerTooLong(
    "answer_too_long");  ///< 500, or a cut answer: its handler wrote more than its Content-Length
inline constexpr CauseName kAnswerTooShort("answer_too_short");  ///< the same, less

// Requests and their bodies.
inline constexpr CauseName kRequestMalformed("request_malformed");  ///< 400: its parameters are
inline constexpr CauseName kMethodMalformed(
    "method_malformed");                                 ///< 400: REQUEST_METHOD is no token
inline constexpr CauseName kUrlTooLong("url_too_long");  ///< 414: maxUrlBytes
inline constexpr CauseName kQueryStringTooLong(
    "query_string_too_long");  ///< 414: maxQueryStringBytes
inline constexpr CauseName kQueryMalformed(
    "query_malformed");  ///< 400: a broken percent-escape, seen when a handler asks for the query's fields
inline constexpr CauseName kCookieMalformed(
    "cookie_malformed");  ///< 400: a control character, seen when a handler asks for the cookies
inline constexpr CauseName kHostMalformed(
    "host_malformed");  ///< 400: the Host field is no host, seen when a handler asks for the URL
inline constexpr CauseName kTooManyFields(
    "too_many_fields");  ///< 400: of a query or a form, or cookies; --max-fields
inline constexpr CauseName kFolderRedirect("folder_redirect");  ///< 301: a folder without its slash
inline constexpr CauseName kParamsTooLarge(
    "params_too_large");  ///< 431: too many of them, or too many bytes
inline constexpr CauseName kBodyLengthMalformed(
    "body_length_malformed");                                ///< 400: CONTENT_LENGTH is no number
inline constexpr CauseName kBodyTooLarge("body_too_large");  ///< 413: over the limit
inline constexpr CauseName kBodyTooShort(
    "body_too_short");  ///< 400: it ended before its announced length
inline constexpr CauseName kBodyTimeout("body_timeout");  ///< 408: no more of it came
inline constexpr CauseName kBodyStorageFull(
    "body_storage_full");  ///< 507: no room for its temporary file
inline constexpr CauseName kBodyStorageFailed(
    "body_storage_failed");  ///< 500: its temporary file cannot be made or written

// What is in a body, seen when a handler asks for it.
inline constexpr CauseName kContentTypeUnsupported(
    "content_type_unsupported");  ///< 415: not what the handler reads
inline constexpr CauseName kFormMalformed(
    "form_malformed");  ///< 400: a broken percent-escape in a form
inline constexpr CauseName kFormTooLarge(
    "form_too_large");  ///< 413: --max-field-bytes, --max-field-name-bytes, --max-form-bytes
inline constexpr CauseName kTooManyFiles("too_many_files");  ///< 400: of a form; --max-files
inline constexpr CauseName kMultipartMalformed(
    "multipart_malformed");  ///< 400: not as RFC 2046 and RFC 7578 have it
inline constexpr CauseName kPartHeaderTooLarge(
    "part_header_too_large");  ///< 400: of a multipart body; --max-part-header-bytes
inline constexpr CauseName kJsonMalformed("json_malformed");  ///< 400: no JSON, or too deep

// Conditions of requests, and parts of answers.
inline constexpr CauseName kPreconditionFailed(
    "precondition_failed");  ///< 412: the resource is not in the state that the client took it for
inline constexpr CauseName kRangeNotSatisfiable(
    "range_not_satisfiable");  ///< 416: the file ends before what was asked for

// Load and time.
inline constexpr CauseName kOverloaded(
    "overloaded");  ///< 503: a bound of requests, threads or memory
inline constexpr CauseName kMappingOverloaded(
    "mapping_overloaded");  ///< 503: a bound of its mapping, maxRequests
inline constexpr CauseName kLoadShed(
    "load_shed");  ///< 503: more comes in than the worker does; --shed-target
inline constexpr CauseName kQueueTimeout(
    "queue_timeout");  ///< 503: no thread was free in time; --queue-timeout
inline constexpr CauseName kDeadlinePassed("deadline_passed");  ///< 504: executionTimeoutSeconds
inline constexpr CauseName kShuttingDown(
    "shutting_down");  ///< 503: the worker ends, and did not wait longer
inline constexpr CauseName kRequestAborted(
    "request_aborted");  ///< 444: its handler cut it off, by HttpRequest::Abort()
inline constexpr CauseName kClientGone("client_gone");  ///< 499: nobody waits for the answer

}  // namespace cause
}  // namespace weft
