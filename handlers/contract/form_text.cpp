#include "handlers/contract/form_text.hpp"

#include <boost/url/pct_string_view.hpp>

namespace weft {

std::optional<std::string> DecodeFormText(std::string_view text) {
  const auto encoded = boost::urls::make_pct_string_view({text.data(), text.size()});
  if (!encoded) {
    return std::nullopt;
  }
  boost::urls::encoding_opts options;
  options.space_as_plus = true;
  std::string decoded;
  encoded->decode(options, boost::urls::string_token::assign_to(decoded));
  return decoded;
}

}  // namespace weft
