#include "host/tools/recording_name.hpp"

#include <algorithm>
#include <string_view>

#include "mappings/ascii.hpp"

namespace weft::host::tools {
namespace {

constexpr std::size_t kLeastDigits = 3;
/// Enough for every registered method (UPDATEREDIRECTREF), and for people to know a path by.
constexpr std::size_t kMaxMethodBytes = 20;
constexpr std::size_t kMaxPathBytes = 60;

std::string_view ValueOf(const recording::Params& params, std::string_view name) {
  const auto found = std::ranges::find(params, name, &recording::Params::value_type::first);
  return found == params.end() ? std::string_view() : found->second;
}

/// Letters and digits stay, and dots between them; the rest is hyphens, none of them beside another.
std::string Plain(std::string_view text, std::size_t most_bytes) {
  std::string plain;
  for (const char c : text) {
    const char small = mappings::ToLower(c);
    const bool is_word = (small >= 'a' && small <= 'z') || (c >= '0' && c <= '9') || c == '_';
    const bool is_after_word = !plain.empty() && plain.back() != '-' && plain.back() != '.';
    if (is_word) {
      plain += c;
    } else if (is_after_word) {
      plain += c == '.' ? '.' : '-';
    }
    if (plain.size() == most_bytes) {
      break;
    }
  }
  plain.erase(plain.find_last_not_of("-.") + 1);
  return plain;
}

}  // namespace

std::string RecordingName(std::size_t number, std::size_t total,
                          const recording::Recording& recording) {
  const auto digits = std::max(kLeastDigits, std::to_string(total).size());
  auto name = std::to_string(number);
  name.insert(0, digits - std::min(digits, name.size()), '0');
  const auto method = Plain(ValueOf(recording.params, "REQUEST_METHOD"), kMaxMethodBytes);
  const auto path = Plain(ValueOf(recording.params, "SCRIPT_NAME"), kMaxPathBytes);
  for (const auto& part : {mappings::LowerCase(method), path}) {
    name += part.empty() ? "" : "-" + part;
  }
  return name;
}

}  // namespace weft::host::tools
