#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/byte_range.hpp>
#include <weft/content_coding.hpp>
#include <weft/detail/regular_file.hpp>
#include <weft/entity_tag.hpp>
#include <weft/http_handler.hpp>
#include "handlers/builtin/content_types.hpp"
#include "handlers/builtin/site_file.hpp"

namespace weft::builtin {

struct StaticFileSettings {
  FollowLinks follow_links = FollowLinks::kWithinRoot;
  /// Those that are looked for, the one that is preferred first; none: no file has a compressed one beside it.
  std::vector<ContentCoding> precompressed{};
  /// More ranges of one request count for nothing; 0: no range does.
  std::size_t max_ranges = kDefaultMaxRanges;
  ContentTypes types{};
};

/// A strong entity tag out of size, time and identity of a file: equal ones are the same bytes. Weak for two seconds after the
/// file was changed, by its own clock: it may be written once more within one tick, and nothing would tell. `suffix` tells
/// apart what lies beside a file.
EntityTag EntityTagOf(const weft::detail::FileVersion& version, std::string_view suffix,
                      std::chrono::system_clock::time_point now);

/// Serves the file that the path names (RFC 9110): GET, HEAD and OPTIONS, conditions and ranges. Directories, special files, and
/// names of which a segment begins with a dot are not found, but for `/.well-known/` (RFC 8615).
///
/// On threads of the pool it waits for the disk alone; for the client it waits on its fiber, so that clients that read
/// slowly hold no thread. It reads no body.
class StaticFileHandler final : public IHttpAsyncHandler, public IHttpBufferlessHandler {
 public:
  StaticFileHandler();
  explicit StaticFileHandler(std::shared_ptr<const StaticFileSettings> settings) noexcept
      : settings_(std::move(settings)) {}

  void ProcessRequest(HttpContext& context) override;
  bool IsReusable() const override { return true; }

 private:
  std::shared_ptr<const StaticFileSettings> settings_;
};

}  // namespace weft::builtin
