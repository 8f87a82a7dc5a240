#include "handlers/contract/ip_address.hpp"

#include <algorithm>
#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>

namespace weft {

namespace {

constexpr std::array<unsigned char, 12> kV4Prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t kLongestAddress = 45;

}  // namespace

std::optional<IpAddress> ParseIpAddress(std::string_view text) noexcept {
  if (text.size() > kLongestAddress) {
    return std::nullopt;
  }
  const boost::urls::string_view view(text.data(), text.size());
  IpAddress address{};
  if (const auto v4 = boost::urls::parse_ipv4_address(view)) {
    std::copy(kV4Prefix.begin(), kV4Prefix.end(), address.begin());
    const auto bytes = v4->to_bytes();
    std::copy(bytes.begin(), bytes.end(), address.begin() + kV4Prefix.size());
    return address;
  }
  if (const auto v6 = boost::urls::parse_ipv6_address(view)) {
    const auto bytes = v6->to_bytes();
    std::copy(bytes.begin(), bytes.end(), address.begin());
    return address;
  }
  return std::nullopt;
}

bool IsV4(const IpAddress& address) noexcept {
  return std::equal(kV4Prefix.begin(), kV4Prefix.end(), address.begin());
}

bool IsLoopback(const IpAddress& address) noexcept {
  constexpr IpAddress kV6Loopback = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  constexpr unsigned char kV4LoopbackNet = 127;
  return address == kV6Loopback || (IsV4(address) && address[kV4Prefix.size()] == kV4LoopbackNet);
}

std::string ToText(const IpAddress& address) {
  if (IsV4(address)) {
    boost::urls::ipv4_address::bytes_type bytes{};
    std::copy(address.begin() + kV4Prefix.size(), address.end(), bytes.begin());
    return boost::urls::ipv4_address(bytes).to_string();
  }
  boost::urls::ipv6_address::bytes_type bytes{};
  std::copy(address.begin(), address.end(), bytes.begin());
  return boost::urls::ipv6_address(bytes).to_string();
}

bool IsUnixPeer(std::string_view remote_address) noexcept {
  return remote_address.empty() || remote_address == "unix" ||
         remote_address.substr(0, 5) == "unix:" || remote_address.front() == '/';
}

}  // namespace weft
