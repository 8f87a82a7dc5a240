#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <weft/export.hpp>

namespace weft {

/// The name of one state of a resource (RFC 9110, section 8.8.3): `"a1b2"`, or `W/"a1b2"`, which is weak.
///
/// A strong one changes with every byte of what is sent, its Content-Encoding included; a weak one where a change matters.
/// Parts of an answer (Range) can be asked for by a strong one alone.
class WEFT_API EntityTag {
 public:
  /// A strong one. `opaque`: without quotation marks. Throws std::invalid_argument where it holds one, a blank, a control
  /// character or DEL; it may be empty.
  explicit EntityTag(std::string opaque);
  /// A weak one. Throws as the constructor.
  static EntityTag Weak(std::string opaque);
  /// Reads one as a field has it, and nothing else: absent where `text` is none.
  static std::optional<EntityTag> Parse(std::string_view text);

  /// Without quotation marks.
  const std::string& Opaque() const noexcept { return opaque_; }
  bool IsWeak() const noexcept { return is_weak_; }
  /// As a field has it.
  std::string ToHeaderValue() const;

  /// The same text, and both strong (RFC 9110, section 8.8.3.2): If-Match and If-Range compare so.
  bool StronglyEquals(const EntityTag& other) const noexcept {
    return !is_weak_ && !other.is_weak_ && opaque_ == other.opaque_;
  }
  /// The same text: If-None-Match compares so.
  bool WeaklyEquals(const EntityTag& other) const noexcept { return opaque_ == other.opaque_; }

  friend bool operator==(const EntityTag&, const EntityTag&) = default;

 private:
  EntityTag(std::string opaque, bool is_weak) noexcept
      : opaque_(std::move(opaque)), is_weak_(is_weak) {}

  std::string opaque_;
  bool is_weak_ = false;
};

}  // namespace weft
