#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weft::builtin {

/// What a file holds, by the ending of its name.
///
/// Threads: immutable once it is made.
class ContentTypes {
 public:
  /// The types of the web alone, which are built in.
  ContentTypes();
  /// Beside them those of a list in the form of `/etc/mime.types`, which win: a line has a type and its endings, `#`
  /// begins a comment. Malformed types and endings are passed over.
  explicit ContentTypes(std::string_view list);
  /// Reads such a list from a file. Throws std::system_error where it cannot be read, and std::length_error for one of more
  /// than 4 MiB.
  static ContentTypes Read(const std::string& path);

  /// The Content-Type of a file of this name or path: texts with `charset=utf-8`, `application/octet-stream` where the ending is
  /// not known. Letter case does not count. Lifetime: of this object.
  std::string_view Of(std::string_view path) const;

 private:
  struct Entry {
    std::string ending;
    std::string type;
  };
  void Add(std::string_view ending, std::string_view type);
  void Sort();

  std::vector<Entry> entries_;  // by their endings, which are in small letters
};

}  // namespace weft::builtin
