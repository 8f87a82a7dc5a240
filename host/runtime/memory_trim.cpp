#include "host/runtime/memory_trim.hpp"

#include <malloc.h>

#include <utility>

namespace weft::host::runtime {

bool MemoryTrim::Look(Clock::time_point now, bool works) noexcept {
  if (works || std::exchange(has_worked_, false)) {
    rests_since_ = now;
  } else if (rests_since_ && now - *rests_since_ >= kRest) {
    rests_since_.reset();
    trim_();
  }
  return rests_since_.has_value();
}

void MemoryTrim::TrimHeap() noexcept {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

}  // namespace weft::host::runtime
