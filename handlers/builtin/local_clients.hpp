#pragma once

#include <string_view>

#include <weft/http_context.hpp>

namespace weft::builtin {

/// Who may see what the host tells of itself, by a section of the folder: "local", which is what holds without one, means clients of
/// the web server's own machine; "all" means everybody.
///
/// Throws HttpException (500) where the section says anything else. Threads: the request's.
[[nodiscard]] bool IsForEverybody(const HttpContext& context, std::string_view section);

/// Refuses clients of other machines (HttpRequest::IsLocal()): throws HttpException (403, cause::kClientNotLocal). `what`: how the
/// sentence for the log begins, `the traces are`.
void CheckIsLocal(const HttpContext& context, std::string_view section, std::string_view what);

}  // namespace weft::builtin
