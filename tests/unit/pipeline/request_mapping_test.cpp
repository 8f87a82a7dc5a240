// What a request is mapped to: limits of its folder, default documents, and the redirect to a folder.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/doctest_values.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

/// Answers with what it was mapped by.
void TellPaths(HttpContext& context) {
  const auto& request = context.Request();
  context.Response().Write(std::string(request.FilePath()) + "|" + std::string(request.PathInfo()) +
                           "|" + request.ApplicationPath());
}

/// A document root, and requests for its files.
class Site {
 public:
  Site() : root_(folder_.Path().string()) {}

  std::unique_ptr<TestRequest> Ask(PipelineHost& host, std::string method, std::string path,
                                   VariableList more = {}) const {
    more.emplace_back("DOCUMENT_ROOT", root_);
    auto request =
        std::make_unique<TestRequest>(std::move(method), std::move(path), std::move(more));
    host.Process(*request);
    return request;
  }
  std::unique_ptr<TestRequest> Get(PipelineHost& host, std::string path,
                                   VariableList more = {}) const {
    return Ask(host, "GET", std::move(path), std::move(more));
  }
  const TemporaryFolder& Folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
  std::string root_;
};

TEST_CASE("MapRequest: the limits of a folder on path and query are 414, each by its own cause") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    host.Serve({{"*", Kind::kAsync, TellPaths}},
               R"("httpRuntime": { "maxUrlBytes": 10, "maxQueryStringBytes": 5 }, )");
    CHECK(host.Get("/123456789")->exchange.status == 200);
    CHECK(host.Get("/1234567890")->exchange.status == 414);
    CHECK(host.Get("/12345", {{"PATH_INFO", "/678901"}})->exchange.status == 414);
    CHECK(host.Get("/a", {{"QUERY_STRING", "12345"}})->exchange.status == 200);
    CHECK(host.Get("/a", {{"QUERY_STRING", "123456"}})->exchange.status == 414);
    CHECK(host.Log().find("the path has 11 bytes, the limit is 10 (") != std::string::npos);
    CHECK(host.Log().find("machine.json:1:20)") != std::string::npos);
  });
  REQUIRE(lines.size() == 5);
  CHECK(FieldOf(lines[1], "cause") == "url_too_long");
  CHECK(FieldOf(lines[4], "cause") == "query_string_too_long");
}

TEST_CASE("MapRequest: an answer is kept back as far as its folder says") {
  PipelineHost::Run([](PipelineHost& host) {
    const auto write = [](HttpContext& context) {
      context.Response().Write("one");
      context.Response().Write("two");
    };
    host.Serve({{"*", Kind::kAsync, write}}, R"("httpRuntime": { "responseBufferBytes": 0 }, )");
    CHECK(host.Get("/a")->exchange.pieces == std::vector<std::size_t>{3, 3});
    host.Serve({{"*", Kind::kAsync, write}}, R"("httpRuntime": { "responseBufferBytes": 6 }, )");
    CHECK(host.Get("/a")->exchange.pieces == std::vector<std::size_t>{6});
  });
}

TEST_CASE("MapRequest: a default document stands for its folder, the first that is there") {
  PipelineHost::Run([](PipelineHost& host) {
    const Site site;
    site.Folder().Write("a/two.x", "");
    site.Folder().Write("b/one.x", "");
    site.Folder().Write("b/two.x", "");
    site.Folder().Write("c/other", "");
    host.Serve(
        {{"*.x", Kind::kAsync, TellPaths},
         {"*", Kind::kAsync, [](HttpContext& context) { context.Response().Write("star"); }}},
        R"("defaultDocuments": ["one.x", "two.x"], )");
    CHECK(site.Get(host, "/a/")->exchange.sent == "/a/two.x||/");
    CHECK(site.Get(host, "/b/")->exchange.sent == "/b/one.x||/");
    CHECK(site.Ask(host, "POST", "/b/")->exchange.sent == "/b/one.x||/");
    CHECK(site.Get(host, "/c/")->exchange.sent == "star");
    CHECK(site.Get(host, "/none/")->exchange.sent == "star");
    // Without a document root there are no files.
    CHECK(host.Get("/a/")->exchange.sent == "star");
  });
}

TEST_CASE("MapRequest: an entry for the folder's own path comes before its default document") {
  PipelineHost::Run([](PipelineHost& host) {
    const Site site;
    site.Folder().Write("a/one.x", "");
    host.Serve({{"/a/", Kind::kAsync, TellPaths}, {"*.x", Kind::kAsync, TellPaths}},
               R"("defaultDocuments": ["one.x"], )");
    CHECK(site.Get(host, "/a/")->exchange.sent == "/a/||/");
  });
}

TEST_CASE("MapRequest: a default document that nothing serves is 404, and 405 with its own Allow") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    const Site site;
    site.Folder().Write("one.x", "");
    site.Folder().Write("b/two.y", "");
    host.Serve({{"*.x", Kind::kAsync, TellPaths, false, "PUT"}},
               R"("defaultDocuments": ["one.x", "two.y"], )");
    const auto refused = site.Get(host, "/");
    CHECK(refused->exchange.status == 405);
    CHECK(refused->exchange.Header("Allow") == "PUT");
    CHECK(site.Get(host, "/b/")->exchange.status == 404);
  });
  CHECK(FieldOf(lines.at(0), "cause") == "method_not_mapped");
  CHECK(FieldOf(lines.at(1), "cause") == "no_mapping");
}

TEST_CASE("MapRequest: a folder without its slash is redirected to, query and all") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    const Site site;
    site.Folder().Write("a b/c%d/x", "");
    host.Serve({{"*", Kind::kAsync, TellPaths}});
    const auto redirect = site.Get(host, "/a b/c%d", {{"QUERY_STRING", "q=1&r=%20"}});
    CHECK(redirect->exchange.status == 301);
    CHECK(redirect->exchange.Header("Location") == "/a%20b/c%25d/?q=1&r=%20");
    CHECK(site.Ask(host, "HEAD", "/a b")->exchange.Header("Location") == "/a%20b/");
    // More slashes are no way to another host.
    CHECK(site.Get(host, "//a b")->exchange.Header("Location") == "/a%20b/");
    CHECK(site.Ask(host, "POST", "/a b")->exchange.status == 200);
    CHECK(site.Get(host, "/a b/c%d/x")->exchange.status == 200);
    CHECK(site.Get(host, "/none")->exchange.status == 200);
    // A query that no header field may hold is no reason to send one.
    CHECK(site.Get(host, "/a b", {{"QUERY_STRING", "a\r\nb"}})->exchange.status == 200);
    CHECK(host.Get("/a b")->exchange.status == 200);
    host.Serve({{"*", Kind::kAsync, TellPaths}}, R"("redirectToFolder": false, )");
    CHECK(site.Get(host, "/a b")->exchange.status == 200);
  });
  CHECK(FieldOf(lines.at(0), "cause") == "folder_redirect");
  CHECK(FieldOf(lines.at(0), "status") == "301");
}

TEST_CASE("MapRequest: resource types are looked up below the document root") {
  PipelineHost::Run([](PipelineHost& host) {
    const Site site;
    site.Folder().Write("there.x", "");
    site.Folder().Write("folder.x/y", "");
    host.Serve(
        {{"*.x", Kind::kAsync, TellPaths, false, "*", R"(, "resourceType": "file")"},
         {"*", Kind::kAsync, [](HttpContext& context) { context.Response().Write("star"); }}},
        R"("redirectToFolder": false, )");
    CHECK(site.Get(host, "/folder.x")->exchange.sent == "star");
    CHECK(site.Get(host, "/none.x")->exchange.sent == "star");
    CHECK(host.Get("/there.x")->exchange.sent == "star");
    CHECK(site.Get(host, "/there.x")->exchange.sent == "/there.x||/");
  });
}

}  // namespace
}  // namespace weft::test
