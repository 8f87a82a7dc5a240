#include "handlers/builtin/simple_handler_factory.hpp"

#include <array>
#include <utility>

#include <weft/async.hpp>
#include <weft/cancellation.hpp>
#include <weft/http_exception.hpp>
#include "handlers/builtin/regular_file.hpp"
#include "handlers/builtin/web_handler_directive.hpp"

namespace weft::builtin {

namespace {

/// Blocks. Throws as RegularFile, and HttpException(500) for a file that is too large.
std::string ReadFile(const std::string& path) {
  RegularFile file(path);
  std::string text;
  std::array<char, 4096> piece;
  while (const auto count = file.Read(piece.data(), piece.size())) {
    text.append(piece.data(), count);
    if (text.size() > SimpleHandlerFactory::kMaxFileBytes) {
      throw HttpException(500, {}, path + ": larger than a .ashx file can be");
    }
  }
  return text;
}

}  // namespace

SimpleHandlerFactory::SimpleHandlerFactory(ResolveType resolve_type)
    : resolve_type_(std::move(resolve_type)) {}

std::unique_ptr<IHttpHandler> SimpleHandlerFactory::GetHandler(HttpContext&, std::string_view,
                                                               std::string_view,
                                                               std::string_view path_translated) {
  if (path_translated.empty()) {
    throw HttpException(404, {}, "the web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT");
  }
  const auto known = files_.find(path_translated);
  if (known != files_.end() &&
      (known->second.being_read ||
       std::chrono::steady_clock::now() - known->second.read_at < kFresh)) {
    // A copy: what it calls is foreign code, which may await while another request reads the file anew.
    const auto create = known->second.create;
    return create();
  }
  if (known != files_.end()) {
    known->second.being_read = true;
  }
  return Read(std::string(path_translated))();
}

CreateHandler SimpleHandlerFactory::Read(const std::string& path) {
  const auto now = std::chrono::steady_clock::now();
  // The map is looked at anew after each wait: others came by meanwhile.
  const auto read_failed = [this, &path] {
    if (const auto known = files_.find(path); known != files_.end()) {
      known->second.being_read = false;
    }
  };
  File file;
  try {
    file.create =
        resolve_type_(ParseWebHandlerDirective(Offload([&path] { return ReadFile(path); })));
    file.read_at = now;
  } catch (const HttpException& error) {
    read_failed();
    if (error.StatusCode() == 404 || error.StatusCode() == 403) {
      files_.erase(path);
    }
    throw;
  } catch (const OperationCancelled&) {
    read_failed();
    throw;
  } catch (const std::exception& error) {
    read_failed();
    throw HttpException(500, {}, path + ": " + error.what());
  }
  if (files_.size() >= kMaxFiles) {
    files_.clear();
  }
  return files_.insert_or_assign(path, std::move(file)).first->second.create;
}

void SimpleHandlerFactory::ReleaseHandler(std::unique_ptr<IHttpHandler> handler) {
  handler.reset();
}

}  // namespace weft::builtin
