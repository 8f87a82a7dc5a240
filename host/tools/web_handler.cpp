#include "host/tools/web_handler.hpp"

#include <optional>
#include <system_error>
#include <utility>
#include <variant>

#include <weft/cause.hpp>
#include <weft/http_exception.hpp>
#include "handlers/builtin/builtin.hpp"
#include "handlers/builtin/web_handler_file.hpp"

namespace weft::host::tools {
namespace {

mappings::SourceLocation PlaceIn(const std::string& path, const builtin::DirectivePlace& place) {
  return {path, static_cast<int>(place.line), static_cast<int>(place.column)};
}

void Fail(WebHandler& handler, int status, std::string_view cause, std::string_view sentence) {
  handler.status = status;
  handler.cause = cause;
  handler.error = sentence;
}

}  // namespace

bool IsFileFactory(const mappings::TypeName& type) noexcept {
  return type.module.empty() && type.class_name == builtin::kSimpleHandlerFactory;
}

std::string WebHandler::Detail() const {
  return where.line == 0 ? error : where.ToString() + ": " + error;
}

WebHandler ReadWebHandler(const std::string& path, HandlerTypes& types) {
  WebHandler handler;
  handler.where = {path, 0, 0};
  std::optional<builtin::WebHandlerFile> file;
  try {
    file = builtin::ReadWebHandlerFile(path);
  } catch (const HttpException& error) {
    Fail(handler, error.StatusCode(), error.Cause(), error.what());
    return handler;
  } catch (const std::system_error& error) {
    Fail(handler, 500, cause::kHandlerNotMade.Text(), error.what());
    return handler;
  }
  if (file->error) {
    handler.where = PlaceIn(path, file->error->Place());
    Fail(handler, 500, cause::kHandlerFileInvalid.Text(), file->error->Sentence());
    return handler;
  }
  handler.where = PlaceIn(path, file->directive.type_place);
  const auto type = mappings::ParseTypeName(file->directive.type);
  if (const auto* const name = std::get_if<mappings::TypeName>(&type)) {
    handler.class_name = name->class_name;
    handler.module = name->module;
  }
  auto answer = types.FindForFile(file->directive.type);
  if (!answer.error.empty()) {
    Fail(handler, 500, cause::kHandlerFileInvalid.Text(), answer.error);
  }
  handler.handler_class = std::move(answer.handler_class);
  return handler;
}

}  // namespace weft::host::tools
