#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weft/export.hpp>

namespace weft {

/// Addresses and networks: of the proxies whose word about their clients is taken, say.
///
/// Threads: as a standard container.
class WEFT_API PeerSet {
 public:
  /// Adds an address (`192.0.2.1`, `2001:db8::1`), a network (`192.0.2.0/24`, `2001:db8::/32`), or `unix`: every peer
  /// that has no IP address, because it came by a Unix socket.
  ///
  /// Throws std::invalid_argument with a sentence for anything else.
  void Add(std::string_view text);

  /// Whether a peer is one of them. `address` is as REMOTE_ADDR has it: an IPv4 or IPv6 address, an IPv4 address
  /// written as an IPv6 one (`::ffff:192.0.2.1`), or what web servers say of a Unix socket: nothing, `unix` or
  /// `unix:` with or without more, or a path.
  bool Contains(std::string_view address) const noexcept;
  bool empty() const noexcept { return networks_.empty() && !unix_; }

 private:
  /// IPv4 networks are those of the IPv6 addresses that stand for them.
  struct Network {
    std::array<unsigned char, 16> address;
    unsigned prefix;  // of 128 bits
  };

  std::vector<Network> networks_;
  bool unix_ = false;
};

}  // namespace weft
