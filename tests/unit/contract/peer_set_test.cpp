#include <weft/peer_set.hpp>

#include <doctest/doctest.h>

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace weft {
namespace {

PeerSet Proxies(std::initializer_list<std::string_view> texts) {
  PeerSet proxies;
  for (const auto text : texts) {
    proxies.Add(text);
  }
  return proxies;
}

TEST_CASE("PeerSet: none are trusted until one is added") {
  const PeerSet none;
  CHECK(none.empty());
  for (const std::string_view address : {"127.0.0.1", "::1", "", "unix:"}) {
    CHECK_FALSE(none.Contains(address));
  }
  CHECK_FALSE(Proxies({"192.0.2.1"}).empty());
  CHECK_FALSE(Proxies({"unix"}).empty());
}

TEST_CASE("PeerSet: an address is itself, however it is written") {
  const auto proxies = Proxies({"192.0.2.1", "2001:DB8::1"});
  for (const std::string_view address :
       {"192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201", "2001:db8::1", "2001:db8:0:0:0:0:0:1",
        "2001:0db8::0001"}) {
    CAPTURE(address);
    CHECK(proxies.Contains(address));
  }
  for (const std::string_view address :
       {"192.0.2.2", "192.0.2.10", "::192.0.2.1", "2001:db8::2", "2001:db8::1:1", "",
        "unix:", "192.0.2.1:80", "[2001:db8::1]", "2001:db8::1%eth0", " 192.0.2.1", "192.0.2.1 ",
        "192.0.2.01", "192.0.513", "0xc0000201", "3221225985", "192.0.2.1\n"}) {
    CAPTURE(address);
    CHECK_FALSE(proxies.Contains(address));
  }
}

TEST_CASE("PeerSet: a network is the addresses that begin with its bits") {
  const auto contains = [](std::string_view network, std::string_view address) {
    return Proxies({network}).Contains(address);
  };
  CHECK(contains("10.0.0.0/8", "10.255.255.255"));
  CHECK_FALSE(contains("10.0.0.0/8", "11.0.0.0"));
  CHECK_FALSE(contains("10.0.0.0/8", "9.255.255.255"));
  CHECK(contains("192.0.2.128/25", "192.0.2.128"));
  CHECK_FALSE(contains("192.0.2.128/25", "192.0.2.127"));
  CHECK(contains("172.16.0.0/12", "172.31.0.1"));
  CHECK_FALSE(contains("172.16.0.0/12", "172.32.0.1"));
  CHECK(contains("192.0.2.1/32", "192.0.2.1"));
  CHECK_FALSE(contains("192.0.2.1/32", "192.0.2.0"));
  CHECK(contains("2001:db8::/32", "2001:db8:ffff::1"));
  CHECK_FALSE(contains("2001:db8::/32", "2001:db9::1"));
  CHECK(contains("2001:db8::1/128", "2001:db8::1"));
  CHECK(contains("fe80::/10", "febf::1"));
  CHECK_FALSE(contains("fe80::/10", "fec0::1"));
  // Each is of its own kind.
  CHECK(contains("0.0.0.0/0", "203.0.113.7"));
  CHECK_FALSE(contains("0.0.0.0/0", "2001:db8::1"));
  CHECK(contains("::/0", "2001:db8::1"));
  CHECK_FALSE(contains("::/0", "203.0.113.7"));
  CHECK_FALSE(contains("::/0", "unix:"));
  CHECK(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
}

TEST_CASE("PeerSet: every length of a network divides the addresses at its last bit") {
  for (unsigned prefix = 1; prefix <= 32; ++prefix) {
    CAPTURE(prefix);
    // 1.1.1.1 in binary has a bit in each byte; its network keeps the first `prefix` bits.
    const std::uint32_t address = 0xffffffff;
    const std::uint32_t network = address << (32 - prefix);
    const auto text = [](std::uint32_t bits) {
      return std::to_string(bits >> 24) + "." + std::to_string(bits >> 16 & 255) + "." +
             std::to_string(bits >> 8 & 255) + "." + std::to_string(bits & 255);
    };
    const auto proxies = Proxies({text(network) + "/" + std::to_string(prefix)});
    CHECK(proxies.Contains(text(network)));
    CHECK(proxies.Contains(text(address)));
    CHECK_FALSE(proxies.Contains(text(network ^ 1U << (32 - prefix))));
  }
}

TEST_CASE("PeerSet: unix are the peers that have no address") {
  const auto proxies = Proxies({"unix"});
  for (const std::string_view address : {"", "unix", "unix:", "unix:/run/x", "/run/x"}) {
    CAPTURE(address);
    CHECK(proxies.Contains(address));
  }
  for (const std::string_view address : {"127.0.0.1", "::1", "unknown", "unixx", "localhost"}) {
    CAPTURE(address);
    CHECK_FALSE(proxies.Contains(address));
  }
}

TEST_CASE("PeerSet: what is no address or network is refused with a sentence") {
  for (const std::string_view text : {"",
                                      "localhost",
                                      "192.0.2",
                                      "192.0.2.256",
                                      "192.0.2.1/",
                                      "192.0.2.1/33",
                                      "192.0.2.0/-1",
                                      "192.0.2.0/ 8",
                                      "192.0.2.0/8x",
                                      "192.0.2.1/24",
                                      "11.0.0.0/7",
                                      "/8",
                                      "2001:db8::/129",
                                      "2001:db8::1/64",
                                      "[2001:db8::1]",
                                      "2001:db8::g",
                                      "unix:",
                                      "Unix",
                                      "*",
                                      "99999999999999999999",
                                      "10.0.0.0/99999999999999999999",
                                      "10.0.0.0/8/8",
                                      "::1%lo"}) {
    CAPTURE(text);
    PeerSet proxies;
    try {
      proxies.Add(text);
      FAIL_CHECK("it was taken");
    } catch (const std::invalid_argument& error) {
      CHECK(std::string_view(error.what()).starts_with("'" + std::string(text)));
    }
    CHECK(proxies.empty());
  }
}

}  // namespace
}  // namespace weft
