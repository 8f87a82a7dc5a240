#pragma once

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/recording/recording.hpp"
#include "mappings/problem.hpp"

namespace weft::host::recording {

/// What of a HAR file becomes recordings, and how.
struct HarOptions {
  /// Requests to this host alone, as a URL has it without its port; empty: to any.
  std::string host{};
  /// Secrets stay. Off: Redact(), since recordings are meant for repositories.
  bool keeps_secrets = false;
  /// The largest file. Browsers' are some MiB; while it is read it takes several times its size of memory.
  std::size_t file_bytes = 134'217'728;
};

/// What became of a HAR file.
struct HarImport {
  /// In the order of the file.
  std::vector<Recording> recordings;
  /// Entries of other hosts than that of the options.
  std::size_t of_other_hosts = 0;
  /// What held secrets that are masked now.
  std::set<std::string> masked;
  /// An error: there are no recordings. A warning: what is left out, and why. In the order of the file.
  std::vector<mappings::Problem> problems;
};

/// Reads a file in the HTTP Archive format 1.2, as browsers, mitmproxy and Playwright save it.
///
/// A recording has the request as a web server on this machine would get it of a client that asks for that URL by HTTP/1.1
/// (MakeParams()). Left out are what only this connection or its bytes needed (Connection, Accept-Encoding, the pseudo
/// headers of HTTP/2) and, of the response, what the web server adds (Date, Server, Content-Length, Content-Encoding): a
/// HAR has bodies as they are decoded. Without its body in the file a request is left out, and a response's is not compared.
///
/// Threads: any. It blocks on the file.
[[nodiscard]] HarImport ReadHar(const std::filesystem::path& file, const HarOptions& options = {});

/// The same for a text in memory; problems carry `file` as its name.
[[nodiscard]] HarImport ParseHar(std::string_view text, std::string file,
                                 const HarOptions& options = {});

}  // namespace weft::host::recording
