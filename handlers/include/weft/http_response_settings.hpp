#pragma once

#include <string>
#include <vector>

#include <weft/content_coding.hpp>

namespace weft {

/// The header field by which a web server is asked to send a file itself.
enum class SendfileHeader {
  kNone,       ///< it is not asked
  kXSendfile,  ///< lighttpd, and Apache's mod_xsendfile: X-Sendfile, with the file's path on the disk
  kXAccelRedirect  ///< nginx: X-Accel-Redirect, with the path of an internal location
};

/// A folder whose files the web server may send itself.
struct SendfileRoot {
  std::string directory;  ///< absolute, without a slash at its end
  std::string prefix;  ///< kXAccelRedirect: the internal location in its place, with one at its end
};

/// How answers are sent; the host makes one for all of them, from its options.
struct HttpResponseSettings {
  SendfileHeader sendfile_header = SendfileHeader::kNone;
  std::vector<SendfileRoot> sendfile_roots{};
  /// What clients are offered, the most wanted first; empty: bodies are sent as they are.
  std::vector<ContentCoding> compression{};
};

}  // namespace weft
