#include "host/tools/recordings.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <span>
#include <system_error>
#include <utility>

#include "host/observe/log.hpp"
#include "host/options/exit_code.hpp"
#include "host/options/values.hpp"
#include "host/options/version.hpp"
#include "host/recording/file_bytes.hpp"
#include "host/recording/har_reader.hpp"
#include "host/recording/har_writer.hpp"
#include "host/recording/reader.hpp"
#include "host/recording/writer.hpp"
#include "host/tools/recording_name.hpp"

namespace weft::host::tools {
namespace {

namespace fs = std::filesystem;
using mappings::Problem;
using options::Quoted;
using options::Settings;
using recording::Recording;

int Refuse(const std::string& sentence, int code) {
  std::cerr << "weft: " + sentence + "\n";
  return code;
}

/// Says whether there is an error among them.
bool Tell(const std::vector<Problem>& problems) {
  for (const auto& problem : problems) {
    std::cerr << observe::EscapedControls(problem.ToString()) + "\n";
  }
  return std::ranges::any_of(problems, [](const Problem& problem) {
    return problem.severity == Problem::Severity::kError;
  });
}

std::string Counted(std::size_t count, std::string_view what) {
  return std::to_string(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

recording::Existing WhatIsThere(const Settings& settings) {
  return settings.force ? recording::Existing::kReplace : recording::Existing::kKeep;
}

int RefuseWriting(const std::system_error& error, std::string_view instead) {
  if (error.code() == std::errc::file_exists) {
    return Refuse(std::string(error.what()) + ": " + std::string(instead) +
                      ", or replace what is there with --force",
                  options::kExitUsage);
  }
  return Refuse(std::string(error.what()) + ": " + std::string(instead),
                options::ExitCodeFor(error.code()));
}

// --- Import -------------------------------------------------------------------------------------

/// `shop.har` as `shop`; with nothing to take away, something is added: the file itself has the name.
fs::path FolderFor(const fs::path& file) {
  const auto name = file.filename();
  return name.extension() == ".har" ? name.stem() : fs::path(name.string() + ".recordings");
}

struct NewFile {
  fs::path path;
  std::string bytes;
};

/// What holds the bodies of a recording before the recording, so that none names a file that is not there.
std::vector<NewFile> FilesOf(const std::vector<Recording>& recordings, const fs::path& folder) {
  std::vector<NewFile> files;
  for (std::size_t i = 0; i < recordings.size(); ++i) {
    const auto name = RecordingName(i + 1, recordings.size(), recordings[i]);
    auto written = recording::WriteRecording(recordings[i], name);
    for (auto& body : written.beside) {
      files.push_back({folder / body.name, std::move(body.bytes)});
    }
    files.push_back(
        {folder / (name + std::string(recording::kRecordingSuffix)), std::move(written.text)});
  }
  return files;
}

void Write(const std::vector<NewFile>& files, const fs::path& folder, const Settings& settings) {
  fs::create_directories(folder);
  for (const auto& file : files) {
    if (!settings.force && fs::symlink_status(file.path).type() != fs::file_type::not_found) {
      throw std::system_error(EEXIST, std::generic_category(), Quoted(file.path.string()));
    }
  }
  for (const auto& file : files) {
    recording::WriteFileBytes(file.path, file.bytes, WhatIsThere(settings));
  }
}

void TellSummary(const recording::HarImport& import, const fs::path& folder) {
  std::string text =
      Counted(import.recordings.size(), "recording") + " in " + Quoted(folder.string());
  if (import.of_other_hosts > 0) {
    text += "; left out: " + Counted(import.of_other_hosts, "request") + " to other hosts";
  }
  if (!import.masked.empty()) {
    text += "; masked, or taken out of answers:";
    for (const auto& name : import.masked) {
      text += (text.ends_with(':') ? " " : ", ") + Quoted(name);
    }
  }
  std::cerr << "weft: " + observe::EscapedControls(text) + "\n";
}

int Import(const Settings& settings, const fs::path& file) {
  const auto import =
      recording::ReadHar(file, {.host = settings.host, .keeps_secrets = settings.keep_secrets});
  if (Tell(import.problems)) {
    return options::kExitProblems;
  }
  if (import.recordings.empty()) {
    return Refuse(
        Quoted(file.string()) + " has no request that can be replayed" +
            (import.of_other_hosts > 0 ? ": " + Counted(import.of_other_hosts, "request") +
                                             " went to other hosts than that of --host"
                                       : ": save the visit anew"),
        options::kExitProblems);
  }
  const auto folder = settings.output.empty() ? FolderFor(file) : settings.output;
  try {
    const auto files = FilesOf(import.recordings, folder);
    Write(files, folder, settings);
    for (const auto& written : files) {
      if (written.path.string().ends_with(recording::kRecordingSuffix)) {
        std::cout << written.path.string() << '\n';
      }
    }
  } catch (const std::system_error& error) {
    return RefuseWriting(error, "name another folder with --output");
  }
  TellSummary(import, folder);
  std::cout.flush();
  return std::cout.good() ? options::kExitOk : options::kExitInputOutput;
}

// --- Export -------------------------------------------------------------------------------------

/// A file, or the recordings of a folder. Throws std::system_error.
std::vector<fs::path> RecordingsAt(const fs::path& place) {
  if (!fs::is_directory(place)) {
    return {place};
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(place)) {
    if (entry.path().string().ends_with(recording::kRecordingSuffix)) {
      files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

int Export(const Settings& settings, std::span<const std::string> places) {
  std::vector<Recording> recordings;
  bool is_wrong = false;
  for (const fs::path place : places) {
    try {
      const auto files = RecordingsAt(place);
      if (files.empty()) {
        is_wrong = true;
        Refuse("the folder " + Quoted(place.string()) + " has no file that ends in " +
                   std::string(recording::kRecordingSuffix) + ": name another",
               options::kExitProblems);
      }
      for (const auto& file : files) {
        auto read = recording::ReadRecording(file);
        is_wrong = Tell(read.problems) || is_wrong;
        if (read.recording) recordings.push_back(std::move(*read.recording));
      }
    } catch (const std::system_error& error) {
      return Refuse(std::string(error.what()) + ": name a folder that can be read",
                    options::ExitCodeFor(error.code()));
    }
  }
  if (is_wrong) {
    return options::kExitProblems;
  }
  const auto har = recording::WriteHar(recordings, options::Version());
  if (settings.output.empty()) {
    std::cout << har << std::flush;
    return std::cout.good() ? options::kExitOk : options::kExitInputOutput;
  }
  try {
    recording::WriteFileBytes(settings.output, har, WhatIsThere(settings));
  } catch (const std::system_error& error) {
    return RefuseWriting(error, "name another file with --output");
  }
  return options::kExitOk;
}

}  // namespace

int Recordings(const Settings& settings, const std::vector<std::string>& arguments) {
  const auto& what = arguments.front();
  const std::span<const std::string> files(arguments.begin() + 1, arguments.end());
  if (what == "import") {
    if (settings.har) {
      return Refuse("--har says what is exported: an import knows a HAR file by itself",
                    options::kExitUsage);
    }
    if (files.size() > 1) {
      return Refuse("an import takes one file, and " + Quoted(files[1]) +
                        " is another: import them one by one",
                    options::kExitUsage);
    }
    return Import(settings, files.front());
  }
  if (what != "export") {
    return Refuse(Quoted(what) + " is neither import nor export: see 'weft recording --help'",
                  options::kExitUsage);
  }
  if (!settings.har) {
    return Refuse("an export needs a form: write 'weft recording export --har FILE|DIR...'",
                  options::kExitUsage);
  }
  if (settings.keep_secrets || !settings.host.empty()) {
    return Refuse(
        "--host and --keep-secrets are for imports: an export has what the recordings have",
        options::kExitUsage);
  }
  return Export(settings, files);
}

}  // namespace weft::host::tools
