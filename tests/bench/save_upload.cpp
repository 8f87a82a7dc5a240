#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include <weft/weft.hpp>

/// What `scripts/bench upload` sends its files to. They go to the folder `saved` of the document root.

namespace bench {

namespace {

std::atomic<unsigned> g_number{0};

std::string NewPath(const weft::HttpRequest& request) {
  return request.MapPath("/saved/") + std::to_string(getpid()) + "-" +
         std::to_string(g_number.fetch_add(1));
}

}  // namespace

/// By Files() and SaveAs(): the body is in a temporary file first.
class Save : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    auto& request = context.Request();
    for (auto& file : request.Files()) {
      file.SaveAs(NewPath(request));
      context.Response().Write(std::to_string(file.ContentLength()) + "\n");
    }
  }
  bool IsReusable() const override { return true; }
};

/// By a MultipartReader: what arrives is written where it stays.
class SaveStream : public weft::IHttpHandler, public weft::IHttpBufferlessHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    weft::MultipartReader reader(context.Request());
    while (reader.ReadNextPart()) {
      const auto path = NewPath(context.Request());
      const int file = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
      std::size_t length = 0;
      for (auto piece = reader.ReadPiece(); !piece.empty(); piece = reader.ReadPiece()) {
        length += piece.size();
        while (!piece.empty()) {
          const auto count = write(file, piece.data(), piece.size());
          if (count < 0) {
            throw std::system_error(errno, std::generic_category(), path);
          }
          piece.remove_prefix(static_cast<std::size_t>(count));
        }
      }
      close(file);
      context.Response().Write(std::to_string(length) + "\n");
    }
  }
  bool IsReusable() const override { return true; }
};

}  // namespace bench

WEFT_MODULE(registry) {
  weft::AddHandler<bench::Save>(registry, "bench::Save");
  weft::AddHandler<bench::SaveStream>(registry, "bench::SaveStream");
}
