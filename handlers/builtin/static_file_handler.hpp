#pragma once

#include <weft/http_handler.hpp>

namespace weft::builtin {

/// Serves the file that the path names, whole. Directories, special files, and names of which a segment
/// begins with a dot are not found.
///
/// It runs in the blocking pool: a disk may be slow.
class StaticFileHandler final : public IHttpHandler {
 public:
  void ProcessRequest(HttpContext& context) override;
  bool IsReusable() const override { return true; }
};

}  // namespace weft::builtin
