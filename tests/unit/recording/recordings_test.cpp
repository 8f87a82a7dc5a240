#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "handlers/builtin/builtin.hpp"
#include "host/handling/handler_table.hpp"
#include "host/handling/module_loader.hpp"
#include "host/observe/access_log.hpp"
#include "host/observe/log.hpp"
#include "host/options/settings.hpp"
#include "host/pipeline/pipeline.hpp"
#include "host/recording/compare.hpp"
#include "host/recording/har_reader.hpp"
#include "host/recording/reader.hpp"
#include "host/recording/replay.hpp"
#include "host/recording/writer.hpp"
#include "host/runtime/runtime.hpp"
#include "mappings/loader.hpp"
#include "mappings/type_name.hpp"

using namespace weft::host;

namespace {

/// The classes of the built modules, and those that ship with the host.
void RegisterBuiltIn(handling::TypeResolver& resolver) {
  weft::builtin::RegisterHandlers(resolver.BuiltIn(), [&resolver](std::string_view type_text) {
    auto& handler_class = resolver.ResolveForFile(type_text);
    return [&handler_class] { return handler_class.Create(); };
  });
}

/// The answer of the sample site, served as `weft serve` serves it by default.
recording::Answer AnswerOf(const recording::Recording& request) {
  const options::Settings settings;
  observe::AccessLog access_log("");
  runtime::Runtime runtime({.stack_bytes = settings.stack_size,
                            .idle_stacks = settings.idle_stacks,
                            .blocking_threads = settings.blocking_threads,
                            .blocking_queue = settings.blocking_queue});
  handling::TypeResolver resolver({WEFT_MODULES_FOLDER});
  RegisterBuiltIn(resolver);
  const auto loaded = weft::mappings::Load({.directory = "handlers/samples/mappings"});
  for (const auto& problem : loaded.problems) {
    FAIL_CHECK(problem.ToString());
  }
  REQUIRE(loaded.table != nullptr);
  auto handlers = std::make_shared<const handling::HandlerTable>(loaded.table, resolver);
  for (const auto& problem : handlers->Problems()) {
    FAIL_CHECK(problem.ToString());
  }
  pipeline::Pipeline pipeline(runtime, access_log,
                              {.max_requests = settings.max_requests,
                               .max_request_bytes = settings.max_request_bytes,
                               .max_buffered_bytes = settings.max_buffered_bytes,
                               .output_buffer_bytes = settings.output_buffer_bytes,
                               .max_execute_depth = settings.max_execute_depth});
  pipeline.SetHandlers(handlers);
  const auto answers = recording::Replay({&request, 1}, "handlers/samples/www", runtime, pipeline);
  REQUIRE(answers.size() == 1);
  return answers[0];
}

std::vector<std::filesystem::path> Recordings() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/recordings")) {
    if (entry.path().string().ends_with(".recording.json")) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("tests/recordings: the sample site answers as it is recorded") {
  // So that no recording holds a path of this machine.
  std::filesystem::current_path(WEFT_SOURCE_FOLDER);
  observe::SetLogLevel(observe::Level::kError);
  const auto files = Recordings();
  CHECK(files.size() > 10);
  for (const auto& file : files) {
    SUBCASE(file.filename().c_str()) {
      const auto read = recording::ReadRecording(file);
      for (const auto& problem : read.problems) {
        FAIL_CHECK(problem.ToString());
      }
      REQUIRE(read.recording);
      REQUIRE(read.recording->response);
      const auto answer = AnswerOf(*read.recording);
      for (const auto& difference : recording::Compare(*read.recording->response, answer)) {
        FAIL_CHECK(file.string() << ": " << difference.ToString());
      }
    }
  }
}

TEST_CASE("tests/recordings: the sample site answers as a browser has saved it") {
  std::filesystem::current_path(WEFT_SOURCE_FOLDER);
  observe::SetLogLevel(observe::Level::kError);
  const auto import = recording::ReadHar("tests/recordings/visit.har", {.host = "localhost"});
  REQUIRE(import.recordings.size() == 3);
  for (const auto& imported : import.recordings) {
    const auto written = recording::WriteRecording(imported, "a");
    CAPTURE(written.text);
    const auto read = recording::ParseRecording(written.text, "a");
    REQUIRE(read.recording);
    for (const auto& difference :
         recording::Compare(*read.recording->response, AnswerOf(*read.recording))) {
      FAIL_CHECK(difference.ToString());
    }
  }
}
