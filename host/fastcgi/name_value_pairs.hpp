#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weft::host::fastcgi {

/// Walks name-value pairs (FastCGI Specification 1.0, section 3.4) without allocating: an announced length is
/// compared with what is there before anything is done with it.
class NameValuePairs {
 public:
  struct Pair {
    std::string_view name;
    std::string_view value;
  };

  explicit NameValuePairs(std::string_view bytes) noexcept : rest_(bytes) {}

  /// The next pair; nothing at the end, and where the bytes are malformed.
  std::optional<Pair> Next() noexcept;
  /// True when every byte belonged to a pair.
  bool Complete() const noexcept { return rest_.empty(); }

 private:
  bool TakeLength(std::string_view& from, std::size_t& length) const noexcept;

  std::string_view rest_;
};

/// Why a request's parameters are refused: the status and the sentence for the log.
struct ParamsProblem {
  int status;
  std::string detail;
};

/// Checks the whole parameters of a request: well formed, at most `max_count`, no name that is empty or holds
/// `=` or NUL, no value that holds NUL. Nothing that fails here is shown to libfcgi.
std::optional<ParamsProblem> CheckParams(std::string_view bytes, std::size_t max_count);

/// Appends one pair in its encoding.
void AppendPair(std::string& to, std::string_view name, std::string_view value);

}  // namespace weft::host::fastcgi
