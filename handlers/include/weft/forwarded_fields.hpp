#pragma once

namespace weft {

/// Which header fields of a trusted proxy are believed. Each must be one that the proxy sets itself, or takes away: else
/// it passes on what its client has written there.
struct ForwardedFields {
  bool forwarded = false;  ///< Forwarded (RFC 7239); the others are not read then
  bool x_forwarded_for = true;
  bool x_forwarded_proto = true;
  bool x_forwarded_host = true;
};

}  // namespace weft
