#include "mappings/host_name.hpp"

#include <doctest/doctest.h>

using weft::mappings::HostName;
using weft::mappings::IsHostName;

TEST_CASE("HostName: port and final dot are no part of it") {
  CHECK(HostName("example.org") == "example.org");
  CHECK(HostName("Example.org:8080") == "Example.org");
  CHECK(HostName("example.org:") == "example.org");
  CHECK(HostName("example.org.") == "example.org");
  CHECK(HostName("example.org.:443") == "example.org");
  CHECK(HostName("") == "");
  CHECK(HostName(":80") == "");
}

TEST_CASE("HostName: an IPv6 address keeps its brackets and its colons") {
  CHECK(HostName("[::1]") == "[::1]");
  CHECK(HostName("[::1]:8080") == "[::1]");
  CHECK(HostName("::1") == "::1");
  CHECK(HostName("fe80::1:80") == "fe80::1:80");
}

TEST_CASE("HostName: what is no host name comes back as it is") {
  CHECK(HostName("../etc") == "../etc");
  CHECK(HostName("a:b") == "a:b");
  CHECK(HostName(".") == ".");
}

TEST_CASE("HostName: which names a request can give") {
  CHECK(IsHostName("example.org"));
  CHECK(IsHostName("xn--caf-dma.example"));
  CHECK(IsHostName("my_host"));
  CHECK(IsHostName("[2001:db8::1]"));
  CHECK_FALSE(IsHostName(""));
  CHECK_FALSE(IsHostName("a b"));
  CHECK_FALSE(IsHostName("*.example.org"));
  CHECK_FALSE(IsHostName("[::1"));
  CHECK_FALSE(IsHostName("[]"));
  CHECK_FALSE(IsHostName("a:80"));
}
