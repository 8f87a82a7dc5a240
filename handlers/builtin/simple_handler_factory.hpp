#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <weft/http_handler.hpp>
#include "handlers/builtin/builtin.hpp"

namespace weft::builtin {

/// Serves `.ashx` files: each names a class, of which every request gets an instance of its own.
///
/// What a file says is remembered, and looked at again when it was not for `kFresh`, by one request, while the
/// others go on with what is known.
class SimpleHandlerFactory final : public IHttpHandlerFactory {
 public:
  static constexpr std::chrono::milliseconds kFresh{1000};
  /// Remembered files; at that many all are forgotten. A site has fewer, and only files that exist count.
  static constexpr std::size_t kMaxFiles = 10'000;
  /// A directive takes a line; what is larger than this is no `.ashx` file.
  static constexpr std::size_t kMaxFileBytes = 64 * 1024;

  explicit SimpleHandlerFactory(ResolveType resolve_type);

  std::unique_ptr<IHttpHandler> GetHandler(HttpContext& context, std::string_view verb,
                                           std::string_view file_path,
                                           std::string_view path_translated) override;
  void ReleaseHandler(std::unique_ptr<IHttpHandler> handler) override;

 private:
  struct File {
    CreateHandler create;
    std::chrono::steady_clock::time_point read_at{};
    bool being_read = false;  // by a request; the others go on with what is known
  };

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view path) const noexcept {
      return std::hash<std::string_view>()(path);
    }
  };

  CreateHandler Read(const std::string& path);

  ResolveType resolve_type_;
  std::unordered_map<std::string, File, Hash, std::equal_to<>> files_;
};

}  // namespace weft::builtin
