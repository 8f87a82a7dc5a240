#include "handlers/builtin/web_handler_file.hpp"

#include <array>

namespace weft::builtin {

namespace {

/// Blocks. Throws std::system_error, and DirectiveError for a file that is too large.
std::string ReadText(detail::RegularFile& file) {
  std::string text;
  std::array<char, 4096> piece;
  while (const auto count = file.Read(piece.data(), piece.size())) {
    text.append(piece.data(), count);
    if (text.size() > kMaxWebHandlerFileBytes) {
      throw DirectiveError({}, "the file is larger than a .ashx file can be, " +
                                   std::to_string(kMaxWebHandlerFileBytes) + " bytes");
    }
  }
  return text;
}

}  // namespace

WebHandlerFile ReadWebHandlerFile(const std::string& path,
                                  const std::optional<detail::FileVersion>& known) {
  detail::RegularFile file(path);
  WebHandlerFile result;
  result.version = file.Version();
  if (known == result.version) {
    result.is_unchanged = true;
    return result;
  }
  try {
    result.directive = ParseWebHandlerDirective(ReadText(file));
  } catch (const DirectiveError& error) {
    result.error = error;
  }
  return result;
}

}  // namespace weft::builtin
