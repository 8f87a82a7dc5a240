#include "host/options/access_format.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "host/options/values.hpp"

namespace weft::host::options {
namespace {

/// What is wrong with a format.
std::string Refusal(std::string_view text) {
  try {
    static_cast<void>(ParseAccessFormat(text));
  } catch (const BadValue& bad) {
    return bad.what();
  }
  return "nothing";
}

TEST_CASE("AccessFormat: the names") {
  CHECK(ParseAccessFormat("text").style == AccessFormat::Style::kText);
  CHECK(ParseAccessFormat("json").style == AccessFormat::Style::kJson);
  CHECK(ParseAccessFormat("common").parts.size() == 13);
  CHECK(ParseAccessFormat("combined").style == AccessFormat::Style::kParts);
  CHECK(Refusal("jsn") == "'jsn' is no format: did you mean 'json'?");
  CHECK(Refusal("nothing") ==
        "'nothing' is no format: give text, json, common, combined, or placeholders like %h");
}

TEST_CASE("AccessFormat: literals, escapes and %% make one part") {
  const auto format = ParseAccessFormat(R"(a \"%%\t\\ %h)");
  REQUIRE(format.parts.size() == 2);
  CHECK(format.parts[0].argument == "a \"%\t\\ ");
  CHECK(format.parts[1].item == AccessItem::kRemoteHost);
}

TEST_CASE("AccessFormat: what both have is of the one that the format is of") {
  CHECK(ParseAccessFormat("%l").parts[0].item == AccessItem::kRemoteLogname);
  CHECK(ParseAccessFormat("fpm:%l").parts[0].item == AccessItem::kContentLength);
  CHECK(ParseAccessFormat("%p").parts[0].item == AccessItem::kServerPort);
  CHECK(ParseAccessFormat("fpm:%p").parts[0].item == AccessItem::kProcess);
  CHECK(ParseAccessFormat("%P").parts[0].item == AccessItem::kProcess);
  CHECK(ParseAccessFormat("fpm:%P").parts[0].item == AccessItem::kParentProcess);
  CHECK(ParseAccessFormat("%r").parts[0].item == AccessItem::kRequestLine);
  CHECK(ParseAccessFormat("fpm:%r").parts[0].item == AccessItem::kUrlPath);
  CHECK(ParseAccessFormat("%R").parts[0].item == AccessItem::kHandler);
  CHECK(ParseAccessFormat("fpm:%R").parts[0].item == AccessItem::kRemoteHost);
  CHECK(ParseAccessFormat("%q").parts[0].item == AccessItem::kQueryWithMark);
  CHECK(ParseAccessFormat("fpm:%q").parts[0].item == AccessItem::kQuery);
  CHECK(ParseAccessFormat("apache:%T").parts[0].item == AccessItem::kDuration);
  CHECK(ParseAccessFormat("fpm:%T").parts[0].item == AccessItem::kTime);
  CHECK(ParseAccessFormat("%{request_id}w").parts[0].item == AccessItem::kRequestId);
  CHECK(ParseAccessFormat("fpm:%{request_id}w").parts[0].item == AccessItem::kRequestId);
}

TEST_CASE("AccessFormat: names become variables once, and statuses are kept") {
  CHECK(ParseAccessFormat("%{User-Agent}i").parts[0].argument == "HTTP_USER_AGENT");
  CHECK(ParseAccessFormat("%{content-type}i").parts[0].argument == "CONTENT_TYPE");
  const auto part = ParseAccessFormat("%!200,304{Referer}i").parts[0];
  CHECK(part.but_these);
  CHECK(part.statuses == std::vector<int>{200, 304});
  CHECK(ParseAccessFormat("%>s").parts[0].statuses.empty());
}

TEST_CASE("AccessFormat: what is wrong is named, with its place and what it may have been") {
  CHECK(Refusal("%h %Z") ==
        "'%Z' at character 4 of the format is not known: there are %a %A %b %B %C %D %e %f %h %H "
        "%i %I %k %l %L %m "
        "%o %O %p %P %q %r %R %s %t %T %u %U %v %V %X, %{NAME}w and %%");
  CHECK(Refusal("%h %M") == "'%M' at character 4 of the format is not known: did you mean %m?");
  CHECK(Refusal("%h %d") ==
        "'%d' at character 4 of the format is not Apache's but php-fpm's: begin the format with "
        "fpm:, and use its alone");
  CHECK(Refusal("fpm:%R %h")
            .starts_with("'%h' at character 8 of the format is not php-fpm's but Apache's"));
  CHECK(Refusal("fpm:%C").find("cannot be told") != std::string::npos);
  CHECK(Refusal("%{requestid}w") ==
        "'%{requestid}w' at character 1 of the format is not known: did you mean %{request_id}w?");
  CHECK(Refusal("%{x}w").find("there are \"request_id\", ") != std::string::npos);
  CHECK(Refusal("%i") == "'%i' at character 1 of the format lacks a name: write it like %{Name}i");
  CHECK(Refusal("%{x}h").find("takes nothing in braces") != std::string::npos);
  CHECK(Refusal("%{min}T").find("give s, ms or us") != std::string::npos);
  CHECK(Refusal("%{x") == "'%{x' at character 1 of the format has no closing brace");
  CHECK(Refusal("%h %") ==
        "'%' at character 4 of the format ends the format: write %% for a percent sign");
  CHECK(Refusal("%h\\n%s").find("each record is one line") != std::string::npos);
  CHECK(Refusal("%h\n%s").find("a record is one line") != std::string::npos);
  CHECK(Refusal("%{%H%n}t").find("each record is one line") != std::string::npos);
}

}  // namespace
}  // namespace weft::host::options
