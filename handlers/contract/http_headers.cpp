#include <weft/http_headers.hpp>

#include <algorithm>
#include <stdexcept>

#include "handlers/contract/field_text.hpp"
#include "handlers/contract/percent_encoding.hpp"

namespace weft {

using detail::ToLower;

namespace {

/// tchar of RFC 9110, section 5.6.2.
constexpr detail::ByteSet kTokenCharacters = detail::AlphanumericAnd("!#$%&'*+-.^_`|~");

/// Of a usual message: most have one block of memory for all their fields then.
constexpr std::size_t kUsualFields = 8;

void CheckField(std::string_view name, std::string_view value) {
  if (!IsToken(name)) {
    throw std::invalid_argument("header name '" + std::string(name) +
                                "' is no token: use letters, digits and hyphens");
  }
  const auto is_control = [](char c) { return detail::IsControl(c) && c != '\t'; };
  if (std::any_of(value.begin(), value.end(), is_control)) {
    throw std::invalid_argument("the value of header '" + std::string(name) +
                                "' holds a control character (CR, LF or NUL, say)");
  }
}

using Fields = std::vector<HttpHeaders::Field>;

void Add(Fields& fields, std::string_view name, std::string_view value) {
  // Not for one that is there already: `name` and `value` may view the fields, which emplace_back() allows for.
  if (fields.capacity() == 0) {
    fields.reserve(kUsualFields);
  }
  fields.emplace_back(name, value);
}

Fields::iterator FindField(Fields& fields, std::string_view name) noexcept {
  return std::find_if(fields.begin(), fields.end(), [name](const HttpHeaders::Field& field) {
    return EqualsIgnoreCase(field.first, name);
  });
}

/// Erases the fields behind `first` that have its name. The name is read there and not from a caller, who may
/// have given a view of a field that moves.
void EraseRepetitions(Fields& fields, Fields::iterator first) noexcept {
  fields.erase(std::remove_if(first + 1, fields.end(),
                              [&name = first->first](const HttpHeaders::Field& field) {
                                return EqualsIgnoreCase(field.first, name);
                              }),
               fields.end());
}

}  // namespace

bool EqualsIgnoreCase(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return ToLower(x) == ToLower(y); });
}

bool IsToken(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char c) { return detail::Contains(kTokenCharacters, c); });
}

std::optional<std::string_view> HttpHeaders::Find(std::string_view name) const noexcept {
  for (const auto& [field_name, value] : fields_) {
    if (EqualsIgnoreCase(field_name, name)) {
      return value;
    }
  }
  return std::nullopt;
}

void HttpHeaders::Append(std::string_view name, std::string_view value) {
  CheckField(name, value);
  Add(fields_, name, value);
}

void HttpHeaders::Set(std::string_view name, std::string_view value) {
  CheckField(name, value);
  const auto first = FindField(fields_, name);
  if (first == fields_.end()) {
    Add(fields_, name, value);
    return;
  }
  first->second = value;
  EraseRepetitions(fields_, first);
}

bool HttpHeaders::Remove(std::string_view name) noexcept {
  const auto first = FindField(fields_, name);
  if (first == fields_.end()) {
    return false;
  }
  EraseRepetitions(fields_, first);
  fields_.erase(first);
  return true;
}

}  // namespace weft
