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
  /// The largest body in a file of its own: the longest answer that is compared, replay.hpp's kMaxAnswerBytes.
  std::size_t body_file_bytes = 67'108'864;
};

/// Whether a body may stand in a file of this name beside the recording: letters, digits and `._-`, of which the first is no
/// dot or hyphen. So it lies in the recording's folder, whoever wrote the recording.
[[nodiscard]] bool IsBodyFileName(std::string_view name);

struct ReadResult {
  std::optional<Recording> recording;       ///< Absent when there are problems.
  std::vector<mappings::Problem> problems;  ///< All of the file, in the order of line and column.
};

/// Reads a file `NAME.recording.json` (recording.schema.json): JSON in which comments count as blanks, nested
/// at most mappings::JsonDocument::kMaxDepth levels. After a syntax error the rest is not read. Bodies that stand in files
/// beside it are read, too.
///
/// Threads: any. It blocks on the files.
[[nodiscard]] ReadResult ReadRecording(const std::filesystem::path& file,
                                       const ReadLimits& limits = {});

/// The same for a text in memory, of less than 4 GiB; problems carry `file` as its name, and files beside it are looked for
/// in the folder of `file`.
[[nodiscard]] ReadResult ParseRecording(std::string_view text, std::string file,
                                        const ReadLimits& limits = {});

}  // namespace weft::host::recording
