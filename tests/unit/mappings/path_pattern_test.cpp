#include "mappings/path_pattern.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using weft::mappings::CandidatePath;
using weft::mappings::PathPattern;
using namespace std::string_literals;

namespace {

bool Matches(std::string_view pattern, std::string_view path) {
  return PathPattern(pattern).Matches(CandidatePath(path));
}

}  // namespace

TEST_CASE("PathPattern: *.ashx matches in every folder, whatever the letter case") {
  CHECK(Matches("*.ashx", "/app/a.ashx"));
  CHECK(Matches("*.ashx", "/app/x/y/a.ASHX"));
  CHECK(Matches("*.ASHX", "/a.ashx"));
  CHECK(Matches("*.ashx", "/.ashx"));
  CHECK(Matches("*.ashx", "/a.b.ashx"));
  CHECK_FALSE(Matches("*.ashx", "/app/a.ashx/extra"));
  CHECK_FALSE(Matches("*.ashx", "/app/a.ashxx"));
  CHECK_FALSE(Matches("*.ashx", "/app/ashx"));
}

TEST_CASE("PathPattern: a name matches the last segment alone, in any folder") {
  CHECK(Matches("a.ashx", "/a.ashx"));
  CHECK(Matches("a.ashx", "/app/sub/A.ashx"));
  CHECK_FALSE(Matches("a.ashx", "/app/ba.ashx"));
  CHECK_FALSE(Matches("a.ashx", "/a.ashx/b"));
}

TEST_CASE("PathPattern: sub/*.ashx fits the last two segments of any path") {
  CHECK(Matches("sub/*.ashx", "/app/sub/q.ashx"));
  CHECK(Matches("sub/*.ashx", "/app/deep/sub/q.ashx"));
  CHECK_FALSE(Matches("sub/*.ashx", "/app/sub/x/q.ashx"));
  CHECK_FALSE(Matches("sub/*.ashx", "/app/sup/q.ashx"));
}

TEST_CASE("PathPattern: a leading slash stands for the path's start only") {
  CHECK(Matches("/app/a.ashx", "/app/a.ashx"));
  CHECK_FALSE(Matches("/app/a.ashx", "/other/app/a.ashx"));
  CHECK(Matches("/app/*.ashx", "/app/a.ashx"));
  CHECK_FALSE(Matches("/app/*.ashx", "/other/app/a.ashx"));
  CHECK_FALSE(Matches("/status", "/x/status"));
}

TEST_CASE("PathPattern: a bare star matches every path") {
  for (const std::string_view path : {"/", "/dir/", "/a", "/a/b.c"}) {
    CHECK(Matches("*", path));
    CHECK(Matches("*.zzz,*", path));
    CHECK_FALSE(PathPattern("*").MatchesSpecifically(CandidatePath(path)));
  }
}

TEST_CASE("PathPattern: commas separate alternatives, and blanks are part of them") {
  CHECK(Matches("*.a,*.b", "/x.a"));
  CHECK(Matches("*.a,*.b", "/x.b"));
  CHECK_FALSE(Matches("*.a,*.b", "/x.c"));
  CHECK_FALSE(Matches("*.a, *.b", "/x.b"));
  CHECK(Matches("*.a, *.b", "/ x.b"));
  CHECK_FALSE(Matches("*.a;*.b", "/x.a"));
}

TEST_CASE("PathPattern: an empty alternative matches paths that end in a slash") {
  CHECK(Matches("*.a,", "/x.a"));
  CHECK(Matches("*.a,", "/dir/"));
  CHECK(Matches("*.a,", "/"));
  CHECK_FALSE(Matches("*.a,", "/dir"));
}

TEST_CASE("PathPattern: a double star crosses slashes") {
  CHECK(Matches("/api/**", "/api/v1/orders"));
  CHECK(Matches("/api/**", "/api/"));
  CHECK_FALSE(Matches("/api/**", "/x/api/v1"));
  CHECK(Matches("api/**", "/x/api/v1/orders"));
  CHECK(Matches("**.ashx", "/a/b.ashx"));
  CHECK(Matches("**", "/a/b/"));
  CHECK(PathPattern("**").MatchesSpecifically(CandidatePath("/a/b")));
}

TEST_CASE("PathPattern: ~/ stands for the application's root") {
  CHECK(Matches("~/x/*.ashx", "/x/a.ashx"));
  CHECK_FALSE(Matches("~/x/*.ashx", "/y/x/a.ashx"));
  CHECK(Matches("~/status", "/status"));
  CHECK_FALSE(Matches("~/status", "/a/status"));
  CHECK(Matches("~/", "/"));
  CHECK_FALSE(Matches("~/", "/a/"));
  CHECK(Matches("~/**", "/a/b"));
  CHECK(Matches("~joe", "/home/~joe"));
  CHECK(Matches("a/~/b", "/a/~/b"));
}

TEST_CASE("PathPattern: a leading star reaches over a segment boundary in what follows it") {
  CHECK(Matches("*x/b.ashx", "/a/yx/b.ashx"));
  CHECK_FALSE(Matches("*x/b.ashx", "/a/y/b.ashx"));
  CHECK(Matches("*/foo", "/foo"));
  CHECK(Matches("*/foo", "/a/b/foo"));
  CHECK_FALSE(Matches("*/foo", "/a/bfoo"));
}

TEST_CASE("PathPattern: extensions of any length and form") {
  CHECK(Matches("*.12345678", "/a.12345678"));
  CHECK(Matches("*.123456789", "/a.123456789"));
  CHECK_FALSE(Matches("*.123456789", "/a.12345678"));
  CHECK_FALSE(Matches("*.12345678", "/a.123456789"));
  CHECK(Matches("*.dll.config", "/x.DLL.config"));
  CHECK_FALSE(Matches("*.dll.config", "/x.config"));
  CHECK(Matches("*.", "/a."));
  CHECK_FALSE(Matches("*.", "/a"));
  CHECK(Matches("*.so.*", "/libx.so.1.2"));
  CHECK_FALSE(Matches("*.so.*", "/libx.so"));
  CHECK(Matches("*.t?t", "/a.txt"));
  CHECK(Matches("*.c\u00e4", "/a.c\u00e4"));
}

TEST_CASE("PathPattern: what has no wildcards inside is told as the ends of paths") {
  using Texts = std::vector<std::string>;
  CHECK(PathPattern("*.aShx").Tails() == Texts{".ashx"});
  CHECK(PathPattern("a.X").Tails() == Texts{"/a.x"});
  CHECK(PathPattern("sub/a").Tails() == Texts{"/sub/a"});
  CHECK(PathPattern("/a.x").Tails() == Texts{"\0/a.x"s});
  CHECK(PathPattern("~/a").Tails() == Texts{"\0/a"s});
  CHECK(PathPattern("*/a,*-b,*.dll.config,*.123456789").Tails() ==
        Texts{"/a", "-b", ".dll.config", ".123456789"});
  CHECK(PathPattern("*.a,").Tails() == Texts{".a", "/"});
  CHECK(PathPattern("**").Tails() == Texts{""});
  CHECK(PathPattern("*,a*,/b?").Tails().empty());
  CHECK(PathPattern("*,a*,/b?,*.c").Globs().size() == 2);
  CHECK(PathPattern("*,a").MatchesEverything());
  CHECK_FALSE(PathPattern("**,a").MatchesEverything());
}

TEST_CASE("PathPattern: a hostile path of a megabyte is read a bounded number of times") {
  const std::string letters = "/" + std::string(1 << 20, 'a');
  CHECK_FALSE(Matches("*a*a*a*a*a*a*b,**a*a**a*b", letters));
}
