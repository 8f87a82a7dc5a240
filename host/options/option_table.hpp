#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "host/options/settings.hpp"

namespace weft::host::options {

/// One option: the flag, the INI key and the WEFT_* variable are all made from it,
/// and so is its help. What it shows as default is read from a default-constructed Settings.
struct Option {
  /// How often one source may give the option, and whether it may come without a value.
  enum class Arity { kOnce, kList, kSwitch };

  std::string_view group;       ///< the heading in the help
  std::string_view name;        ///< kebab-case, without dashes
  std::string_view value_name;  ///< what stands for the value in the help
  std::string_view meaning;     ///< sentences for the help, without default and bounds
  std::string default_text;
  std::string bounds;  ///< "1 to 65535"; empty: nothing to say
  Arity arity = Arity::kOnce;
  /// Sets the field, or throws BadValue. A list is added to.
  std::function<void(Settings&, std::string_view)> set;
  /// Empties a list, for a stronger source to replace it; set for lists only.
  std::function<void(Settings&)> clear;
  /// Values that are words, where `value_name` does not spell them (`on|off`): for shells to complete. Each is
  /// one that `set` takes, and there may be other values.
  std::vector<std::string_view> words{};

  [[nodiscard]] std::string Flag() const;                 ///< --max-params
  [[nodiscard]] std::string EnvironmentVariable() const;  ///< WEFT_MAX_PARAMS
  /// What it means, its default and its bounds, as sentences.
  [[nodiscard]] std::string HelpText() const;
  /// The words among its values: `words`, or those that `value_name` spells, in lower case between its bars.
  [[nodiscard]] std::vector<std::string_view> Words() const;
};

/// Every option of `weft serve`, in the order of the help: the one place that defines them. The INI file and the
/// environment hold these, whatever the command.
[[nodiscard]] std::vector<Option> OptionTable();

/// `--format`, of the commands that list something; on the command line alone.
[[nodiscard]] Option FormatOption();

/// The same, of `weft status`.
[[nodiscard]] Option StatusFormatOption();

/// `--timeout`, of `weft reload`; on the command line alone.
[[nodiscard]] Option TimeoutOption();

/// `--document-root`, of `weft explain`; this and those below on the command line alone.
[[nodiscard]] Option DocumentRootOption();
/// The same, of `weft check`.
[[nodiscard]] Option CheckedRootOption();
/// `--host`, of `weft check`.
[[nodiscard]] Option HostOption();
/// Those of `weft new`: `--output` and `--async`.
[[nodiscard]] std::vector<Option> NewOptions();
/// Those of `weft recording`.
[[nodiscard]] std::vector<Option> RecordingOptions();
/// Those of `weft ping`: `--listen`, which takes what that of `weft serve` does, `--timeout`, `--path`, `--host` and
/// `--document-root`.
[[nodiscard]] std::vector<Option> PingOptions();

}  // namespace weft::host::options
