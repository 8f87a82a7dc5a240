#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/recording/recording.hpp"
#include "mappings/problem.hpp"

namespace weft::host::recording {

/// What the reader reads at most.
struct ReadLimits {
  /// The largest file. A body of 10 MiB fits as base64; what is larger is no file to be read by people, and
  /// its parts stand in memory several times while it is read.
  std::size_t file_bytes = 16'777'216;
};

struct ReadResult {
  std::optional<Recording> recording;       ///< Absent when there are problems.
  std::vector<mappings::Problem> problems;  ///< All of the file, in the order of line and column.
};

/// Reads a file `NAME.recording.json` (recording.schema.json): JSON in which comments count as blanks, nested
/// at most mappings::JsonDocument::kMaxDepth levels. After a syntax error the rest is not read.
///
/// Threads: any. It blocks on the file.
[[nodiscard]] ReadResult ReadRecording(const std::filesystem::path& file,
                                       const ReadLimits& limits = {});

/// The same for a text in memory, of less than 4 GiB; problems carry `file` as its name.
[[nodiscard]] ReadResult ParseRecording(std::string_view text, std::string file);

}  // namespace weft::host::recording
