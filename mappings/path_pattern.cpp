#include "mappings/path_pattern.hpp"

#include <algorithm>
#include <optional>

#include "mappings/ascii.hpp"
#include "mappings/tail_tree.hpp"

namespace weft::mappings {
namespace {

constexpr std::string_view kWildcards = "*?";
constexpr std::size_t kMaxPackedBytes = 8;

// No path and no pattern holds a NUL, so different extensions never pack into the same number.
std::uint64_t PackLowerCase(std::string_view extension) {
  std::uint64_t packed = 0;
  for (const char c : extension) {
    packed = packed << 8U | static_cast<unsigned char>(ToLower(c));
  }
  return packed;
}

std::string Unpack(std::uint64_t packed) {
  std::string extension;
  for (; packed != 0; packed >>= 8U) {
    extension.insert(extension.begin(), static_cast<char>(packed & 0xFFU));
  }
  return extension;
}

std::uint64_t PackedExtension(std::string_view path) {
  const std::size_t searched = std::min(path.size(), kMaxPackedBytes + 1);
  for (std::size_t length = 0; length < searched; ++length) {
    const char c = path[path.size() - 1 - length];
    if (c == '.') {
      return PackLowerCase(path.substr(path.size() - length));
    }
    if (c == '/') {
      break;
    }
  }
  return 0;
}

// The packed extension of an alternative that is nothing but `*.extension`.
std::optional<std::uint64_t> ExtensionOf(std::string_view alternative) {
  if (!alternative.starts_with("*.")) {
    return std::nullopt;
  }
  const std::string_view extension = alternative.substr(2);
  if (extension.empty() || extension.size() > kMaxPackedBytes ||
      extension.find_first_of("./*?") != std::string_view::npos) {
    return std::nullopt;
  }
  return PackLowerCase(extension);
}

}  // namespace

std::vector<std::string_view> SplitAtCommas(std::string_view text) {
  std::vector<std::string_view> members;
  for (std::size_t begin = 0;;) {
    const std::size_t comma = text.find(',', begin);
    members.push_back(text.substr(begin, comma - begin));
    if (comma == std::string_view::npos) {
      return members;
    }
    begin = comma + 1;
  }
}

CandidatePath::CandidatePath(std::string_view path)
    : text(path), extension(PackedExtension(path)) {}

PathPattern::PathPattern(std::string_view text, std::string_view application_root) {
  for (const std::string_view alternative : SplitAtCommas(text)) {
    AddAlternative(alternative, application_root);
  }
  std::ranges::sort(extensions_);
}

bool PathPattern::IsRooted(std::string_view text) {
  return std::ranges::any_of(SplitAtCommas(text), [](std::string_view alternative) {
    return alternative.starts_with("~/");
  });
}

void PathPattern::AddAlternative(std::string_view alternative, std::string_view application_root) {
  if (alternative == "*") {
    matches_everything_ = true;
    return;
  }
  if (const std::optional<std::uint64_t> extension = ExtensionOf(alternative)) {
    extensions_.push_back(*extension);
    return;
  }
  std::string rooted;
  if (alternative.starts_with("~/")) {
    alternative = rooted = std::string(application_root) + std::string(alternative.substr(2));
  }
  const bool at_start = alternative.starts_with('/');
  if (alternative.find_first_of(kWildcards) == std::string_view::npos) {
    using enum Literal::Begins;
    literals_.push_back({LowerCase(alternative), at_start ? kAtStart : kAtSegment});
    return;
  }
  // A leading star reaches back to a `/` or to the path's start whatever stands there, so nothing
  // before the text that follows it needs a look.
  const std::size_t after_stars = std::min(alternative.find_first_not_of('*'), alternative.size());
  const std::string_view rest = alternative.substr(after_stars);
  if (after_stars > 0 && rest.find_first_of(kWildcards) == std::string_view::npos) {
    literals_.push_back({LowerCase(rest), Literal::Begins::kAnywhere});
    return;
  }
  globs_.emplace_back(alternative, at_start ? Glob::Kind::kPath : Glob::Kind::kPathSuffix);
}

bool PathPattern::Matches(const Literal& literal, std::string_view path) {
  if (path.size() < literal.lower.size()) {
    return false;
  }
  const std::size_t begin = path.size() - literal.lower.size();
  switch (literal.begins) {
    case Literal::Begins::kAnywhere:
      break;
    case Literal::Begins::kAtSegment:
      if (begin > 0 && path[begin - 1] != '/') {
        return false;
      }
      break;
    case Literal::Begins::kAtStart:
      if (begin > 0) {
        return false;
      }
      break;
  }
  return std::ranges::equal(path.substr(begin), literal.lower, {}, ToLower);
}

bool PathPattern::MatchesSpecifically(const CandidatePath& path) const {
  if (path.extension != 0 && std::ranges::binary_search(extensions_, path.extension)) {
    return true;
  }
  return std::ranges::any_of(
             literals_, [&path](const Literal& literal) { return Matches(literal, path.text); }) ||
         std::ranges::any_of(globs_, [&path](const Glob& glob) { return glob.Matches(path.text); });
}

std::vector<std::string> PathPattern::Tails() const {
  std::vector<std::string> tails;
  for (const std::uint64_t extension : extensions_) {
    tails.push_back("." + Unpack(extension));
  }
  for (const Literal& literal : literals_) {
    switch (literal.begins) {
      case Literal::Begins::kAnywhere:
        tails.push_back(literal.lower);
        break;
      case Literal::Begins::kAtSegment:
        tails.push_back("/" + literal.lower);
        break;
      case Literal::Begins::kAtStart:
        tails.push_back(TailTree::kStart + literal.lower);
        break;
    }
  }
  return tails;
}

}  // namespace weft::mappings
