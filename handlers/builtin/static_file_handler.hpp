#pragma once

#include <weft/http_handler.hpp>

namespace weft::builtin {

/// Serves the file that the path names, whole. Directories, special files, and names of which a segment
/// begins with a dot are not found.
///
/// On threads of the pool it waits for the disk alone; for the client it waits on its fiber, so that clients that read
/// slowly hold no thread. It reads no body.
class StaticFileHandler final : public IHttpAsyncHandler, public IHttpBufferlessHandler {
 public:
  void ProcessRequest(HttpContext& context) override;
  bool IsReusable() const override { return true; }
};

}  // namespace weft::builtin
