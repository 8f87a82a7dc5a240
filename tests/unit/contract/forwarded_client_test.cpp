#include <doctest/doctest.h>

#include <initializer_list>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <weft/http_request.hpp>
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

using std::string_literals::operator""s;

namespace weft {
namespace {

using test::VariableList;

constexpr ForwardedFields kForwarded{.forwarded = true,
                                     .x_forwarded_for = false,
                                     .x_forwarded_proto = false,
                                     .x_forwarded_host = false};

HttpRequestSettings Trusting(std::initializer_list<std::string_view> proxies,
                             const ForwardedFields& fields = {}) {
  HttpRequestSettings settings;
  for (const auto proxy : proxies) {
    settings.trusted_proxies.Add(proxy);
  }
  settings.forwarded_fields = fields;
  return settings;
}

struct Subject {
  Subject(const HttpRequestSettings& with_settings,
          std::initializer_list<VariableList::value_type> variables)
      : settings(with_settings),
        request(test::MakeVariables(VariableList(variables)), exchange, &settings) {}

  test::MemoryExchange exchange;
  HttpRequestSettings settings;
  HttpRequest request;
};

/// What X-Forwarded-For makes of a request by the proxy 10.0.0.1.
void CheckAddress(std::string_view field, std::string_view expected, bool malformed = false) {
  CAPTURE(field);
  const Subject subject(Trusting({"10.0.0.0/8", "2001:db8:1::/48"}),
                        {{"REMOTE_ADDR", "10.0.0.1"}, {"HTTP_X_FORWARDED_FOR", field}});
  CHECK(subject.request.UserHostAddress() == expected);
  CHECK(subject.request.HasMalformedForwardedFields() == malformed);
}

/// The same of Forwarded.
void CheckForwarded(std::string_view field, std::string_view expected, bool malformed = false) {
  CAPTURE(field);
  const Subject subject(Trusting({"10.0.0.0/8", "2001:db8:1::/48"}, kForwarded),
                        {{"REMOTE_ADDR", "10.0.0.1"}, {"HTTP_FORWARDED", field}});
  CHECK(subject.request.UserHostAddress() == expected);
  CHECK(subject.request.HasMalformedForwardedFields() == malformed);
}

TEST_CASE("HttpRequest: nobody's word about the client is taken unless it is trusted") {
  for (const auto& settings :
       {Trusting({}), Trusting({"10.0.0.0/8", "unix"}), Trusting({"10.0.0.0/8"}, kForwarded)}) {
    const Subject subject(settings, {{"REMOTE_ADDR", "203.0.113.7"},
                                     {"HTTP_HOST", "example.org"},
                                     {"HTTP_X_FORWARDED_FOR", "127.0.0.1"},
                                     {"HTTP_X_FORWARDED_PROTO", "https"},
                                     {"HTTP_X_FORWARDED_HOST", "evil.example"},
                                     {"HTTP_FORWARDED", "for=127.0.0.1;proto=https;host=evil"}});
    CHECK(subject.request.UserHostAddress() == "203.0.113.7");
    CHECK_FALSE(subject.request.IsSecureConnection());
    CHECK_FALSE(subject.request.IsLocal());
    CHECK_FALSE(subject.request.HasMalformedForwardedFields());
    CHECK(subject.request.Url() == "http://example.org");
  }
}

TEST_CASE(
    "HttpRequest: the last address of X-Forwarded-For that is no trusted proxy is the client") {
  CheckAddress("203.0.113.7", "203.0.113.7");
  CheckAddress("203.0.113.7, 10.0.0.2", "203.0.113.7");
  CheckAddress("203.0.113.7,10.0.0.2 ,\t10.0.0.3", "203.0.113.7");
  // What the client wrote itself stands before it.
  CheckAddress("127.0.0.1, 203.0.113.7", "203.0.113.7");
  CheckAddress("10.0.0.9, 198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.7");
  CheckAddress("<script>, 203.0.113.7", "203.0.113.7");
  // All of them are trusted: the client is one of ours.
  CheckAddress("10.0.0.3, 10.0.0.2", "10.0.0.3");
  CheckAddress("2001:db8:1::5", "2001:db8:1::5");
}

TEST_CASE(
    "HttpRequest: addresses of X-Forwarded-For may have ports and brackets, and come out in one "
    "form") {
  CheckAddress("203.0.113.7:4711", "203.0.113.7");
  CheckAddress("2001:DB8:0:0::7", "2001:db8::7");
  CheckAddress("[2001:db8::7]", "2001:db8::7");
  CheckAddress("[2001:db8::7]:4711", "2001:db8::7");
  CheckAddress("::ffff:203.0.113.7", "203.0.113.7");
  CheckAddress("[::ffff:203.0.113.7]:1, [2001:db8:1::1]:2", "203.0.113.7");
}

TEST_CASE("HttpRequest: a chain that does not say leaves the proxy's address") {
  CheckAddress("", "10.0.0.1");
  CheckAddress(" , ,", "10.0.0.1");
  CheckAddress("unknown", "10.0.0.1");
  CheckAddress("203.0.113.7, unknown", "10.0.0.1");
  CheckAddress("203.0.113.7, unknown, 10.0.0.2", "10.0.0.1");
  CheckAddress("203.0.113.7, _hidden, 10.0.0.2", "10.0.0.1");
  CheckAddress("203.0.113.7, unix:", "10.0.0.1");
  const Subject none(Trusting({"10.0.0.1"}), {{"REMOTE_ADDR", "10.0.0.1"}});
  CHECK(none.request.UserHostAddress() == "10.0.0.1");
}

TEST_CASE("HttpRequest: a malformed chain leaves the proxy's address, and is told") {
  for (const std::string_view bad : {"evil",
                                     "203.0.113.256",
                                     "203.0.113",
                                     "203.0.113.7:",
                                     "203.0.113.7:x",
                                     "203.0.113.7:123456",
                                     "[203.0.113.7]",
                                     "[2001:db8::7",
                                     "2001:db8::7]",
                                     "2001:db8::g",
                                     "[]",
                                     "[",
                                     "]",
                                     ":",
                                     ":80",
                                     "\"203.0.113.7\"",
                                     "for=203.0.113.7",
                                     "203.0.113.7 198.51.100.1",
                                     "203.0.113.7;",
                                     "2001:db8::1%eth0",
                                     "0x7f000001",
                                     "127.1",
                                     "203.0.113.07",
                                     "_",
                                     "_hi den",
                                     "-",
                                     "[2001:db8::7]:x",
                                     "[2001:db8::7]80"}) {
    CheckAddress(bad, "10.0.0.1", true);
    CheckAddress(std::string(bad) + ", 10.0.0.2", "10.0.0.1", true);
    CheckAddress(std::string("10.0.0.3, ") + std::string(bad) + ", 10.0.0.2", "10.0.0.1", true);
    // Beyond the client nobody looks.
    CheckAddress(std::string(bad) + ", 203.0.113.7, 10.0.0.2", "203.0.113.7");
  }
  CheckAddress(std::string_view("203.0.113.7\0, 10.0.0.2", 22), "10.0.0.1", true);
}

TEST_CASE("HttpRequest: a chain of more proxies than can be is malformed") {
  std::string chain = "203.0.113.7";
  for (int i = 0; i < 63; ++i) {
    chain += ", 10.0.0.2";
  }
  CheckAddress(chain, "203.0.113.7");
  CheckAddress(chain + ", 10.0.0.2", "10.0.0.1", true);
}

TEST_CASE("HttpRequest: fields of one name are one chain, in their order") {
  // HAProxy adds a field of its own beside the one that came, and nginx passes both on.
  const Subject subject(Trusting({"10.0.0.0/8"}), {{"REMOTE_ADDR", "10.0.0.1"},
                                                   {"HTTP_X_FORWARDED_FOR", "127.0.0.1"},
                                                   {"HTTP_X_FORWARDED_PROTO", "http"},
                                                   {"HTTP_X_FORWARDED_FOR", "203.0.113.7"},
                                                   {"HTTP_X_FORWARDED_PROTO", "https"},
                                                   {"SERVER_SOFTWARE", "nginx/1.22.1"}});
  CHECK(subject.request.UserHostAddress() == "203.0.113.7");
  CHECK(subject.request.IsSecureConnection());
}

TEST_CASE(
    "HttpRequest: a second variable of a server that joins fields is another field in disguise") {
  // X_Forwarded_For, say, which HAProxy in front of lighttpd lets pass.
  for (const std::string_view field :
       {"HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"}) {
    CAPTURE(field);
    const bool is_address = field == "HTTP_X_FORWARDED_FOR";
    const Subject subject(Trusting({"10.0.0.1"}), {{"REMOTE_ADDR", "10.0.0.1"},
                                                   {"HTTP_HOST", "own.example"},
                                                   {"SERVER_SOFTWARE", "lighttpd/1.4.69"},
                                                   {field, is_address ? "203.0.113.7" : "http"},
                                                   {field, is_address ? "127.0.0.1" : "https"}});
    CHECK(subject.request.UserHostAddress() == "10.0.0.1");
    CHECK(subject.request.Url() == "http://own.example");
    CHECK(subject.request.HasMalformedForwardedFields());
    CHECK_FALSE(subject.request.IsLocal());
  }
}

TEST_CASE("HttpRequest: the examples of RFC 7239") {
  // Section 4: what nobody in the chain is trusted for, but its last proxy.
  CheckForwarded("for=\"_gazonk\"", "10.0.0.1");
  CheckForwarded("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17");
  CheckForwarded("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60");
  CheckForwarded("for=192.0.2.43, for=198.51.100.17", "198.51.100.17");
  // Section 7.1.
  CheckForwarded("for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown", "10.0.0.1");
  CheckForwarded("for=192.0.2.43, for=\"[2001:db8:cafe::17]\", for=10.0.0.2", "2001:db8:cafe::17");
  CheckForwarded("for=_hidden, for=_SEVKISEK", "10.0.0.1");
  // Section 7.4 and 8.1.
  CheckForwarded("for=192.0.2.43, for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17");
  CheckForwarded("for=192.0.2.43:47011", "10.0.0.1", true);  // a colon has to be quoted
  CheckForwarded("for=\"192.0.2.43:47011\"", "192.0.2.43");
  CheckForwarded("for=\"192.0.2.43:_x\"", "192.0.2.43");
}

TEST_CASE("HttpRequest: Forwarded in every allowed spelling") {
  CheckForwarded("FOR=203.0.113.7", "203.0.113.7");
  CheckForwarded("for=\"203.0.113.\\7\"", "203.0.113.7");
  CheckForwarded(";for=203.0.113.7;;", "203.0.113.7");
  CheckForwarded(",, for=203.0.113.7 ,", "203.0.113.7");
  CheckForwarded("for=203.0.113.7; proto=https ; x=\"a,b;for=127.0.0.1\"", "203.0.113.7");
  CheckForwarded("for=1.1.1.1, proto=https, for=10.0.0.2", "10.0.0.1");
  CheckForwarded("secret=x", "10.0.0.1");
  CheckForwarded("", "10.0.0.1");
}

TEST_CASE("HttpRequest: a malformed Forwarded counts for nothing, and is told") {
  for (const std::string_view bad :
       {"203.0.113.7", "for", "for=", "for=;", "=x", "for =203.0.113.7", "for= 203.0.113.7",
        "for=[2001:db8::7]", "for=\"2001:db8::7\"", "for=\"203.0.113.7", "for=\"\"", "for=\"x",
        "for=203.0.113.7;for=203.0.113.8", "for=203.0.113.7 proto=https", "for=evil",
        "for=203.0.113.7;proto=http;proto=https", "for=\"203.0.113.7\"x",
        "for=203.0.113.7;host=@"}) {
    CAPTURE(bad);
    const Subject subject(
        Trusting({"10.0.0.0/8"}, kForwarded),
        {{"REMOTE_ADDR", "10.0.0.1"}, {"HTTP_HOST", "own.example"}, {"HTTP_FORWARDED", bad}});
    CHECK(subject.request.HasMalformedForwardedFields());
    CHECK_FALSE(subject.request.IsSecureConnection());
    CHECK(subject.request.Url() == "http://own.example");
    CHECK((subject.request.UserHostAddress() == "10.0.0.1"));
  }
  // A client that opens a quotation mark, for the proxy's own element to end up in it.
  CheckForwarded("for=\"127.0.0.1, for=203.0.113.7", "10.0.0.1", true);
}

TEST_CASE("HttpRequest: of a Forwarded element that is read in part the good parts hold") {
  const Subject subject(
      Trusting({"10.0.0.0/8"}, kForwarded),
      {{"REMOTE_ADDR", "10.0.0.1"},
       {"HTTP_HOST", "own.example"},
       {"HTTP_FORWARDED", "for=203.0.113.7;proto=gopher;host=\"a.example:8443\""}});
  CHECK(subject.request.UserHostAddress() == "203.0.113.7");
  CHECK(subject.request.HasMalformedForwardedFields());
  CHECK(subject.request.Url() == "http://a.example:8443");
}

TEST_CASE("HttpRequest: scheme and host of Forwarded are those of the client's element") {
  const Subject subject(Trusting({"10.0.0.0/8"}, kForwarded),
                        {{"REMOTE_ADDR", "10.0.0.1"},
                         {"HTTP_HOST", "inner.example"},
                         {"REQUEST_URI", "/a"},
                         {"HTTP_FORWARDED",
                          "for=127.0.0.1;proto=http;host=evil.example, "
                          "for=203.0.113.7;proto=HTTPS;host=Shop.Example, "
                          "for=10.0.0.2;proto=http;host=inner.example"}});
  CHECK(subject.request.UserHostAddress() == "203.0.113.7");
  CHECK(subject.request.IsSecureConnection());
  CHECK(subject.request.Url() == "https://shop.example/a");
  CHECK_FALSE(subject.request.HasMalformedForwardedFields());
}

TEST_CASE("HttpRequest: X-Forwarded-Proto and -Host go by the client's place in the chain") {
  struct Case {
    std::string_view addresses;
    std::string_view schemes;
    std::string_view hosts;
    std::string_view url;
  };
  for (const auto& [addresses, schemes, hosts, url] : {
           // One value: the nearest proxy set it, or let an outer one's stand.
           Case{"203.0.113.7", "https", "a.example", "https://a.example"},
           Case{"203.0.113.7, 10.0.0.2", "https", "a.example", "https://a.example"},
           // A value for each.
           Case{"203.0.113.7, 10.0.0.2", "https, http", "a.example, b.example",
                "https://a.example"},
           // More values than proxies: the client wrote the first ones.
           Case{"203.0.113.7", "https, http", "evil.example, a.example", "http://a.example"},
           Case{"127.0.0.1, 203.0.113.7", "https,http", "evil.example,a.example",
                "http://a.example"},
           Case{"", "http, https", "evil.example, a.example", "https://a.example"},
           Case{"203.0.113.7", "HTTPS", "A.Example:443", "https://a.example"},
       }) {
    CAPTURE(addresses);
    CAPTURE(schemes);
    const Subject subject(Trusting({"10.0.0.0/8"}), {{"REMOTE_ADDR", "10.0.0.1"},
                                                     {"HTTP_HOST", "own.example"},
                                                     {"HTTP_X_FORWARDED_FOR", addresses},
                                                     {"HTTP_X_FORWARDED_PROTO", schemes},
                                                     {"HTTP_X_FORWARDED_HOST", hosts}});
    CHECK(subject.request.Url() == url);
    CHECK_FALSE(subject.request.HasMalformedForwardedFields());
  }
}

TEST_CASE("HttpRequest: a malformed scheme or host of a proxy counts for nothing, and is told") {
  for (const auto& [field, value] :
       std::vector<VariableList::value_type>{{"HTTP_X_FORWARDED_PROTO", "gopher"},
                                             {"HTTP_X_FORWARDED_PROTO", "https;"},
                                             {"HTTP_X_FORWARDED_PROTO", "https,"},
                                             {"HTTP_X_FORWARDED_HOST", "a b"},
                                             {"HTTP_X_FORWARDED_HOST", "user@a.example"},
                                             {"HTTP_X_FORWARDED_HOST", "a.example/path"},
                                             {"HTTP_X_FORWARDED_HOST", "\"><script>"},
                                             {"HTTP_X_FORWARDED_HOST", ":80"}}) {
    CAPTURE(value);
    const Subject subject(Trusting({"10.0.0.0/8"}), {{"REMOTE_ADDR", "10.0.0.1"},
                                                     {"HTTP_HOST", "own.example"},
                                                     {"HTTP_X_FORWARDED_FOR", "203.0.113.7"},
                                                     {field, value}});
    CHECK(subject.request.Url() == "http://own.example");
    CHECK(subject.request.UserHostAddress() == "203.0.113.7");
    CHECK(subject.request.HasMalformedForwardedFields());
  }
}

TEST_CASE("HttpRequest: fields that are not believed are not read") {
  const VariableList::value_type address{"HTTP_X_FORWARDED_FOR", "203.0.113.7"};
  const VariableList::value_type scheme{"HTTP_X_FORWARDED_PROTO", "https"};
  const VariableList::value_type host{"HTTP_X_FORWARDED_HOST", "evil.example"};
  const VariableList::value_type all{"HTTP_FORWARDED",
                                     "for=198.51.100.1;proto=https;host=b.example"};
  const auto check = [&](const ForwardedFields& fields, std::string_view client,
                         std::string_view url) {
    const Subject subject(
        Trusting({"10.0.0.1"}, fields),
        {{"REMOTE_ADDR", "10.0.0.1"}, {"HTTP_HOST", "own.example"}, address, scheme, host, all});
    CHECK(subject.request.UserHostAddress() == client);
    CHECK(subject.request.Url() == url);
  };
  check({}, "203.0.113.7", "https://evil.example");
  check(kForwarded, "198.51.100.1", "https://b.example");
  check({.x_forwarded_proto = false, .x_forwarded_host = false}, "203.0.113.7",
        "http://own.example");
  check({.x_forwarded_for = false, .x_forwarded_host = false}, "10.0.0.1", "https://own.example");
}

TEST_CASE("HttpRequest: a peer without an address may be trusted, also inside a chain") {
  for (const std::string_view peer : {"", "unix:", "/run/haproxy.sock"}) {
    CAPTURE(peer);
    const Subject subject(
        Trusting({"unix"}),
        {{"REMOTE_ADDR", peer}, {"HTTP_X_FORWARDED_FOR", "127.0.0.1, 203.0.113.7, unix:"}});
    CHECK(subject.request.UserHostAddress() == "203.0.113.7");
  }
  const Subject without(Trusting({"unix"}), {{"HTTP_X_FORWARDED_FOR", "203.0.113.7"}});
  CHECK(without.request.UserHostAddress() == "203.0.113.7");
  const Subject not_trusted(Trusting({"10.0.0.1"}),
                            {{"REMOTE_ADDR", "unix:"}, {"HTTP_X_FORWARDED_FOR", "203.0.113.7"}});
  CHECK(not_trusted.request.UserHostAddress() == "unix:");
}

TEST_CASE("HttpRequest: who is local is decided by the client's address, where a proxy tells it") {
  const auto is_local = [](std::string_view peer, std::string_view field) {
    return Subject(Trusting({"127.0.0.1", "10.0.0.1"}), {{"REMOTE_ADDR", peer},
                                                         {"SERVER_ADDR", "192.0.2.2"},
                                                         {"HTTP_X_FORWARDED_FOR", field}})
        .request.IsLocal();
  };
  CHECK_FALSE(is_local("127.0.0.1", "203.0.113.7"));
  CHECK(is_local("127.0.0.1", "127.0.0.1"));
  CHECK(is_local("10.0.0.1", "::1"));
  CHECK(is_local("10.0.0.1", "192.0.2.2"));
  CHECK_FALSE(is_local("127.0.0.1", "127.0.0.1, 203.0.113.7"));
  // It does not say where from.
  CHECK_FALSE(is_local("127.0.0.1", "unknown"));
  CHECK_FALSE(is_local("127.0.0.1", "evil"));
  CHECK_FALSE(is_local("127.0.0.1", ""));
}

TEST_CASE("HttpRequest: REMOTE_HOST is the proxy's name, not the client's") {
  const Subject subject(Trusting({"10.0.0.1"}), {{"REMOTE_ADDR", "10.0.0.1"},
                                                 {"REMOTE_HOST", "proxy.example"},
                                                 {"HTTP_X_FORWARDED_FOR", "203.0.113.7"}});
  CHECK(subject.request.UserHostName() == "203.0.113.7");
}

TEST_CASE("HttpRequest: whatever a client writes first, what its proxy appends decides") {
  std::mt19937 random(7239);
  const std::string alphabet = "0127.:[]_,;=\"\\ \tfor-ux/10.0.0.2\0\xff"s;
  for (int round = 0; round < 20'000; ++round) {
    std::string written(random() % 40, '\0');
    for (char& c : written) {
      c = alphabet[random() % alphabet.size()];
    }
    CAPTURE(written);
    CheckAddress(written + ", 203.0.113.7", "203.0.113.7");
    const std::string appended = written + ", for=203.0.113.7";
    const Subject subject(Trusting({"10.0.0.0/8"}, kForwarded),
                          {{"REMOTE_ADDR", "10.0.0.1"}, {"HTTP_FORWARDED", appended}});
    const auto address = subject.request.UserHostAddress();
    if (subject.request.HasMalformedForwardedFields()) {
      CHECK(address == "10.0.0.1");
    } else {
      CHECK(address == "203.0.113.7");
    }
  }
}

}  // namespace
}  // namespace weft
