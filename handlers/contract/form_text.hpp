#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weft {

/// A name or value of application/x-www-form-urlencoded, decoded: `+` is a blank, %XX are bytes. Nothing where a
/// percent-escape is broken.
std::optional<std::string> DecodeFormText(std::string_view text);

}  // namespace weft
