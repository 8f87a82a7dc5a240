#include "host/fastcgi/record_parser.hpp"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/fcgi/fcgi_client.hpp"

namespace weft::host::fastcgi {

namespace {

/// Writes down what it is told.
class Transcript final : public RecordParser::IVisitor {
 public:
  bool OnRecordStart(const RecordHeader& header) override {
    text +=
        "[" + std::to_string(static_cast<int>(header.type)) + " " + std::to_string(header.id) + ":";
    return true;
  }
  bool OnContent(std::string_view bytes) override {
    CHECK_FALSE(bytes.empty());
    text += bytes;
    return true;
  }
  bool OnRecordEnd() override {
    text += "]";
    return --records_wanted != 0;
  }

  std::string text;
  int records_wanted = -1;
};

std::string SomeRecords() {
  using namespace testsupport;
  return EncodeRecord(testsupport::RecordType::kParams, 1, "abc", Padding::kTo8) +
         EncodeRecord(testsupport::RecordType::kParams, 1, "", Padding::kNone) +
         EncodeRecord(testsupport::RecordType::kStdin, 0x1234, std::string(300, 'x'),
                      Padding::kNone) +
         EncodeRecord(testsupport::RecordType::kAbortRequest, 7, "", Padding::kNone);
}

const std::string kExpected = "[4 1:abc][4 1:][5 4660:" + std::string(300, 'x') + "][2 7:]";

}  // namespace

TEST_CASE("RecordParser: the same records come out wherever the stream is cut") {
  const auto bytes = SomeRecords();
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    RecordParser parser;
    Transcript transcript;
    REQUIRE(parser.Feed(std::string_view(bytes).substr(0, cut), transcript));
    REQUIRE(parser.Feed(std::string_view(bytes).substr(cut), transcript));
    REQUIRE(transcript.text == kExpected);
    REQUIRE(parser.AtBoundary());
  }
}

TEST_CASE("RecordParser: byte by byte is as good as at once") {
  RecordParser parser;
  Transcript transcript;
  for (const char byte : SomeRecords()) {
    REQUIRE(parser.Feed(std::string_view(&byte, 1), transcript));
  }
  CHECK(transcript.text == kExpected);
  CHECK(parser.RecordsRead() == 4);
}

TEST_CASE("RecordParser: it is at a boundary only where a record and its padding have ended") {
  const auto bytes = testsupport::EncodeRecord(testsupport::RecordType::kStdin, 1, "abc",
                                               testsupport::Padding::kTo8);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    RecordParser parser;
    Transcript transcript;
    REQUIRE(parser.Feed(std::string_view(bytes).substr(0, cut), transcript));
    CHECK(parser.AtBoundary() == (cut == 0 || cut == bytes.size()));
  }
}

TEST_CASE("RecordParser: a first byte that is not version 1 stops it at once") {
  RecordParser parser;
  Transcript transcript;
  CHECK_FALSE(parser.Feed("G", transcript));
  CHECK(transcript.text.empty());
}

TEST_CASE("RecordParser: a visitor that says so gets nothing more") {
  RecordParser parser;
  Transcript transcript;
  transcript.records_wanted = 2;
  CHECK_FALSE(parser.Feed(SomeRecords(), transcript));
  CHECK(transcript.text == "[4 1:abc][4 1:]");
}

}  // namespace weft::host::fastcgi
