#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mappings/entry.hpp"
#include "mappings/folder_settings.hpp"
#include "mappings/problem.hpp"

namespace weft::mappings {

/// Identifies an entry to `remove` and to a later `add`: verb text and path text, letter by letter
/// but for letter case.
[[nodiscard]] std::string EntryKey(std::string_view verb, std::string_view path);

struct AddDirective {
  std::string key;
  std::unique_ptr<Entry> entry;  ///< Never null in a level that was just read.
};

struct RemoveDirective {
  std::string key;
  std::string verb;
  std::string path;
  SourceLocation where;
};

struct ClearDirective {
  SourceLocation where;
};

using Directive = std::variant<AddDirective, RemoveDirective, ClearDirective>;

/// What a file says of its folder, or a location of it of another path: one step of a chain.
struct Block {
  std::vector<Directive> directives;  ///< `httpHandlers`, in the file's order.
  SettingOverrides settings;
  /// The place is that of a location's key; of a file it is the file as a whole.
  SourceLocation where;
  std::shared_ptr<const LevelSource> source;
};

/// A member of `locations`: a block for a path below the file's folder, and for all below that path.
struct Location {
  std::vector<std::string> segments;  ///< At least one.
  Block block;
};

/// What one mapping file says.
struct Level {
  Block block;
  std::vector<Location> locations;  ///< In the file's order.
  /// Whether its folder is the root of an application.
  bool application = false;
  SourceLocation application_where;
  /// False when the file has errors: directives may be missing.
  bool complete = true;
};

/// The longest timeout a file may ask for, one day: a larger number is milliseconds by mistake.
inline constexpr std::uint64_t kMaxExecutionTimeoutSeconds = 86'400;

/// The largest body limit a file may ask for, 2^53 - 1: the largest number that every JSON tool
/// keeps exact.
inline constexpr std::uint64_t kMaxRequestBytesLimit = 9'007'199'254'740'991;

/// The largest `maxUrlBytes`, `maxQueryStringBytes` and `responseBufferBytes`: 1 GiB is none of them by intent.
inline constexpr std::uint64_t kMaxBytesSetting = 1'073'741'824;

/// The largest `maxRequests`, that of --max-requests: more is no bound.
inline constexpr std::uint64_t kMaxRequestsSetting = 1'000'000;
/// The largest `slowLogThresholdMs`: a day, as that of the host's --slow-log-threshold.
inline constexpr std::uint64_t kMaxSlowLogThresholdMs = 86'400'000;
/// The least and the largest `stackBytes`: those of the host's --stack-size.
inline constexpr std::uint64_t kMinStackBytes = 65'536;
inline constexpr std::uint64_t kMaxStackBytes = 16'777'216;

/// The most `defaultDocuments`: for each one the disk is asked.
inline constexpr std::size_t kMaxDefaultDocuments = 16;

/// The longest `name` of an entry, in code points: it stands in every log line and metric of the
/// entry.
inline constexpr std::size_t kMaxEntryNameLength = 128;

/// The longest name of a section, in code points: nobody reads a longer one.
inline constexpr std::size_t kMaxSectionNameLength = 128;

/// Reads the text of one mapping file, and adds everything that is wrong with it to `problems`.
/// `file` is the name they carry.
[[nodiscard]] Level ReadLevel(std::string_view text, std::string file,
                              std::vector<Problem>& problems);

}  // namespace weft::mappings
