#include "mappings/resolution_cache.hpp"

#include <doctest/doctest.h>

#include <string>

#include "mappings/mapping_table.hpp"
#include "tests/unit/mappings/support.hpp"

using weft::mappings::IResources;
using weft::mappings::Resolution;
using weft::mappings::ResolutionCache;
using weft::mappings::Resource;
using weft::mappings::testing::TemporaryTree;

namespace {

// Asks for a path as a table does; true when it is known.
bool Ask(ResolutionCache& cache, const std::string& path) {
  cache.SetRequest(0, "GET", path, "");
  if (cache.Find() != nullptr) {
    return true;
  }
  cache.Offer({});
  return false;
}

// Seventeen patterns with a wildcard inside: as many as make a table use its cache.
std::string ManyGlobs(std::string_view attributes = "") {
  std::string text = "{\"httpHandlers\": [{\"clear\": {}}";
  for (int i = 0; i < 17; ++i) {
    text += ", {\"add\": {\"verb\": \"GET\", \"path\": \"/a" + std::to_string(i) +
            "/*/x\", \"type\": \"T\"" + std::string(attributes) + "}}";
  }
  return text + "]}";
}

/// A disk on which everything is a file, or nothing is.
class OneKind final : public IResources {
 public:
  Resource At(std::string_view /*file_path*/) override {
    ++asked;
    return kind;
  }
  Resource kind = Resource::kFile;
  int asked = 0;
};

}  // namespace

TEST_CASE("ResolutionCache: a request is known from its third time on") {
  ResolutionCache cache(64);
  CHECK_FALSE(Ask(cache, "/a"));
  CHECK_FALSE(Ask(cache, "/a"));
  CHECK(Ask(cache, "/a"));
  CHECK(Ask(cache, "/a"));
}

TEST_CASE("ResolutionCache: requests that differ in anything are different requests") {
  ResolutionCache cache(64);
  const auto ask = [&cache](std::size_t site, std::string_view verb, std::string_view script,
                            std::string_view info) {
    cache.SetRequest(site, verb, script, info);
    const bool known = cache.Find() != nullptr;
    cache.Offer({});
    cache.Offer({});
    return known;
  };
  CHECK_FALSE(ask(1, "GET", "/a", "/b"));
  CHECK_FALSE(ask(2, "GET", "/a", "/b"));
  CHECK_FALSE(ask(1, "PUT", "/a", "/b"));
  CHECK_FALSE(ask(1, "GET", "/a/b", ""));
  CHECK_FALSE(ask(1, "GET", "", "/a/b"));
  CHECK_FALSE(ask(1, "GET", "/A", "/b"));
  CHECK(ask(1, "GET", "/a", "/b"));
}

TEST_CASE("ResolutionCache: what is asked once, however much of it, displaces nothing") {
  ResolutionCache cache(256);
  const auto known = [&cache] {
    int count = 0;
    for (int i = 0; i < 100; ++i) {
      count += Ask(cache, "/page/" + std::to_string(i)) ? 1 : 0;
    }
    return count;
  };
  known();
  known();
  const int before = known();
  CHECK(before > 90);  // some sets are fuller than they have ways
  for (int i = 0; i < 100'000; ++i) {
    CHECK_FALSE(Ask(cache, "/scan/" + std::to_string(i)));
  }
  CHECK(known() >= before);
}

TEST_CASE("ResolutionCache: a long request is not kept") {
  ResolutionCache cache(64);
  const std::string path(ResolutionCache::kMaxKeyBytes, 'a');
  for (int i = 0; i < 5; ++i) {
    CHECK_FALSE(Ask(cache, path));
  }
}

TEST_CASE("MappingTable: a cached answer is the answer, allow and split included") {
  const TemporaryTree tree({{"machine.json", ManyGlobs()}});
  const auto table = tree.Load().table;
  REQUIRE(table);
  ResolutionCache cache;
  for (int times = 0; times < 4; ++times) {
    const auto found = table->Resolve("h", "GET", "/a3/b/x/tail", "", nullptr, &cache);
    CHECK(found.file_path == "/a3/b/x");
    CHECK(found.path_info == "/tail");
    CHECK(found.entry != nullptr);
    CHECK(found.specific);
    CHECK(found.settings != nullptr);
    const auto refused = table->Resolve("h", "PUT", "/a3/b/x", "", nullptr, &cache);
    CHECK(refused.outcome == Resolution::Outcome::kMethodNotAllowed);
    CHECK(refused.cause == "method_not_mapped");
    CHECK(refused.allow == "GET");
    const auto joined = table->Resolve("h", "GET", "/a3", "/b/x/t", nullptr, &cache);
    CHECK(joined.file_path == "/a3/b/x");
    CHECK(joined.path_info == "/t");
  }
}

TEST_CASE("MappingTable: an answer that depends on the disk is not kept") {
  const TemporaryTree tree({{"machine.json", ManyGlobs(", \"resourceType\": \"file\"")}});
  const auto table = tree.Load().table;
  REQUIRE(table);
  ResolutionCache cache;
  OneKind disk;
  for (int times = 1; times < 5; ++times) {
    CHECK(table->Resolve("h", "GET", "/a3/b/x", "", &disk, &cache).entry != nullptr);
    CHECK(disk.asked == times);
  }
  disk.kind = Resource::kNone;
  CHECK(table->Resolve("h", "GET", "/a3/b/x", "", &disk, &cache).entry == nullptr);
}
