#pragma once

#include <string>
#include <string_view>

namespace weft::detail {

/// What HttpPostedFile::FileName() has of a name that a client sent.
std::string SafeFileName(std::string_view raw);

}  // namespace weft::detail
