#include "handlers/builtin/simple_handler_factory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <weft/async.hpp>
#include <weft/cancellation.hpp>
#include <weft/http_exception.hpp>
#include "handlers/builtin/web_handler_directive.hpp"

namespace weft::builtin {

namespace {

/// Blocks. Throws HttpException(404) where there is no such file.
std::string ReadFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) {
    const int error = errno;
    if (error == EACCES || error == EPERM) {
      throw HttpException(403, {}, path + ": " + std::generic_category().message(error));
    }
    if (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG || error == ELOOP ||
        error == ENXIO) {
      throw HttpException(404, {}, path + ": " + std::generic_category().message(error));
    }
    throw std::system_error(error, std::generic_category(), "open " + path);
  }
  struct stat status = {};
  std::string text;
  int error = 0;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    error = ENOENT;
  }
  while (error == 0 && text.size() <= SimpleHandlerFactory::kMaxFileBytes) {
    std::array<char, 4096> piece;
    const auto count = read(file, piece.data(), piece.size());
    if (count > 0) {
      text.append(piece.data(), static_cast<std::size_t>(count));
    } else if (count == 0) {
      break;
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  close(file);
  if (error == ENOENT) {
    throw HttpException(404, {}, path + " is no file");
  }
  if (error != 0) {
    throw std::system_error(error, std::generic_category(), "read " + path);
  }
  if (text.size() > SimpleHandlerFactory::kMaxFileBytes) {
    throw HttpException(500, {}, path + ": larger than a .ashx file can be");
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
