#include "handlers/builtin/content_types.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <weft/http_headers.hpp>

namespace weft::builtin {

namespace {

/// Debian's list has 75 KB.
constexpr std::size_t kMaxListBytes = std::size_t{4} << 20;
/// Names of files have 255 bytes at most.
constexpr std::size_t kMaxEndingBytes = 64;

/// Where the system has no list, or one that lacks what pages are made of.
constexpr std::array<std::pair<std::string_view, std::string_view>, 43> kTypesOfTheWeb{{
    {"apng", "image/apng"},       {"atom", "application/atom+xml"},
    {"avif", "image/avif"},       {"bmp", "image/bmp"},
    {"css", "text/css"},          {"csv", "text/csv"},
    {"flac", "audio/flac"},       {"gif", "image/gif"},
    {"gz", "application/gzip"},   {"htm", "text/html"},
    {"html", "text/html"},        {"ico", "image/vnd.microsoft.icon"},
    {"ics", "text/calendar"},     {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},        {"js", "text/javascript"},
    {"json", "application/json"}, {"jsonld", "application/ld+json"},
    {"jxl", "image/jxl"},         {"m4a", "audio/mp4"},
    {"map", "application/json"},  {"md", "text/markdown"},
    {"mjs", "text/javascript"},   {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},         {"ogg", "audio/ogg"},
    {"opus", "audio/ogg"},        {"otf", "font/otf"},
    {"pdf", "application/pdf"},   {"png", "image/png"},
    {"svg", "image/svg+xml"},     {"tar", "application/x-tar"},
    {"ttf", "font/ttf"},          {"txt", "text/plain"},
    {"vtt", "text/vtt"},          {"wasm", "application/wasm"},
    {"webm", "video/webm"},       {"webmanifest", "application/manifest+json"},
    {"webp", "image/webp"},       {"woff", "font/woff"},
    {"woff2", "font/woff2"},      {"xml", "application/xml"},
    {"zip", "application/zip"},
}};

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (auto& c : lower) {
    if (c >= 'A' && c <= 'Z') {
      c = static_cast<char>(c - 'A' + 'a');
    }
  }
  return lower;
}

bool IsMediaType(std::string_view text) {
  const auto slash = text.find('/');
  return text.size() <= 127 && slash != text.npos && IsToken(text.substr(0, slash)) &&
         IsToken(text.substr(slash + 1));
}

/// UTF-8 is what texts are written in today, and browsers would guess otherwise. XML says it itself.
bool TakesCharset(std::string_view type) {
  return type.substr(0, 5) == "text/" && type != "text/xml";
}

/// Takes the next word off a line; empty at its end.
std::string_view TakeWord(std::string_view& line) {
  constexpr std::string_view kBlanks = " \t\r\v\f";
  const auto begin = line.find_first_not_of(kBlanks);
  if (begin == line.npos || line[begin] == '#') {
    line = {};
    return {};
  }
  line.remove_prefix(begin);
  const auto word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

ContentTypes::ContentTypes() : ContentTypes(std::string_view()) {}

ContentTypes::ContentTypes(std::string_view list) {
  while (!list.empty()) {
    const auto end = list.find('\n');
    auto line = list.substr(0, end);
    list.remove_prefix(end == list.npos ? list.size() : end + 1);
    const auto type = TakeWord(line);
    if (!IsMediaType(type)) {
      continue;
    }
    for (auto ending = TakeWord(line); !ending.empty(); ending = TakeWord(line)) {
      Add(ending, type);
    }
  }
  for (const auto& [ending, type] : kTypesOfTheWeb) {
    Add(ending, type);
  }
  Sort();
}

ContentTypes ContentTypes::Read(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string list(kMaxListBytes + 1, '\0');
  file.read(list.data(), static_cast<std::streamsize>(list.size()));
  if (!file.is_open() || file.bad()) {
    throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), "read " + path);
  }
  list.resize(static_cast<std::size_t>(file.gcount()));
  if (list.size() > kMaxListBytes) {
    throw std::length_error(path + " has more than " + std::to_string(kMaxListBytes) +
                            " bytes: that is no list of media types");
  }
  return ContentTypes(list);
}

void ContentTypes::Add(std::string_view ending, std::string_view type) {
  if (ending.size() > kMaxEndingBytes) {
    return;
  }
  auto text = Lower(type);
  if (TakesCharset(text)) {
    text += "; charset=utf-8";
  }
  entries_.push_back({Lower(ending), std::move(text)});
}

void ContentTypes::Sort() {
  // Of several for one ending the first one counts.
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.ending < b.ending; });
  entries_.erase(std::unique(entries_.begin(), entries_.end(),
                             [](const Entry& a, const Entry& b) { return a.ending == b.ending; }),
                 entries_.end());
  entries_.shrink_to_fit();
}

std::string_view ContentTypes::Of(std::string_view path) const {
  constexpr std::string_view kUnknown = "application/octet-stream";
  const auto name = path.substr(path.rfind('/') + 1);
  const auto dot = name.rfind('.');
  if (dot == name.npos || name.size() - dot - 1 > kMaxEndingBytes) {
    return kUnknown;
  }
  const auto ending = Lower(name.substr(dot + 1));
  const auto found = std::lower_bound(
      entries_.begin(), entries_.end(), ending,
      [](const Entry& entry, const std::string& wanted) { return entry.ending < wanted; });
  return found != entries_.end() && found->ending == ending ? std::string_view(found->type)
                                                            : kUnknown;
}

}  // namespace weft::builtin
