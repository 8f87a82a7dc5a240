#include <weft/http_server_utility.hpp>

#include <unistd.h>

#include <array>
#include <climits>
#include <stdexcept>
#include <string>

#include <weft/detail/request_execution.hpp>
#include <weft/http_context.hpp>

namespace weft {

std::string HttpServerUtility::AbsolutePath(std::string_view path) const {
  if (path.substr(0, 1) == "/") {
    return std::string(path);
  }
  const auto& request = context_.Request();
  if (path == "~" || path.substr(0, 2) == "~/") {
    std::string absolute = request.ApplicationPath();
    if (absolute == "/") {
      absolute.clear();
    }
    return absolute.append(path == "~" ? "/" : path.substr(1));
  }
  const auto folder = request.FilePath();
  return std::string(folder.substr(0, folder.rfind('/') + 1)).append(path);
}

std::string HttpServerUtility::MapPath(std::string_view path) const {
  return context_.Request().MapPath(AbsolutePath(path));
}

std::string HttpServerUtility::MachineName() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

std::exception_ptr HttpServerUtility::GetLastError() const noexcept { return context_.Error(); }

void HttpServerUtility::ClearError() noexcept { context_.ClearError(); }

std::chrono::milliseconds HttpServerUtility::ScriptTimeout() const {
  return context_.Execution().Timeout();
}

void HttpServerUtility::SetScriptTimeout(std::chrono::milliseconds timeout) {
  if (timeout < std::chrono::milliseconds(1) || timeout > std::chrono::days(1)) {
    throw std::invalid_argument("HttpServerUtility::SetScriptTimeout(): " +
                                std::to_string(timeout.count()) + " ms is not from 1 ms to a day");
  }
  context_.Execution().SetTimeout(timeout);
}

void HttpServerUtility::Execute(std::string_view path) {
  const auto mark = path.find('?');
  // The caller's text may be of the request, which changes meanwhile.
  const std::string query(mark == std::string_view::npos ? context_.Request().QueryStringText()
                                                         : path.substr(mark + 1));
  context_.Execution().Execute(context_, AbsolutePath(path.substr(0, mark)), query);
}

void HttpServerUtility::Execute(IHttpHandler& handler) {
  context_.Execution().Execute(context_, handler);
}

void HttpServerUtility::Transfer(std::string_view path) {
  Execute(path);
  context_.Response().Complete();
}

void HttpServerUtility::Transfer(IHttpHandler& handler) {
  Execute(handler);
  context_.Response().Complete();
}

}  // namespace weft
