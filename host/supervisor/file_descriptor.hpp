#pragma once

#include "host/observe/file_descriptor.hpp"

namespace weft::host::supervisor {

using observe::FileDescriptor;

}  // namespace weft::host::supervisor
