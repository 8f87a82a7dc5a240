#include "handlers/contract/file_name.hpp"

#include <algorithm>
#include <array>

#include <weft/http_headers.hpp>
#include "handlers/contract/utf8.hpp"

namespace weft::detail {

namespace {

/// A file name has at most 255 bytes on Linux; this leaves room for what a handler puts before it.
constexpr std::size_t kMaxBytes = 200;
/// Of an ending that is kept when a name is cut.
constexpr std::size_t kMaxEndingBytes = 20;

/// Control characters, and those that have a text shown in another order than it has, or break its line.
bool IsControl(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

/// CON, PRN, AUX, NUL, COM1 to COM9, LPT1 to LPT9, with any ending: Windows opens a device.
bool IsDevice(std::string_view name) {
  auto stem = name.substr(0, name.find('.'));
  while (!stem.empty() && stem.back() == ' ') {
    stem.remove_suffix(1);
  }
  constexpr std::array<std::string_view, 4> kDevices = {"CON", "PRN", "AUX", "NUL"};
  if (stem.size() == 4 && stem[3] >= '1' && stem[3] <= '9') {
    return EqualsIgnoreCase(stem.substr(0, 3), "COM") || EqualsIgnoreCase(stem.substr(0, 3), "LPT");
  }
  return std::any_of(kDevices.begin(), kDevices.end(),
                     [&](auto device) { return EqualsIgnoreCase(stem, device); });
}

/// The longest beginning of at most `bytes` that ends with a character.
std::string_view CutUtf8(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) {
    return text;
  }
  while (bytes != 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) {
    --bytes;
  }
  return text.substr(0, bytes);
}

}  // namespace

std::string SafeFileName(std::string_view raw) {
  // npos + 1 is 0.
  raw.remove_prefix(raw.find_last_of("/\\") + 1);
  std::string name;
  for (std::size_t at = 0; at < raw.size();) {
    const auto character = DecodeUtf8(raw, at);
    if (!character.valid) {
      name += '_';
    } else if (!IsControl(character.value)) {
      const bool is_forbidden =
          character.value < 0x80 &&
          std::string_view("<>:\"|?*").find(raw[at]) != std::string_view::npos;
      name.append(is_forbidden ? std::string_view("_") : raw.substr(at, character.length));
    }
    at += character.length;
  }
  const auto first = name.find_first_not_of(". ");
  if (first == std::string::npos) {
    return {};
  }
  name.erase(0, first);
  if (IsDevice(name)) {
    name.insert(0, "_");
  }
  if (name.size() > kMaxBytes) {
    const auto dot = name.rfind('.');
    const auto ending = dot == std::string::npos || name.size() - dot > kMaxEndingBytes
                            ? std::string()
                            : name.substr(dot);
    name = std::string(CutUtf8(name, kMaxBytes - ending.size())).append(ending);
  }
  name.erase(name.find_last_not_of(". ") + 1);
  return name;
}

}  // namespace weft::detail
