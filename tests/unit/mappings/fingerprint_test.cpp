#include "mappings/fingerprint.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>

#include "tests/support/as_nobody.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::mappings {
namespace {

namespace fs = std::filesystem;

using test::TemporaryFolder;

/// Beyond the tick of the file system's clock: a change after it has other times than one before.
void AwaitNextTick() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }

/// A folder of mappings and what its fingerprint was.
struct WatchedFolder {
  TemporaryFolder folder;
  Fingerprinter fingerprinter{{.directory = folder / "mappings"}};
  std::uint64_t last = 0;

  WatchedFolder() {
    folder.Write("mappings/machine.json", "{}");
    folder.Write("mappings/default/mapping.json", "{}");
    folder.Write("mappings/default/shop/mapping.json", "{}");
    Settle();
  }

  [[nodiscard]] fs::path Site() const { return folder / "mappings/default"; }

  void Settle() {
    AwaitNextTick();
    last = fingerprinter.Take();
    AwaitNextTick();
    last = fingerprinter.Take();
    AwaitNextTick();
  }

  /// And remembers what it is now.
  bool HasChanged() {
    const std::uint64_t now = fingerprinter.Take();
    const bool has_changed = now != last;
    last = now;
    return has_changed;
  }
};

void WriteInPlace(const fs::path& path, std::string_view text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  REQUIRE(::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::close(file);
}

TEST_CASE("Fingerprint: stays the same as long as nothing changes") {
  WatchedFolder watched;
  for (int look = 0; look < 5; ++look) {
    CHECK_FALSE(watched.HasChanged());
  }
  Fingerprinter another({.directory = watched.folder / "mappings"});
  CHECK(another.Take() == watched.last);
}

TEST_CASE("Fingerprint: shows a change in place, also to the same size") {
  WatchedFolder watched;
  WriteInPlace(watched.Site() / "mapping.json", "[]");
  CHECK(watched.HasChanged());
  CHECK_FALSE(watched.HasChanged());
}

TEST_CASE("Fingerprint: shows a change whose author put the file's time back") {
  WatchedFolder watched;
  const fs::path file = watched.Site() / "mapping.json";
  const auto before = fs::last_write_time(file);
  WriteInPlace(file, "[]");
  fs::last_write_time(file, before);
  CHECK(watched.HasChanged());
}

TEST_CASE("Fingerprint: shows a file that another was renamed over") {
  WatchedFolder watched;
  watched.folder.Write("mappings/default/.mapping.json.swp", "{}");
  CHECK_FALSE(watched.HasChanged());  // an editor's own file
  AwaitNextTick();
  fs::rename(watched.Site() / ".mapping.json.swp", watched.Site() / "mapping.json");
  CHECK(watched.HasChanged());
}

TEST_CASE("Fingerprint: shows what is added and what is removed, folders as well") {
  WatchedFolder watched;
  watched.folder.Write("mappings/default/new/deep/mapping.json", "{}");
  CHECK(watched.HasChanged());
  watched.Settle();
  watched.folder.Write("mappings/default/new/deep/deeper/mapping.json", "{}");
  CHECK(watched.HasChanged());
  watched.Settle();
  fs::remove(watched.Site() / "new/deep/mapping.json");
  CHECK(watched.HasChanged());
  watched.Settle();
  fs::rename(watched.Site() / "new", watched.Site() / "renamed");
  CHECK(watched.HasChanged());
  watched.Settle();
  fs::remove_all(watched.Site() / "renamed");
  CHECK(watched.HasChanged());
  watched.Settle();
  fs::remove(watched.folder / "mappings/machine.json");
  CHECK(watched.HasChanged());
}

TEST_CASE("Fingerprint: passes over files that the loader does not read") {
  WatchedFolder watched;
  watched.folder.Write("mappings/default/notes.txt", "text");
  watched.folder.Write("mappings/default/mapping.json~", "{}");
  watched.folder.Write("mappings/.git/mapping.json", "{}");
  watched.folder.Write("mappings/..data_tmp/mapping.json", "{}");
  CHECK_FALSE(watched.HasChanged());
  // But not over one that it warns of.
  AwaitNextTick();
  watched.folder.Write("mappings/default/Mapping.json", "{}");
  CHECK(watched.HasChanged());
}

TEST_CASE("Fingerprint: shows a file that comes within the tick of a look") {
  // The folder's times may then be those of the look. Repeated, for the ticks are not ours.
  for (int round = 0; round < 20; ++round) {
    WatchedFolder watched;
    watched.folder.Write("mappings/default/a.txt", "");
    static_cast<void>(watched.HasChanged());
    watched.folder.Write("mappings/default/b/mapping.json", "{}");
    // It is seen by the first look, or by the second, when the tick is over.
    const bool at_once = watched.HasChanged();
    AwaitNextTick();
    CHECK((watched.HasChanged() || at_once));
  }
}

TEST_CASE("Fingerprint: shows permissions") {
  WatchedFolder watched;
  fs::permissions(watched.Site() / "mapping.json", fs::perms::none);
  CHECK(watched.HasChanged());
  fs::permissions(watched.Site() / "shop", fs::perms::owner_all);
  CHECK(watched.HasChanged());
}

TEST_CASE("Fingerprint: shows the whole folder going and coming back") {
  WatchedFolder watched;
  fs::rename(watched.folder / "mappings", watched.folder / "away");
  CHECK(watched.HasChanged());
  CHECK_FALSE(watched.HasChanged());
  fs::rename(watched.folder / "away", watched.folder / "mappings");
  CHECK(watched.HasChanged());
  fs::remove_all(watched.folder / "mappings");
  CHECK(watched.HasChanged());
  watched.folder.Write("mappings", "a file");
  CHECK(watched.HasChanged());
}

TEST_CASE("Fingerprint: shows symbolic links that are swapped, wherever they are") {
  TemporaryFolder folder;
  for (const std::string release : {"one", "two"}) {
    folder.Write(release + "/default/mapping.json", "{}");
  }
  const auto point = [&folder](const fs::path& link, const fs::path& target) {
    fs::create_symlink(target, folder / "link.tmp");
    fs::rename(folder / "link.tmp", link);
  };
  const auto swaps = [&](const fs::path& directory, const fs::path& link, const fs::path& target) {
    Fingerprinter fingerprinter({.directory = directory});
    for (int look = 0; look < 2; ++look) {
      static_cast<void>(fingerprinter.Take());
      AwaitNextTick();
    }
    const auto before = fingerprinter.Take();
    AwaitNextTick();
    point(link, target);
    const bool shows = fingerprinter.Take() != before;
    AwaitNextTick();
    return shows;
  };
  SUBCASE("the folder itself") {
    point(folder / "mappings", "one");
    CHECK(swaps(folder / "mappings", folder / "mappings", "two"));
  }
  SUBCASE("a folder above it") {
    fs::create_directory(folder / "releases");
    fs::rename(folder / "one", folder / "releases/one");
    fs::rename(folder / "two", folder / "releases/two");
    fs::create_directory(folder / "releases/one/in");
    fs::create_directory(folder / "releases/two/in");
    point(folder / "current", "releases/one");
    CHECK(swaps(folder / "current/in", folder / "current", "releases/two"));
  }
  SUBCASE("a site") {
    fs::create_directory(folder / "mappings");
    point(folder / "mappings/default", "../one/default");
    CHECK(swaps(folder / "mappings", folder / "mappings/default", "../two/default"));
  }
  SUBCASE("a file") {
    fs::create_directories(folder / "mappings/default");
    point(folder / "mappings/default/mapping.json", folder / "one/default/mapping.json");
    CHECK(swaps(folder / "mappings", folder / "mappings/default/mapping.json",
                folder / "two/default/mapping.json"));
  }
  SUBCASE("as Kubernetes does") {
    fs::create_directory(folder / "mappings");
    fs::rename(folder / "one", folder / "mappings/..1");
    fs::rename(folder / "two", folder / "mappings/..2");
    point(folder / "mappings/..data", "..1");
    point(folder / "mappings/default", "..data/default");
    CHECK(swaps(folder / "mappings", folder / "mappings/..data", "..2"));
  }
  SUBCASE("a link that leads nowhere, and then somewhere") {
    fs::create_directory(folder / "mappings");
    point(folder / "mappings/default", "../three");
    Fingerprinter fingerprinter({.directory = folder / "mappings"});
    const auto before = fingerprinter.Take();
    fs::rename(folder / "one", folder / "three");
    CHECK(fingerprinter.Take() != before);
  }
}

TEST_CASE("Fingerprint: ends where links lead back or multiply") {
  TemporaryFolder folder;
  folder.Write("mappings/default/a/mapping.json", "{}");
  fs::create_directory_symlink("..", folder / "mappings/default/a/up");
  fs::create_directory_symlink(".", folder / "mappings/default/a/here");
  Fingerprinter fingerprinter({.directory = folder / "mappings"});
  const auto before = fingerprinter.Take();
  AwaitNextTick();
  CHECK(fingerprinter.Take() == before);
  for (int level = 0; level < 20; ++level) {
    const fs::path at = folder / ("mappings/many" + std::to_string(level));
    const fs::path next = folder / ("mappings/many" + std::to_string(level + 1));
    fs::create_directory(at);
    fs::create_directory_symlink(next, at / "left");
    fs::create_directory_symlink(next, at / "right");
  }
  fs::create_directory(folder / "mappings/many20");
  Fingerprinter bounded({.directory = folder / "mappings"}, 1'000);
  const auto many = bounded.Take();
  CHECK(many != before);
  AwaitNextTick();
  CHECK(bounded.Take() == many);
}

/// A document root, and what its fingerprint was.
struct WatchedRoot {
  TemporaryFolder folder;
  Fingerprinter fingerprinter{{.document_roots = {{"default", folder / "www"}}}};
  std::uint64_t last = 0;

  WatchedRoot() {
    folder.Write("www/index.html", "");
    folder.Write("www/shop/mapping.json", "{}");
    folder.Write("www/pics/cat.jpg", "");
    AwaitNextTick();
    last = fingerprinter.Take();
    AwaitNextTick();
    last = fingerprinter.Take();
  }

  /// And remembers what it is now.
  bool HasChanged() {
    AwaitNextTick();
    const std::uint64_t now = fingerprinter.Take();
    const bool has_changed = now != last;
    last = now;
    AwaitNextTick();
    return has_changed;
  }
};

TEST_CASE("Fingerprint: shows what changes in a document root's mapping files") {
  WatchedRoot root;
  WriteInPlace(root.folder / "www/shop/mapping.json", "[]");
  CHECK(root.HasChanged());
  CHECK_FALSE(root.HasChanged());
  root.folder.Write("www/pics/mapping.json", "{}");
  CHECK(root.HasChanged());
  root.folder.Write("www/new/deep/mapping.json", "{}");
  CHECK(root.HasChanged());
  fs::remove(root.folder / "www/new/deep/mapping.json");
  CHECK(root.HasChanged());
  fs::rename(root.folder / "www/shop", root.folder / "www/store");
  CHECK(root.HasChanged());
  fs::remove_all(root.folder / "www");
  CHECK(root.HasChanged());
  root.folder.Write("www/mapping.json", "{}");
  CHECK(root.HasChanged());
  std::string deep = "www";
  for (int i = 0; i < 70; ++i) {
    deep += "/d";
  }
  root.folder.Write(deep + "/mapping.json", "{}");
  CHECK(root.HasChanged());  // which Load() refuses
}

TEST_CASE("Fingerprint: a document root's other files and folders come and go unseen") {
  WatchedRoot root;
  root.folder.Write("www/pics/dog.jpg", "");
  root.folder.Write("www/uploads/today/file", "");
  root.folder.Write("www/.git/mapping.json", "{}");
  root.folder.Write("www/shop/.hidden/mapping.json", "{}");
  root.folder.Write("www/machine.json", "{}");
  fs::create_symlink("nowhere", root.folder / "www/link");
  fs::create_symlink("../index.html", root.folder / "www/pics/link.html");
  CHECK_FALSE(root.HasChanged());
  fs::remove_all(root.folder / "www/uploads");
  fs::permissions(root.folder / "www/pics", fs::perms::owner_all);
  CHECK_FALSE(root.HasChanged());
  // One that the loader warns of does count.
  root.folder.Write("www/pics/Mapping.json", "{}");
  CHECK(root.HasChanged());
}

TEST_CASE("Fingerprint: goes by no link of a document root back to where that lies") {
  WatchedRoot root;
  fs::create_directory_symlink(".", root.folder / "www/shop/self");
  fs::create_directory_symlink(root.folder / "www", root.folder / "www/shop/top");
  fs::create_directory_symlink(root.folder.Path(), root.folder / "www/shop/above");
  fs::create_directory_symlink("/", root.folder / "www/shop/root");
  root.folder.Write("elsewhere/sub/file", "");
  fs::create_directory_symlink(root.folder / "elsewhere", root.folder / "www/out");
  fs::create_directory_symlink(root.folder / "elsewhere", root.folder / "elsewhere/sub/back");
  CHECK_FALSE(root.HasChanged());
  root.folder.Write("beside/mapping.json", "{}");
  CHECK_FALSE(root.HasChanged());
  // Of other links the target counts.
  root.folder.Write("elsewhere/sub/mapping.json", "{}");
  CHECK(root.HasChanged());
}

TEST_CASE("Fingerprint: shows that there are too many folders, which the loader is to tell") {
  TemporaryFolder folder;
  for (int i = 0; i < 9; ++i) {
    fs::create_directories(folder / ("www/" + std::to_string(i)));
  }
  Fingerprinter fingerprinter({.document_roots = {{"default", folder / "www"}}}, 10);
  const auto before = fingerprinter.Take();
  CHECK(fingerprinter.Take() == before);
  fs::create_directory(folder / "www/9");
  const auto beyond = fingerprinter.Take();
  CHECK(beyond != before);
  fs::create_directory(folder / "www/10");
  CHECK(fingerprinter.Take() == beyond);
  fs::remove(folder / "www/10");
  fs::remove(folder / "www/9");
  AwaitNextTick();
  CHECK(fingerprinter.Take() == before);
}

TEST_CASE("Fingerprint: a document root's folder that may not be listed still has its file") {
  if (::geteuid() == 0) {
    return;  // root may list every folder
  }
  WatchedRoot root;
  fs::permissions(root.folder / "www/pics", fs::perms::owner_exec | fs::perms::owner_write);
  CHECK(root.HasChanged());
  root.folder.Write("www/pics/mapping.json", "{}");
  CHECK(root.HasChanged());
  WriteInPlace(root.folder / "www/pics/mapping.json", "[]");
  CHECK(root.HasChanged());
  fs::permissions(root.folder / "www/pics", fs::perms::owner_all);
}

TEST_CASE("Fingerprint: a folder that cannot be listed counts by its error") {
  WatchedFolder watched;
  const auto has_changed = [&watched] {
    const test::AsNobody nobody;
    return watched.HasChanged();
  };
  CHECK_FALSE(has_changed());
  fs::permissions(watched.Site() / "shop", fs::perms::none);
  CHECK(has_changed());
  CHECK_FALSE(has_changed());
  fs::permissions(watched.Site() / "shop", fs::perms(0755));
  CHECK(has_changed());
}

}  // namespace
}  // namespace weft::mappings
