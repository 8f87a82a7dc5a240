#pragma once

#include <cstddef>
#include <string>

#include "host/recording/recording.hpp"

namespace weft::host::tools {

/// What the file of a recording is called, without its suffix: `007-get-orders.ashx` for the seventh of some hundreds. Letters,
/// digits and `._-`, of which the first is a digit, and at most some 80 of them, whatever the request is: so it names a file
/// in its folder on any file system, and in the order of the requests where it is sorted.
///
/// `total`: how many there are; it sets the number's width, three digits at least.
[[nodiscard]] std::string RecordingName(std::size_t number, std::size_t total,
                                        const recording::Recording& recording);

}  // namespace weft::host::tools
