// What it costs to resolve a request, and how it grows with the entries: 10 to 10,000 over six levels; and what it costs
// to load many folders that each replace an entry of a large file. Prints two Markdown tables. Options: none.

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mappings/loader.hpp"

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kLevels = 6;
constexpr int kRounds = 7;
constexpr int kPaths = 20'000;
/// Of a hundred entries: `*.ext`, names, whole paths; the rest has a wildcard inside, as `page7-*.x`.
constexpr int kExtensions = 40;
constexpr int kNames = 30;
constexpr int kWholePaths = 25;

std::string FolderOf(int level) {
  std::string folder;
  for (int i = 1; i < level; ++i) {
    folder += "level" + std::to_string(i) + "/";
  }
  return folder;
}

std::string PatternOf(int number) {
  const auto n = std::to_string(number);
  const int kind = number % 100;
  if (kind < kExtensions) {
    return "*.ext" + n;
  }
  if (kind < kExtensions + kNames) {
    return "name" + n + ".x";
  }
  if (kind < kExtensions + kNames + kWholePaths) {
    return "/" + FolderOf(kLevels) + "path" + n + ".x";
  }
  return "page" + n + "-*.x";
}

std::string AddOf(int number) {
  return R"({ "add": { "verb": "GET", "path": ")" + PatternOf(number) + R"(", "type": "T" } })";
}

/// The entries of the files, one level after another; the first file is machine.json.
void WriteFiles(const fs::path& root, int entries) {
  for (int level = 0; level < kLevels; ++level) {
    std::string text = "{ \"httpHandlers\": [";
    for (int i = level; i < entries; i += kLevels) {
      text += text.ends_with('[') ? "" : ",\n";
      text += AddOf(i);
    }
    const auto file =
        level == 0 ? root / "machine.json" : root / "default" / FolderOf(level) / "mapping.json";
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text << "] }";
  }
}

/// A path that one of the entries serves.
std::string PathOf(int number, std::string_view salt) {
  const auto n = std::to_string(number);
  const int kind = number % 100;
  const auto folder = "/" + FolderOf(kLevels);
  if (kind < kExtensions) {
    return folder + std::string(salt) + ".ext" + n;
  }
  if (kind < kExtensions + kNames) {
    return folder + std::string(salt) + "/name" + n + ".x";
  }
  if (kind < kExtensions + kNames + kWholePaths) {
    return folder + "path" + n + ".x";
  }
  return folder + "page" + n + "-" + std::string(salt) + ".x";
}

/// Nanoseconds for one call, the median of the rounds.
double Measure(const weft::mappings::MappingTable& table, const std::vector<std::string>& paths,
               std::string_view path_info = {}) {
  weft::mappings::ResolutionCache cache;
  std::vector<double> rounds;
  std::size_t found = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = Clock::now();
    for (const auto& path : paths) {
      found +=
          table.Resolve("www.example.org", "GET", path, path_info, nullptr, &cache).entry != nullptr
              ? 1U
              : 0U;
    }
    rounds.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begin).count() /
                     static_cast<double>(paths.size()));
  }
  if (found != paths.size() * kRounds) {
    std::fprintf(stderr, "mapping-bench: %zu of %zu were found\n", found, paths.size() * kRounds);
    std::exit(1);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

struct Loaded {
  std::shared_ptr<const weft::mappings::MappingTable> table;
  double milliseconds = 0;
};

/// Loads the files, and deletes them.
Loaded LoadFiles(const fs::path& root) {
  const auto begin = Clock::now();
  auto loaded = weft::mappings::Load({.directory = root});
  const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
  fs::remove_all(root);
  if (!loaded.table) {
    std::fprintf(stderr, "%s\n", loaded.problems.front().ToString().c_str());
    std::exit(1);
  }
  return {std::move(loaded.table), time.count()};
}

fs::path EmptyFolder(const std::string& name) {
  const auto root = fs::temp_directory_path() / ("mapping-bench-" + name);
  fs::remove_all(root);
  fs::create_directories(root);
  return root;
}

/// The bytes of memory that this process has, of those in use.
std::size_t MemoryInUse() { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; }

/// Folders that each replace one entry of a file with `entries` of them, each another one.
void MeasureFolders(int entries, int folders) {
  const auto root = EmptyFolder(std::to_string(entries) + "-" + std::to_string(folders));
  std::string text;
  for (int i = 0; i < entries; ++i) {
    text += text.empty() ? "" : ",\n";
    text += AddOf(i);
  }
  std::ofstream(root / "machine.json") << "{ \"httpHandlers\": [" << text << "] }";
  for (int i = 0; i < folders; ++i) {
    const auto folder = root / "default" / ("folder" + std::to_string(i));
    fs::create_directories(folder);
    std::ofstream(folder / "mapping.json")
        << "{ \"httpHandlers\": [" << AddOf(i % entries) << "] }";
  }
  const std::size_t before = MemoryInUse();
  const auto loaded = LoadFiles(root);
  std::printf("| %d | %d | %.0f | %.1f |\n", entries, folders, loaded.milliseconds,
              static_cast<double>(MemoryInUse() - before) / 1e6);
}

void MeasureTable(int entries) {
  const auto root = EmptyFolder(std::to_string(entries));
  WriteFiles(root, entries);
  const auto loaded = LoadFiles(root);
  std::mt19937 random(1);
  std::vector<std::string> served;
  std::vector<std::string> rest;
  std::vector<std::string> tails;
  for (int i = 0; i < kPaths; ++i) {
    const auto salt = std::to_string(random());
    served.push_back(PathOf(static_cast<int>(random() % static_cast<unsigned>(entries)), salt));
    rest.push_back("/" + FolderOf(kLevels) + "images/" + salt + ".png");
    tails.push_back(served.back() + "/tail/" + salt);
  }
  // A thousand paths over and over: they fit into the cache, as those of a site mostly do.
  std::vector<std::string> seen;
  for (int i = 0; i < kPaths; ++i) {
    seen.push_back((i % 2 == 0 ? served : rest)[static_cast<std::size_t>(i % 1000)]);
  }
  std::printf("| %d | %.1f | %.0f | %.0f | %.0f | %.0f |\n", entries, loaded.milliseconds,
              Measure(*loaded.table, seen), Measure(*loaded.table, served),
              Measure(*loaded.table, rest), Measure(*loaded.table, tails));
}

}  // namespace

int main() {
  std::printf(
      "| entries | load ms | seen before, ns | new, ns | new, of a static file, ns | new, with "
      "path info to split, ns |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (const int entries : {10, 100, 1000, 10'000}) {
    MeasureTable(entries);
  }
  std::printf("\n| entries of one file | folders that replace one | load ms | table MB |\n");
  std::printf("|---|---|---|---|\n");
  for (const int folders : {20, 200, 2000}) {
    MeasureFolders(9000, folders);
  }
}
