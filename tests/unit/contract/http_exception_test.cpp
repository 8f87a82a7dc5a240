#include <weft/http_exception.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace weft {
namespace {

TEST_CASE("HttpException: the client sees the public text, the log both") {
  const HttpException error(404, "No such order.", "order 17");
  CHECK(error.StatusCode() == 404);
  CHECK(error.PublicText() == "No such order.");
  CHECK(std::string_view(error.what()) == "404 No such order.: order 17");
}

TEST_CASE("HttpException: an empty public text becomes the status's phrase") {
  const HttpException error(403);
  CHECK(error.PublicText() == "Forbidden");
  CHECK(std::string_view(error.what()) == "403 Forbidden");
  const HttpException detailed(413, {}, "17 bytes");
  CHECK(detailed.PublicText() == "Content Too Large");
  CHECK(std::string_view(detailed.what()) == "413 Content Too Large: 17 bytes");
}

TEST_CASE("HttpException: the statuses from 400 to 599 are kept") {
  for (const int status : {400, 418, 499, 500, 599}) {
    CHECK(HttpException(status).StatusCode() == status);
  }
}

TEST_CASE("HttpException: any other status is answered as 500, with the phrase of 500") {
  for (const int status : {-1, 0, 100, 200, 204, 302, 399, 600, 1000}) {
    CAPTURE(status);
    const HttpException error(status);
    CHECK(error.StatusCode() == 500);
    // "OK" under a 500 would be nonsense.
    CHECK(error.PublicText() == "Internal Server Error");
  }
  CHECK(HttpException(200, "text").PublicText() == "text");
}

TEST_CASE("HttpException: its cause is for the log alone, and there need not be one") {
  CHECK(HttpException(404).Cause().empty());
  const auto error = HttpException(404, "No such order.", "order 17").WithCause("order_unknown");
  CHECK(error.Cause() == "order_unknown");
  CHECK(error.StatusCode() == 404);
  CHECK(std::string_view(error.what()) == "404 No such order.: order 17");
  try {
    throw HttpException(404).WithCause(cause::kFileNotFound);
  } catch (const HttpException& thrown) {
    CHECK(thrown.Cause() == "file_not_found");
  }
}

TEST_CASE("HttpException: a copy says the same") {
  const auto error = HttpException(409, "text", "detail").WithCause(cause::kOverloaded);
  const HttpException copy(error);
  CHECK(copy.StatusCode() == 409);
  CHECK(copy.PublicText() == "text");
  CHECK(copy.Cause() == "overloaded");
  CHECK(std::string_view(copy.what()) == error.what());
}

TEST_CASE("StatusDescriptionOf: the phrases are those of RFC 9110") {
  CHECK(StatusDescriptionOf(200) == "OK");
  CHECK(StatusDescriptionOf(203) == "Non-Authoritative Information");
  CHECK(StatusDescriptionOf(405) == "Method Not Allowed");
  CHECK(StatusDescriptionOf(413) == "Content Too Large");
  CHECK(StatusDescriptionOf(422) == "Unprocessable Content");
  CHECK(StatusDescriptionOf(503) == "Service Unavailable");
  CHECK(StatusDescriptionOf(504) == "Gateway Timeout");
}

TEST_CASE("StatusDescriptionOf: a status that nobody registered is unknown, and none is empty") {
  CHECK(StatusDescriptionOf(0) == "Unknown");
  CHECK(StatusDescriptionOf(299) == "Unknown");
  CHECK(StatusDescriptionOf(599) == "Unknown");
  for (int status = -1; status < 700; ++status) {
    CHECK_FALSE(StatusDescriptionOf(status).empty());
  }
}

}  // namespace
}  // namespace weft
