#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <weft/http_exception.hpp>
#include <weft/http_request.hpp>
#include <weft/http_worker_request.hpp>
#include <weft/multipart_reader.hpp>
#include "tests/support/as_nobody.hpp"
#include "tests/support/file_size_limit.hpp"
#include "tests/support/in_place_runtime.hpp"
#include "tests/support/server_variables.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft {
namespace {

/// Hands out a body, and keeps what it was told of what is kept.
class Source final : public HttpWorkerRequest {
 public:
  Source(std::string body, std::size_t piece) : body_(std::move(body)), piece_(piece) {}
  std::size_t ReadBody(std::span<char> buffer) override {
    ++reads;
    const auto count = std::min({buffer.size(), piece_, body_.size() - at_});
    body_.copy(buffer.data(), count, at_);
    at_ += count;
    return count;
  }
  void HoldBody(std::size_t memory_bytes, std::uint64_t file_bytes) override {
    memory = memory_bytes;
    most_memory = std::max(most_memory, memory_bytes);
    file = file_bytes;
    if (refuse_at != 0 && memory_bytes + file_bytes >= refuse_at) {
      throw HttpException(503);
    }
  }
  void SendHeaders(int, std::string_view, const HttpHeaders&) override {}
  void SendBody(std::string_view) override {}
  void Flush() override {}

  int reads = 0;
  std::size_t memory = 0;
  std::size_t most_memory = 0;
  std::uint64_t file = 0;
  std::uint64_t refuse_at = 0;

 private:
  std::string body_;
  std::size_t piece_;
  std::size_t at_ = 0;
};

struct Subject {
  explicit Subject(std::string body, std::string_view type = {},
                   const HttpRequestSettings& with = {}, std::size_t piece = 100'000)
      : settings(with),
        source(std::move(body), piece),
        request(test::MakeVariables({{"CONTENT_TYPE", std::string(type)}}), source, &settings) {}

  HttpRequestSettings settings;
  Source source;
  HttpRequest request;
};

std::string Pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>((i * 2654435761u) >> 13);
  }
  return text;
}

std::string ReadWhole(IInputStream& stream, std::size_t step) {
  std::string whole;
  std::string buffer(step, '\0');
  while (const auto count = stream.Read(buffer)) {
    whole.append(buffer, 0, count);
  }
  return whole;
}

/// The status and cause with which something is refused; "" when it is not.
std::string Refusal(const std::function<void()>& function) {
  try {
    function();
  } catch (const HttpException& error) {
    return std::to_string(error.StatusCode()) + " " + std::string(error.Cause());
  }
  return {};
}

constexpr std::string_view kUrlencoded = "application/x-www-form-urlencoded";
constexpr std::string_view kMultipart = "multipart/form-data; boundary=XX";

std::string FilePart(std::string_view name, std::string_view file_name, std::string_view content) {
  return "--XX\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"; filename=\"" +
         std::string(file_name) + "\"\r\nContent-Type: a/b\r\n\r\n" + std::string(content) + "\r\n";
}

std::string FieldPart(std::string_view name, std::string_view value) {
  return "--XX\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"\r\n\r\n" +
         std::string(value) + "\r\n";
}

std::vector<std::pair<std::string, std::string>> Items(const NameValueCollection& items) {
  return {items.begin(), items.end()};
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST_CASE("HttpRequest: bodies of all sizes around the bound of memory read the same everywhere") {
  const std::size_t bound = 100'000;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{512}, std::size_t{513},
                                 bound - 1, bound, bound + 1, std::size_t{262'144}, bound + 262'144,
                                 bound + 262'145, std::size_t{1'000'000}}) {
    for (const std::size_t piece : {size / 7 + 1, std::size_t{65'536}, std::size_t{1'000'000}}) {
      CAPTURE(size);
      CAPTURE(piece);
      const auto whole = Pattern(size);
      HttpRequestSettings settings;
      settings.body_memory_bytes = bound;
      {
        Subject subject(whole, {}, settings, piece);
        CHECK(subject.request.TotalBytes() == size);
        auto& stream = subject.request.InputStream();
        CHECK(stream.Length() == size);
        CHECK(ReadWhole(stream, 12'345) == whole);
        CHECK(stream.Position() == size);
        stream.Seek(size / 2);
        CHECK(ReadWhole(stream, 65'536) == whole.substr(size / 2));
        CHECK_THROWS_AS(stream.Seek(size + 1), std::out_of_range);
        CHECK(subject.request.Body() == whole);
        CHECK(subject.request.Body().data() == subject.request.Body().data());
        // All of it in memory, or all of it in a file.
        CHECK(subject.source.memory == (size > bound ? 0 : size));
        CHECK(subject.source.file == (size > bound ? size : 0));
        CHECK(subject.source.most_memory <= bound + 512 + 65'536 + 262'144);
      }
      {
        Subject subject(whole, {}, settings, piece);
        auto& stream = subject.request.GetBufferedInputStream();
        CHECK(ReadWhole(stream, 4'321) == whole);
        CHECK(subject.request.Body() == whole);
        CHECK(subject.source.file == (size > bound ? size : 0));
      }
      {
        Subject subject(whole, {}, settings, piece);
        CHECK(ReadWhole(subject.request.GetBufferlessInputStream(), 4'321) == whole);
        CHECK(subject.source.most_memory + subject.source.file == 0);
      }
      {
        Subject subject(whole, {}, settings, piece);
        subject.request.ReadBodyAhead();
        const auto reads = subject.source.reads;
        CHECK(subject.request.ReadEntityBodyMode() == ReadEntityBodyMode::kNone);
        CHECK(ReadWhole(subject.request.GetBufferlessInputStream(), 4'321) == whole);
        CHECK(subject.source.reads == reads);
      }
    }
  }
}

TEST_CASE("HttpRequest: BinaryRead goes on where it was, and ends with the body") {
  Subject subject("abcdef");
  CHECK(subject.request.BinaryRead(0).empty());
  CHECK(subject.request.BinaryRead(2) == "ab");
  CHECK(subject.request.InputStream().Position() == 2);
  CHECK(subject.request.BinaryRead(100) == "cdef");
  CHECK(subject.request.BinaryRead(1).empty());
}

TEST_CASE("HttpRequest: each way to read a body, and what may follow it") {
  using Way = std::pair<const char*, std::function<void(HttpRequest&)>>;
  const std::vector<Way> classic = {
      {"Body", [](HttpRequest& r) { static_cast<void>(r.Body()); }},
      {"InputStream", [](HttpRequest& r) { r.InputStream(); }},
      {"TotalBytes", [](HttpRequest& r) { static_cast<void>(r.TotalBytes()); }},
      {"BinaryRead", [](HttpRequest& r) { static_cast<void>(r.BinaryRead(1)); }},
      {"Form", [](HttpRequest& r) { static_cast<void>(r.Form()); }},
      {"Files", [](HttpRequest& r) { r.Files(); }}};
  const Way bufferless = {"GetBufferlessInputStream",
                          [](HttpRequest& r) { r.GetBufferlessInputStream(); }};
  const Way buffered = {"GetBufferedInputStream",
                        [](HttpRequest& r) { r.GetBufferedInputStream(); }};
  // Whether the body has come already does not matter to a handler.
  for (const bool ahead : {false, true}) {
    CAPTURE(ahead);
    const auto check = [&](std::initializer_list<Way> ways, ReadEntityBodyMode mode, bool allowed) {
      Subject subject("a=1", kUrlencoded);
      if (ahead) {
        subject.request.ReadBodyAhead();
      }
      CHECK(subject.request.ReadEntityBodyMode() == ReadEntityBodyMode::kNone);
      std::size_t left = ways.size();
      for (const auto& [name, way] : ways) {
        CAPTURE(name);
        if (--left == 0 && !allowed) {
          CHECK_THROWS_AS(way(subject.request), std::logic_error);
        } else {
          CHECK_NOTHROW(way(subject.request));
        }
        CHECK(subject.request.ReadEntityBodyMode() == mode);
      }
    };
    const Way to_end = {"to its end",
                        [](HttpRequest& r) { ReadWhole(r.GetBufferedInputStream(), 100); }};
    for (const auto& first : classic) {
      for (const auto& second : classic) {
        check({first, second}, ReadEntityBodyMode::kClassic, true);
      }
      check({first, bufferless}, ReadEntityBodyMode::kClassic, false);
      check({first, buffered}, ReadEntityBodyMode::kClassic, false);
      check({bufferless, first}, ReadEntityBodyMode::kBufferless, false);
      check({buffered, first}, ReadEntityBodyMode::kBuffered, false);
      check({buffered, to_end, first, first}, ReadEntityBodyMode::kBuffered, true);
    }
    check({bufferless, bufferless}, ReadEntityBodyMode::kBufferless, true);
    check({bufferless, buffered}, ReadEntityBodyMode::kBufferless, false);
    check({buffered, buffered}, ReadEntityBodyMode::kBuffered, true);
    check({buffered, bufferless}, ReadEntityBodyMode::kBuffered, false);
  }
  Subject subject("a=1", kUrlencoded);
  CHECK(&subject.request.GetBufferlessInputStream() == &subject.request.GetBufferlessInputStream());
  CHECK_THROWS_AS(subject.request.ReadBodyAhead(), std::logic_error);
}

TEST_CASE("HttpRequest: a body that the host has no room for is refused, again and again") {
  HttpRequestSettings settings;
  settings.body_memory_bytes = 1000;
  for (const std::uint64_t refuse_at : {500u, 300'000u}) {
    Subject subject(Pattern(1'000'000), {}, settings);
    subject.source.refuse_at = refuse_at;
    CHECK(Refusal([&] { subject.request.ReadBodyAhead(); }) == "503 ");
    const auto reads = subject.source.reads;
    CHECK(Refusal([&] { static_cast<void>(subject.request.Body()); }) == "503 ");
    CHECK(subject.source.reads == reads);
    Subject streamed(Pattern(1'000'000), {}, settings);
    streamed.source.refuse_at = refuse_at;
    auto& stream = streamed.request.GetBufferedInputStream();
    CHECK(Refusal([&] { ReadWhole(stream, 10'000); }) == "503 ");
    CHECK(Refusal([&] { ReadWhole(stream, 10'000); }) == "503 ");
  }
}

TEST_CASE("HttpRequest: the temporary file has no name, and its folder is the host's") {
  const test::TemporaryFolder folder;
  HttpRequestSettings settings;
  settings.body_memory_bytes = 10;
  settings.temporary_folder = folder.Path();
  Subject subject(Pattern(100'000), {}, settings);
  CHECK(subject.request.Body() == Pattern(100'000));
  CHECK(std::filesystem::is_empty(folder.Path()));
}

TEST_CASE("HttpRequest: a folder that cannot take the file is 500, and the log says which") {
  HttpRequestSettings settings;
  settings.body_memory_bytes = 10;
  const test::TemporaryFolder folder;
  const auto expect = [&](const std::filesystem::path& path) {
    settings.temporary_folder = path;
    Subject subject(Pattern(1000), {}, settings);
    try {
      static_cast<void>(subject.request.Body());
      FAIL("nothing was thrown");
    } catch (const HttpException& error) {
      CHECK(error.StatusCode() == 500);
      CHECK(error.Cause() == "body_storage_failed");
      CHECK(std::string(error.what()).find(path) != std::string::npos);
    }
  };
  expect(folder / "missing");
  expect(folder.Write("file", "x"));
  std::filesystem::permissions(folder.Path(), std::filesystem::perms::none);
  {
    const test::AsNobody nobody;
    expect(folder.Path());
  }
  std::filesystem::permissions(folder.Path(), std::filesystem::perms::all);
}

TEST_CASE("HttpRequest: a file that may not grow is 507, wherever it stops") {
  HttpRequestSettings settings;
  settings.body_memory_bytes = 10;
  for (const rlim_t bytes : {rlim_t{0}, rlim_t{100}, rlim_t{300'000}, rlim_t{900'001}}) {
    CAPTURE(bytes);
    const test::FileSizeLimit limit(bytes);
    Subject subject(Pattern(1'000'000), {}, settings);
    CHECK(Refusal([&] { subject.request.ReadBodyAhead(); }) == "507 body_storage_full");
    CHECK(Refusal([&] { static_cast<void>(subject.request.Form()); }) == "507 body_storage_full");
    Subject streamed(Pattern(1'000'000), {}, settings);
    auto& stream = streamed.request.GetBufferedInputStream();
    CHECK(Refusal([&] { ReadWhole(stream, 10'000); }) == "507 body_storage_full");
  }
  const test::FileSizeLimit limit(1'000'000);
  Subject subject(Pattern(1'000'000), {}, settings);
  CHECK(subject.request.TotalBytes() == 1'000'000);
}

TEST_CASE("HttpRequest: on a fiber a file is written, read, parsed and dropped elsewhere") {
  test::InPlaceRuntime runtime;
  HttpRequestSettings settings;
  settings.body_memory_bytes = 1000;
  const auto file = Pattern(2'000'000);
  {
    Subject small("a=1", kUrlencoded, settings);
    CHECK(small.request.Form().Get("a") == "1");
    CHECK(small.request.Body() == "a=1");
  }
  CHECK(runtime.calls == 0);
  {
    Subject subject(FilePart("f", "n", file) + "--XX--", kMultipart, settings);
    subject.request.ReadBodyAhead();
    // One to begin with, one for each 128 KiB, and the rest.
    CHECK(runtime.calls == 16);
    auto& posted = subject.request.Files().Get(0);
    CHECK(runtime.calls == 17);
    CHECK(ReadWhole(posted.InputStream(), 1'000'000) == file);
    CHECK(runtime.calls == 19);
    const test::TemporaryFolder folder;
    posted.SaveAs(folder / "saved");
    CHECK(runtime.calls == 20);
    CHECK(subject.request.Body().size() > file.size());
    CHECK(runtime.calls == 21);
  }
  CHECK(runtime.calls == 22);
}

TEST_CASE("HttpRequest: Form of urlencoded bodies, of any method, in memory and in a file") {
  const auto form_of = [](const std::string& body, std::size_t piece = 100'000) {
    Subject in_memory(body, kUrlencoded, {}, piece);
    const auto items = Items(in_memory.request.Form());
    CHECK(in_memory.request.Files().Count() == 0);
    HttpRequestSettings settings;
    settings.body_memory_bytes = 0;
    Subject in_file(body, "Application/X-WWW-Form-Urlencoded ; charset=UTF-8", settings, piece);
    CHECK(Items(in_file.request.Form()) == items);
    CHECK(&in_file.request.Form() == &in_file.request.Form());
    return items;
  };
  CHECK(form_of("").empty());
  CHECK(form_of("&&").empty());
  CHECK(form_of("a=1&b&=c&a=2+3%26%3D&&%C3%A4=%FF%00x&e==&") ==
        Pairs{{"a", "1"},
              {"b", ""},
              {"", "c"},
              {"a", "2 3&="},
              {"\xC3\xA4", std::string("\xFF\0x", 3)},
              {"e", "="}});
  // Fields that cross the pieces of a file.
  std::string body;
  Pairs expected;
  for (int i = 0; i < 900; ++i) {
    const auto name = "n" + std::to_string(i);
    std::string value(static_cast<std::size_t>(i), 'v');
    body += name + "=" + value + "&";
    expected.emplace_back(name, value);
  }
  CHECK(form_of(body) == expected);
  CHECK(form_of(body, 7) == expected);
  Subject subject("a=1&A=2", kUrlencoded);
  CHECK(subject.request.Form().FindAll("a").size() == 2);
}

TEST_CASE("HttpRequest: a body that is no form has no fields and no files") {
  for (const std::string type :
       {"", "text/plain", "application/json", "application", "application/x-www-form-urlencodedx",
        "multipart/mixed; boundary=XX", "multipart/form-datax; boundary=XX"}) {
    CAPTURE(type);
    Subject subject("a=1", type);
    CHECK(subject.request.Form().empty());
    CHECK(subject.request.Files().Count() == 0);
    CHECK(subject.request.Body() == "a=1");
  }
  Subject nothing("", "multipart/form-data; boundary=XX");
  CHECK(Refusal([&] { nothing.request.Form(); }) == "400 multipart_malformed");
}

TEST_CASE("HttpRequest: the bounds of a form, of either kind") {
  HttpRequestSettings settings;
  settings.max_fields = 3;
  settings.max_field_bytes = 10;
  settings.max_field_name_bytes = 5;
  settings.max_form_bytes = 20;
  settings.max_files = 2;
  settings.max_part_header_bytes = 150;
  for (const std::size_t memory : {std::size_t{0}, std::size_t{1000}}) {
    settings.body_memory_bytes = memory;
    const auto refusal = [&](const std::string& body, std::string_view type = kMultipart) {
      Subject subject(body, type, settings);
      const auto first = Refusal([&] { static_cast<void>(subject.request.Form()); });
      CHECK(Refusal([&] { static_cast<void>(subject.request.Files()); }) == first);
      return first;
    };
    const auto parts = [](std::initializer_list<std::string> list) {
      std::string body;
      for (const auto& part : list) {
        body += part;
      }
      return body + "--XX--";
    };
    CHECK(refusal("a&b&c", kUrlencoded).empty());
    CHECK(refusal("a&b&c&d", kUrlencoded) == "400 too_many_fields");
    CHECK(refusal("a=1234567890", kUrlencoded).empty());
    CHECK(refusal("a=%31234567890", kUrlencoded).empty());
    CHECK(refusal("a=12345678901", kUrlencoded) == "413 form_too_large");
    CHECK(refusal("abcde=1", kUrlencoded).empty());
    CHECK(refusal("abcdef=1", kUrlencoded) == "413 form_too_large");
    CHECK(refusal("a=123456789&b=123456789", kUrlencoded).empty());
    CHECK(refusal("a=123456789&b=1234567890", kUrlencoded) == "413 form_too_large");
    CHECK(refusal("a=123456789&b=123456789&c", kUrlencoded) == "413 form_too_large");
    CHECK(refusal(std::string(100'000, 'a'), kUrlencoded) == "413 form_too_large");
    CHECK(refusal("a=%", kUrlencoded) == "400 form_malformed");
    CHECK(refusal("a=%4", kUrlencoded) == "400 form_malformed");
    CHECK(refusal("a%4g=1", kUrlencoded) == "400 form_malformed");

    CHECK(refusal(parts({FieldPart("a", ""), FieldPart("b", ""), FieldPart("c", "")})).empty());
    CHECK(refusal(parts({FieldPart("a", ""), FieldPart("b", ""), FieldPart("c", ""),
                         FieldPart("d", "")})) == "400 too_many_fields");
    CHECK(refusal(parts({FieldPart("a", "1234567890")})).empty());
    CHECK(refusal(parts({FieldPart("a", "12345678901")})) == "413 form_too_large");
    CHECK(refusal(parts({FieldPart("abcdef", "")})) == "413 form_too_large");
    CHECK(refusal(parts({FieldPart("a", "123456789"), FieldPart("b", "1234567890")})) ==
          "413 form_too_large");
    CHECK(refusal(parts({FilePart("a", "f", Pattern(1000)), FilePart("a", "f", "")})).empty());
    CHECK(refusal(parts({FilePart("a", "f", ""), FilePart("a", "f", ""),
                         FilePart("a", "f", "")})) == "400 too_many_files");
    CHECK(refusal(parts({FilePart("a", std::string(150, 'f'), "")})) ==
          "400 part_header_too_large");
    // Without a name, in both forms.
    CHECK(refusal("--XX\r\n\r\nv\r\n--XX--") == "400 multipart_malformed");
    CHECK(refusal("--XX\r\nContent-Disposition: form-data\r\n\r\nv\r\n--XX--") ==
          "400 multipart_malformed");
    CHECK(refusal("--XX\r\nContent-Disposition: form-data; filename=f\r\n\r\nv\r\n--XX--") ==
          "400 multipart_malformed");
    CHECK(refusal("--XX\r\nContent-Disposition: attachment; name=a\r\n\r\nv\r\n--XX--") ==
          "400 multipart_malformed");
    CHECK(refusal(FieldPart("a", "1")) == "400 multipart_malformed");
    CHECK(refusal(FilePart("a", "f", "1")) == "400 multipart_malformed");
    CHECK(refusal("--XX--", "multipart/form-data") == "400 multipart_malformed");
    for (const auto& [encoding, expected] :
         Pairs{{"binary", ""},
               {"7BIT", ""},
               {"8bit", ""},
               {"base64", "400 multipart_malformed"},
               {"quoted-printable", "400 multipart_malformed"}}) {
      CAPTURE(encoding);
      CHECK(
          refusal("--XX\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: " +
                  encoding + "\r\n\r\nv\r\n--XX--") == expected);
    }
  }
}

TEST_CASE("HttpRequest: Form and Files of a multipart body, in memory and in a file") {
  const auto content = Pattern(300'000);
  const auto body = FieldPart("note", "a\r\nb") + FilePart("file", "..\\..\\evil.exe", content) +
                    FilePart("FILE", "", "") + FieldPart("note", "") +
                    FilePart("other", "\xC3\xA4.txt", "small") + "--XX--\r\n";
  for (const std::size_t memory : {std::size_t{0}, std::size_t{1'000'000}}) {
    CAPTURE(memory);
    HttpRequestSettings settings;
    settings.body_memory_bytes = memory;
    Subject subject(body, kMultipart, settings, 1'000);
    CHECK(Items(subject.request.Form()) == Pairs{{"note", "a\r\nb"}, {"note", ""}});
    auto& files = subject.request.Files();
    REQUIRE(files.Count() == 3);
    CHECK(files.AllKeys() == std::vector<std::string_view>{"file", "FILE", "other"});
    CHECK(files.Get("File") == &files.Get(0));
    CHECK(files.Get("none") == nullptr);
    CHECK_THROWS_AS(static_cast<void>(files.Get(3)), std::out_of_range);
    CHECK(files.GetMultiple("file") == std::vector<HttpPostedFile*>{&files.Get(0), &files.Get(1)});
    auto& file = files.Get(0);
    CHECK(file.FileName() == "evil.exe");
    CHECK(file.RawFileName() == "..\\..\\evil.exe");
    CHECK(file.ContentType() == "a/b");
    CHECK(file.ContentLength() == content.size());
    CHECK(ReadWhole(file.InputStream(), 70'000) == content);
    file.InputStream().Seek(299'990);
    CHECK(ReadWhole(file.InputStream(), 70'000) == content.substr(299'990));
    CHECK(files.Get(1).FileName().empty());
    CHECK(files.Get(1).ContentLength() == 0);
    CHECK(files.Get(2).FileName() == "\xC3\xA4.txt");
    CHECK(ReadWhole(files.Get(2).InputStream(), 1) == "small");
    // What the fields take counts where the body itself does not lie in memory.
    CHECK(subject.source.memory == (memory == 0 ? 4 + 4 + 4 + 0 : body.size()));
    // They are ranges of the body.
    CHECK(subject.request.Body() == body);
  }
}

TEST_CASE("HttpPostedFile: SaveAs writes the file, and nothing beside it") {
  const auto content = Pattern(400'000);
  const auto body = FilePart("a", "a", content) + FilePart("b", "b", "") + "--XX--";
  for (const std::size_t memory : {std::size_t{0}, std::size_t{1'000'000}}) {
    CAPTURE(memory);
    HttpRequestSettings settings;
    settings.body_memory_bytes = memory;
    Subject subject(body, kMultipart, settings);
    const test::TemporaryFolder folder;
    auto& files = subject.request.Files();
    const auto mask = umask(027);
    files.Get(0).SaveAs(folder / "a");
    umask(mask);
    CHECK(test::ReadWholeFile(folder / "a") == content);
    CHECK((std::filesystem::status(folder / "a").permissions() & std::filesystem::perms::mask) ==
          std::filesystem::perms(0640));
    files.Get(1).SaveAs(folder / "b");
    CHECK(std::filesystem::file_size(folder / "b") == 0);
    // Again, which replaces; and what reads the stream is not disturbed.
    CHECK(files.Get(0).InputStream().Position() == 0);
    files.Get(0).SaveAs(folder / "b");
    CHECK(test::ReadWholeFile(folder / "b") == content);
    try {
      files.Get(1).SaveAs(folder / "b", ExistingFile::kRefuse);
      FAIL("nothing was thrown");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::file_exists);
      CHECK(std::string(error.what()).find(folder / "b") != std::string::npos);
    }
    CHECK(test::ReadWholeFile(folder / "b") == content);
    files.Get(0).SaveAs(folder / "c", ExistingFile::kRefuse);
    CHECK(test::ReadWholeFile(folder / "c") == content);
    CHECK_THROWS_AS(files.Get(0).SaveAs("relative"), std::invalid_argument);
    CHECK_THROWS_AS(files.Get(0).SaveAs(folder.Path().string() + "/"), std::invalid_argument);
    CHECK_THROWS_AS(files.Get(0).SaveAs(folder / "none/a"), std::system_error);
    std::filesystem::create_directory(folder / "d");
    CHECK_THROWS_AS(files.Get(0).SaveAs(folder / "d"), std::system_error);
    {
      const test::FileSizeLimit limit(100'000);
      CHECK_THROWS_AS(files.Get(0).SaveAs(folder / "e"), std::system_error);
    }
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.Path())) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    CHECK(names == std::vector<std::string>{"a", "b", "c", "d"});
  }
}

/// What FileName() makes of a name, which is sent as browsers send it.
std::string SafeFileName(std::string_view raw) {
  std::string sent;
  for (const char c : raw) {
    sent += c == '"'    ? "%22"
            : c == '\r' ? "%0D"
            : c == '\n' ? "%0A"
            : c == '\\' ? "\\\\"
                        : std::string(1, c);
  }
  MultipartLimits limits;
  limits.max_part_header_bytes = 100'000;
  const auto message = FilePart("a", sent, "") + "--XX--";
  MultipartReader reader(message, kMultipart, limits);
  REQUIRE(reader.ReadNextPart());
  return std::string(reader.FileName().value());
}

TEST_CASE("HttpPostedFile: FileName is a base name that every file system takes") {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"a.txt", "a.txt"},
      {"", ""},
      {"/etc/passwd", "passwd"},
      {"..", ""},
      {"../..", ""},
      {"../../a", "a"},
      {"C:\\dir\\a b.txt", "a b.txt"},
      {"a/", ""},
      {"a\\", ""},
      {".htaccess", "htaccess"},
      {" . .a. . ", "a"},
      {"ab\r\n.txt", "ab.txt"},
      {"a\xC2\x80\xC2\x9F"
       "b",
       "ab"},
      {"gpj.\xE2\x80\xAE"
       "exe",
       "gpj.exe"},
      {"\xE2\x80\xAA\xE2\x81\xA6\xEF\xBB\xBFx", "x"},
      {"a<b>c:d\"e|f?g*h", "a_b_c_d_e_f_g_h"},
      {"stream.txt:hidden", "stream.txt_hidden"},
      {"\xFFx\xC3", "_x_"},
      {"\xC0\xAF"
       "x",
       "__x"},
      {"na\xC3\xAFve \xE6\x97\xA5\xE6\x9C\xAC.pdf", "na\xC3\xAFve \xE6\x97\xA5\xE6\x9C\xAC.pdf"},
      {"CON", "_CON"},
      {"con.txt", "_con.txt"},
      {"nul .tar.gz", "_nul .tar.gz"},
      {"COM1", "_COM1"},
      {"lpt9.x", "_lpt9.x"},
      {"COM0", "COM0"},
      {"console", "console"},
      {"auxx", "auxx"},
      {std::string(300, 'a') + ".jpeg", std::string(195, 'a') + ".jpeg"},
      {std::string(300, 'a'), std::string(200, 'a')},
      {"a." + std::string(300, 'b'), "a." + std::string(198, 'b')},
  };
  for (const auto& [raw, safe] : names) {
    CAPTURE(raw);
    CHECK(SafeFileName(raw) == safe);
    CHECK(SafeFileName(safe) == safe);
  }
  // A character is not cut in two.
  std::string umlauts;
  for (int i = 0; i < 150; ++i) {
    umlauts += "\xC3\xA4";
  }
  CHECK(SafeFileName(umlauts + ".x").size() == 200);
  CHECK(SafeFileName("a" + umlauts + ".x").size() == 199);
}

TEST_CASE("MultipartReader: of a request, as it arrives, within the host's bounds") {
  HttpRequestSettings settings;
  settings.max_part_header_bytes = 150;
  settings.max_fields = 1;
  settings.max_files = 1;
  Subject subject(FieldPart("a", "1") + FilePart("f", "n", "2") + "--XX--", kMultipart, settings,
                  5);
  MultipartReader reader(subject.request);
  CHECK(subject.request.ReadEntityBodyMode() == ReadEntityBodyMode::kBufferless);
  CHECK(reader.ReadNextPart());
  CHECK(reader.ReadPiece() == "1");
  CHECK(reader.ReadNextPart());
  CHECK(reader.RawFileName() == "n");
  CHECK_FALSE(reader.ReadNextPart());
  CHECK(subject.source.most_memory == 0);
  Subject other(FieldPart(std::string(150, 'n'), "1") + "--XX--", kMultipart, settings);
  CHECK(Refusal([&] { static_cast<void>(MultipartReader(other.request).ReadNextPart()); }) ==
        "400 part_header_too_large");
}

}  // namespace
}  // namespace weft
