#include <weft/name_value_collection.hpp>

#include <utility>

#include <weft/http_exception.hpp>
#include <weft/http_headers.hpp>
#include "handlers/contract/form_text.hpp"

namespace weft {

namespace {

std::string DecodeQueryText(std::string_view text) {
  auto decoded = DecodeFormText(text);
  if (!decoded) {
    throw HttpException(400, "The query holds a broken percent-escape.", std::string(text))
        .WithCause(cause::kQueryMalformed);
  }
  return *std::move(decoded);
}

}  // namespace

std::optional<std::string_view> NameValueCollection::Find(std::string_view name) const noexcept {
  for (const auto& [item_name, value] : items_) {
    if (EqualsIgnoreCase(item_name, name)) {
      return value;
    }
  }
  return std::nullopt;
}

std::string_view NameValueCollection::Get(std::string_view name,
                                          std::string_view fallback) const noexcept {
  return Find(name).value_or(fallback);
}

std::vector<std::string_view> NameValueCollection::FindAll(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [item_name, value] : items_) {
    if (EqualsIgnoreCase(item_name, name)) {
      values.push_back(value);
    }
  }
  return values;
}

void NameValueCollection::Append(std::string name, std::string value) {
  items_.emplace_back(std::move(name), std::move(value));
}

NameValueCollection ParseQueryString(std::string_view text, std::size_t max_fields) {
  NameValueCollection items;
  while (!text.empty()) {
    const auto end = text.find('&');
    const auto item = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (item.empty()) {
      continue;
    }
    if (items.size() == max_fields) {
      throw HttpException(
          400, "The query has too many fields.",
          "the query has more than " + std::to_string(max_fields) + " fields (--max-fields)")
          .WithCause(cause::kTooManyFields);
    }
    const auto equals = item.find('=');
    const auto value =
        equals == std::string_view::npos ? std::string_view() : item.substr(equals + 1);
    items.Append(DecodeQueryText(item.substr(0, equals)), DecodeQueryText(value));
  }
  return items;
}

}  // namespace weft
