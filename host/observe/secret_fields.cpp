#include "host/observe/secret_fields.hpp"

#include <algorithm>
#include <array>

#include "mappings/ascii.hpp"

namespace weft::host::observe {

namespace {

/// In lower case, the words joined by `-`.
constexpr std::array<std::string_view, 15> kSecretFields{"authorization",
                                                         "proxy-authorization",
                                                         "cookie",
                                                         "set-cookie",
                                                         "x-api-key",
                                                         "api-key",
                                                         "x-auth-token",
                                                         "x-access-token",
                                                         "x-csrf-token",
                                                         "x-xsrf-token",
                                                         "x-amz-security-token",
                                                         "x-vault-token",
                                                         "php-auth-pw",
                                                         "php-auth-digest",
                                                         "x-forwarded-access-token"};

/// The same, the words joined by `_`.
constexpr std::array<std::string_view, 26> kSecretParameters{"password",
                                                             "passwd",
                                                             "pwd",
                                                             "passphrase",
                                                             "secret",
                                                             "client_secret",
                                                             "token",
                                                             "access_token",
                                                             "id_token",
                                                             "refresh_token",
                                                             "csrf_token",
                                                             "api_key",
                                                             "apikey",
                                                             "access_key",
                                                             "signature",
                                                             "sig",
                                                             "session_id",
                                                             "sessionid",
                                                             "jwt",
                                                             "assertion",
                                                             "client_assertion",
                                                             "x_amz_signature",
                                                             "x_amz_credential",
                                                             "x_amz_security_token",
                                                             "x_goog_signature",
                                                             "x_goog_credential"};

constexpr char Lowered(char c, char joiner) noexcept {
  return c == '-' || c == '_' ? joiner : mappings::ToLower(c);
}

template <std::size_t kCount>
bool IsOneOf(const std::array<std::string_view, kCount>& names, std::string_view name,
             char joiner) noexcept {
  return std::ranges::any_of(names, [&](std::string_view known) {
    return std::ranges::equal(known, name,
                              [joiner](char k, char n) { return k == Lowered(n, joiner); });
  });
}

constexpr bool IsNameByte(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

/// Of a name as URLs have it: `user[password]`, `user%5Bpassword%5D`, `p%61ssword`.
constexpr bool IsEncodedNameByte(char c) noexcept {
  return IsNameByte(c) || c == '[' || c == ']' || c == '%';
}

int HexDigit(char c) noexcept {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/// What ends `name`, decoded: of `user%5Bpassword%5D` it is `password`.
std::string LastWord(std::string_view name) {
  std::string decoded;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool is_encoded = name[i] == '%' && i + 2 < name.size() && HexDigit(name[i + 1]) >= 0 &&
                            HexDigit(name[i + 2]) >= 0;
    decoded += is_encoded ? static_cast<char>(16 * HexDigit(name[i + 1]) + HexDigit(name[i + 2]))
                          : name[i];
    i += is_encoded ? 2 : 0;
  }
  if (decoded.ends_with(']')) {
    decoded.pop_back();
  }
  const auto begin = std::find_if_not(decoded.rbegin(), decoded.rend(), IsNameByte).base();
  return {begin, decoded.end()};
}

/// Whether the parameter's value is a secret; `name` may be as URLs have it.
bool IsSecretName(std::string_view name) {
  return std::ranges::all_of(name, IsNameByte) ? IsSecretParameter(name)
                                               : IsSecretParameter(LastWord(name));
}

/// Where a parameter's value ends.
constexpr std::string_view kEndsOfValue = "&; \t\r\n\"'<>#,)";

}  // namespace

bool IsSecretField(std::string_view name) noexcept {
  for (const std::string_view prefix : {"REDIRECT_", "HTTP_"}) {
    if (name.starts_with(prefix)) {
      name.remove_prefix(prefix.size());
    }
  }
  return IsOneOf(kSecretFields, name, '-');
}

bool IsSecretParameter(std::string_view name) noexcept {
  return IsOneOf(kSecretParameters, name, '_');
}

std::string WithoutSecrets(std::string_view text) {
  std::string shown;
  std::size_t taken = 0;
  // Of the part that was looked at: each byte is once, for these texts are what strangers sent.
  std::size_t seen = 0;
  auto last_slash = std::string_view::npos;  // or blank
  auto last_mark = std::string_view::npos;   // or colon
  for (auto at = text.find_first_of("=@"); at != std::string_view::npos;
       at = text.find_first_of("=@", std::max(at + 1, taken))) {
    if (text[at] == '=') {
      auto begin = at;
      while (begin > taken && IsEncodedNameByte(text[begin - 1])) {
        --begin;
      }
      if (!IsSecretName(text.substr(begin, at - begin))) {
        continue;
      }
      const auto end = std::min(text.find_first_of(kEndsOfValue, at + 1), text.size());
      // What is masked already stays as it is, whose last byte would be taken for what follows a value.
      if (end == at + 1 || text.substr(at + 1).starts_with(kMasked)) {
        continue;
      }
      shown.append(text.substr(taken, at + 1 - taken)).append(kMasked);
      taken = end;
      continue;
    }
    // //name:password@host
    for (; seen < at; ++seen) {
      const char c = text[seen];
      if (c == '/' || c == ' ') {
        last_slash = last_mark = seen;
      } else if (c == ':') {
        last_mark = seen;
      }
    }
    if (last_mark == std::string_view::npos || last_mark < taken || text[last_mark] != ':' ||
        last_slash == std::string_view::npos || last_slash == 0 || text[last_slash] != '/' ||
        text[last_slash - 1] != '/') {
      continue;
    }
    shown.append(text.substr(taken, last_mark + 1 - taken)).append(kMasked);
    taken = at;
  }
  return shown.append(text.substr(taken));
}

std::string ShownValue(std::string_view name, std::string_view value) {
  if (value.empty()) {
    return {};
  }
  return IsSecretField(name) ? std::string(kMasked) : WithoutSecrets(value);
}

}  // namespace weft::host::observe
