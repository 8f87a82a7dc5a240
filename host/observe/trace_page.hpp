#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/observe/trace_record.hpp"
#include "host/observe/trace_ring.hpp"

namespace weft::host::observe {

/// Appends `text` as it may stand between the tags of a page or in a quoted attribute: `< > & " '` as references; what cannot be
/// seen, or turns the direction of what follows, as its number (`U+202E`); what is no UTF-8 as U+FFFD. Throws std::bad_alloc.
void AppendHtml(std::string& to, std::string_view text);

/// Which traces are listed; empty, or 0: all.
struct TraceFilter {
  std::string status{};   ///< `404`, or `4xx`
  std::string path{};     ///< a part of the URL's path
  std::string handler{};  ///< a part of the class's name, or of the entry's
  double slower_ms = 0;

  [[nodiscard]] bool IsEmpty() const noexcept {
    return status.empty() && path.empty() && handler.empty() && slower_ms <= 0;
  }
  [[nodiscard]] bool Passes(const TraceRecord& record) const noexcept;
};

struct Trace {
  TraceRing::Id id{};
  TraceRecord record{};
};

/// `3-120`, as it stands in links.
[[nodiscard]] std::string ToString(TraceRing::Id id);
[[nodiscard]] std::optional<TraceRing::Id> ParseTraceId(std::string_view text) noexcept;

/// What the mappings say of a request now.
struct MappingExplanation {
  struct Tried {
    std::string where{};
    std::string entry{};  ///< verb and path
    std::string type{};
    std::string why{};
    bool is_chosen = false;
  };

  bool is_known = false;  ///< else the request did not come to be mapped, and what follows is empty
  bool is_same_table = false;  ///< as the one that the request was mapped by
  int status = 0;
  std::string cause{};
  std::string detail{};
  std::string file_path{};
  std::string path_info{};
  std::string default_document{};
  std::string location{};
  std::vector<std::string> chain{};  ///< the mapping files, outermost first
  std::vector<Tried> tried{};
  std::size_t tried_omitted = 0;
};

/// A page's frame.
struct TracePage {
  std::string_view self;   ///< the path that it is asked for by
  std::string_view nonce;  ///< that Content-Security-Policy lets styles in by
  std::size_t kept = 0;    ///< traces, of a host
};

/// `traces`: those that pass the filter, newest first; `all`: how many there are. Throws std::bad_alloc.
[[nodiscard]] std::string TracesToHtml(const std::vector<Trace>& traces, std::size_t all,
                                       const TraceFilter& filter, const TracePage& page);
[[nodiscard]] std::string TracesToJson(const std::vector<Trace>& traces, std::size_t all,
                                       const TracePage& page);

/// One, with all that is known of it. Throws std::bad_alloc.
[[nodiscard]] std::string TraceToHtml(const Trace& trace, const MappingExplanation& mapping,
                                      const TracePage& page);
[[nodiscard]] std::string TraceToJson(const Trace& trace, const MappingExplanation& mapping);

/// Where there is none of that id.
[[nodiscard]] std::string NoTraceToHtml(const TracePage& page);

}  // namespace weft::host::observe
