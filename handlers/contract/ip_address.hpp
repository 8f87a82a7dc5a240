#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace weft {

/// An IPv6 address; an IPv4 address is the one that stands for it (`::ffff:192.0.2.1`, RFC 4291, section 2.5.5.2).
using IpAddress = std::array<unsigned char, 16>;
/// The bits that make an address one of IPv4.
inline constexpr unsigned kV4PrefixBits = 96;

/// An address in its text form alone: no brackets, port or zone.
std::optional<IpAddress> ParseIpAddress(std::string_view text) noexcept;
bool IsV4(const IpAddress& address) noexcept;
/// 127.0.0.0/8 and ::1.
bool IsLoopback(const IpAddress& address) noexcept;
/// In its usual text form, IPv4 as such (RFC 5952).
std::string ToText(const IpAddress& address);

/// What web servers say of a peer that came by a Unix socket, which has no address: nothing, `unix:`, or a path.
bool IsUnixPeer(std::string_view remote_address) noexcept;

}  // namespace weft
