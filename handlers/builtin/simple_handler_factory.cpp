#include "handlers/builtin/simple_handler_factory.hpp"

#include <optional>
#include <utility>

#include <weft/async.hpp>
#include <weft/cancellation.hpp>
#include <weft/http_exception.hpp>
#include "handlers/builtin/web_handler_file.hpp"

namespace weft::builtin {

namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

}  // namespace

/// What a look at a file has found.
struct SimpleHandlerFactory::Look {
  WebHandlerFile file;
  bool is_settled = false;

  /// Blocks. `known` is the version that need not be read again. Throws as ReadWebHandlerFile().
  static Look At(const std::string& path, const std::optional<detail::FileVersion>& known) {
    // Before the file is opened: what is written from now on is newer than this.
    const auto now = system_clock::now();
    Look look{ReadWebHandlerFile(path, known)};
    look.is_settled = look.file.version.ChangedAt() + kSettled <= now.time_since_epoch();
    return look;
  }
};

SimpleHandlerFactory::SimpleHandlerFactory(ResolveType resolve_type,
                                           std::chrono::nanoseconds check_interval,
                                           std::size_t max_files)
    : resolve_type_(std::move(resolve_type)),
      check_interval_(check_interval),
      max_files_(max_files) {}

std::unique_ptr<IHttpHandler> SimpleHandlerFactory::Content::Create() const {
  if (!error.empty()) {
    throw HttpException(500, {}, error).WithCause(cause::kHandlerFileInvalid);
  }
  return create();
}

std::unique_ptr<IHttpHandler> SimpleHandlerFactory::GetHandler(HttpContext&, std::string_view,
                                                               std::string_view,
                                                               std::string_view path_translated) {
  if (path_translated.empty()) {
    throw HttpException(404, {}, "the web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT")
        .WithCause(cause::kNoDocumentRoot);
  }
  const auto known = files_.find(path_translated);
  if (known != files_.end() && (known->second.being_checked ||
                                steady_clock::now() - known->second.checked_at < check_interval_)) {
    const auto content = known->second.content;
    return content.Create();
  }
  return Check(std::string(path_translated)).Create();
}

SimpleHandlerFactory::Content SimpleHandlerFactory::Check(const std::string& path) {
  const auto now = steady_clock::now();
  std::optional<detail::FileVersion> version;
  if (const auto known = files_.find(path); known != files_.end()) {
    known->second.being_checked = true;
    if (known->second.is_settled) {
      version = known->second.version;
    }
  }
  // The map is looked at anew after each wait: others came by meanwhile.
  const auto check_ended = [this, &path] {
    const auto known = files_.find(path);
    if (known != files_.end()) {
      known->second.being_checked = false;
    }
    return known;
  };
  Look look;
  Content content;
  try {
    look = Offload([&] { return Look::At(path, version); });
    if (!look.file.is_unchanged) {
      content = Resolve(path, look.file);
    }
  } catch (const HttpException& error) {
    const auto known = check_ended();
    if (known != files_.end() && (error.StatusCode() == 404 || error.StatusCode() == 403)) {
      files_.erase(known);
    }
    throw;
  } catch (...) {
    check_ended();
    throw;
  }
  const auto known = check_ended();
  if (look.file.is_unchanged) {
    if (known == files_.end()) {
      // Forgotten while it was looked at.
      return Check(path);
    }
    known->second.checked_at = now;
    return known->second.content;
  }
  if (files_.size() >= max_files_ && known == files_.end()) {
    files_.clear();
  }
  files_.insert_or_assign(path, File{content, look.file.version, look.is_settled, now, false});
  return content;
}

SimpleHandlerFactory::Content SimpleHandlerFactory::Resolve(const std::string& path,
                                                            const WebHandlerFile& file) const {
  if (file.error) {
    return {{}, path + ":" + file.error->what()};
  }
  try {
    return {resolve_type_(file.directive.type), {}};
  } catch (const HttpException&) {
    throw;
  } catch (const OperationCancelled&) {
    throw;
  } catch (const std::exception& error) {
    return {{}, path + ":" + DirectiveError(file.directive.type_place, error.what()).what()};
  }
}

void SimpleHandlerFactory::ReleaseHandler(std::unique_ptr<IHttpHandler> handler) {
  handler.reset();
}

}  // namespace weft::builtin
