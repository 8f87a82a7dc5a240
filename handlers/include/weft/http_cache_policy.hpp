#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/conditional_request.hpp>
#include <weft/entity_tag.hpp>
#include <weft/export.hpp>

namespace weft {

class HttpHeaders;
class HttpResponse;

/// Who may keep an answer (RFC 9111, section 5.2.2), the strictest first. ASP.NET's values: two of them tell its own output
/// cache something as well, which Weft has none of, and are for clients as kNoCache and kPrivate.
enum class HttpCacheability : std::uint8_t {
  kNoCache = 1,  ///< `no-cache`: whoever keeps it asks before each use whether it still holds
  kPrivate = 2,  ///< `private`: the client alone, no cache that several share
  kServer = 3,   ///< as kNoCache
  kPublic = 4,   ///< `public`: everybody
  kServerAndPrivate = 5,  ///< as kPrivate
};

/// Who must ask again once an answer has become stale, the strictest first.
enum class HttpCacheRevalidation : std::uint8_t {
  kAllCaches = 1,    ///< `must-revalidate`
  kProxyCaches = 2,  ///< `proxy-revalidate`
  kNone = 3,
};

/// What caches may do with an answer, and by what they know it again: Cache-Control, Expires, Vary, ETag and Last-Modified.
/// Obtained from HttpResponse::Cache().
///
/// As in ASP.NET the stricter wins where a member is called twice: what one part of an application has forbidden, another does
/// not allow again. A policy that says nothing of cacheability says `private`. The fields are written when the header block is
/// made; what the handler has set itself by HttpResponse::SetHeader() wins, field by field, and Vary is joined with it. GET
/// and HEAD are then answered with 304 or 412 where the client's conditions ask for it: see HttpResponse::IsBodyWanted().
///
/// Lifetime: the response's; a reference stays valid. Threads: the handler's.
class WEFT_API HttpCachePolicy {
 public:
  using Clock = std::chrono::system_clock;

  /// The stricter wins.
  void SetCacheability(HttpCacheability cacheability);
  /// The same for one field of the answer, `private="Set-Cookie"`: many caches take it for the whole answer (RFC 9111, section
  /// 5.2.2.4). kPrivate and kNoCache only; throws std::invalid_argument for others, and for what is no field name.
  void SetCacheability(HttpCacheability cacheability, std::string_view field);
  /// `no-store`: nobody keeps it, not even the client for a while.
  void SetNoStore() noexcept { no_store_ = true; }
  /// `no-transform`: proxies leave it as it is.
  void SetNoTransforms() noexcept { no_transforms_ = true; }

  /// How long it holds, `max-age`. The shortest wins. Throws std::invalid_argument for less than 0; beyond 2^31 s it is 2^31
  /// (RFC 9111, section 1.2.2).
  void SetMaxAge(std::chrono::seconds age);
  /// How long it holds for caches that several share, `s-maxage`. As SetMaxAge().
  void SetProxyMaxAge(std::chrono::seconds age);
  /// Until when it holds, for caches that do not know max-age. The earliest wins.
  void SetExpires(Clock::time_point time);
  /// What is done once it holds no longer. The stricter wins.
  void SetRevalidation(HttpCacheRevalidation revalidation);
  /// `immutable` (RFC 8246): while it holds, not even a reload asks for it again. For what has its version in its URL.
  void SetImmutable() noexcept { immutable_ = true; }
  /// `stale-while-revalidate` (RFC 5861): so long a cache may give it out after its time, while it asks for the new one. As
  /// SetMaxAge().
  void SetStaleWhileRevalidate(std::chrono::seconds age);
  /// `stale-if-error` (RFC 5861): so long where asking fails. As SetMaxAge().
  void SetStaleIfError(std::chrono::seconds age);
  /// Adds a directive as it stands: `community="UCI"`, or several with commas. Throws std::invalid_argument where it is none
  /// (RFC 9111, section 5.2).
  void AppendCacheExtension(std::string_view directives);

  /// What beside the URL decides about the answer: fields of the request. `VaryByHeaders({"Accept", "Accept-Language"})`. Throws
  /// std::invalid_argument for what is no field name.
  void VaryByHeaders(std::initializer_list<std::string_view> names);
  /// `Vary: *`: something decides that no request shows. No cache can use such an answer without asking.
  void VaryByUnspecifiedParameters() noexcept { vary_star_ = true; }

  /// Names this state of the resource. Once: throws std::logic_error the second time, as ASP.NET does; two parts of an
  /// application that name it differently are a mistake.
  void SetETag(EntityTag tag);
  /// When it was last changed. The latest wins; one in the future is told as now, for clients would compare it with
  /// their own clock.
  void SetLastModified(Clock::time_point time);
  /// The latest of the files that the answer is made of. Those that are missing do not count. Waits for the disk: in an async
  /// handler the fiber does, all paths being one call of a thread, which throws as Offload().
  void SetLastModifiedFromFileDependencies(std::span<const std::string> paths);
  /// A weak entity tag out of size, time and identity of the files that the answer is made of, missing ones included, and of
  /// `more`, which stands for all else that it depends on: a user's language, the program's version. Throws as SetETag(). Waits
  /// for the disk as SetLastModifiedFromFileDependencies(). Its text differs from machine to machine.
  void SetETagFromFileDependencies(std::span<const std::string> paths, std::string_view more = {});

  const std::optional<EntityTag>& ETag() const noexcept { return etag_; }
  const std::optional<Clock::time_point>& LastModified() const noexcept { return last_modified_; }
  /// The Cache-Control field that the policy makes.
  std::string CacheControl() const;

 private:
  friend class HttpResponse;

  /// Writes what `headers` does not have. Doing it twice changes nothing.
  void WriteTo(HttpHeaders& headers, Clock::time_point now) const;

  std::optional<HttpCacheability> cacheability_;
  HttpCacheRevalidation revalidation_ = HttpCacheRevalidation::kNone;
  bool no_store_ = false;
  bool no_transforms_ = false;
  bool immutable_ = false;
  bool vary_star_ = false;
  std::optional<std::chrono::seconds> max_age_;
  std::optional<std::chrono::seconds> proxy_max_age_;
  std::optional<std::chrono::seconds> stale_while_revalidate_;
  std::optional<std::chrono::seconds> stale_if_error_;
  std::optional<Clock::time_point> expires_;
  std::optional<Clock::time_point> last_modified_;
  std::optional<EntityTag> etag_;
  std::vector<std::string> private_fields_;
  std::vector<std::string> no_cache_fields_;
  std::vector<std::string> vary_;
  std::string extensions_;
};

}  // namespace weft
