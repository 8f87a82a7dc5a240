#include <weft/peer_set.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <stdexcept>

#include "handlers/contract/ip_address.hpp"

namespace weft {

namespace {

/// Whether both begin with the same `bits`.
bool SameBits(const IpAddress& a, const IpAddress& b, unsigned bits) noexcept {
  constexpr unsigned kByteBits = 8;
  const std::size_t whole = bits / kByteBits;
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) {
    return false;
  }
  const unsigned rest = bits % kByteBits;
  return rest == 0 || (a[whole] ^ b[whole]) >> (kByteBits - rest) == 0;
}

std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text.substr(0, 60)) {
    quoted += c >= ' ' && c <= '~' ? c : '?';
  }
  return quoted + "'";
}

}  // namespace

void PeerSet::Add(std::string_view text) {
  if (text == "unix") {
    unix_ = true;
    return;
  }
  const auto slash = text.find('/');
  const auto address = ParseIpAddress(text.substr(0, slash));
  if (!address) {
    throw std::invalid_argument(Quoted(text) +
                                " is no address or network: write it like 192.0.2.1, 192.0.2.0/24, "
                                "2001:db8::/32 or unix");
  }
  const bool is_v4 = text.substr(0, slash).find(':') == std::string_view::npos;
  const unsigned most = is_v4 ? 32 : 128;
  unsigned prefix = most;
  if (slash != std::string_view::npos) {
    const auto digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
    if (error != std::errc() || end != digits.data() + digits.size() || prefix > most) {
      throw std::invalid_argument(Quoted(text) +
                                  " is no network: the number behind its slash is 0 to " +
                                  std::to_string(most));
    }
  }
  Network network{*address, prefix + 128 - most};
  for (unsigned bit = network.prefix; bit < 128; ++bit) {
    if ((network.address[bit / 8] >> (7 - bit % 8) & 1) != 0) {
      throw std::invalid_argument(
          Quoted(text) + " is no network: its address has bits behind the first " +
          std::to_string(prefix) +
          "; write all of them as 0, or leave the slash out for one address");
    }
  }
  networks_.push_back(network);
}

bool PeerSet::Contains(std::string_view address) const noexcept {
  const auto parsed = ParseIpAddress(address);
  if (!parsed) {
    return unix_ && IsUnixPeer(address);
  }
  const bool is_v4 = IsV4(*parsed);
  return std::any_of(networks_.begin(), networks_.end(), [&](const Network& network) {
    // ::/0 is all of IPv6 and not, by way of how IPv4 is kept here, of that too.
    return (!is_v4 || network.prefix >= kV4PrefixBits) &&
           SameBits(network.address, *parsed, network.prefix);
  });
}

}  // namespace weft
