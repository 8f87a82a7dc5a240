#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/route.hpp"

namespace weft::mappings {

/// The files of a site whose document root is a folder of this machine, for those who look at its mappings without a request.
///
/// Every look blocks. Threads: one at a time.
class SiteFolder final : public ISiteFiles {
 public:
  /// `root`: where `/` is on the disk; empty: nowhere, and nothing exists.
  explicit SiteFolder(std::string root);

  Resource At(std::string_view file_path) override;
  std::optional<std::string> FirstFile(std::string_view folder,
                                       const std::vector<std::string>& names) override;
  /// Where that is on the disk, whether anything is there or not.
  [[nodiscard]] std::string PathOf(std::string_view file_path) const;

 private:
  const bool is_known_;
  std::string root_;
};

}  // namespace weft::mappings
