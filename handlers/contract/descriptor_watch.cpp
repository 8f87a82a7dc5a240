#include <weft/descriptor_watch.hpp>

#include <weft/detail/async_runtime.hpp>

namespace weft {

using detail::IDescriptorWatch;

DescriptorWatch::DescriptorWatch(int descriptor)
    : watch_(detail::GetAsyncRuntime().Watch(descriptor)) {}
DescriptorWatch::DescriptorWatch(DescriptorWatch&&) noexcept = default;
DescriptorWatch& DescriptorWatch::operator=(DescriptorWatch&&) noexcept = default;
DescriptorWatch::~DescriptorWatch() = default;

bool DescriptorWatch::WaitReadableUntil(Clock::time_point time) {
  return watch_->WaitUntil(IDescriptorWatch::Direction::kRead, time,
                           detail::GetAsyncRuntime().CurrentCancellation());
}

bool DescriptorWatch::WaitWritableUntil(Clock::time_point time) {
  return watch_->WaitUntil(IDescriptorWatch::Direction::kWrite, time,
                           detail::GetAsyncRuntime().CurrentCancellation());
}

}  // namespace weft
