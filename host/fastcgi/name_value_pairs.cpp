#include "host/fastcgi/name_value_pairs.hpp"

#include <cstdint>

namespace weft::host::fastcgi {

bool NameValuePairs::TakeLength(std::string_view& from, std::size_t& length) const noexcept {
  if (from.empty()) {
    return false;
  }
  const auto at = [&from](std::size_t i) { return static_cast<unsigned char>(from[i]); };
  if (at(0) < 0x80) {
    length = at(0);
    from.remove_prefix(1);
    return true;
  }
  if (from.size() < 4) {
    return false;
  }
  length = static_cast<std::size_t>(at(0) & 0x7f) << 24 | static_cast<std::size_t>(at(1)) << 16 |
           static_cast<std::size_t>(at(2)) << 8 | at(3);
  from.remove_prefix(4);
  return true;
}

std::optional<NameValuePairs::Pair> NameValuePairs::Next() noexcept {
  auto rest = rest_;
  std::size_t name_length = 0;
  std::size_t value_length = 0;
  if (!TakeLength(rest, name_length) || !TakeLength(rest, value_length) ||
      name_length > rest.size() || value_length > rest.size() - name_length) {
    return std::nullopt;
  }
  const Pair pair{rest.substr(0, name_length), rest.substr(name_length, value_length)};
  rest_ = rest.substr(name_length + value_length);
  return pair;
}

std::optional<ParamsProblem> CheckParams(std::string_view bytes, std::size_t max_count) {
  NameValuePairs pairs(bytes);
  std::size_t count = 0;
  while (const auto pair = pairs.Next()) {
    if (++count > max_count) {
      return ParamsProblem{431,
                           "more than " + std::to_string(max_count) + " parameters (--max-params)"};
    }
    if (pair->name.empty() || pair->name.find('=') != std::string_view::npos ||
        pair->name.find('\0') != std::string_view::npos) {
      return ParamsProblem{400, "parameter " + std::to_string(count) +
                                    " has a name that is empty, or holds '=' or NUL"};
    }
    if (pair->value.find('\0') != std::string_view::npos) {
      return ParamsProblem{400, "the value of parameter " + std::string(pair->name) + " holds NUL"};
    }
  }
  if (!pairs.Complete()) {
    return ParamsProblem{400, "parameter " + std::to_string(count + 1) +
                                  " announces more bytes than the parameters have"};
  }
  return std::nullopt;
}

namespace {

void AppendLength(std::string& to, std::size_t length) {
  if (length < 0x80) {
    to.push_back(static_cast<char>(length));
    return;
  }
  const auto encoded = static_cast<std::uint32_t>(length) | 0x80000000U;
  for (int shift = 24; shift >= 0; shift -= 8) {
    to.push_back(static_cast<char>(encoded >> shift));
  }
}

}  // namespace

void AppendPair(std::string& to, std::string_view name, std::string_view value) {
  AppendLength(to, name.size());
  AppendLength(to, value.size());
  to.append(name).append(value);
}

}  // namespace weft::host::fastcgi
