#include "handlers/contract/form_data.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <weft/cause.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_headers.hpp>
#include <weft/multipart_reader.hpp>
#include "handlers/contract/blocking.hpp"
#include "handlers/contract/field_cursor.hpp"
#include "handlers/contract/form_text.hpp"

namespace weft {

namespace {

/// Of a body in a file: what is read and parsed at once.
constexpr std::size_t kPieceBytes = 128 * 1024;

/// Takes the fields of a form, within their bounds.
class Fields {
 public:
  Fields(FormData& form, const HttpRequestSettings& settings) noexcept
      : form_(form), settings_(settings) {}

  /// Bytes that the value of a field with this name may have.
  std::size_t RoomFor(std::string_view name) const {
    if (name.size() > settings_.max_field_name_bytes) {
      throw TooLarge("the name of a field", settings_.max_field_name_bytes,
                     "--max-field-name-bytes");
    }
    if (form_.fields.size() == settings_.max_fields) {
      throw HttpException(400, "The form has too many fields.",
                          "the form has more than " + std::to_string(settings_.max_fields) +
                              " fields (--max-fields)")
          .WithCause(cause::kTooManyFields);
    }
    const auto left = settings_.max_form_bytes - form_.field_bytes;
    if (name.size() > left) {
      throw AllTooLarge();
    }
    return std::min(settings_.max_field_bytes, left - name.size());
  }
  /// Of a value that has more bytes than there is room.
  HttpException ValueTooLarge(std::size_t room) const {
    return room == settings_.max_field_bytes
               ? TooLarge("the value of a field", room, "--max-field-bytes")
               : AllTooLarge();
  }
  void Append(std::string name, std::string value) {
    form_.field_bytes += name.size() + value.size();
    form_.fields.Append(std::move(name), std::move(value));
  }

 private:
  static HttpException TooLarge(const char* what, std::size_t bound, const char* option) {
    return HttpException(413, "The form is too large.",
                         "the form: " + std::string(what) + " has more than " +
                             std::to_string(bound) + " bytes (" + option + ")")
        .WithCause(cause::kFormTooLarge);
  }
  HttpException AllTooLarge() const {
    return TooLarge("all fields together", settings_.max_form_bytes, "--max-form-bytes");
  }

  FormData& form_;
  const HttpRequestSettings& settings_;
};

/// Takes `a=1&b=2` in pieces (WHATWG URL, section 5.1).
class UrlencodedParser {
 public:
  UrlencodedParser(Fields& fields, const HttpRequestSettings& settings) noexcept
      : fields_(fields),
        // A byte takes three at most. An item longer than that is too long before its end is known.
        max_item_bytes_(3 * (settings.max_field_name_bytes + settings.max_field_bytes) + 1) {}

  void Take(std::string_view text) {
    while (!text.empty()) {
      const auto end = text.find('&');
      Keep(text.substr(0, end));
      if (end == std::string_view::npos) {
        return;
      }
      EndItem();
      text.remove_prefix(end + 1);
    }
  }

  void EndItem() {
    if (item_.empty()) {
      return;
    }
    const std::string_view item(item_);
    const auto equals = item.find('=');
    auto name = Decode(item.substr(0, equals));
    const auto room = fields_.RoomFor(name);
    auto value = equals == std::string_view::npos ? std::string() : Decode(item.substr(equals + 1));
    if (value.size() > room) {
      throw fields_.ValueTooLarge(room);
    }
    fields_.Append(std::move(name), std::move(value));
    item_.clear();
  }

 private:
  static std::string Decode(std::string_view text) {
    auto decoded = DecodeFormText(text);
    if (!decoded) {
      throw HttpException(400, "The form holds a broken percent-escape.",
                          std::string(text.substr(0, 200)))
          .WithCause(cause::kFormMalformed);
    }
    return *std::move(decoded);
  }

  void Keep(std::string_view text) {
    if (text.size() > max_item_bytes_ - item_.size()) {
      throw HttpException(413, "The form is too large.",
                          "the form: an item has more than " + std::to_string(max_item_bytes_) +
                              " bytes (--max-field-bytes, --max-field-name-bytes)")
          .WithCause(cause::kFormTooLarge);
    }
    item_.append(text);
  }

  Fields& fields_;
  const std::size_t max_item_bytes_;
  std::string item_;
};

void ParseUrlencoded(const detail::BodyStore& body, Fields& fields,
                     const HttpRequestSettings& settings) {
  UrlencodedParser parser(fields, settings);
  if (!body.IsInFile()) {
    parser.Take(body.View());
  } else {
    const auto piece = std::make_unique_for_overwrite<char[]>(kPieceBytes);
    std::uint64_t at = 0;
    while (const auto count = body.ReadAt(at, {piece.get(), kPieceBytes})) {
      parser.Take({piece.get(), count});
      at += count;
    }
  }
  parser.EndItem();
}

/// What has been written into a part and not been done by anybody is not to be taken for its content.
void RequireNoEncoding(const MultipartReader& part) {
  const auto encoding = part.Headers().Find("Content-Transfer-Encoding");
  if (encoding && !EqualsIgnoreCase(*encoding, "binary") && !EqualsIgnoreCase(*encoding, "8bit") &&
      !EqualsIgnoreCase(*encoding, "7bit")) {
    throw HttpException(400, "The multipart body is malformed.",
                        "the multipart body: a part's Content-Transfer-Encoding is '" +
                            std::string(*encoding) + "', which RFC 7578, section 4.7, rules out")
        .WithCause(cause::kMultipartMalformed);
  }
}

void ParseParts(MultipartReader& reader, const detail::BodyStore& body, FormData& form,
                Fields& fields, const HttpRequestSettings& settings) {
  while (reader.ReadNextPart()) {
    if (!reader.Name()) {
      throw HttpException(
          400, "The multipart body is malformed.",
          "the multipart body: a part has no name of Content-Disposition: form-data")
          .WithCause(cause::kMultipartMalformed);
    }
    RequireNoEncoding(reader);
    std::string name(*reader.Name());
    if (!reader.FileName()) {
      const auto room = fields.RoomFor(name);
      std::string value;
      for (auto piece = reader.ReadPiece(); !piece.empty(); piece = reader.ReadPiece()) {
        if (piece.size() > room - value.size()) {
          throw fields.ValueTooLarge(room);
        }
        value.append(piece);
      }
      fields.Append(std::move(name), std::move(value));
      continue;
    }
    if (form.files.Count() == settings.max_files) {
      throw HttpException(
          400, "The form has too many files.",
          "the form has more than " + std::to_string(settings.max_files) + " files (--max-files)")
          .WithCause(cause::kTooManyFiles);
    }
    std::string file_name(*reader.FileName());
    std::string raw_file_name(*reader.RawFileName());
    std::string content_type(reader.ContentType());
    const auto begin = reader.Offset();
    std::uint64_t length = 0;
    for (auto piece = reader.ReadPiece(); !piece.empty(); piece = reader.ReadPiece()) {
      length += piece.size();
    }
    form.files.Append({std::move(name), std::move(file_name), std::move(raw_file_name),
                       std::move(content_type), HttpBodyStream(&body, begin, length)});
  }
}

}  // namespace

MultipartLimits BoundsOf(const HttpRequestSettings& settings) noexcept {
  // One more than the fields and files that there may be: those have messages of their own.
  return {.max_part_header_bytes = settings.max_part_header_bytes,
          .max_parts = settings.max_fields + settings.max_files + 1};
}

FormData ParseForm(const detail::BodyStore& body, std::string_view content_type,
                   const HttpRequestSettings& settings) {
  FormData form;
  Fields fields(form, settings);
  FieldCursor cursor(content_type);
  cursor.SkipBlanks();
  const auto type = cursor.TakeToken();
  if (!cursor.Take('/')) {
    return form;
  }
  const auto subtype = cursor.TakeToken();
  if (EqualsIgnoreCase(type, "application") && EqualsIgnoreCase(subtype, "x-www-form-urlencoded")) {
    ParseUrlencoded(body, fields, settings);
  } else if (EqualsIgnoreCase(type, "multipart") && EqualsIgnoreCase(subtype, "form-data")) {
    const auto limits = BoundsOf(settings);
    if (body.IsInFile()) {
      HttpBodyStream stream(&body, 0, body.Size());
      MultipartReader reader(stream, content_type, limits);
      ParseParts(reader, body, form, fields, settings);
    } else {
      MultipartReader reader(body.View(), content_type, limits);
      ParseParts(reader, body, form, fields, settings);
    }
  }
  return form;
}

}  // namespace weft
