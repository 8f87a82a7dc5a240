// What clients may send, and what handlers may be given to encode, made at random, from the same seeds each time: what
// holds for every text.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/http_context.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_utility.hpp>
#include <weft/quality_list.hpp>
#include "tests/support/memory_exchange.hpp"
#include "tests/support/server_variables.hpp"

namespace weft {
namespace {

constexpr int kTexts = 2000;

/// Texts of the pieces that the parsers look for, with bytes between.
class Texts {
 public:
  std::string Next() {
    using namespace std::string_view_literals;
    static constexpr std::array kPieces = {"&"sv,
                                           "="sv,
                                           "%"sv,
                                           "%4"sv,
                                           "%41"sv,
                                           "%00"sv,
                                           "%ff"sv,
                                           "+"sv,
                                           ";"sv,
                                           ","sv,
                                           "\""sv,
                                           "\\"sv,
                                           "q="sv,
                                           ";q=0.5"sv,
                                           "a/b"sv,
                                           "*"sv,
                                           "en-US"sv,
                                           "for="sv,
                                           "proto="sv,
                                           "host="sv,
                                           "_a"sv,
                                           "unknown"sv,
                                           "[2001:db8::1]"sv,
                                           "127.0.0.1:80"sv,
                                           "unix:"sv,
                                           "/"sv,
                                           ".."sv,
                                           "."sv,
                                           "?"sv,
                                           "#"sv,
                                           ":"sv,
                                           "@"sv,
                                           "http://"sv,
                                           "\0"sv,
                                           "\r\n"sv,
                                           "\t"sv,
                                           " "sv,
                                           "&amp;"sv,
                                           "&#"sv,
                                           "&#x"sv,
                                           "&lt;"sv,
                                           "<"sv,
                                           ">"sv,
                                           "'"sv,
                                           "\xc3\xa9"sv,
                                           "\xff"sv,
                                           "\xed\xa0\x80"sv,
                                           "\xf0\x9f\x98\x80"sv,
                                           "\xe2\x80\xa8"sv,
                                           "</script>"sv,
                                           "0"sv,
                                           "A"sv,
                                           "-"sv,
                                           "`"sv};
    std::string text;
    const auto pieces = Below(Below(8) == 0 ? 60 : 12);
    for (std::size_t i = 0; i < pieces; ++i) {
      if (Below(4) == 0) {
        text += static_cast<char>(Below(256));
      } else {
        text += kPieces[Below(kPieces.size())];
      }
    }
    return text;
  }
  std::size_t Below(std::size_t bound) { return random_() % bound; }

 private:
  std::mt19937_64 random_{4711};
};

/// No piece is U+FFFD, which stands for what is no UTF-8.
bool IsUtf8(std::string_view text) {
  return HttpUtility::HtmlAttributeEncode(text).find("\xef\xbf\xbd") == std::string::npos;
}

bool HasAnyOf(std::string_view text, std::string_view characters) {
  return text.find_first_of(characters) != std::string_view::npos;
}

/// What `function` throws as HttpException is 400.
template <typename F>
void Asks(F&& function) {
  try {
    function();
  } catch (const HttpException& error) {
    CHECK(error.StatusCode() == 400);
    CHECK_FALSE(error.Cause().empty());
  }
}

TEST_CASE("HttpUtility: what is encoded is decoded to the same text, and stays in its place") {
  using U = HttpUtility;
  Texts texts;
  for (int i = 0; i < kTexts; ++i) {
    const auto text = texts.Next();
    CAPTURE(text);
    CHECK(U::UrlDecode(U::UrlEncode(text)) == text);
    CHECK(U::UnescapeDataString(U::EscapeDataString(text)) == text);
    CHECK(U::UrlTokenDecode(U::UrlTokenEncode(text)) == text);
    if (const auto bytes = U::UrlTokenDecode(text)) {
      CHECK(U::UrlTokenEncode(*bytes) == text);
    }
    const auto html = U::HtmlEncode(text);
    const auto attribute = U::HtmlAttributeEncode(text);
    const auto script = U::JavaScriptStringEncode(text);
    const auto path = U::UrlPathEncode(text);
    if (IsUtf8(text)) {
      CHECK(U::HtmlDecode(html) == text);
      CHECK(U::HtmlDecode(attribute) == text);
    }
    CHECK_FALSE(HasAnyOf(html, "<>\"'"));
    CHECK_FALSE(HasAnyOf(attribute, "<\"'"));
    CHECK_FALSE(HasAnyOf(script, std::string_view("<>'&\n\r\t\b\f\0", 10)));
    CHECK(script.find("\xe2\x80\xa8") == std::string::npos);
    for (std::size_t at = 0; at < script.size(); ++at) {
      CHECK(script[at] != '"');
      at += script[at] == '\\' ? 1 : 0;
      CHECK(at < script.size());
    }
    CHECK(U::UrlPathEncode(path) == path);
    CHECK(std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c <= '~'; }));
    CHECK_FALSE(HasAnyOf(path, "\"<>\\^`{|}"));
  }
}

TEST_CASE("HttpRequest: no text of a client breaks what is made of it") {
  Texts texts;
  HttpRequestSettings settings;
  settings.trusted_proxies.Add("10.0.0.0/8");
  settings.trusted_proxies.Add("unix");
  for (int i = 0; i < kTexts; ++i) {
    std::vector<std::pair<std::string, std::string>> variables = {
        {"DOCUMENT_ROOT", "/srv/www"},
        {"REMOTE_ADDR", texts.Below(2) == 0 ? "10.1.2.3" : texts.Next()}};
    for (const auto* name : {"HTTP_HOST",
                             "REQUEST_URI",
                             "SCRIPT_NAME",
                             "PATH_INFO",
                             "QUERY_STRING",
                             "HTTP_REFERER",
                             "HTTP_X_FORWARDED_FOR",
                             "HTTP_X_FORWARDED_PROTO",
                             "HTTP_X_FORWARDED_HOST",
                             "HTTP_FORWARDED",
                             "HTTP_ACCEPT",
                             "HTTP_ACCEPT_LANGUAGE",
                             "HTTP_COOKIE",
                             "CONTENT_TYPE",
                             "CONTENT_LENGTH",
                             "SERVER_NAME",
                             "SERVER_PORT",
                             "HTTPS",
                             "HTTP_X_REQUEST_ID",
                             "HTTP_TRACEPARENT"}) {
      if (texts.Below(2) == 0) {
        variables.emplace_back(name, texts.Next());
      }
    }
    settings.forwarded_fields.forwarded = texts.Below(2) == 0;
    CAPTURE(i);
    test::MemoryExchange exchange;
    HttpContext context(test::MakeVariables(test::VariableList(variables.begin(), variables.end())),
                        exchange, {}, 100, &settings);
    auto& request = context.Request();
    Asks([&] {
      const auto& url = request.Url();
      CHECK((url.empty() || url.starts_with("http://") || url.starts_with("https://")));
      CHECK(HttpUtility::UrlPathEncode(url) == url);
    });
    const auto id = context.RequestId();
    CHECK((!id.empty() && id.size() <= 128));
    CHECK_FALSE(HasAnyOf(id, std::string_view(" \"\n\0", 4)));
    CHECK((request.UrlReferrer().empty() || !HasAnyOf(request.UrlReferrer(), " \"<>\r\n")));
    for (const auto* list : {&request.AcceptTypes(), &request.UserLanguages()}) {
      CHECK(std::is_sorted(list->begin(), list->end(),
                           [](const auto& a, const auto& b) { return a.quality > b.quality; }));
    }
    static_cast<void>(request.UserHostAddress());
    static_cast<void>(request.IsLocal());
    static_cast<void>(request.IsSecureConnection());
    static_cast<void>(request.ContentEncoding());
    static_cast<void>(request.ContentLength());
    static_cast<void>(request.Headers());
    static_cast<void>(request.AppRelativeCurrentExecutionFilePath());
    Asks([&] { static_cast<void>(request.Cookies()); });
    Asks([&] { static_cast<void>(request.QueryString()); });
    const auto path = texts.Next();
    CAPTURE(path);
    Asks([&] {
      const auto file = request.MapPath("/" + path);
      CHECK(file.starts_with("/srv/www/"));
      CHECK((file + "/").find("/../") == std::string::npos);
    });
    try {
      context.RewritePath("/" + path, {}, request.QueryStringText());
      CHECK(request.Path() == "/" + path);
    } catch (const std::invalid_argument&) {
      CHECK(request.Path() != "/" + path);
    }
  }
}

}  // namespace
}  // namespace weft
