#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <weft/detail/regular_file.hpp>
#include <weft/http_handler.hpp>
#include "handlers/builtin/builtin.hpp"
#include "handlers/builtin/web_handler_file.hpp"

namespace weft::builtin {

/// Serves `.ashx` files, and those of any other extension that is mapped to it: each names a class. What every request
/// gets is what CreateHandler makes: an instance of its own, or what stands for the class's shared one.
///
/// What a file says, an error too, holds until the file changes. Whether it has is looked at when it was not for the
/// check interval, on a thread of the pool, by one request, while the others go on with what is known. A file that is
/// not there is not remembered.
class SimpleHandlerFactory final : public IHttpHandlerFactory {
 public:
  /// A file that had changed less than this before it was read is read again at the next check, whatever its times
  /// say: it may have been written once more within one tick of the file system's clock. 2 s is FAT's, the coarsest.
  static constexpr std::chrono::seconds kSettled{2};

  /// At `max_files` remembered ones all are forgotten; only files that exist count.
  SimpleHandlerFactory(ResolveType resolve_type, std::chrono::nanoseconds check_interval,
                       std::size_t max_files = Options().ashx_files);

  /// Throws HttpException: 404 and 403 as RegularFile does, 500 with `file:line:column: sentence` for a file that
  /// names no class.
  std::unique_ptr<IHttpHandler> GetHandler(HttpContext& context, std::string_view verb,
                                           std::string_view file_path,
                                           std::string_view path_translated) override;
  void ReleaseHandler(std::unique_ptr<IHttpHandler> handler) override;

 private:
  /// What is known of a file. Copied, not referred to: what it calls is foreign code, which may await while another
  /// request reads the file anew.
  struct Content {
    CreateHandler create;
    std::string error;  // empty: there is a class

    std::unique_ptr<IHttpHandler> Create() const;
  };
  struct File {
    Content content;
    detail::FileVersion version;
    bool is_settled = false;  // the version tells whether the file has changed
    std::chrono::steady_clock::time_point checked_at{};
    bool being_checked = false;  // by a request; the others go on with what is known
  };
  struct Look;

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view path) const noexcept {
      return std::hash<std::string_view>()(path);
    }
  };

  Content Check(const std::string& path);
  Content Resolve(const std::string& path, const WebHandlerFile& file) const;

  ResolveType resolve_type_;
  std::chrono::nanoseconds check_interval_;
  std::size_t max_files_;
  std::unordered_map<std::string, File, Hash, std::equal_to<>> files_;
};

}  // namespace weft::builtin
