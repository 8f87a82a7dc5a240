// The built-in factory for files, mapped to whatever extension, through the whole pipeline.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "handlers/builtin/builtin.hpp"
#include "host/runtime/fiber_event.hpp"
#include "tests/support/doctest_values.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/pipeline/pipeline_host.hpp"

namespace weft::test {
namespace {

/// A site of files, and the class `Who`, which says which path it was called by.
class Site {
 public:
  explicit Site(PipelineHost& host) : host_(host) {
    builtin::RegisterHandlers(host.Classes(),
                              [&host](std::string_view type) -> builtin::CreateHandler {
                                auto& found = host.Resolver().ResolveForFile(type);
                                return [&found] { return found.Create(); };
                              });
    class Who final : public IHttpAsyncHandler {
     public:
      void ProcessRequest(HttpContext& context) override {
        context.Response().Write(std::string(context.Request().FilePath()) + "+" +
                                 std::string(context.Request().PathInfo()));
      }
      bool IsReusable() const override { return true; }
    };
    AddHandler<Who>(host.Classes(), "Who");
  }

  std::unique_ptr<TestRequest> Get(const std::string& path) {
    const auto root = folder.Path().string();
    return host_.Get(path, {{"DOCUMENT_ROOT", root}});
  }
  std::string Answer(const std::string& path) { return Get(path)->exchange.sent; }
  int Status(const std::string& path) { return Get(path)->exchange.status; }

  TemporaryFolder folder;

 private:
  PipelineHost& host_;
};

constexpr std::string_view kDirective = "<%@ WebHandler Class=\"Who\" %>\n";

TEST_CASE("Ashx: the factory serves any extension that is mapped to it, several at once") {
  PipelineHost::Run([](PipelineHost& host) {
    Site site(host);
    for (const std::string name : {"a.ashx", "a.do", "a.report", "a.other"}) {
      site.folder.Write(name, kDirective);
    }
    host.Serve(
        {}, {},
        R"(, { "add": { "verb": "*", "path": "*.ashx", "type": "weft::SimpleHandlerFactory" } },
                    { "add": { "verb": "GET", "path": "*.do,*.report",
                               "type": "weft::SimpleHandlerFactory" } })");
    CHECK(site.Answer("/a.ashx") == "/a.ashx+");
    CHECK(site.Answer("/a.do") == "/a.do+");
    CHECK(site.Answer("/a.report") == "/a.report+");
    CHECK(site.Answer("/a.do/tail/of.it") == "/a.do+/tail/of.it");
    CHECK(site.Status("/a.other") == 404);
    CHECK(site.Status("/none.do") == 404);
  });
}

TEST_CASE("Ashx: a handler is called by a path that names no file") {
  PipelineHost::Run([](PipelineHost& host) {
    Site site(host);
    host.Serve({}, {},
               R"(, { "add": { "verb": "*", "path": "/status", "type": "Who" } },
                    { "add": { "verb": "*", "path": "*.live", "type": "Who" } },
                    { "add": { "verb": "*", "path": "*.ashx", "type": "weft::SimpleHandlerFactory" } })");
    CHECK(site.Answer("/status") == "/status+");
    CHECK(site.Answer("/status/of/all") == "/status+/of/all");
    CHECK(site.Answer("/no/such/folder/x.live") == "/no/such/folder/x.live+");
    // The factory is for files.
    CHECK(site.Status("/no/such/folder/x.ashx") == 404);
  });
}

TEST_CASE("Ashx: what is wrong with a file is told with its place, and is 500 for it alone") {
  PipelineHost::Run([](PipelineHost& host) {
    Site site(host);
    site.folder.Write("good.ashx", kDirective);
    site.folder.Write("unknown.ashx", "\n<%@ WebHandler\n  Class=\"Nobody\" %>");
    site.folder.Write("source.ashx", std::string(kDirective) + "class Who {};\n");
    site.folder.Write("factory.ashx", "<%@ Class=\"weft::SimpleHandlerFactory\" %>");
    host.Serve(
        {}, {},
        R"(, { "add": { "verb": "*", "path": "*.ashx", "type": "weft::SimpleHandlerFactory" } })");
    CHECK(site.Status("/unknown.ashx") == 500);
    CHECK(host.Log().find(R"(unknown.ashx:3:10: No class "Nobody" is built in)") !=
          std::string::npos);
    CHECK(site.Status("/source.ashx") == 500);
    CHECK(host.Log().find("source.ashx:2:1: source code follows") != std::string::npos);
    CHECK(site.Status("/factory.ashx") == 500);
    CHECK(host.Log().find(
              "factory.ashx:1:12: The class \"weft::SimpleHandlerFactory\" is a factory") !=
          std::string::npos);
    CHECK(site.Answer("/good.ashx") == "/good.ashx+");
  });
}

/// Tells by which instance it was entered and on which threads; the first that enters waits for the second.
template <typename... Bases>
class Meeting final : public Bases... {
 public:
  struct Seen {
    std::atomic<int> entered = 0;
    std::set<const void*> instances;
    std::set<std::thread::id> threads;
    std::mutex mutex;
    std::binary_semaphore on_pool{0};    // released by the second that enters
    host::runtime::FiberEvent on_fiber;  // the same
  };

  explicit Meeting(Seen& seen) : seen_(seen) {}
  void ProcessRequest(HttpContext& context) const override {
    {
      const std::lock_guard lock(seen_.mutex);
      seen_.instances.insert(this);
      seen_.threads.insert(std::this_thread::get_id());
    }
    const bool is_second = ++seen_.entered == 2;
    if constexpr (std::is_base_of_v<IHttpSharedAsyncHandler, Meeting>) {
      is_second ? seen_.on_fiber.Notify() : seen_.on_fiber.Wait();
    } else {
      is_second ? seen_.on_pool.release() : seen_.on_pool.acquire();
    }
    context.Response().Write("met");
  }

 private:
  Seen& seen_;
};

TEST_CASE("Ashx: a shared class that a file names serves by one instance, many requests at once") {
  constexpr std::string_view kFactory =
      R"(, { "add": { "verb": "*", "path": "*.ashx", "type": "weft::SimpleHandlerFactory" } },
           { "add": { "verb": "*", "path": "/direct", "type": "Meeting" } })";
  const auto meet = [&]<typename Handler>(const Handler*, bool on_pool) {
    typename Handler::Seen seen;
    PipelineHost::Run([&](PipelineHost& host) {
      Site site(host);
      site.folder.Write("a.ashx", "<%@ WebHandler Class='Meeting' %>");
      AddSharedHandler(host.Classes(), "Meeting", std::make_shared<Handler>(seen));
      host.Serve({}, {}, kFactory);
      // The two meet inside, or nobody comes out: one by a file, one by an entry.
      std::unique_ptr<TestRequest> other;
      SideFiber side(host.Runtime(), [&] { other = site.Get("/direct"); });
      CHECK(site.Answer("/a.ashx") == "met");
      side.Join();
      CHECK(other->exchange.sent == "met");
      CHECK(seen.instances.size() == 1);
      CHECK(seen.threads.contains(std::this_thread::get_id()) == !on_pool);
      CHECK(seen.threads.size() == (on_pool ? 2 : 1));
    });
  };
  meet(static_cast<const Meeting<IHttpSharedHandler>*>(nullptr), true);
  meet(static_cast<const Meeting<IHttpSharedAsyncHandler>*>(nullptr), false);
}

TEST_CASE("Ashx: a missing file has the same record, whether it is static or names a handler") {
  const auto lines = PipelineHost::Run([](PipelineHost& host) {
    Site site(host);
    host.Serve(
        {}, {},
        R"(, { "add": { "verb": "*", "path": "*.ashx", "type": "weft::SimpleHandlerFactory" } },
                    { "add": { "verb": "*", "path": "*", "type": "weft::StaticFileHandler" } })");
    std::filesystem::create_directory(site.folder / "folder.ashx");
    std::filesystem::create_directory(site.folder / "folder.txt");
    site.folder.Write("broken.ashx", "x");
    site.folder.Write("a.txt", "x");
    for (const std::string path : {"/none.ashx", "/none.txt", "/folder.ashx", "/folder.txt",
                                   "/broken.ashx", "/.hidden", "/a.txt/tail", "/folder.txt/"}) {
      site.Get(path);
    }
    host.Get("/none.ashx");
    host.Get("/none.txt");
  });
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"404", "file_not_found"},  {"404", "file_not_found"},       {"404", "not_a_file"},
      {"301", "folder_redirect"}, {"500", "handler_file_invalid"}, {"404", "file_hidden"},
      {"404", "file_not_found"},  {"404", "not_a_file"},           {"404", "no_document_root"},
      {"404", "no_document_root"}};
  REQUIRE(lines.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(lines[i]);
    CHECK(FieldOf(lines[i], "status") == expected[i].first);
    CHECK(FieldOf(lines[i], "cause") == expected[i].second);
    CHECK(FieldOf(lines[i], "outcome") == "completed");
  }
}

}  // namespace
}  // namespace weft::test
