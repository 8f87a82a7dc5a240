#include <doctest/doctest.h>
#include <zlib.h>

#include <string>
#include <vector>

#include <weft/http_context.hpp>
#include <weft/http_request.hpp>
#include <weft/http_response.hpp>
#include "tests/support/doctest_values.hpp"
#include "tests/support/in_place_runtime.hpp"
#include "tests/support/memory_exchange.hpp"
#include "tests/support/response_subject.hpp"
#include "tests/support/server_variables.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

using test::MemoryExchange;

struct WithRuntime {
  test::InPlaceRuntime runtime;
};

/// A response to a client that accepts these, of a host that offers all.
struct Subject : WithRuntime, test::ResponseSubject {
  explicit Subject(std::string_view accept = "gzip", std::string_view method = "GET",
                   std::size_t buffer_bytes = 64 * 1024, std::string_view if_none_match = {})
      : ResponseSubject(
            method, buffer_bytes,
            {{"HTTP_ACCEPT_ENCODING", accept},
             {if_none_match.empty() ? "UNUSED" : "HTTP_IF_NONE_MATCH", if_none_match}}) {
    settings.compression = {ContentCoding::kBrotli, ContentCoding::kZstd, ContentCoding::kGzip};
    response.SetSettings(&settings);
  }

  std::string Coding() const { return exchange.Header("Content-Encoding"); }

  HttpResponseSettings settings;
};

/// What a client makes of gzip that has come so far.
std::string Gunzip(std::string_view bytes, bool* at_end = nullptr) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, MAX_WBITS + 16) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string text;
  std::vector<char> piece(65'536);
  int result = Z_OK;
  do {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    result = inflate(&stream, Z_NO_FLUSH);
    text.append(piece.data(), piece.size() - stream.avail_out);
  } while (result == Z_OK && stream.avail_out == 0);
  if (at_end != nullptr) {
    *at_end = result == Z_STREAM_END;
  }
  inflateEnd(&stream);
  return text;
}

std::string Text(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i) {
    text += "line " + std::to_string(i * 7919 % 10'007) + "\n";
  }
  text.resize(size);
  return text;
}

TEST_CASE("Compression: a body that is known whole has its compressed length") {
  Subject subject;
  const auto text = Text(20'000);
  subject.response.SetHeader("ETag", "\"v1\"");
  subject.response.SetHeader("Accept-Ranges", "bytes");
  subject.response.Write(text);
  subject.response.Complete();
  CHECK(subject.Coding() == "gzip");
  CHECK(subject.exchange.Header("Vary") == "Accept-Encoding");
  CHECK(subject.exchange.Header("ETag") == "W/\"v1\"");
  CHECK_FALSE(subject.exchange.headers.Contains("Accept-Ranges"));
  CHECK(subject.exchange.Header("Content-Length") == std::to_string(subject.exchange.sent.size()));
  CHECK(subject.exchange.sent.size() < text.size() / 2);
  CHECK(Gunzip(subject.exchange.sent) == text);
  CHECK(subject.response.BytesWritten() == text.size());
}

TEST_CASE("Compression: the client's weights decide, and the host's order where they are equal") {
  const auto coding = [](std::string_view accept) {
    Subject subject(accept);
    subject.response.Write(Text(5000));
    subject.response.Complete();
    CHECK(subject.exchange.Header("Vary") == "Accept-Encoding");
    return subject.Coding();
  };
  CHECK(coding("gzip, deflate, br, zstd") == "br");
  CHECK(coding("gzip, zstd") == "zstd");
  CHECK(coding("br;q=0.5, gzip") == "gzip");
  CHECK(coding("GZIP") == "gzip");
  CHECK(coding("x-gzip") == "gzip");
  CHECK(coding("*") == "br");
  CHECK(coding("br;q=0, *") == "zstd");
  CHECK(coding("*;q=0") == "");
  CHECK(coding("identity;q=0") == "");
  CHECK(coding("identity;q=0, gzip;q=0.1") == "gzip");
  CHECK(coding("identity, gzip;q=0.5") == "");
  CHECK(coding("gzip;q=0") == "");
  CHECK(coding("deflate") == "");
  CHECK(coding("") == "");
}

TEST_CASE("Compression: what would gain nothing, or must not change, stays as it is") {
  Subject subject;
  auto& response = subject.response;
  std::size_t size = 5000;
  SUBCASE("an image") { response.SetContentType("image/png"); }
  SUBCASE("no type") { response.SetContentType(""); }
  SUBCASE("little") { size = 1023; }
  SUBCASE("encoded already") { response.SetHeader("Content-Encoding", "br"); }
  SUBCASE("a range") { response.SetHeader("Content-Range", "bytes 0-9/10"); }
  SUBCASE("no-transform") { response.SetHeader("Cache-Control", "private, No-Transform"); }
  SUBCASE("a digest") { response.SetHeader("Content-Digest", "x"); }
  SUBCASE("the handler forbids it") { response.SetCompression(Compression::kOff); }
  SUBCASE("the host does not offer it") { subject.settings.compression.clear(); }
  response.Write(Text(size));
  response.Complete();
  CHECK(subject.exchange.sent == Text(size));
  CHECK(subject.Coding() == (response.Headers().Contains("Content-Encoding") ? "br" : ""));
  CHECK_FALSE(subject.exchange.headers.Contains("Vary"));
  CHECK(subject.exchange.Header("Content-Length") == std::to_string(size));
}

TEST_CASE("Compression: a handler may ask for it where the host does not offer it") {
  Subject subject("gzip");
  subject.settings.compression.clear();
  subject.response.SetCompression(Compression::kOn);
  subject.response.Write(Text(5000));
  subject.response.Complete();
  CHECK(subject.Coding() == "gzip");
}

TEST_CASE("Compression: HEAD is told what GET is, but for a length that it would have to make") {
  Subject subject("gzip", "HEAD");
  subject.response.SetHeader("Content-Length", "5000");
  subject.response.Write(Text(5000));
  subject.response.Complete();
  CHECK(subject.Coding() == "gzip");
  CHECK(subject.exchange.Header("Vary") == "Accept-Encoding");
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Length"));
  CHECK(subject.exchange.sent.empty());
}

TEST_CASE("Compression: HEAD without a body has the entity tag and the Vary of GET") {
  Subject subject("gzip", "HEAD");
  subject.response.Cache().SetETag(EntityTag("v1"));
  CHECK_FALSE(subject.response.IsBodyWanted());
  subject.response.Complete();
  CHECK(subject.exchange.status == 200);
  CHECK(subject.exchange.Header("ETag") == "W/\"v1\"");
  CHECK(subject.exchange.Header("Vary") == "Accept-Encoding");
  // What GET would have is known when its body is.
  CHECK(subject.Coding() == "");
}

TEST_CASE("Compression: what is flushed can be read, and the end is the end") {
  for (const std::string accept : {"gzip", "br", "zstd"}) {
    Subject subject(accept);
    subject.response.SetContentType("text/event-stream");
    std::string expected;
    for (int i = 0; i < 5; ++i) {
      const auto event = "data: " + std::to_string(i) + "\n\n";
      const auto before = subject.exchange.sent.size();
      subject.response.Write(event);
      subject.response.Flush();
      expected += event;
      CHECK(subject.exchange.sent.size() > before);
      if (accept == "gzip") {
        CHECK(Gunzip(subject.exchange.sent) == expected);
      }
    }
    subject.response.Complete();
    CHECK(subject.Coding() == accept);
    if (accept == "gzip") {
      bool at_end = false;
      CHECK(Gunzip(subject.exchange.sent, &at_end) == expected);
      CHECK(at_end);
    }
  }
}

TEST_CASE("Compression: a large body, and files in it, are compressed piece by piece") {
  Subject subject("gzip", "GET", 1000);
  const test::TemporaryFolder folder;
  const auto text = Text(1'000'000);
  subject.response.Write(text);
  subject.response.WriteFile(folder.Write("f", text).string(), 10, 500'000);
  subject.response.Write("end");
  subject.response.Complete();
  CHECK_FALSE(subject.exchange.headers.Contains("Content-Length"));
  bool at_end = false;
  CHECK((Gunzip(subject.exchange.sent, &at_end) == text + text.substr(10, 500'000) + "end"));
  CHECK(at_end);
}

TEST_CASE("Compression: a part is not compressed, and tells that the whole may be") {
  Subject subject;
  subject.response.SetStatusCode(206);
  subject.response.SetHeader("ETag", "\"v1\"");
  subject.response.SetHeader("Content-Range", "bytes 0-9/5000");
  subject.response.Write(Text(10));
  subject.response.Complete();
  CHECK(subject.Coding() == "");
  CHECK(subject.exchange.Header("Vary") == "Accept-Encoding");
  CHECK(subject.exchange.Header("ETag") == "\"v1\"");
  CHECK(subject.exchange.Header("Content-Length") == "10");
}

TEST_CASE("Compression: a 304 has the entity tag and the Vary of the 200") {
  Subject subject("gzip", "GET", 64 * 1024, "W/\"v1\"");
  auto& response = subject.response;
  SUBCASE("the handler says 304 itself") {
    response.SetHeader("ETag", "\"v1\"");
    response.SetStatusCode(304);
  }
  SUBCASE("the handler writes nothing, for no body is wanted") {
    response.Cache().SetETag(EntityTag("v1"));
    CHECK_FALSE(response.IsBodyWanted());
  }
  SUBCASE("the handler writes all the same") {
    response.Cache().SetETag(EntityTag("v1"));
    response.Write(Text(5000));
  }
  response.Complete();
  CHECK(subject.exchange.status == 304);
  CHECK(subject.exchange.Header("ETag") == "W/\"v1\"");
  CHECK(subject.exchange.Header("Vary") == "Accept-Encoding");
  CHECK(subject.Coding() == "");
  CHECK(subject.exchange.sent.empty());
}

TEST_CASE("Compression: a file that is written without a buffer can be read at once") {
  Subject subject("gzip", "GET", 0);
  const test::TemporaryFolder folder;
  subject.response.WriteFile(folder.Write("f", Text(5000)).string());
  CHECK(subject.exchange.calls.back() == MemoryExchange::Call::kFlush);
  CHECK(Gunzip(subject.exchange.sent) == Text(5000));
}

TEST_CASE("Compression: Clear() begins anew") {
  Subject subject;
  subject.response.Write(Text(5000));
  subject.response.Clear();
  subject.response.SetContentType("image/png");
  subject.response.Write(Text(5000));
  subject.response.Complete();
  CHECK(subject.Coding().empty());
  CHECK(subject.exchange.sent == Text(5000));
}

TEST_CASE("Compression: Accept-Encoding of several lines is one list") {
  test::InPlaceRuntime runtime;
  MemoryExchange exchange;
  HttpRequest request(test::MakeVariables({{"REQUEST_METHOD", "GET"},
                                           {"HTTP_ACCEPT_ENCODING", "br;q=0"},
                                           {"HTTP_ACCEPT_ENCODING", "gzip"}}),
                      exchange);
  HttpResponse response(exchange, request, 64 * 1024);
  HttpResponseSettings settings;
  settings.compression = {ContentCoding::kBrotli, ContentCoding::kGzip};
  response.SetSettings(&settings);
  response.Write(Text(5000));
  response.Complete();
  CHECK(exchange.Header("Content-Encoding") == "gzip");
}

TEST_CASE("Compression: If-Match is about the handler's entity tag, however the answer is sent") {
  const auto ask = [](std::string_view if_match, auto write) {
    test::InPlaceRuntime runtime;
    MemoryExchange exchange;
    HttpContext context(test::MakeVariables({{"REQUEST_METHOD", "GET"},
                                             {"HTTP_ACCEPT_ENCODING", "gzip"},
                                             {"HTTP_IF_MATCH", if_match}}),
                        exchange, {}, 64 * 1024);
    HttpResponseSettings settings;
    settings.compression = {ContentCoding::kGzip};
    auto& response = context.Response();
    response.SetSettings(&settings);
    const Validators current{.etag = EntityTag("v1")};
    const bool holds = context.PreconditionsHold(current);
    if (holds) {
      response.Cache().SetETag(*current.etag);
      CHECK(response.IsBodyWanted());
      write(response);
    }
    response.Complete();
    // Both say the same.
    CHECK(exchange.status == (holds ? 200 : 412));
    if (holds) {
      CHECK(exchange.Header("Content-Encoding") == "gzip");
      CHECK(exchange.Header("ETag") == "W/\"v1\"");
      CHECK(Gunzip(exchange.sent) == Text(5000));
    }
    return exchange.status;
  };
  const auto whole = [](HttpResponse& response) { response.Write(Text(5000)); };
  const auto streamed = [](HttpResponse& response) {
    response.Write(Text(5000));
    response.Flush();
  };
  const test::TemporaryFolder folder;
  const auto path = folder.Write("f", Text(5000)).string();
  const auto file = [&](HttpResponse& response) { response.WriteFile(path); };
  CHECK(ask("\"v1\"", whole) == 200);
  CHECK(ask("\"v1\"", streamed) == 200);
  CHECK(ask("\"v1\"", file) == 200);
  CHECK(ask("\"v2\"", whole) == 412);
  // Strong comparison: what a client has by a weak tag may be of other bytes.
  CHECK(ask("W/\"v1\"", whole) == 412);
}

TEST_CASE("Compression: a weak entity tag of the handler's own stays weak for If-Match") {
  test::InPlaceRuntime runtime;
  MemoryExchange exchange;
  HttpRequest request(test::MakeVariables({{"REQUEST_METHOD", "GET"},
                                           {"HTTP_ACCEPT_ENCODING", "gzip"},
                                           {"HTTP_IF_MATCH", "\"v1\""}}),
                      exchange);
  HttpResponse response(exchange, request, 64 * 1024);
  HttpResponseSettings settings;
  settings.compression = {ContentCoding::kGzip};
  response.SetSettings(&settings);
  response.Cache().SetETag(EntityTag::Weak("v1"));
  response.Write(Text(5000));
  response.Complete();
  CHECK(exchange.status == 412);
}

}  // namespace
}  // namespace weft
