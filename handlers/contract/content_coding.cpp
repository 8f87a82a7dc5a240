#include <weft/content_coding.hpp>

#include <algorithm>
#include <utility>

#include <weft/http_headers.hpp>
#include <weft/quality_list.hpp>

namespace weft {

std::string_view NameOf(ContentCoding coding) noexcept {
  switch (coding) {
    case ContentCoding::kBrotli:
      return "br";
    case ContentCoding::kZstd:
      return "zstd";
    case ContentCoding::kGzip:
      break;
  }
  return "gzip";
}

std::optional<ContentCoding> ContentCodingOf(std::string_view name) noexcept {
  for (const auto coding : {ContentCoding::kBrotli, ContentCoding::kZstd, ContentCoding::kGzip}) {
    if (name == NameOf(coding)) {
      return coding;
    }
  }
  return std::nullopt;
}

std::vector<ContentCoding> AcceptedCodings(std::optional<std::string_view> accept_encoding,
                                           const std::vector<ContentCoding>& offered) {
  if (offered.empty() || !accept_encoding || accept_encoding->empty()) {
    return {};
  }
  const auto items = ParseQualityList(*accept_encoding, QualityListKind::kTokens);
  const auto quality_of = [&items](std::string_view name) -> std::optional<double> {
    const auto found = std::find_if(items.begin(), items.end(), [name](const QualityValue& item) {
      return EqualsIgnoreCase(item.value, name);
    });
    return found == items.end() ? std::nullopt : std::optional(found->quality);
  };
  const auto others = quality_of("*").value_or(0);
  // Unless it is named, the content as it is comes last of what is accepted.
  const auto identity = quality_of("identity").value_or(0);
  std::vector<std::pair<double, ContentCoding>> accepted;
  for (const auto coding : offered) {
    auto quality = quality_of(NameOf(coding));
    if (!quality && coding == ContentCoding::kGzip) {
      quality = quality_of("x-gzip");  // RFC 9110, section 8.4.1.3
    }
    if (const auto weight = quality.value_or(others); weight > 0 && weight >= identity) {
      accepted.emplace_back(weight, coding);
    }
  }
  std::stable_sort(accepted.begin(), accepted.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<ContentCoding> codings;
  for (const auto& [weight, coding] : accepted) {
    codings.push_back(coding);
  }
  return codings;
}

}  // namespace weft
