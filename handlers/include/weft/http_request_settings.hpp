#pragma once

#include <cstddef>
#include <string>

#include <weft/forwarded_fields.hpp>
#include <weft/peer_set.hpp>

namespace weft {

/// What the host's options say of requests; it makes one for all of them.
struct HttpRequestSettings {
  /// Fields of a query, of a form, and cookies, of one request; beyond it reading them throws HttpException(400). ASP.NET's
  /// default, far above what a page sends: each field costs some hundred bytes of memory, and its client three.
  std::size_t max_fields = 1000;
  /// Whether clients on this machine are shown details of errors.
  bool debug = false;
  /// Whose word about the client is taken, and in which fields. Nobody's, unless the operator says so.
  PeerSet trusted_proxies{};
  ForwardedFields forwarded_fields{};

  /// Bytes of a body that is kept in memory; a longer one lies in a temporary file. ASP.NET's requestLengthDiskThreshold.
  std::size_t body_memory_bytes = 80 * 1024;
  /// The folder of temporary files. Empty: TMPDIR, or /tmp.
  std::string temporary_folder{};
  /// Bytes of the value of one field of a form; beyond it HttpException(413).
  std::size_t max_field_bytes = 1024 * 1024;
  /// Bytes of the names and values of all fields of a form; beyond it HttpException(413). ASP.NET's maxRequestLength, for a
  /// form without files has no more.
  std::size_t max_form_bytes = 4 * 1024 * 1024;
  /// Bytes of the name of one field of a form; beyond it HttpException(413). ASP.NET Core's KeyLengthLimit.
  std::size_t max_field_name_bytes = 2048;
  /// Files of a form; beyond it HttpException(400). Each costs some hundred bytes of memory, and its client as many.
  std::size_t max_files = 1000;
  /// Bytes of the header fields of one part of a multipart body; beyond it HttpException(400).
  std::size_t max_part_header_bytes = 16 * 1024;
};

}  // namespace weft
