#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mappings/mapping_table.hpp"
#include "mappings/resources.hpp"

namespace weft::mappings {

/// A request, as far as its mapping depends on it. Lifetime: views.
struct RequestTarget {
  std::string_view host;         ///< The Host header as it came.
  std::string_view method;       ///< As it came.
  std::string_view script_path;  ///< Percent-decoded once, as MappingTable::Resolve() takes it.
  std::string_view path_info;    ///< The same.
  std::string_view query;        ///< As it came, without its question mark.
};

/// The files of a site.
class ISiteFiles : public IResources {
 public:
  /// The path of the first of `names` that is a file in the folder, whose path is normalised and ends with a slash;
  /// nothing where none is. May wait, and may throw: a search is then given up with the exception.
  virtual std::optional<std::string> FirstFile(std::string_view folder,
                                               const std::vector<std::string>& names) = 0;
};

/// What comes of a request before any handler is asked.
///
/// Lifetime: the entry's and the settings' is the table's; paths view the target or this.
struct Route {
  /// 200: the entry is to serve. 301: a redirect to `location`. 400, 404, 405, 414: refused.
  int status = 200;
  /// The last one: of the default document, where one stands for its folder. Its settings are null for a malformed
  /// method alone.
  Resolution resolution;
  /// For logs and metrics: the resolution's, or one of <weft/cause.hpp>.
  std::string_view cause;
  std::string location;  ///< For 301: percent-encoded, with the query.
  /// What the log is told of a refusal, where `cause` does not say all.
  std::string detail;
  /// The default document that stands for the folder that was asked for; or null.
  std::unique_ptr<const std::string> default_document;
};

/// Finds what is to come of a request: its entry, after the limits of its folder on path and query, the folder's default
/// document, and the redirect to the folder's slash.
///
/// Throws what `files` throws. Waits where `files` does. `cache` as for MappingTable::Resolve().
[[nodiscard]] Route FindRoute(const MappingTable& table, const RequestTarget& target,
                              ISiteFiles& files, ResolutionCache* cache = nullptr);

}  // namespace weft::mappings
