#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "host/recording/recording.hpp"

namespace weft::host::recording {

/// A body is written into the recording up to so many bytes, and else into a file beside it: what is longer hides the rest
/// of the recording from who reads it.
inline constexpr std::size_t kMaxBodyInText = 65'536;

/// What the name of a file that holds a recording ends in.
inline constexpr std::string_view kRecordingSuffix = ".recording.json";

/// A body in a file of its own.
struct BodyFile {
  std::string name;  ///< NAME.request-body or NAME.response-body
  std::string bytes;
};

struct WrittenRecording {
  std::string text;  ///< Of the file NAME.recording.json.
  std::vector<BodyFile> beside;
};

/// A recording as a text, of which ReadRecording() makes the same again: the same text for the same recording, its keys in
/// the order of recording.schema.json. The short form is used where it gives exactly these parameters. Bodies are texts
/// where people can read them, and else base64.
///
/// `name`: what the file is called, without kRecordingSuffix. Throws std::invalid_argument, with a sentence, for what no
/// recording can hold: a parameter that the reader refuses, a status below 200 or above 599, a name that no file of a body
/// can have (IsBodyFileName()).
[[nodiscard]] WrittenRecording WriteRecording(const Recording& recording, std::string_view name);

}  // namespace weft::host::recording
