#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mappings/config_sections.hpp"
#include "mappings/problem.hpp"

namespace weft::mappings {

/// A value that mapping files set, and where the one in force was set.
template <class Value>
struct Setting {
  Value value{};
  std::shared_ptr<const SourceLocation> where;  ///< Null: by no file.

  /// The value alone.
  friend bool operator==(const Setting& left, const Setting& right) {
    return left.value == right.value;
  }
};

/// `httpRuntime`: limits on a request, and how it is answered. Where one is absent, the host's own
/// option holds.
struct Runtime {
  Setting<std::optional<std::chrono::seconds>> execution_timeout;
  Setting<std::optional<std::uint64_t>> max_request_bytes;
  /// Of the decoded path, path info included.
  Setting<std::optional<std::uint64_t>> max_url_bytes;
  Setting<std::optional<std::uint64_t>> max_query_string_bytes;
  /// How much of an answer is kept back before its first byte is sent; 0: nothing.
  Setting<std::optional<std::uint64_t>> response_buffer_bytes;
  /// That a worker serves at once, of all folders that have the setting from the same place.
  Setting<std::optional<std::uint64_t>> max_requests;
  /// The least stack of an async handler. An entry may say otherwise (Entry::stack_bytes).
  Setting<std::optional<std::uint64_t>> stack_bytes;
  /// Requests that take longer are told in the slow log; 0: none is.
  Setting<std::optional<std::chrono::milliseconds>> slow_log_threshold;

  friend bool operator==(const Runtime&, const Runtime&) = default;
};

/// What one file, or one location of it, sets; the rest is inherited.
struct SettingOverrides {
  Runtime runtime;
  std::optional<Setting<std::vector<std::string>>> default_documents;
  std::optional<Setting<bool>> redirect_to_folder;
  std::shared_ptr<const std::vector<ConfigSection>> sections;  ///< Null: none.
};

/// One step of the chain to a folder: a file, or a location in one.
struct LevelSource {
  std::string file;      ///< Empty: the built-in defaults.
  std::string location;  ///< As written; empty: the file's own folder.

  friend bool operator==(const LevelSource&, const LevelSource&) = default;
};

/// What is in force in a folder, entries aside.
struct FolderSettings {
  Runtime runtime;
  /// Names of files that stand for a folder, in the order in which they are looked for.
  Setting<std::vector<std::string>> default_documents;
  /// Whether a folder that is asked for without its final slash is answered with a redirect to it.
  Setting<bool> redirect_to_folder;
  std::shared_ptr<const ConfigSections> sections;  ///< Null: none.
  /// The root of the application: `/`, or `/a/b/`.
  std::string application_root = "/";
  std::vector<std::shared_ptr<const LevelSource>> levels;  ///< From the built-in defaults down.
};

}  // namespace weft::mappings
