#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include <weft/detail/async_runtime.hpp>

namespace weft::host::runtime {

/// For fibers: the reactor looks at the descriptor, and is asked once for as long as the watch lives. Throws
/// std::system_error where it cannot.
///
/// Threads: the reactor's.
std::unique_ptr<weft::detail::IDescriptorWatch> WatchOnReactor(boost::asio::io_context& io,
                                                               int descriptor);

/// For threads of the pool, which call poll(2).
std::unique_ptr<weft::detail::IDescriptorWatch> WatchOnThread(int descriptor);

}  // namespace weft::host::runtime
