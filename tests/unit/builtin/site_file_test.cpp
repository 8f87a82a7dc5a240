#include "handlers/builtin/site_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <weft/http_exception.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::builtin {
namespace {

using test::TemporaryFolder;

/// Empty where the file is opened and holds "x", else the cause of the refusal.
std::string Outcome(const TemporaryFolder& folder, const std::string& relative,
                    FollowLinks follow_links) {
  try {
    auto file = OpenSiteFile({(folder / "root").string(), relative}, follow_links);
    char byte = 0;
    CHECK(file.Read(&byte, 1) == 1);
    CHECK(byte == 'x');
    return {};
  } catch (const HttpException& error) {
    CHECK(error.StatusCode() == 404);
    return std::string(error.Cause());
  }
}

struct Openat2Disabled {
  Openat2Disabled() { detail_for_tests::DisableOpenat2(true); }
  ~Openat2Disabled() { detail_for_tests::DisableOpenat2(false); }
};

void MakeSite(const TemporaryFolder& folder) {
  namespace fs = std::filesystem;
  folder.Write("root/file", "x");
  folder.Write("root/sub/file", "x");
  folder.Write("secret", "s");
  folder.Write("outside/file", "s");
  folder.Write("root-beside/file", "s");
  fs::create_symlink("file", folder / "root/to-file");
  fs::create_symlink("sub", folder / "root/to-sub");
  fs::create_symlink("../file", folder / "root/sub/to-parents");
  fs::create_symlink((folder / "root/sub/file").string(), folder / "root/to-absolute");
  fs::create_symlink("../secret", folder / "root/out");
  fs::create_symlink((folder / "secret").string(), folder / "root/out-absolute");
  fs::create_symlink("../outside", folder / "root/out-folder");
  fs::create_symlink("../root-beside", folder / "root/out-beside");
  fs::create_symlink("/proc/self/root", folder / "root/out-magic");
  fs::create_symlink("to-loop", folder / "root/to-loop");
  fs::create_symlink("none", folder / "root/to-none");
  fs::create_symlink("/dev/null", folder / "root/to-device");
  REQUIRE(mkfifo((folder / "root/fifo").c_str(), 0644) == 0);
  fs::create_symlink((folder / "root/fifo").string(), folder / "root/to-fifo");
}

void CheckAll(const TemporaryFolder& folder) {
  const auto off = [&](const std::string& path) {
    return Outcome(folder, path, FollowLinks::kOff);
  };
  const auto within = [&](const std::string& path) {
    return Outcome(folder, path, FollowLinks::kWithinRoot);
  };
  for (const auto* const path : {"file", "sub/file"}) {
    CAPTURE(path);
    CHECK(off(path).empty());
    CHECK(within(path).empty());
  }
  for (const auto* const path : {"to-file", "to-sub/file", "sub/to-parents", "to-absolute"}) {
    CAPTURE(path);
    CHECK(off(path) == "file_link_refused");
    CHECK(within(path).empty());
  }
  for (const auto* const path :
       {"out", "out-absolute", "out-folder/file", "out-beside/file", "out-magic/etc/hostname"}) {
    CAPTURE(path);
    CHECK(off(path) == "file_link_refused");
    const auto outcome = within(path);
    CHECK((outcome == "file_link_refused" || outcome == "file_not_found"));
  }
  CHECK(within("out") == "file_link_refused");
  CHECK(within("out-absolute") == "file_link_refused");
  for (const auto* const path : {"none", "sub/none", "file/below", "none/none"}) {
    CAPTURE(path);
    CHECK(off(path) == "file_not_found");
    CHECK(within(path) == "file_not_found");
  }
  CHECK(within("to-none") == "file_not_found");
  CHECK(within("to-loop") == "file_not_found");
  for (const auto* const path : {"sub", "fifo", "to-fifo", "to-device"}) {
    CAPTURE(path);
    const auto outcome = within(path);
    CHECK((outcome == "not_a_file" || outcome == "file_link_refused"));
  }
  for (const auto* const path : {"sub", "fifo"}) {
    CAPTURE(path);
    CHECK(off(path) == "not_a_file");
  }
  for (const auto* const path : {"../secret", "sub/../../secret"}) {
    CAPTURE(path);
    CHECK_FALSE(off(path).empty());
    CHECK_FALSE(within(path).empty());
  }
}

TEST_CASE("OpenSiteFile: links are followed as far as is allowed, by openat2") {
  const TemporaryFolder folder;
  MakeSite(folder);
  CheckAll(folder);
}

TEST_CASE("OpenSiteFile: links are followed as far as is allowed, where there is no openat2") {
  const TemporaryFolder folder;
  MakeSite(folder);
  const Openat2Disabled disabled;
  CheckAll(folder);
}

TEST_CASE("OpenSiteFile: with links on they lead anywhere") {
  const TemporaryFolder folder;
  folder.Write("root/file", "x");
  folder.Write("outside", "x");
  std::filesystem::create_symlink("../outside", folder / "root/out");
  CHECK(Outcome(folder, "out", FollowLinks::kOn).empty());
}

TEST_CASE("OpenSiteFile: the root itself may be reached by a link") {
  const TemporaryFolder folder;
  folder.Write("releases/12/file", "x");
  std::filesystem::create_directory_symlink("releases/12", folder / "root");
  std::filesystem::create_symlink((folder / "releases/12/file").string(),
                                  folder / "releases/12/absolute");
  for (const auto policy : {FollowLinks::kOff, FollowLinks::kWithinRoot, FollowLinks::kOn}) {
    CHECK(Outcome(folder, "file", policy).empty());
  }
  CHECK(Outcome(folder, "absolute", FollowLinks::kWithinRoot).empty());
}

TEST_CASE("OpenSiteFile: no descriptor stays open") {
  const TemporaryFolder folder;
  MakeSite(folder);
  const int before = dup(0);
  close(before);
  for (const auto policy : {FollowLinks::kOff, FollowLinks::kWithinRoot, FollowLinks::kOn}) {
    for (const auto* const path :
         {"file", "to-absolute", "out", "none", "sub", "fifo", "to-loop"}) {
      try {
        OpenSiteFile({(folder / "root").string(), path}, policy);
      } catch (const HttpException&) {
      }
      const Openat2Disabled disabled;
      try {
        OpenSiteFile({(folder / "root").string(), path}, policy);
      } catch (const HttpException&) {
      }
    }
  }
  const int after = dup(0);
  close(after);
  CHECK(after == before);
}

TEST_CASE("SplitSitePath: the root is the document root, or what an alias stands for") {
  const auto split = [](std::string_view physical, std::string_view root, std::string_view url) {
    const auto path = SplitSitePath(physical, root, url);
    CHECK(path.Path() == physical);
    return path.root;
  };
  CHECK(split("/srv/www/a/b.css", "/srv/www", "/a/b.css") == "/srv/www");
  CHECK(split("/srv/www/a/b.css", "/srv/www//", "/a/b.css") == "/srv/www");
  CHECK(split("/srv/www/a/b.css", "", "/a/b.css") == "/srv/www");
  CHECK(split("/srv/assets/b.css", "/srv/www", "/static/b.css") == "/srv/assets");
  CHECK(split("/srv/assets/b/c.css", "/srv/www", "/static/b/c.css") == "/srv/assets");
  CHECK(split("/srv/wwwother/b.css", "/srv/www", "/static/b.css") == "/srv/wwwother");
  CHECK(split("/x/other-name.css", "/srv/www", "/b.css") == "/x");
  CHECK(split("/b.css", "/srv/www", "/b.css").empty());
  CHECK(split("/b.css", "/", "/b.css").empty());
}

}  // namespace
}  // namespace weft::builtin
