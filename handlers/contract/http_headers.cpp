#include <weft/http_headers.hpp>

#include <algorithm>
#include <stdexcept>

#include "handlers/contract/field_text.hpp"

namespace weft {

using detail::ToLower;

namespace {

/// tchar of RFC 9110, section 5.6.2.
bool IsTokenCharacter(char c) noexcept {
  if ((c >= '0' && c <= '9') || (ToLower(c) >= 'a' && ToLower(c) <= 'z')) {
    return true;
  }
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

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
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenCharacter);
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
  fields_.emplace_back(name, value);
}

void HttpHeaders::Set(std::string_view name, std::string_view value) {
  CheckField(name, value);
  const auto first = FindField(fields_, name);
  if (first == fields_.end()) {
    fields_.emplace_back(name, value);
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
