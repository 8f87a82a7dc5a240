#include <weft/http_cache_policy.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include <weft/http_date.hpp>
#include <weft/http_headers.hpp>
#include "handlers/contract/blocking.hpp"
#include "handlers/contract/field_cursor.hpp"
#include "handlers/contract/percent_encoding.hpp"

namespace weft {

namespace {

using std::chrono::seconds;

/// The larger, the more is allowed.
int Freedom(HttpCacheability cacheability) noexcept {
  switch (cacheability) {
    case HttpCacheability::kNoCache:
    case HttpCacheability::kServer:
      return 0;
    case HttpCacheability::kPrivate:
    case HttpCacheability::kServerAndPrivate:
      return 1;
    case HttpCacheability::kPublic:
      break;
  }
  return 2;
}

void Shorten(std::optional<seconds>& age, seconds to, const char* member) {
  if (to < seconds(0)) {
    throw std::invalid_argument(std::string("HttpCachePolicy::") + member + " of " +
                                std::to_string(to.count()) + " s: give 0 or more");
  }
  constexpr seconds kMost(std::int64_t{1} << 31);
  age = std::min({age.value_or(kMost), to, kMost});
}

void RequireFieldName(std::string_view name) {
  if (!IsToken(name)) {
    throw std::invalid_argument("'" + std::string(name) + "' is no name of a header field");
  }
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [name](const std::string& other) { return EqualsIgnoreCase(other, name); });
}

void AddName(std::vector<std::string>& names, std::string_view name) {
  RequireFieldName(name);
  if (!Contains(names, name)) {
    names.emplace_back(name);
  }
}

/// Directives of RFC 9111, section 5.2, one or several.
bool AreDirectives(std::string_view text) {
  FieldCursor cursor(text);
  do {
    cursor.SkipBlanks();
    if (cursor.TakeToken().empty() ||
        (cursor.Take('=') && cursor.TakeTokenOrQuotedString().empty())) {
      return false;
    }
    cursor.SkipBlanks();
  } while (cursor.Take(','));
  return cursor.AtEnd();
}

std::string Joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) {
    text.append(text.empty() ? "" : ", ").append(name);
  }
  return text;
}

/// FNV-1a of 64 bits: told apart are states of the same few files, not an attacker's.
class Hash {
 public:
  void Add(std::string_view text) {
    Add(text.size());
    for (const char c : text) {
      AddByte(static_cast<unsigned char>(c));
    }
  }
  void Add(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) {
      AddByte(static_cast<unsigned char>(number >> shift));
    }
  }
  std::string Text() const {
    std::string text;
    for (int shift = 60; shift >= 0; shift -= 4) {
      text += detail::kSmallDigits[(value_ >> shift) & 15];
    }
    return text;
  }

 private:
  void AddByte(unsigned char byte) { value_ = (value_ ^ byte) * 0x100000001b3ull; }

  std::uint64_t value_ = 0xcbf29ce484222325ull;
};

}  // namespace

void HttpCachePolicy::SetCacheability(HttpCacheability cacheability) {
  if (!cacheability_ || Freedom(cacheability) < Freedom(*cacheability_)) {
    cacheability_ = cacheability;
  }
}

void HttpCachePolicy::SetCacheability(HttpCacheability cacheability, std::string_view field) {
  if (cacheability != HttpCacheability::kPrivate && cacheability != HttpCacheability::kNoCache) {
    throw std::invalid_argument(
        "HttpCachePolicy::SetCacheability() of a field takes kPrivate or kNoCache");
  }
  AddName(cacheability == HttpCacheability::kPrivate ? private_fields_ : no_cache_fields_, field);
}

void HttpCachePolicy::SetMaxAge(seconds age) { Shorten(max_age_, age, "SetMaxAge()"); }

void HttpCachePolicy::SetProxyMaxAge(seconds age) {
  Shorten(proxy_max_age_, age, "SetProxyMaxAge()");
}

void HttpCachePolicy::SetStaleWhileRevalidate(seconds age) {
  Shorten(stale_while_revalidate_, age, "SetStaleWhileRevalidate()");
}

void HttpCachePolicy::SetStaleIfError(seconds age) {
  Shorten(stale_if_error_, age, "SetStaleIfError()");
}

void HttpCachePolicy::SetExpires(Clock::time_point time) {
  expires_ = std::min(expires_.value_or(time), time);
}

void HttpCachePolicy::SetRevalidation(HttpCacheRevalidation revalidation) {
  revalidation_ = std::min(revalidation_, revalidation);
}

void HttpCachePolicy::AppendCacheExtension(std::string_view directives) {
  if (!AreDirectives(directives)) {
    throw std::invalid_argument("'" + std::string(directives) +
                                "' is no directive of Cache-Control: give a name, or name=value");
  }
  extensions_.append(extensions_.empty() ? "" : ", ").append(directives);
}

void HttpCachePolicy::VaryByHeaders(std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    RequireFieldName(name);
  }
  for (const auto name : names) {
    if (name == "*") {
      vary_star_ = true;
    } else {
      AddName(vary_, name);
    }
  }
}

void HttpCachePolicy::SetETag(EntityTag tag) {
  if (etag_) {
    throw std::logic_error("HttpCachePolicy::SetETag(" + tag.ToHeaderValue() +
                           "): it is set already, to " + etag_->ToHeaderValue());
  }
  etag_ = std::move(tag);
}

void HttpCachePolicy::SetLastModified(Clock::time_point time) {
  last_modified_ = std::max(last_modified_.value_or(time), time);
}

void HttpCachePolicy::SetLastModifiedFromFileDependencies(std::span<const std::string> paths) {
  detail::RunFileWork([&] {
    for (const auto& path : paths) {
      struct stat status {};
      if (stat(path.c_str(), &status) == 0) {
        // The clock's nanoseconds end before file systems do.
        SetLastModified(
            std::clamp(std::chrono::sys_seconds(std::chrono::seconds(status.st_mtim.tv_sec)),
                       std::chrono::ceil<std::chrono::seconds>(Clock::time_point::min()),
                       std::chrono::floor<std::chrono::seconds>(Clock::time_point::max())));
      }
    }
  });
}

void HttpCachePolicy::SetETagFromFileDependencies(std::span<const std::string> paths,
                                                  std::string_view more) {
  Hash hash;
  hash.Add(more);
  detail::RunFileWork([&] {
    for (const auto& path : paths) {
      struct stat status {};
      hash.Add(path);
      if (stat(path.c_str(), &status) == 0) {
        for (const auto number :
             {static_cast<std::uint64_t>(status.st_dev), static_cast<std::uint64_t>(status.st_ino),
              static_cast<std::uint64_t>(status.st_size),
              static_cast<std::uint64_t>(status.st_mtim.tv_sec),
              static_cast<std::uint64_t>(status.st_mtim.tv_nsec),
              static_cast<std::uint64_t>(status.st_ctim.tv_sec),
              static_cast<std::uint64_t>(status.st_ctim.tv_nsec)}) {
          hash.Add(number);
        }
      }
    }
  });
  SetETag(EntityTag::Weak(hash.Text()));
}

std::string HttpCachePolicy::CacheControl() const {
  std::string text;
  const auto add = [&text](std::string_view directive) {
    text.append(text.empty() ? "" : ", ").append(directive);
  };
  const auto add_age = [&](std::string_view name, const std::optional<seconds>& age) {
    if (age) {
      add(name);
      text.append("=").append(std::to_string(age->count()));
    }
  };
  const auto add_fields = [&](std::string_view name, const std::vector<std::string>& fields) {
    if (!fields.empty()) {
      add(name);
      text.append("=\"").append(Joined(fields)).append("\"");
    }
  };
  // One that was said of a field alone leaves the others free.
  const bool of_fields = !private_fields_.empty() || !no_cache_fields_.empty();
  if (cacheability_ || !of_fields) {
    switch (Freedom(cacheability_.value_or(HttpCacheability::kPrivate))) {
      case 0:
        add("no-cache");
        break;
      case 1:
        add("private");
        break;
      default:
        add("public");
    }
  }
  add_fields("private", private_fields_);
  add_fields("no-cache", no_cache_fields_);
  if (no_store_) {
    add("no-store");
  }
  if (no_transforms_) {
    add("no-transform");
  }
  add_age("max-age", max_age_);
  add_age("s-maxage", proxy_max_age_);
  if (revalidation_ == HttpCacheRevalidation::kAllCaches) {
    add("must-revalidate");
  } else if (revalidation_ == HttpCacheRevalidation::kProxyCaches) {
    add("proxy-revalidate");
  }
  if (immutable_) {
    add("immutable");
  }
  add_age("stale-while-revalidate", stale_while_revalidate_);
  add_age("stale-if-error", stale_if_error_);
  if (!extensions_.empty()) {
    add(extensions_);
  }
  return text;
}

void HttpCachePolicy::WriteTo(HttpHeaders& headers, Clock::time_point now) const {
  if (!headers.Contains("Cache-Control")) {
    headers.Append("Cache-Control", CacheControl());
  }
  if (expires_ && !headers.Contains("Expires")) {
    headers.Append("Expires", FormatHttpDate(*expires_));
  }
  if (etag_ && !headers.Contains("ETag")) {
    headers.Append("ETag", etag_->ToHeaderValue());
  }
  if (last_modified_ && !headers.Contains("Last-Modified")) {
    headers.Append("Last-Modified", FormatHttpDate(std::min(*last_modified_, now)));
  }
  if (vary_.empty() && !vary_star_) {
    return;
  }
  std::vector<std::string> names;
  bool star = vary_star_;
  const auto take = [&](std::string_view name) {
    if (name == "*") {
      star = true;
    } else if (!Contains(names, name)) {
      names.emplace_back(name);
    }
  };
  for (const auto& [name, value] : headers) {
    if (EqualsIgnoreCase(name, "Vary")) {
      FieldCursor cursor(value);
      while (!cursor.AtEnd()) {
        cursor.SkipBlanks();
        if (const auto member = cursor.TakeToken(); !member.empty()) {
          take(member);
        }
        cursor.SkipTo(',');
        cursor.Take(',');
      }
    }
  }
  for (const auto& name : vary_) {
    take(name);
  }
  headers.Set("Vary", star ? "*" : Joined(names));
}

}  // namespace weft
