#include "host/worker/static_files.hpp"

#include <string>
#include <system_error>

namespace weft::host::worker {

namespace {

/// Debian's, of the package media-types.
constexpr const char* kSystemsTypes = "/etc/mime.types";

builtin::ContentTypes TypesOf(const std::string& file) {
  if (file == "none") {
    return builtin::ContentTypes();
  }
  if (!file.empty()) {
    return builtin::ContentTypes::Read(file);
  }
  try {
    return builtin::ContentTypes::Read(kSystemsTypes);
  } catch (const std::system_error&) {
    return builtin::ContentTypes();
  }
}

}  // namespace

builtin::StaticFileSettings StaticFilesOf(const options::Settings& settings) {
  builtin::StaticFileSettings files;
  switch (settings.follow_links) {
    case options::FollowLinks::kOff:
      files.follow_links = builtin::FollowLinks::kOff;
      break;
    case options::FollowLinks::kWithinRoot:
      files.follow_links = builtin::FollowLinks::kWithinRoot;
      break;
    case options::FollowLinks::kOn:
      files.follow_links = builtin::FollowLinks::kOn;
      break;
  }
  files.precompressed = settings.precompressed;
  files.max_ranges = settings.max_ranges;
  files.types = TypesOf(settings.mime_types);
  return files;
}

}  // namespace weft::host::worker
