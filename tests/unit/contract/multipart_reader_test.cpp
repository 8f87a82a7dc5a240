#include <weft/multipart_reader.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <weft/cause.hpp>
#include <weft/http_exception.hpp>

namespace weft {
namespace {

constexpr std::string_view kType = "multipart/form-data; boundary=XX";

/// Hands out a text in pieces of a size.
class PieceStream final : public IInputStream {
 public:
  PieceStream(std::string_view text, std::size_t piece) : rest_(text), piece_(piece) {}
  std::size_t Read(std::span<char> buffer) override {
    const auto count = rest_.copy(buffer.data(), std::min(buffer.size(), piece_));
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
  std::size_t piece_;
};

/// Repeats a text, without end or so often.
class RepeatingStream final : public IInputStream {
 public:
  RepeatingStream(std::string head, std::string text, std::uint64_t bytes, std::string tail = {})
      : head_(std::move(head)), text_(std::move(text)), left_(bytes), tail_(std::move(tail)) {
    while (text_.size() < 256 * 1024) {
      text_ += text_;
    }
  }
  std::size_t Read(std::span<char> buffer) override {
    if (!head_.empty()) {
      return Take(head_, buffer);
    }
    if (left_ != 0) {
      const auto count = text_.copy(buffer.data(), std::min<std::uint64_t>(buffer.size(), left_));
      left_ -= count;
      return count;
    }
    return Take(tail_, buffer);
  }

 private:
  static std::size_t Take(std::string& text, std::span<char> buffer) {
    const auto count = text.copy(buffer.data(), buffer.size());
    text.erase(0, count);
    return count;
  }

  std::string head_;
  std::string text_;
  std::uint64_t left_;
  std::string tail_;
};

struct Part {
  std::string name;
  std::string file_name;
  std::string content_type;
  std::string content;
  bool operator==(const Part&) const = default;
};

struct Result {
  std::vector<Part> parts;
  int status = 0;
  std::string cause;
  bool operator==(const Result&) const = default;
};

doctest::String toString(const Result& result) {
  auto text = std::to_string(result.status) + " " + result.cause;
  for (const auto& part : result.parts) {
    text += " [" + part.name + "|" + part.file_name + "|" + part.content_type + "|" + part.content +
            "]";
  }
  return text.c_str();
}

enum class By { kRead, kReadPiece };

Result ReadAll(const std::function<MultipartReader()>& make, By by, std::size_t buffer_bytes) {
  Result result;
  try {
    auto reader = make();
    while (reader.ReadNextPart()) {
      Part part;
      part.name = reader.Name().value_or("(none)");
      part.file_name = reader.FileName().value_or("(none)");
      part.content_type = reader.ContentType();
      if (by == By::kRead) {
        std::string buffer(buffer_bytes, '\0');
        while (const auto count = reader.Read(buffer)) {
          part.content.append(buffer, 0, count);
        }
      } else {
        for (auto piece = reader.ReadPiece(); !piece.empty(); piece = reader.ReadPiece()) {
          part.content += piece;
        }
      }
      result.parts.push_back(std::move(part));
    }
    CHECK_FALSE(reader.ReadNextPart());
  } catch (const HttpException& error) {
    result.status = error.StatusCode();
    result.cause = error.Cause();
    result.parts.clear();  // how much came before it is left open
  }
  return result;
}

Result OfMemory(std::string_view message, std::string_view type = kType,
                const MultipartLimits& limits = {}) {
  return ReadAll([&] { return MultipartReader(message, type, limits); }, By::kReadPiece, 0);
}

/// The result, which is the same however the message is cut.
Result OfAnyPieces(std::string_view message, std::string_view type = kType,
                   const MultipartLimits& limits = {}) {
  const auto expected = OfMemory(message, type, limits);
  for (const std::size_t piece : {1u, 2u, 3u, 4u, 5u, 7u, 16u, 1000u}) {
    CAPTURE(piece);
    PieceStream stream(message, piece);
    CHECK(ReadAll([&] { return MultipartReader(stream, type, limits); }, By::kReadPiece, 0) ==
          expected);
    PieceStream again(message, piece);
    CHECK(ReadAll([&] { return MultipartReader(again, type, limits); }, By::kRead, 1 + piece / 2) ==
          expected);
  }
  return expected;
}

Result Parts(std::vector<Part> parts) { return {std::move(parts), 0, {}}; }

const Result kMalformed{{}, 400, "multipart_malformed"};

TEST_CASE("MultipartReader: fields and files, with the headers that browsers send") {
  const std::string message =
      "--XX\r\n"
      "Content-Disposition: form-data; name=\"note\"\r\n"
      "\r\n"
      "a text\r\nof two lines\r\n"
      "--XX\r\n"
      "content-disposition:form-data;name=file;filename=\"C:\\dir\\a \\\"b\\\".txt\"\r\n"
      "Content-Type: \t text/plain\t\r\n"
      "\r\n"
      "\r\n--X\r\n-- \r\n"
      "--XX--\r\n";
  CHECK(OfAnyPieces(message) == Parts({{"note", "(none)", "", "a text\r\nof two lines"},
                                       {"file", "a _b_.txt", "text/plain", "\r\n--X\r\n-- "}}));
}

TEST_CASE("MultipartReader: every message reads the same wherever it is cut in two") {
  const std::string message =
      "preamble\r\n--XX \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--X\r\n--XX\r\n"
      "Content-Disposition: form-data; name=b; filename=f\r\n\r\n\r\n\r\n--XX--  \r\nepilogue";
  const auto expected = Parts({{"a", "(none)", "", "1\r\n--X"}, {"b", "f", "", "\r\n"}});
  REQUIRE(OfMemory(message) == expected);
  class Halves final : public IInputStream {
   public:
    Halves(std::string_view text, std::size_t at) : rest_(text), at_(at) {}
    std::size_t Read(std::span<char> buffer) override {
      const auto count = rest_.copy(buffer.data(), at_ == 0 ? rest_.size() : at_);
      at_ = 0;
      rest_.remove_prefix(count);
      return count;
    }

   private:
    std::string_view rest_;
    std::size_t at_;
  };
  for (std::size_t at = 1; at < message.size(); ++at) {
    CAPTURE(at);
    Halves stream(message, at);
    CHECK(ReadAll([&] { return MultipartReader(stream, kType); }, By::kReadPiece, 0) == expected);
  }
}

TEST_CASE("MultipartReader: a message that ends anywhere before its last delimiter is refused") {
  const std::string message =
      "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nvalue\r\n--XX--";
  REQUIRE(OfMemory(message).parts.size() == 1);
  for (std::size_t length = 0; length < message.size(); ++length) {
    CAPTURE(length);
    CHECK(OfAnyPieces(message.substr(0, length)) == kMalformed);
  }
}

TEST_CASE("MultipartReader: empty parts, empty values, and no parts at all") {
  CHECK(OfAnyPieces("--XX--") == Parts({}));
  CHECK(OfAnyPieces("--XX--\r\n") == Parts({}));
  CHECK(OfAnyPieces("preamble\r\n--XX--") == Parts({}));
  CHECK(OfAnyPieces("--XX\r\n\r\n\r\n--XX--") == Parts({{"(none)", "(none)", "", ""}}));
  CHECK(OfAnyPieces("--XX\r\n\r\n--XX--") == Parts({{"(none)", "(none)", "", ""}}));
  CHECK(OfAnyPieces("--XX\r\nContent-Type: a/b\r\n\r\n--XX--") ==
        Parts({{"(none)", "(none)", "a/b", ""}}));
  CHECK(OfAnyPieces("--XX\r\nContent-Type: a/b\r\n\r\n\r\n--XX--") ==
        Parts({{"(none)", "(none)", "a/b", ""}}));
  CHECK(OfAnyPieces("--XX\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n--XX--") ==
        Parts({{"", "(none)", "", ""}}));
  CHECK(OfAnyPieces(
            "--XX\r\nContent-Disposition: form-data; name=a; filename=\"\"\r\n\r\n\r\n--XX--") ==
        Parts({{"a", "", "", ""}}));
}

TEST_CASE("MultipartReader: the names that browsers escape") {
  const auto name_of = [](std::string_view parameters) {
    const auto result = OfMemory("--XX\r\nContent-Disposition: form-data" +
                                 std::string(parameters) + "\r\n\r\n\r\n--XX--");
    return result.status != 0 ? std::to_string(result.status)
                              : result.parts[0].name + "|" + result.parts[0].file_name;
  };
  CHECK(name_of("; name=\"a%22b%0D%0ac%41\"") == "a\"b\r\nc%41|(none)");
  CHECK(name_of("; name=\"\xC3\xA4\"; filename=\"\xE2\x82\xAC.txt\"") ==
        "\xC3\xA4|\xE2\x82\xAC.txt");
  CHECK(name_of("; NAME=a; FileName=\"x%22y%0d.txt\"") == "a|x_y.txt");
  CHECK(name_of("; name=a; filename*=UTF-8''evil.txt") == "a|(none)");
  CHECK(name_of("; name=a; filename=f; filename*=UTF-8''evil.txt") == "a|f");
  CHECK(name_of("; name=\"back\\slash\\\\\"") == "back\\slash\\|(none)");
  CHECK(name_of("; name=a;") == "a|(none)");
  CHECK(name_of("") == "(none)|(none)");
  // Only form-data names a control.
  CHECK(OfMemory("--XX\r\nContent-Disposition: attachment; name=a; filename=f\r\n\r\n\r\n--XX--") ==
        Parts({{"(none)", "f", "", ""}}));
  for (const std::string bad :
       {" name=a", "; name", "; name=", "; name=\"a", "; name=a; name=b", "; name=a; NAME=a",
        "; filename=a; filename=a", "; name=a b", "; name=\"a\"b", "; =a", ";; name=a",
        "; name=a; a=1; b=1; c=1; d=1; e=1; f=1; g=1; h=1; i=1; j=1; k=1; l=1; m=1; n=1; o=1; "
        "p=1"}) {
    CAPTURE(bad);
    CHECK(name_of(bad) == "400");
  }
}

TEST_CASE("MultipartReader: what is not well-formed is refused, wherever it is cut") {
  const std::string head = "--XX\r\nContent-Disposition: form-data; name=a\r\n";
  for (const std::string& message : {
           std::string("--XXX\r\n\r\n\r\n--XX--"),           // more behind the boundary
           std::string("--XX-\r\n\r\n\r\n--XX--"),           //
           std::string("--XX\n\n\n--XX--"),                  // line ends of Unix
           std::string("--XX \r \n\r\n\r\n--XX--"),          //
           std::string("--XX--x"),                           //
           std::string("--XX--\r\n--XX\r\n\r\n\r\n--XX--"),  // parts behind the end
           std::string("--XX--\r\nepilogue\r\n--XX--"),      //
           head + "\r\nv\r\n--XX\r",                         //
           head + "\r\nv\r\n--XXY\r\nv\r\n--XX--",           //
           head + "\r\nv\n--XX--",                           //
           head + " folded\r\n\r\nv\r\n--XX--",              //
           head + "X-A: b\r\n folded\r\n\r\nv\r\n--XX--",    //
           head + "no colon\r\n\r\nv\r\n--XX--",             //
           head + ": no name\r\n\r\nv\r\n--XX--",            //
           head + "X : blank\r\n\r\nv\r\n--XX--",            //
           head + "X-A: a\rb\r\n\r\nv\r\n--XX--",            //
           head + "X-A: a\nb: c\r\n\r\nv\r\n--XX--",         //
           head + std::string("X-A: a\0b\r\n\r\nv\r\n--XX--", 22),
           head + "Content-Disposition: form-data; name=b\r\n\r\nv\r\n--XX--",  // two of them
           head + "--XX--",                                                     //
           head + "--XX\r\n\r\n\r\n--XX--",                                     //
           std::string("no delimiter"),
           std::string(),
       }) {
    CAPTURE(message);
    CHECK(OfAnyPieces(message) == kMalformed);
  }
}

TEST_CASE("MultipartReader: boundaries as RFC 2046 has them, and no others") {
  const auto status_of = [](const std::string& type, const std::string& boundary) {
    return OfMemory("--" + boundary + "--", type).status;
  };
  CHECK(status_of("multipart/form-data; boundary=XX", "XX") == 0);
  CHECK(status_of(" Multipart/Mixed ;charset=utf-8; BOUNDARY=\"X:='()+_,-./? X\"; a=b",
                  "X:='()+_,-./? X") == 0);
  CHECK(status_of("multipart/form-data; boundary=" + std::string(70, 'b'), std::string(70, 'b')) ==
        0);
  CHECK(status_of("multipart/form-data; boundary=X;", "X") == 0);
  CHECK(status_of("multipart/form-data;; boundary=X", "X") == 0);
  for (const std::string type :
       {"multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"", "multipart/form-data; boundary=\"X ",
        "multipart/form-data; boundary=\"X \"", "multipart/form-data; boundary=X Y",
        "multipart/form-data; boundary=\"X\\\"\"", "multipart/form-data; boundary=\"X@\"",
        "multipart/form-data; boundary=X; boundary=X", "multipart/form-data; boundary=\"X\tY\"",
        "multipart/form-data; boundary=\xC3\xA4", "multipart/form-data boundary=X"}) {
    CAPTURE(type);
    CHECK(OfMemory("--X--", type) == kMalformed);
  }
  CHECK(OfMemory("", "multipart/form-data; boundary=" + std::string(71, 'b')) == kMalformed);
  for (const std::string type :
       {"", "text/plain", "multipart", "multipart/", "multipartx/form-data",
        "application/x-www-form-urlencoded; boundary=XX"}) {
    CAPTURE(type);
    CHECK(OfMemory("--XX--", type) == Result{{}, 415, "content_type_unsupported"});
  }
}

TEST_CASE("MultipartReader: the bounds of a part's header and of the number of parts") {
  const MultipartLimits limits{.max_part_header_bytes = 100, .max_parts = 2};
  const auto with_header = [](std::size_t bytes) {
    return "--XX\r\nX: " + std::string(bytes - 5, 'a') + "\r\n\r\nv\r\n--XX--";
  };
  CHECK(OfAnyPieces(with_header(100), kType, limits).parts.size() == 1);
  const Result too_long{{}, 400, "part_header_too_large"};
  CHECK(OfAnyPieces(with_header(101), kType, limits) == too_long);
  CHECK(OfAnyPieces(with_header(5000), kType, limits) == too_long);
  CHECK(OfMemory("--XX" + std::string(200, ' ') + "\r\n\r\n--XX--", kType, limits) == too_long);
  const std::string part = "--XX\r\n\r\nv\r\n";
  CHECK(OfAnyPieces(part + part + "--XX--", kType, limits).parts.size() == 2);
  CHECK(OfAnyPieces(part + part + part + "--XX--", kType, limits) ==
        Result{{}, 400, "too_many_fields"});
}

TEST_CASE("MultipartReader: a name of a gigabyte is refused after its bound") {
  RepeatingStream stream("--XX\r\nContent-Disposition: form-data; name=\"", "a",
                         std::uint64_t{1} << 30);
  CHECK(ReadAll([&] { return MultipartReader(stream, kType); }, By::kReadPiece, 0) ==
        Result{{}, 400, "part_header_too_large"});
}

TEST_CASE("MultipartReader: parts that are not read, or in part, are passed over") {
  const std::string part = "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nvalue\r\n";
  const auto message = part + part + part + "--XX--";
  PieceStream stream(message, 1000);
  MultipartReader reader(stream, kType);
  std::string buffer(2, '\0');
  REQUIRE(reader.ReadNextPart());
  CHECK(reader.Read({}) == 0);
  CHECK(reader.Read(buffer) == 2);
  REQUIRE(reader.ReadNextPart());
  CHECK(reader.Read(buffer) == 2);
  CHECK(buffer == "va");
  std::string rest;
  for (auto piece = reader.ReadPiece(); !piece.empty(); piece = reader.ReadPiece()) {
    rest += piece;
  }
  CHECK(rest == "lue");
  CHECK(reader.Read(buffer) == 0);
  REQUIRE(reader.ReadNextPart());
  CHECK_FALSE(reader.ReadNextPart());
  CHECK(reader.Read(buffer) == 0);
  CHECK(reader.Headers().empty());
}

TEST_CASE("MultipartReader: Offset says where in the message a part stands") {
  const std::string message =
      "pre\r\n--XX\r\nContent-Disposition: form-data; "
      "name=a\r\n\r\nvalue\r\n--XX\r\n\r\nother\r\n--XX--";
  for (const std::size_t piece : {1u, 3u, 1000u}) {
    PieceStream stream(message, piece);
    MultipartReader reader(stream, kType);
    REQUIRE(reader.ReadNextPart());
    CHECK(reader.Offset() == message.find("value"));
    std::string buffer(2, '\0');
    std::size_t count = 0;
    while (count < 2) {
      count += reader.Read(std::span(buffer).subspan(count));
    }
    CHECK(reader.Offset() == message.find("lue"));
    REQUIRE(reader.ReadNextPart());
    CHECK(reader.Offset() == message.find("other"));
  }
}

TEST_CASE("MultipartReader: random messages come out as they went in, in pieces of any size") {
  std::mt19937 random(20260101);
  const auto number = [&](std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(0, most)(random);
  };
  // Mostly what delimiters are made of.
  const std::string alphabet("\r\n-Xba \0\xFF", 9);
  for (int round = 0; round < 400; ++round) {
    const std::string boundary = round % 3 == 0 ? "X" : round % 3 == 1 ? "XXb-X" : "-XaXaXb";
    std::string message = round % 2 == 0 ? "" : "preamble\r\n";
    std::vector<Part> parts(number(4));
    for (auto& part : parts) {
      const auto length = number(round % 5 == 0 ? 500 : 30);
      for (std::size_t i = 0; i < length; ++i) {
        part.content += alphabet[number(alphabet.size() - 1)];
      }
      // What no sender may put there.
      if (("\r\n" + part.content).find("\r\n--" + boundary) != std::string::npos) {
        part.content = "x";
      }
      part.name = std::to_string(number(99));
      part.file_name = "(none)";
      message += "--" + boundary + "\r\nContent-Disposition: form-data; name=" + part.name +
                 "\r\n\r\n" + part.content + "\r\n";
    }
    message += "--" + boundary + "--" + (number(1) == 0 ? "" : "\r\n");
    CAPTURE(message);
    const auto type = "multipart/form-data; boundary=" + boundary;
    REQUIRE(OfMemory(message, type) == Parts(parts));
    for (int cut = 0; cut < 3; ++cut) {
      PieceStream stream(message, 1 + number(20));
      REQUIRE(ReadAll([&] { return MultipartReader(stream, type); }, By::kRead, 1 + number(20)) ==
              Parts(parts));
    }
  }
}

TEST_CASE("MultipartReader: short boundaries and long ones read alike") {
  for (std::size_t length = 1; length <= 70; ++length) {
    const std::string boundary(length, '-');
    const auto type = "multipart/form-data; boundary=" + boundary;
    const std::string content = "\r\r\n-\r\n-\r" + std::string(length, '-') + "\r\n-";
    const auto message = "--" + boundary + "\r\n\r\n" + content + "\r\n--" + boundary + "--";
    CAPTURE(length);
    CHECK(OfAnyPieces(message, type) == Parts({{"(none)", "(none)", "", content}}));
  }
}

TEST_CASE("MultipartReader: hostile contents cost no more than others, a bound of work a byte") {
  // Whatever nearly is a delimiter, as often as can be; megabytes of it are over at once unless something is quadratic.
  const std::string boundary(70, 'a');
  const auto type = "multipart/form-data; boundary=" + boundary;
  for (const std::string& text :
       {std::string("\r\n--") + std::string(69, 'a'), std::string("\r\n-"), std::string("\r\n"),
        std::string("\r"), std::string("a"), std::string("-")}) {
    CAPTURE(text);
    RepeatingStream stream("--" + boundary + "\r\n\r\n", text, 32 * 1024 * 1024,
                           "\r\n--" + boundary + "--");
    MultipartReader reader(stream, type);
    REQUIRE(reader.ReadNextPart());
    std::uint64_t length = 0;
    try {
      for (auto piece = reader.ReadPiece(); !piece.empty(); piece = reader.ReadPiece()) {
        length += piece.size();
      }
      CHECK(length == 32 * 1024 * 1024);
    } catch (const HttpException& error) {
      CHECK(error.StatusCode() == 400);
    }
  }
}

}  // namespace
}  // namespace weft
