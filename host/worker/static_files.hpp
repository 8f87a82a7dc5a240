#pragma once

#include "handlers/builtin/static_file_handler.hpp"
#include "host/options/settings.hpp"

namespace weft::host::worker {

/// What the options say of static files. Reads the list of media types. Throws std::exception that says which one cannot be
/// read and why; where none was named, one that is missing is none.
[[nodiscard]] builtin::StaticFileSettings StaticFilesOf(const options::Settings& settings);

}  // namespace weft::host::worker
