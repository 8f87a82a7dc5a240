#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mappings/problem.hpp"

namespace weft::mappings {

/// Turns offsets in a text into lines and columns.
///
/// Cost: one pass over the text at construction, constant time for each offset.
/// Lifetime: views the text.
class TextLocator {
 public:
  TextLocator(std::string_view text, std::string file);

  /// An offset behind the end counts as the end.
  [[nodiscard]] SourceLocation At(std::size_t offset) const;

 private:
  struct Cursor {
    std::size_t offset = 0;
    int line = 1;
    int column = 1;
  };

  void Advance(Cursor& cursor, std::size_t offset) const;

  std::string_view text_;
  std::string file_;
  std::vector<Cursor> checkpoints_;  // one every kCheckpointBytes, the first at 0
};

enum class JsonKind { kNull, kBoolean, kNumber, kString, kArray, kObject };

/// `"a string"`, `"an object"`...: the kind as a sentence names it.
[[nodiscard]] std::string_view KindName(JsonKind kind);

/// One value of a JsonDocument, and where it stands.
struct JsonValue {
  static constexpr std::uint32_t kNoValue = static_cast<std::uint32_t>(-1);

  JsonKind kind = JsonKind::kNull;
  bool boolean = false;
  std::string text;            ///< A string's characters; a number as it is written.
  std::string key;             ///< Of an object's member.
  std::size_t offset = 0;      ///< Of the value's first byte.
  std::size_t key_offset = 0;  ///< Of the key's opening quote; of the value where there is no key.
  std::uint32_t first_child = kNoValue;
  std::uint32_t next_sibling = kNoValue;
};

/// A JSON text, a mapping file's or a recording's, as a tree that knows where every part of it
/// stands. Comments in the text, line and block ones, count as blanks.
///
/// The tree is one flat array: neither reading nor destroying it is recursive.
class JsonDocument {
 public:
  /// Deep enough for any mapping file (the format itself needs six levels) and any recording, shallow
  /// enough that a deeper file is a mistake or an attack.
  static constexpr std::size_t kMaxDepth = 64;

  /// Reads `text`, and adds what is wrong with it to `problems`: the first syntax error, which ends
  /// the reading, and every key that stands twice in one object, of which the first is kept.
  /// Returns nothing after a syntax error.
  ///
  /// Needs a text of less than 4 GiB. `max_depth`: for other programs' files; TextOf() goes as deep on the stack.
  [[nodiscard]] static std::optional<JsonDocument> Parse(std::string_view text,
                                                         const TextLocator& locator,
                                                         std::vector<Problem>& problems,
                                                         std::size_t max_depth = kMaxDepth);

  [[nodiscard]] const JsonValue& Root() const { return values_.front(); }

  /// The members of an object, or the elements of an array, in the text's order.
  [[nodiscard]] std::vector<const JsonValue*> Children(const JsonValue& parent) const;

  /// A value as JSON, without comments and blanks; numbers as they are written.
  [[nodiscard]] std::string TextOf(const JsonValue& value) const;

 private:
  void AppendTo(std::string& text, const JsonValue& value) const;

  explicit JsonDocument(std::vector<JsonValue> values) : values_(std::move(values)) {}

  std::vector<JsonValue> values_;
};

}  // namespace weft::mappings
