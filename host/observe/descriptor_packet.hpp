#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "host/observe/file_descriptor.hpp"

namespace weft::host::observe {

// How descriptors go from one process to another: along with a packet, through a Unix socket that keeps packets apart.

/// Of one packet: SCM_MAX_FD of Linux.
inline constexpr std::size_t kMaxPassedDescriptors = 253;

/// sendmsg(2) of `bytes`, which may be none where the socket is one of datagrams, with `descriptors`, one at least, which stay
/// the caller's to close. No SIGPIPE. -1: errno says why; E2BIG: they are more than kMaxPassedDescriptors.
ssize_t SendWithDescriptors(int socket, std::string_view bytes, std::span<const int> descriptors,
                            int flags) noexcept;

/// What ReceiveWithDescriptors() got.
struct ReceivedPacket {
  ssize_t bytes = -1;           ///< As recvmsg(2) gives them; -1: errno says why.
  std::size_t descriptors = 0;  ///< That came along.
  /// There were more descriptors than the caller has room for, or than this process may have open. They are closed.
  bool lost_descriptors = false;
};

/// One packet, without waiting. The descriptors that come along are put into `descriptors`, from its beginning and in their order.
/// Whatever comes is closed on exec, and none stays open that is not in there.
[[nodiscard]] ReceivedPacket ReceiveWithDescriptors(int socket, std::span<char> bytes,
                                                    std::span<FileDescriptor> descriptors) noexcept;

}  // namespace weft::host::observe
