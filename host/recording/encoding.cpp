#include "host/recording/encoding.hpp"

#include <algorithm>
#include <boost/archive/iterators/base64_from_binary.hpp>
#include <boost/archive/iterators/binary_from_base64.hpp>
#include <boost/archive/iterators/dataflow_exception.hpp>
#include <boost/archive/iterators/transform_width.hpp>
#include <nlohmann/json.hpp>

namespace weft::host::recording {

using boost::archive::iterators::transform_width;

bool IsUtf8(std::string_view text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

bool IsReadable(std::string_view bytes) {
  const auto is_control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f;
  };
  return std::ranges::none_of(bytes, is_control) && IsUtf8(bytes);
}

// Boost.Serialization's dataflow iterators are documented, header-only, and the one public base64 in Debian's
// libboost1.81-dev: Boost.Beast keeps its own in a detail namespace, and OpenSSL is not linked here. They know
// digits only, so padding (RFC 4648, section 4) is dealt with here.

std::string EncodeBase64(std::string_view bytes) {
  using Digits = boost::archive::iterators::base64_from_binary<transform_width<const char*, 6, 8>>;
  // They read an unfinished group to beyond its end.
  const auto whole = bytes.size() - bytes.size() % 3;
  std::string text(Digits(bytes.data()), Digits(bytes.data() + whole));
  if (whole < bytes.size()) {
    std::string rest(bytes.substr(whole));
    const auto padding = 3 - rest.size();
    rest.append(padding, '\0');
    text.append(Digits(rest.data()), Digits(rest.data() + rest.size()));
    text.replace(text.size() - padding, padding, padding, '=');
  }
  return text;
}

std::optional<std::string> DecodeBase64(std::string text) {
  using Bytes =
      transform_width<boost::archive::iterators::binary_from_base64<std::string::const_iterator>, 8,
                      6>;
  const auto digits = text.find_last_not_of('=') + 1;
  const auto padding = text.size() - digits;
  // They would take a '=' anywhere for an 'A', and read an unfinished group to beyond its end.
  if (text.size() % 4 != 0 || padding > 2 || text.find('=') < digits) {
    return std::nullopt;
  }
  text.replace(digits, padding, padding, 'A');
  try {
    std::string bytes(Bytes(text.cbegin()), Bytes(text.cend()));
    bytes.resize(bytes.size() - padding);
    return bytes;
  } catch (const boost::archive::iterators::dataflow_exception&) {
    return std::nullopt;
  }
}

}  // namespace weft::host::recording
