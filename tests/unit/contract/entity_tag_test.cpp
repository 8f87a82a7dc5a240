#include <weft/entity_tag.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace weft {
namespace {

TEST_CASE("EntityTag: it is written as a field has it, and read again") {
  CHECK(EntityTag("xyzzy").ToHeaderValue() == "\"xyzzy\"");
  CHECK(EntityTag::Weak("xyzzy").ToHeaderValue() == "W/\"xyzzy\"");
  CHECK(EntityTag("").ToHeaderValue() == "\"\"");
  for (const auto& tag : {EntityTag("a"), EntityTag::Weak("a"), EntityTag(""), EntityTag("W/"),
                          EntityTag("a,b"), EntityTag("back\\slash"), EntityTag("\xc3\xa9\xff")}) {
    CAPTURE(tag.ToHeaderValue());
    CHECK(EntityTag::Parse(tag.ToHeaderValue()) == tag);
  }
}

TEST_CASE("EntityTag: what is none is not read") {
  for (const std::string_view text :
       {"", "a", "\"a", "a\"", "W/", "W/a", "w/\"a\"", "W \"a\"", "\"a\" ", " \"a\"", "\"a\"b\"",
        "\"a b\"", "\"a\tb\"", "\"a\x7f\"", "*", "\"a\",\"b\"", "'a'", "W/W/\"a\"", "\""}) {
    CAPTURE(text);
    CHECK_FALSE(EntityTag::Parse(text).has_value());
  }
  CHECK_FALSE(EntityTag::Parse(std::string_view("\"a\0\"", 4)).has_value());
}

TEST_CASE("EntityTag: a text that cannot stand in one is refused, with what to do") {
  for (const std::string text : {"\"quoted\"", "a b", "a\r\n", "a\x7f", "W/\"a\""}) {
    CAPTURE(text);
    CHECK_THROWS_AS(EntityTag{text}, std::invalid_argument);
    CHECK_THROWS_WITH_AS(static_cast<void>(EntityTag::Weak(text)),
                         doctest::Contains("without quotation marks"), std::invalid_argument);
  }
}

TEST_CASE("EntityTag: the table of RFC 9110, section 8.8.3.2") {
  const auto weak1 = EntityTag::Weak("1");
  const auto weak2 = EntityTag::Weak("2");
  const EntityTag strong1("1");
  CHECK_FALSE(weak1.StronglyEquals(weak1));
  CHECK(weak1.WeaklyEquals(weak1));
  CHECK_FALSE(weak1.StronglyEquals(weak2));
  CHECK_FALSE(weak1.WeaklyEquals(weak2));
  CHECK_FALSE(weak1.StronglyEquals(strong1));
  CHECK(weak1.WeaklyEquals(strong1));
  CHECK(strong1.StronglyEquals(strong1));
  CHECK(strong1.WeaklyEquals(strong1));
}

}  // namespace
}  // namespace weft
