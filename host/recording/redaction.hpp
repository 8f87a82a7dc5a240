#pragma once

#include <set>
#include <string>

#include "host/recording/recording.hpp"

namespace weft::host::recording {

/// Takes the secrets out of a recording, by the names of observe/secret_fields.hpp, before it lies in a file that others see.
/// Returns the names of what held some.
///
/// Of the request, header fields, and fields of its query, of a form (either kind) or of JSON, have observe::kMasked for
/// their values; what was the length of the body still is. Of the response, what holds a secret is left out, so that it is
/// not compared: header fields, and the body as a whole. A text that is neither form nor JSON is searched for URLs with
/// secrets, except code (JavaScript, CSS), in which assignments look like them.
///
/// Done again, it changes nothing more. Not found are secrets in other places: in files that were uploaded, in paths, in images.
std::set<std::string> Redact(Recording& recording);

}  // namespace weft::host::recording
