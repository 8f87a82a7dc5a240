#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <weft/detail/regular_file.hpp>
#include <weft/http_response.hpp>

namespace weft {

/// The files of a body that were not sent yet.
struct HttpResponse::Files {
  struct Range {
    std::shared_ptr<const detail::RegularFile> file;
    std::uint64_t offset;
    std::uint64_t bytes;
    std::size_t position;  ///< how much of the buffer comes before it
  };
  std::vector<Range> ranges;
};

}  // namespace weft
