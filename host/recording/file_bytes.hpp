#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace weft::host::recording {

/// The first `limit` bytes of a file, and one more where it is longer; absent where it cannot be read.
[[nodiscard]] std::optional<std::string> ReadFileBytes(const std::filesystem::path& file,
                                                       std::size_t limit);

enum class Existing { kKeep, kReplace };

/// Writes a file that its owner alone may read, for recordings hold what people sent. It is there whole or not at all: it is
/// written beside its place under another name, and renamed.
///
/// Throws std::system_error: with EEXIST where there is something of the name, and it is to be kept. Blocks on the file.
void WriteFileBytes(const std::filesystem::path& file, std::string_view bytes, Existing existing);

}  // namespace weft::host::recording
