// A module whose answer tells one version of it from another, and which starts only when a test lets it.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include <weft/weft.hpp>

namespace generation {

namespace {

/// Where a test holds the strings.
std::filesystem::path Folder() {
  const char* const folder = std::getenv("GENERATION_FOLDER");
  return folder == nullptr ? "" : folder;
}

void Append(const char* file) { std::ofstream(Folder() / file, std::ios::app) << '.'; }

void Start() {
  if (Folder().empty()) {
    return;
  }
  Append("starts");
  while (std::filesystem::exists(Folder() / "hold")) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  int most = 0;
  if (std::ifstream(Folder() / "most") >> most &&
      std::filesystem::file_size(Folder() / "starts") > static_cast<std::uintmax_t>(most)) {
    throw std::runtime_error("it was started often enough");
  }
}

}  // namespace

/// Which version it is.
class Version : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    context.Response().Write(WHICH_GENERATION);
  }
  bool IsReusable() const override { return true; }
};

/// Which version it is, what the mappings' section "told" holds, the query, and as many bytes x as the query's bytes= asks for.
class Told : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto& request = context.Request();
    auto& response = context.Response();
    response.Write(std::string(WHICH_GENERATION) + ' ' +
                   std::string(context.GetSection("told").value_or("none")) + ' ' +
                   std::string(request.QueryStringText()) + '\n');
    response.Write(
        std::string(std::stoul(std::string(request.QueryString().Get("bytes", "0"))), 'x'));
  }
  bool IsReusable() const override { return true; }
};

/// Writes a line of which one half comes when the test has made the file "go", and ends the process if it is to.
class Talk : public weft::IHttpHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    std::fputs("one half, ", stderr);
    static_cast<void>(!::write(STDERR_FILENO, "unmarked, ", 10));
    Append("talks");
    while (!std::filesystem::exists(Folder() / "go")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    static_cast<void>(!::write(STDERR_FILENO, "too\n", 4));
    std::fputs("and the other\n", stderr);
    if (context.Request().QueryStringText() == "end=abort") {
      std::abort();
    }
    context.Response().Write("talked\n");
  }
  bool IsReusable() const override { return true; }
};

}  // namespace generation

WEFT_MODULE(registry) {
  weft::AddHandler<generation::Version>(registry, "generation::Version");
  weft::AddHandler<generation::Told>(registry, "generation::Told");
  weft::AddHandler<generation::Talk>(registry, "generation::Talk");
  registry.OnStart([](weft::HttpApplicationState&) { generation::Start(); });
  registry.OnStop([](weft::HttpApplicationState&) {
    if (!generation::Folder().empty()) {
      generation::Append("stops");
    }
  });
}
