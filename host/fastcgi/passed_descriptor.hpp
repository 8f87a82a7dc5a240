#pragma once

namespace weft::host::fastcgi {

// How connections go from one process of a host to another, through a SOCK_SEQPACKET socket.

/// One packet of one byte, which a descriptor goes along with; it stays the caller's to close. False: it cannot be taken now.
[[nodiscard]] bool SendDescriptor(int to, int descriptor) noexcept;

/// What SendDescriptor() has sent, which is the caller's to close; -1: there is none, errno tells. Does not wait.
[[nodiscard]] int ReceiveDescriptor(int from) noexcept;

}  // namespace weft::host::fastcgi
