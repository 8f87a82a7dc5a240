#include "host/options/parse.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "host/options/exit_code.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/options/parse_for_test.hpp"

namespace weft::host::options {
namespace {

using std::chrono::milliseconds;

/// The one line of a refusal; a result that is none fails the test.
std::string Refusal(const ParseResult& result) {
  CHECK_FALSE(result.settings.has_value());
  CHECK(result.output.empty());
  CHECK(result.exit_code == kExitUsage);
  CHECK(result.error.find('\n') == std::string::npos);
  return result.error;
}

TEST_CASE("Parse: without options the settings are the defaults") {
  const ParseResult result = ParseServe({});
  REQUIRE(result.settings);
  CHECK(result.error.empty());
  CHECK(result.warnings.empty());
  const Settings defaults;
  CHECK(result.settings->listen.empty());
  CHECK_FALSE(result.settings->workers);
  CHECK(result.settings->socket_mode == 0660);
  CHECK(result.settings->max_params_bytes == defaults.max_params_bytes);
  CHECK(result.settings->header_timeout == defaults.header_timeout);
  CHECK(result.settings->access_log.empty());
  CHECK_FALSE(result.settings->debug);
}

TEST_CASE("Parse: every option sets its own field") {
  const ParseResult result = ParseServe({"--listen",
                                         "unix:/run/a b,c.sock",
                                         "--listen=tcp:[::1]:9000",
                                         "--listen",
                                         "tcp:*:0",
                                         "--listen",
                                         "fd:3",
                                         "--socket-mode",
                                         "600",
                                         "--backlog",
                                         "1",
                                         "--workers",
                                         "7",
                                         "--control",
                                         "/run/control.sock",
                                         "--max-start-failures",
                                         "8",
                                         "--start-timeout",
                                         "9s",
                                         "--mappings",
                                         "/srv/map",
                                         "--document-root-mappings",
                                         "/srv/a=b",
                                         "--document-root-mappings",
                                         "[::1]=www",
                                         "--modules",
                                         "/srv/modules",
                                         "--modules",
                                         "/srv/more",
                                         "--ashx-check-interval",
                                         "0ms",
                                         "--ashx-files",
                                         "11",
                                         "--follow-links",
                                         "off",
                                         "--precompressed",
                                         "zstd",
                                         "--precompressed",
                                         "br",
                                         "--max-ranges",
                                         "13",
                                         "--mime-types",
                                         "/srv/types",
                                         "--max-execute-depth",
                                         "12",
                                         "--handler-pool",
                                         "9",
                                         "--reload-interval",
                                         "0s",
                                         "--max-connections",
                                         "2",
                                         "--max-requests",
                                         "3",
                                         "--max-finished",
                                         "14",
                                         "--finish-timeout",
                                         "15s",
                                         "--max-requests-per-connection",
                                         "4",
                                         "--max-params-bytes",
                                         "5K",
                                         "--max-params",
                                         "16",
                                         "--max-request-bytes",
                                         "0",
                                         "--stdin-buffer-bytes",
                                         "65536",
                                         "--output-buffer-bytes",
                                         "8k",
                                         "--socket-owner",
                                         "www-data",
                                         "--socket-group",
                                         "33",
                                         "--allowed-clients",
                                         "192.0.2.0/24",
                                         "--allowed-clients",
                                         "unix",
                                         "--user",
                                         "weft",
                                         "--group",
                                         "1000",
                                         "--limit",
                                         "nofile=65536",
                                         "--limit",
                                         "as=4G:unlimited",
                                         "--no-new-privileges",
                                         "--outlive-spawner",
                                         "--chroot",
                                         "/srv/weft",
                                         "--umask",
                                         "027",
                                         "--environment",
                                         "PG*",
                                         "--environment",
                                         "MODE=live",
                                         "--file-send-buffer-bytes",
                                         "300K",
                                         "--max-buffered-bytes",
                                         "2M",
                                         "--memory-reserve",
                                         "3M",
                                         "--header-timeout",
                                         "500ms",
                                         "--idle-timeout",
                                         "2m",
                                         "--body-timeout",
                                         "3s",
                                         "--send-timeout",
                                         "1h",
                                         "--linger-timeout",
                                         "0s",
                                         "--drain-timeout",
                                         "4s",
                                         "--blocking-threads",
                                         "5",
                                         "--blocking-queue",
                                         "0",
                                         "--stack-size",
                                         "65K",
                                         "--idle-stacks",
                                         "6",
                                         "--max-fields",
                                         "12",
                                         "--max-field-bytes",
                                         "13K",
                                         "--max-field-name-bytes",
                                         "14",
                                         "--max-form-bytes",
                                         "15K",
                                         "--max-files",
                                         "16",
                                         "--max-part-header-bytes",
                                         "17K",
                                         "--body-memory-bytes",
                                         "18K",
                                         "--temporary-folder",
                                         "/var/tmp",
                                         "--max-temporary-bytes",
                                         "19M",
                                         "--trusted-proxies",
                                         "192.0.2.0/24",
                                         "--trusted-proxies",
                                         "unix",
                                         "--forwarded-headers",
                                         "Forwarded",
                                         "--log-level",
                                         "debug",
                                         "--access-log",
                                         "-",
                                         "--debug"});
  REQUIRE_MESSAGE(result.settings, result.error);
  const Settings& settings = *result.settings;
  REQUIRE(settings.listen.size() == 4);
  CHECK(ToString(settings.listen[0]) == "unix:/run/a b,c.sock");
  CHECK(ToString(settings.listen[1]) == "tcp:[::1]:9000");
  CHECK(ToString(settings.listen[2]) == "tcp:*:0");
  CHECK(ToString(settings.listen[3]) == "fd:3");
  CHECK(settings.socket_mode == 0600);
  CHECK(settings.backlog == 1);
  CHECK(settings.workers == 7);
  CHECK(settings.control == "/run/control.sock");
  CHECK(settings.max_start_failures == 8);
  CHECK(settings.start_timeout == milliseconds{9'000});
  CHECK(settings.mappings == "/srv/map");
  CHECK(settings.document_root_mappings ==
        std::vector<mappings::DocumentRoot>{{"default", "/srv/a=b"}, {"[::1]", "www"}});
  CHECK(settings.Mappings().directory == "/srv/map");
  CHECK(settings.Mappings().document_roots == settings.document_root_mappings);
  CHECK(settings.modules == std::vector<std::filesystem::path>{"/srv/modules", "/srv/more"});
  CHECK(settings.handler_pool == 9);
  CHECK(settings.ashx_check_interval == milliseconds{0});
  CHECK(settings.ashx_files == 11);
  CHECK(settings.follow_links == FollowLinks::kOff);
  CHECK(settings.precompressed == std::vector{ContentCoding::kZstd, ContentCoding::kBrotli});
  CHECK(settings.max_ranges == 13);
  CHECK(settings.mime_types == "/srv/types");
  CHECK(settings.max_execute_depth == 12);
  CHECK(settings.reload_interval == milliseconds{0});
  CHECK(settings.max_connections == 2);
  CHECK(settings.max_requests == 3);
  CHECK(settings.max_finished == 14);
  CHECK(settings.finish_timeout == milliseconds{15'000});
  CHECK(settings.max_requests_per_connection == 4);
  CHECK(settings.max_params_bytes == 5 * 1024);
  CHECK(settings.max_params == 16);
  CHECK(settings.max_request_bytes == 0);
  CHECK(settings.stdin_buffer_bytes == 65'536);
  CHECK(settings.output_buffer_bytes == 8 * 1024);
  CHECK(settings.file_send_buffer_bytes == 300 * 1024);
  CHECK(settings.socket_owner == "www-data");
  CHECK(settings.socket_group == "33");
  CHECK(settings.allowed_clients.Contains("192.0.2.7"));
  CHECK(settings.allowed_clients.Contains("unix"));
  CHECK_FALSE(settings.allowed_clients.Contains("192.0.3.7"));
  CHECK(settings.user == "weft");
  CHECK(settings.group == "1000");
  REQUIRE(settings.resource_limits.size() == 2);
  CHECK(settings.resource_limits[0].name == "nofile");
  CHECK(settings.resource_limits[0].hard == 65'536);
  CHECK(settings.resource_limits[1].soft == std::uint64_t{4} * 1024 * 1024 * 1024);
  CHECK(settings.resource_limits[1].hard == RLIM_INFINITY);
  CHECK(settings.no_new_privileges);
  CHECK(settings.outlive_spawner);
  CHECK(settings.chroot == "/srv/weft");
  CHECK(settings.umask == 027U);
  REQUIRE(settings.environment);
  CHECK_FALSE(settings.environment->all);
  CHECK(settings.environment->kept.back() == "PG*");
  CHECK(settings.environment->kept.front() == "PATH");
  CHECK(settings.environment->set.front() == std::pair<std::string, std::string>("MODE", "live"));
  CHECK(settings.max_buffered_bytes == 2 * 1024 * 1024);
  CHECK(settings.memory_reserve == 3 * 1024 * 1024);
  CHECK(settings.header_timeout == milliseconds{500});
  CHECK(settings.idle_timeout == milliseconds{120'000});
  CHECK(settings.body_timeout == milliseconds{3'000});
  CHECK(settings.send_timeout == milliseconds{3'600'000});
  CHECK(settings.linger_timeout == milliseconds{0});
  CHECK(settings.drain_timeout == milliseconds{4'000});
  CHECK(settings.blocking_threads == 5);
  CHECK(settings.blocking_queue == 0);
  CHECK(settings.stack_size == 128 * 1024);
  CHECK(settings.idle_stacks == 6);
  CHECK(settings.max_fields == 12);
  CHECK(settings.max_field_bytes == 13 * 1024);
  CHECK(settings.max_field_name_bytes == 14);
  CHECK(settings.max_form_bytes == 15 * 1024);
  CHECK(settings.max_files == 16);
  CHECK(settings.max_part_header_bytes == 17 * 1024);
  CHECK(settings.body_memory_bytes == 18 * 1024);
  CHECK(settings.temporary_folder == "/var/tmp");
  CHECK(settings.max_temporary_bytes == 19 * 1024 * 1024);
  CHECK(settings.trusted_proxies.Contains("192.0.2.7"));
  CHECK(settings.trusted_proxies.Contains("unix:"));
  CHECK_FALSE(settings.trusted_proxies.Contains("192.0.3.7"));
  CHECK(settings.forwarded_headers == std::vector<std::string>{"forwarded"});
  CHECK(settings.log_level == LogLevel::kDebug);
  CHECK(settings.access_log == "-");
  CHECK(settings.debug);
}

TEST_CASE("Parse: how static files are served has names of its own") {
  const auto error = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--listen", "unix:/s"});
    return ParseServe(std::move(arguments)).error;
  };
  for (const auto* const links : {"off", "within-root", "on"}) {
    CHECK(error({"--follow-links", links}).empty());
  }
  CHECK(error({"--follow-links", "yes"}).find("off, within-root or on") != std::string::npos);
  CHECK(error({"--precompressed", "deflate"}).find("br, zstd and gzip") != std::string::npos);
  CHECK(error({"--precompressed", "br", "--precompressed", "br"}).find("given twice") !=
        std::string::npos);
  CHECK(error({"--max-ranges", "10001"}).find("out of bounds") != std::string::npos);
  CHECK_FALSE(error({"--mime-types", ""}).empty());
  CHECK(Settings{}.follow_links == FollowLinks::kWithinRoot);
}

TEST_CASE("Parse: answers are compressed by the codings that are named, in their order") {
  const auto parse = [](const std::vector<std::string>& values) {
    std::vector<std::string> arguments{"--listen", "unix:/s"};
    for (const auto& value : values) {
      arguments.insert(arguments.end(), {"--compression", value});
    }
    return ParseServe(std::move(arguments));
  };
  using enum ContentCoding;
  const auto codings = [&](const std::vector<std::string>& values) {
    const auto result = parse(values);
    REQUIRE_MESSAGE(result.settings, result.error);
    return result.settings->response.compression;
  };
  CHECK(codings({"gzip", "br"}) == std::vector{kGzip, kBrotli});
  CHECK(codings({"on"}) == std::vector{kBrotli, kZstd, kGzip});
  CHECK(codings({"off"}).empty());
  CHECK(codings({}).empty());
  CHECK(parse({"deflate"}).error.find("br, zstd and gzip") != std::string::npos);
  CHECK(parse({"br", "br"}).error.find("given twice") != std::string::npos);
  for (const auto& values :
       {std::vector<std::string>{"br", "off"}, {"off", "br"}, {"on", "off"}, {"off", "on"}}) {
    CAPTURE(values);
    const auto error = parse(values).error;
    CHECK(error.find("'" + values.back() + "' contradicts") != std::string::npos);
    CHECK(error.find("give off alone, or codings without it") != std::string::npos);
  }
  CHECK(parse({"off", "off"}).error.find("given twice") != std::string::npos);
}

TEST_CASE("Parse: a stronger source compresses where a weaker one said off, and the other way") {
  const auto codings = [](const std::string& variable, const std::string& flag) {
    const auto result = ParseServe({"--listen", "unix:/s", "--compression", flag}, {variable});
    REQUIRE_MESSAGE(result.settings, result.error);
    return result.settings->response.compression.size();
  };
  CHECK(codings("WEFT_COMPRESSION=off", "br") == 1);
  CHECK(codings("WEFT_COMPRESSION=br gzip", "off") == 0);
}

TEST_CASE("Parse: folders whose files the web server sends are absolute, and of one header") {
  const auto parse = [](const std::vector<std::string>& values) {
    std::vector<std::string> arguments{"--listen", "unix:/s"};
    for (const auto& value : values) {
      arguments.insert(arguments.end(), {"--sendfile", value});
    }
    return ParseServe(std::move(arguments));
  };
  const auto result = parse({"x-accel-redirect:/srv/files/=/internal", "X-Accel-Redirect:/a=/b/"});
  REQUIRE_MESSAGE(result.settings, result.error);
  const auto& response = result.settings->response;
  CHECK(response.sendfile_header == SendfileHeader::kXAccelRedirect);
  REQUIRE(response.sendfile_roots.size() == 2);
  CHECK(response.sendfile_roots[0].directory == "/srv/files");
  CHECK(response.sendfile_roots[0].prefix == "/internal/");
  CHECK(response.sendfile_roots[1].prefix == "/b/");
  CHECK(parse({"x-send:/srv"}).error.find("names no such header") != std::string::npos);
  CHECK(parse({"x-accel-redirect:/srv"}).error.find("internal location") != std::string::npos);
  for (const auto* const folder : {"", "files", "/", "/srv/../etc", "/srv/./x"}) {
    CAPTURE(folder);
    CHECK(parse({std::string("x-sendfile:") + folder}).error.find("absolute path") !=
          std::string::npos);
  }
  CHECK(parse({"x-sendfile:/a", "x-accel-redirect:/b=/c"}).error.find("another header") !=
        std::string::npos);
}

TEST_CASE("Parse: the environment beats the default, and a flag beats the environment") {
  const std::vector<std::string> environment{"WEFT_WORKERS=2", "WEFT_MAX_PARAMS_BYTES=64K",
                                             "HOME=/root", "WEFT_DEBUG=1"};
  ParseResult result = ParseServe({}, environment);
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->workers == 2);
  CHECK(result.settings->max_params_bytes == 64 * 1024);
  CHECK(result.settings->debug);

  result = ParseServe({"--workers", "3", "--debug=off"}, environment);
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->workers == 3);
  CHECK(result.settings->max_params_bytes == 64 * 1024);
  CHECK_FALSE(result.settings->debug);
}

TEST_CASE("Parse: 'auto' takes a weaker number of workers back") {
  const ParseResult result = ParseServe({"--workers", "auto"}, {"WEFT_WORKERS=2"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK_FALSE(result.settings->workers);
}

TEST_CASE("Parse: 'off' takes a weaker access log back") {
  const ParseResult result = ParseServe({"--access-log", "off"}, {"WEFT_ACCESS_LOG=/var/log/weft"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->access_log.empty());
}

TEST_CASE("Parse: a stronger list replaces a weaker one as a whole") {
  const std::vector<std::string> environment{"WEFT_LISTEN=unix:/a, tcp:127.0.0.1:9000 fd:3,,"};
  ParseResult result = ParseServe({}, environment);
  REQUIRE_MESSAGE(result.settings, result.error);
  REQUIRE(result.settings->listen.size() == 3);
  CHECK(ToString(result.settings->listen[1]) == "tcp:127.0.0.1:9000");

  result = ParseServe({"--listen", "unix:/b"}, environment);
  REQUIRE_MESSAGE(result.settings, result.error);
  REQUIRE(result.settings->listen.size() == 1);
  CHECK(ToString(result.settings->listen[0]) == "unix:/b");
}

TEST_CASE("Parse: an empty variable counts as not set") {
  const ParseResult result = ParseServe({}, {"WEFT_WORKERS=", "WEFT_LISTEN= ", "WEFT_CONFIG="});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK_FALSE(result.settings->workers);
  CHECK(result.settings->listen.empty());
}

TEST_CASE("Parse: an unknown WEFT_ variable is a warning, not an error") {
  const ParseResult result = ParseServe({}, {"WEFT_WORKER=2", "WEFT_=1", "WEFTISH=1"});
  REQUIRE_MESSAGE(result.settings, result.error);
  REQUIRE(result.warnings.size() == 2);
  CHECK(result.warnings[0] ==
        "unknown variable 'WEFT_WORKER' in the environment is ignored: did you mean "
        "'WEFT_WORKERS'?");
  CHECK(result.warnings[1] ==
        "unknown variable 'WEFT_' in the environment is ignored: see 'weft serve --help'");
}

TEST_CASE("Parse: a wrong command is refused with what was probably meant") {
  CHECK(Refusal(ParseArguments({})) == "weft: no command: write 'weft serve', or 'weft --help'");
  CHECK(Refusal(ParseArguments({"sreve"})) ==
        "weft: unknown command 'sreve': did you mean 'serve'?");
  CHECK(Refusal(ParseArguments({"--versoin"})) ==
        "weft: unknown command '--versoin': did you mean '--version'?");
  CHECK(Refusal(ParseArguments({"banana"})) == "weft: unknown command 'banana': see 'weft --help'");
  CHECK(Refusal(ParseArguments({"--workers=3"})) ==
        "weft: no command before '--workers=3': write 'weft serve --workers=3'");
}

TEST_CASE("Parse: a wrong option is refused with what was probably meant") {
  struct Case {
    std::vector<std::string> arguments;
    std::string line;
  };
  const std::vector<Case> cases{
      {{"--wrokers", "3"}, "weft: unknown option '--wrokers': did you mean '--workers'?"},
      {{"--wrokers=3"}, "weft: unknown option '--wrokers': did you mean '--workers'?"},
      {{"--back", "3"}, "weft: unknown option '--back': did you mean '--backlog'?"},
      {{"--max_params", "3"}, "weft: unknown option '--max_params': did you mean '--max-params'?"},
      {{"--banana"}, "weft: unknown option '--banana': see 'weft serve --help'"},
      {{"-x"}, "weft: unknown option '-x': see 'weft serve --help'"},
      {{"banana"},
       "weft: unexpected argument 'banana': options start with '--'; see 'weft serve --help'"},
      {{"--workers"}, "weft: --workers: needs a value: write --workers N"},
      {{"--workers="}, "weft: --workers: needs a value: write --workers N"},
      {{"--mappings", "--debug"}, "weft: --mappings: needs a value: write --mappings DIR"},
      {{"--workers", "1", "--workers", "1"}, "weft: --workers: given twice: keep one"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.arguments.front());
    CHECK(Refusal(ParseServe(c.arguments)) == c.line);
  }
}

TEST_CASE("Parse: process models and what goes with them") {
  const Settings dynamic = ParseServe({"--process-model",
                                       "dynamic",
                                       "--workers",
                                       "8",
                                       "--min-workers",
                                       "2",
                                       "--min-spare-workers",
                                       "2",
                                       "--max-spare-workers",
                                       "5",
                                       "--worker-idle-timeout",
                                       "3s",
                                       "--recycle-requests",
                                       "1000",
                                       "--recycle-age",
                                       "12h",
                                       "--recycle-memory",
                                       "512M",
                                       "--recycle-jitter",
                                       "25",
                                       "--max-crashes",
                                       "10/1m"})
                               .settings.value();
  CHECK(dynamic.process_model == ProcessModel::kDynamic);
  CHECK(dynamic.MinWorkers() == 2);
  CHECK(dynamic.MinSpareWorkers() == 2);
  CHECK(dynamic.MaxSpareWorkers() == 5);
  CHECK(dynamic.WorkerIdleTimeout() == std::chrono::seconds(3));
  CHECK(dynamic.recycle_requests == 1'000);
  CHECK(dynamic.recycle_age == std::chrono::hours(12));
  CHECK(dynamic.recycle_memory == std::size_t{512} << 20);
  CHECK(dynamic.recycle_jitter == 25);
  REQUIRE(dynamic.max_crashes.has_value());
  CHECK(dynamic.max_crashes->crashes == 10);
  CHECK(dynamic.max_crashes->within == std::chrono::minutes(1));
  CHECK(dynamic.NeedsSupervisor() == "--process-model");

  const Settings on_demand = ParseServe({"--process-model", "ondemand"}).settings.value();
  CHECK(on_demand.MinWorkers() == 0);
  CHECK(on_demand.WorkerIdleTimeout() == std::chrono::seconds(10));
  CHECK(Settings{}.MinWorkers() == 1);
  CHECK(Settings{}.NeedsSupervisor().empty());
  CHECK(ParseServe({"--crash-dir", "/a"}).settings->NeedsSupervisor() == "--crash-dir");
  CHECK(ParseServe({"--crash-dir", "none", "--workers", "0"}).settings.has_value());
  // One more than what is told.
  CHECK(ParseServe({"--process-model", "dynamic", "--min-spare-workers", "3"})
            .settings->MaxSpareWorkers() == 4);
}

TEST_CASE("Parse: what a process model has no use for, or cannot be, is refused") {
  struct Case {
    std::vector<std::string> arguments;
    std::string line;
  };
  const std::vector<Case> cases{
      {{"--min-workers", "2"},
       "weft: --min-workers: --process-model is static: leave the option out, or give "
       "--process-model dynamic"},
      {{"--process-model", "ondemand", "--min-spare-workers", "2"},
       "weft: --min-spare-workers: --process-model is ondemand: leave the option out, or give "
       "--process-model dynamic"},
      {{"--worker-idle-timeout", "1s"},
       "weft: --worker-idle-timeout: --process-model is static: leave the option out, or give "
       "--process-model dynamic or ondemand"},
      {{"--workers", "0", "--max-crashes", "1/1s"},
       "weft: --max-crashes: a process that serves itself (--workers 0) has nobody who could do "
       "that: give --workers 1 or more"},
      {{"--workers", "0", "--recycle-memory", "1G"},
       "weft: --recycle-memory: a process that serves itself (--workers 0) has nobody who could do "
       "that: give --workers 1 or more"},
      {{"--workers", "0", "--crash-dir", "/var/lib/weft"},
       "weft: --crash-dir: a process that serves itself (--workers 0) has nobody who could do "
       "that: give --workers 1 or more"},
      {{"--process-model", "dynamic", "--workers", "2", "--min-workers", "3"},
       "weft: --min-workers: 3 is more than --workers, 2: lower the one or raise the other"},
      {{"--process-model", "dynamic", "--min-spare-workers", "4", "--max-spare-workers", "4"},
       "weft: --max-spare-workers: 4 is not more than --min-spare-workers, 4: a load that stays "
       "would start and end the same worker again and again"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.line);
    CHECK(Refusal(ParseServe(c.arguments)) == c.line);
  }
}

TEST_CASE("Parse: who may connect is what the option and the web server's variable name") {
  const auto result = ParseServe({"--allowed-clients", "2001:db8::/32"},
                                 {"FCGI_WEB_SERVER_ADDRS=192.0.2.1,192.0.2.2"});
  REQUIRE(result.settings);
  const auto& clients = result.settings->allowed_clients;
  CHECK(clients.Contains("192.0.2.1"));
  CHECK(clients.Contains("192.0.2.2"));
  CHECK(clients.Contains("2001:db8::7"));
  CHECK_FALSE(clients.Contains("192.0.2.3"));
  CHECK_FALSE(clients.Contains("unix"));
  CHECK(ParseServe({}, {"FCGI_WEB_SERVER_ADDRS="}).settings->allowed_clients.empty());
  CHECK(Refusal(ParseServe({}, {"FCGI_WEB_SERVER_ADDRS=localhost"})) ==
        "weft: FCGI_WEB_SERVER_ADDRS in the environment: 'localhost' is no address or network: "
        "write it "
        "like 192.0.2.1, 192.0.2.0/24, 2001:db8::/32 or unix");
}

TEST_CASE("Parse: a wrong value is refused with its place and what to give instead") {
  struct Case {
    std::string option;
    std::string value;
    std::string sentence;
  };
  const std::string tcp_or_all =
      "write it like tcp:127.0.0.1:9000, or tcp:*:9000 for every address";
  const std::string tcp_forms = "write it like tcp:127.0.0.1:9000 or tcp:[::1]:9000";
  const std::string duration_forms = "write a whole number with ms, s, m or h (10s, 500ms)";
  const std::string size_forms = "write bytes (65536), or a number with K, M or G (64K)";
  const std::vector<Case> cases{
      {"backlog", "many", "'many' is not a whole number: write it like 1024"},
      {"backlog", "-1", "'-1' is not a whole number: write it like 1024"},
      {"backlog", "1.5", "'1.5' is not a whole number: write it like 1024"},
      {"backlog", "99999999999999999999",
       "'99999999999999999999' is not a whole number: write it like 1024"},
      {"backlog", "0", "'0' is out of bounds: give 1 to 65535"},
      {"backlog", "65536", "'65536' is out of bounds: give 1 to 65535"},
      {"max-requests-per-connection", "65536", "'65536' is out of bounds: give 1 to 65535"},
      {"workers", "many", "'many' is no number of workers: give auto, or 0 to 1024"},
      {"workers", "1025", "'1025' is no number of workers: give auto, or 0 to 1024"},
      {"process-model", "lazy", "'lazy' is no process model: give static, dynamic or ondemand"},
      {"max-crashes", "3", "'3' has no time: write it like 10/1m, ten within a minute"},
      {"max-crashes", "0/1m", "'0/1m' is out of bounds: give 1 to 100000 within 1s to 24h"},
      {"max-crashes", "3/10ms", "'3/10ms' is out of bounds: give 1 to 100000 within 1s to 24h"},
      {"recycle-jitter", "101", "'101' is out of bounds: give 0 to 100"},
      {"socket-owner", "a b", "'a b' is no user or group: give a name or a number"},
      {"allowed-clients", "192.0.2.1/33",
       "'192.0.2.1/33' is no network: the number behind its slash is 0 to 32"},
      {"limit", "files=1",
       "'files=1' is no limit: write it like nofile=65536 or core=0:unlimited, with one of as, "
       "core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rtprio, rttime, "
       "sigpending, stack"},
      {"limit", "nofile=many",
       "'nofile=many': 'many' is no limit: give a number, with K, M or G for sizes, or unlimited"},
      {"limit", "nofile=2:1",
       "'nofile=2:1' has a soft limit above the hard one: give the lower one first"},
      {"umask", "8", "'8' is not a file mode: write octal digits from 0 to 0777 (0660)"},
      {"environment", "=x", "'=x' is no variable: write it like PGHOST, AWS_*, MODE=live, or all"},
      {"max-params-bytes", "12X", "'12X' is not a size: " + size_forms},
      {"max-params-bytes", "K", "'K' is not a size: " + size_forms},
      {"max-params-bytes", "1KB", "'1KB' is not a size: " + size_forms},
      {"max-params-bytes", "99999999999999999G",
       "'99999999999999999G' is not a size: " + size_forms},
      {"max-params-bytes", "17M", "'17M' is out of bounds: give 1K to 16M"},
      {"stack-size", "63K", "'63K' is out of bounds: give 64K to 16M"},
      {"stack-size", "16777217", "'16777217' is out of bounds: give 64K to 16M"},
      {"header-timeout", "10", "'10' has no unit: write 10s for seconds, or ms, m, h"},
      {"header-timeout", "10d", "'10d' is not a duration: " + duration_forms},
      {"header-timeout", "s", "'s' is not a duration: " + duration_forms},
      {"header-timeout", "-1s", "'-1s' is not a duration: " + duration_forms},
      {"header-timeout", "99999999999999999999s",
       "'99999999999999999999s' is not a duration: " + duration_forms},
      {"header-timeout", "9999999999999999h",
       "'9999999999999999h' is not a duration: " + duration_forms},
      {"header-timeout", "9ms", "'9ms' is out of bounds: give 10ms to 24h"},
      {"drain-timeout", "25h", "'25h' is out of bounds: give 0s to 24h"},
      {"socket-mode", "888", "'888' is not a file mode: write octal digits from 0 to 0777 (0660)"},
      {"socket-mode", "1777",
       "'1777' is not a file mode: write octal digits from 0 to 0777 (0660)"},
      {"log-level", "verbose", "'verbose' is not a level: write debug, info, warning or error"},
      {"debug", "maybe", "'maybe' is neither on nor off: write on or off"},
      {"listen", "9000", "'9000' is not an address: write unix:/PATH, tcp:HOST:PORT or fd:N"},
      {"listen", "udp:1:2", "'udp:1:2' is not an address: write unix:/PATH, tcp:HOST:PORT or fd:N"},
      {"listen", "unix:weft.sock",
       "'unix:weft.sock' has no absolute path: write it like unix:/run/weft.sock"},
      {"listen", "tcp:9000", "'tcp:9000' lacks the host or the port: " + tcp_or_all},
      {"listen", "tcp::9000", "'tcp::9000' names no host: " + tcp_or_all},
      {"listen", "tcp:::1:9000",
       "'tcp:::1:9000' has an IPv6 address without brackets: " + tcp_forms},
      {"listen", "tcp:[::1:9000", "'tcp:[::1:9000' has unmatched brackets: " + tcp_forms},
      {"listen", "tcp:[localhost]:9000",
       "'tcp:[localhost]:9000' has brackets around what is no IPv6 address: " + tcp_forms},
      {"listen", "tcp:a b:9000", "'tcp:a b:9000' names no possible host: " + tcp_forms},
      {"listen", "tcp:localhost:", "'tcp:localhost:' has no port from 0 to 65535: " + tcp_forms},
      {"listen", "tcp:localhost:65536",
       "'tcp:localhost:65536' has no port from 0 to 65535: " + tcp_forms},
      {"listen", "fd:x", "'fd:x' names no descriptor: write it like fd:3"},
      {"listen", "fd:99999999999", "'fd:99999999999' names no descriptor: write it like fd:3"},
      {"listen", "fd:2",
       "'fd:2' is an output stream: pass the socket on descriptor 0, or on 3 or above"},
      {"backlog", "1\n2\x7f", "'1\\x0a2\\x7f' is not a whole number: write it like 1024"},
      {"backlog", std::string(200, '7'),
       "'" + std::string(120, '7') + "...' is not a whole number: write it like 1024"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.option);
    CAPTURE(c.value);
    const std::string flag = "--" + c.option;
    CHECK(Refusal(ParseServe({flag + "=" + c.value})) == "weft: " + flag + ": " + c.sentence);
  }
}

TEST_CASE("Parse: an empty path is refused") {
  CHECK(Refusal(ParseServe({"--mappings", ""})) == "weft: --mappings: '' is empty: give a path");
}

TEST_CASE("Parse: a folder given twice is refused") {
  CHECK(Refusal(ParseServe({"--modules", "/a", "--modules", "/b", "--modules", "/a"})) ==
        "weft: --modules: '/a' is given twice: keep one");
}

TEST_CASE("Parse: folders whose files the web server sends are of one header, and safe to name") {
  const std::string flag = "--sendfile";
  CHECK(ParseServe({}).settings->response.sendfile_header == SendfileHeader::kNone);
  auto result = ParseServe({flag, "x-sendfile:/srv/files/", flag, "X-Sendfile:/srv/more"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->response.sendfile_header == SendfileHeader::kXSendfile);
  REQUIRE(result.settings->response.sendfile_roots.size() == 2);
  CHECK(result.settings->response.sendfile_roots[0].directory == "/srv/files");
  CHECK(result.settings->response.sendfile_roots[1].directory == "/srv/more");
  result = ParseServe({flag, "x-accel-redirect:/srv/a=b=/internal"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->response.sendfile_header == SendfileHeader::kXAccelRedirect);
  CHECK(result.settings->response.sendfile_roots.at(0).directory == "/srv/a=b");
  CHECK(result.settings->response.sendfile_roots.at(0).prefix == "/internal/");
  for (const std::string wrong :
       {"", "x-sendfile", "x-sendfile:", "x-sendfile:srv", "x-sendfile:/", "x-sendfile:/a/../b",
        "x-sendfile:/a//b", "x-accel-redirect:/srv", "x-accel-redirect:/srv=", "/srv",
        "x-accel-redirect:/srv=internal/", "x-accel-redirect:=/internal/", "x-reproxy-url:/srv"}) {
    CAPTURE(wrong);
    CHECK_FALSE(ParseServe({flag, wrong}).settings);
  }
  CHECK_FALSE(ParseServe({flag, "x-sendfile:/a", flag, "x-accel-redirect:/b=/i/"}).settings);
}

TEST_CASE("Parse: trusted proxies are addresses and networks, and come from one source") {
  const std::string flag = "--trusted-proxies";
  CHECK(ParseServe({}).settings->trusted_proxies.empty());
  CHECK(Refusal(ParseServe({flag, "localhost"})) ==
        "weft: " + flag +
            ": 'localhost' is no address or network: write it like 192.0.2.1, 192.0.2.0/24, "
            "2001:db8::/32 or unix");
  CHECK(Refusal(ParseServe({flag, "10.0.0.1/8"})) ==
        "weft: " + flag +
            ": '10.0.0.1/8' is no network: its address has bits behind the first 8; write all of "
            "them as 0, or leave the slash out for one address");
  CHECK(Refusal(ParseServe({flag, "10.0.0.0/33"})) ==
        "weft: " + flag + ": '10.0.0.0/33' is no network: the number behind its slash is 0 to 32");
  const std::vector<std::string> environment = {
      "WEFT_TRUSTED_PROXIES=192.0.2.1, 2001:db8::/32 unix"};
  auto result = ParseServe({}, environment);
  REQUIRE_MESSAGE(result.settings, result.error);
  for (const std::string address : {"192.0.2.1", "2001:db8::1", ""}) {
    CHECK(result.settings->trusted_proxies.Contains(address));
  }
  result = ParseServe({flag, "10.0.0.1"}, environment);
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.settings->trusted_proxies.Contains("10.0.0.1"));
  CHECK_FALSE(result.settings->trusted_proxies.Contains("192.0.2.1"));
}

TEST_CASE(
    "Parse: forwarded headers are those of X-Forwarded-*, or some of them, or Forwarded alone") {
  const std::string flag = "--forwarded-headers";
  const auto believed = [&](const std::vector<std::string>& names) {
    std::vector<std::string> arguments;
    for (const auto& name : names) {
      arguments.insert(arguments.end(), {flag, name});
    }
    const auto result = ParseServe(arguments);
    REQUIRE_MESSAGE(result.settings, result.error);
    const auto fields = result.settings->BelievedFields();
    return std::string(fields.forwarded ? "f" : "") + (fields.x_forwarded_for ? "a" : "") +
           (fields.x_forwarded_proto ? "p" : "") + (fields.x_forwarded_host ? "h" : "");
  };
  CHECK(believed({}) == "aph");
  CHECK(believed({"forwarded"}) == "f");
  CHECK(believed({"X-Forwarded-For"}) == "a");
  CHECK(believed({"x-forwarded-proto", "x-forwarded-for"}) == "ap");
  CHECK(believed({"x-forwarded-host"}) == "h");
  CHECK(Refusal(ParseServe({flag, "x-real-ip"})) ==
        "weft: " + flag +
            ": 'x-real-ip' is none of them: give forwarded, or some of x-forwarded-for, "
            "x-forwarded-proto and x-forwarded-host");
  CHECK(Refusal(ParseServe({flag, "forwarded", flag, "Forwarded"})) ==
        "weft: " + flag + ": 'Forwarded' is given twice: keep one");
  for (const auto& [one, other] :
       {std::pair("forwarded", "x-forwarded-for"), std::pair("x-forwarded-host", "forwarded")}) {
    CHECK(Refusal(ParseServe({flag, one, flag, other})) ==
          "weft: " + flag +
              ": 'forwarded' goes with no other: what one says of the client, the other could "
              "contradict");
  }
}

TEST_CASE("Parse: a document root of mappings is one of a host's site, or of all others") {
  const std::string flag = "--document-root-mappings";
  const auto refused = [&flag](const std::string& value) {
    const std::string line = Refusal(ParseServe({flag, value}));
    REQUIRE(line.starts_with("weft: " + flag + ": "));
    return line.substr(("weft: " + flag + ": ").size());
  };
  const std::string advice = "write it like /srv/www or www.example.org=/srv/www";
  CHECK(refused("") == "'' names no folder: " + advice);
  CHECK(refused("example.org=") == "'example.org=' names no folder: " + advice);
  CHECK(refused("=/srv") == "'=/srv' names no possible host before the =: " + advice +
                                "; a folder with a = in its path begins with / or ./");
  CHECK(refused("a/b=/srv").starts_with("'a/b=/srv' names no possible host before the =: "));
  CHECK(refused("a b=/srv").starts_with("'a b=/srv' names no possible host before the =: "));
  CHECK(refused("h:80=/srv") == "'h:80=/srv' has a host with a port or a final dot: name it 'h'");
  CHECK(refused("h.=/srv") == "'h.=/srv' has a host with a port or a final dot: name it 'h'");
  CHECK(Refusal(ParseServe({flag, "H.org=/a", flag, "h.ORG=/b"})) ==
        "weft: " + flag + ": 'h.ORG=/b' is a second document root of the host 'h.ORG': keep one");
  CHECK(Refusal(ParseServe({flag, "/a", flag, "default=/a"})) ==
        "weft: " + flag +
            ": 'default=/a' is a second document root of the host 'default': keep one");
  CHECK(Refusal(ParseServe({flag})) ==
        "weft: " + flag + ": needs a value: write " + flag + " [HOST=]DIR");

  // Two hosts may share one; the environment and the file hold several in one line.
  using Roots = std::vector<mappings::DocumentRoot>;
  const std::vector<std::string> variable = {"WEFT_DOCUMENT_ROOT_MAPPINGS=a.org=/srv, b.org=/srv"};
  const Roots both{{"a.org", "/srv"}, {"b.org", "/srv"}};
  CHECK(ParseServe({}, variable).settings->document_root_mappings == both);
  CHECK(ParseServe({flag, "./x=y"}, variable).settings->document_root_mappings ==
        Roots{{"default", "./x=y"}});
  const test::TemporaryFolder folder;
  const std::string config = folder
                                 .Write("weft.ini",
                                        "document-root-mappings = /srv/www\n"
                                        "document-root-mappings = a.org=/srv/a\n")
                                 .string();
  const Roots of_file{{"default", "/srv/www"}, {"a.org", "/srv/a"}};
  for (const std::string command : {"serve", "check"}) {
    CHECK(ParseArguments({command, "--config", config}).settings->document_root_mappings ==
          of_file);
  }
  CHECK(ParseArguments({"explain", "--config", config, "/"}).settings->document_root_mappings ==
        of_file);
  CHECK(ParseArguments({"check", flag, "/a"}).settings->document_root_mappings ==
        Roots{{"default", "/a"}});
  CHECK(ParseArguments({"explain", flag, "/a", "/"}).settings->document_root_mappings ==
        Roots{{"default", "/a"}});
}

TEST_CASE("Parse: weft explain takes a URL, and a method before it") {
  const ParseResult result = ParseArguments(
      {"explain", "--mappings", "/a", "PUT", "--document-root", "/www", "http://h/x?y"});
  REQUIRE(result.settings);
  CHECK(result.command == Command::kExplain);
  CHECK(result.arguments == std::vector<std::string>{"PUT", "http://h/x?y"});
  CHECK(result.settings->mappings == "/a");
  CHECK(result.settings->document_root == "/www");
  CHECK(ParseArguments({"explain", "/x"}).arguments == std::vector<std::string>{"/x"});
  CHECK(Refusal(ParseArguments({"explain"})) ==
        "weft: nothing to explain: write 'weft explain [METHOD] URL'");
  CHECK(Refusal(ParseArguments({"explain", "GET", "/a", "/b"})) ==
        "weft: unexpected argument '/b': there are 2 already; see 'weft explain --help'");
  CHECK(Refusal(ParseArguments({"serve", "--document-root", "/www"})) ==
        "weft: unknown option '--document-root': did you mean '--document-root-mappings'?");
}

TEST_CASE("Parse: a command without its arguments says what it has nothing for") {
  CHECK(Refusal(ParseArguments({"new", "handler"})) ==
        "weft: nothing to make: write 'weft new handler NAME'");
  CHECK(Refusal(ParseArguments({"stacks"})) == "weft: nothing to look at: write 'weft stacks PID'");
}

TEST_CASE("Parse: weft check is told whose files are where") {
  const auto settings =
      ParseArguments({"check", "--document-root", "/www", "--host", "example.org"}).settings;
  REQUIRE(settings);
  CHECK(settings->document_root == "/www");
  CHECK(settings->host == "example.org");
  for (const char* host : {"", "a b", "*", "http://example.org", "example.org/"}) {
    CAPTURE(host);
    CHECK(ParseArguments({"check", "--document-root", "/www", "--host", host}).exit_code == 64);
  }
  for (const char* host : {"default", "example.org:8080", "example.org.", "[::1]"}) {
    CAPTURE(host);
    CHECK(ParseArguments({"check", "--document-root", "/www", "--host", host}).settings);
  }
  CHECK(ParseArguments({"explain", "--host", "h", "/"}).exit_code == 64);
  const auto help = ParseArguments({"check", "--help"}).output;
  CHECK(help.find("--document-root DIR") != std::string::npos);
  CHECK(help.find("--host HOST") != std::string::npos);
}

TEST_CASE("Parse: weft check takes no argument") {
  const ParseResult result = ParseArguments({"check", "--format", "json"});
  REQUIRE(result.settings);
  CHECK(result.command == Command::kCheck);
  CHECK(result.settings->format == OutputFormat::kJson);
  CHECK(Refusal(ParseArguments({"check", "/a"})) ==
        "weft: unexpected argument '/a': options start with '--'; see 'weft check --help'");
}

TEST_CASE("Parse: weft status takes the path, from the server's file and environment too") {
  const ParseResult result = ParseArguments({"status", "--control", "/a", "--format", "json"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.command == Command::kStatus);
  CHECK(result.settings->control == "/a");
  CHECK(result.settings->format == OutputFormat::kJson);
  const ParseResult plain = ParseArguments({"status"}, {"WEFT_CONTROL=/b", "WEFT_WORKERS=3"});
  REQUIRE_MESSAGE(plain.settings, plain.error);
  CHECK(plain.settings->control == "/b");
  CHECK(ParseArguments({"status"}).settings->control.empty());
  for (const std::string command : {"serve", "status"}) {
    CHECK(Refusal(ParseArguments({command, "--control", "control.sock"})) ==
          "weft: --control: 'control.sock' is no absolute path: write it like "
          "/run/weft/control.sock");
  }
  CHECK(Refusal(ParseArguments({"status", "/a"})) ==
        "weft: unexpected argument '/a': options start with '--'; see 'weft status --help'");
}

TEST_CASE("Parse: metrics are told where to be asked for, and in which form") {
  CHECK_FALSE(ParseArguments({"serve"}).settings->metrics_listen);
  const ParseResult serve = ParseArguments({"serve", "--metrics-listen", "tcp:127.0.0.1:9100"});
  REQUIRE(serve.settings);
  CHECK(ToString(serve.settings->metrics_listen.value()) == "tcp:127.0.0.1:9100");
  CHECK(Refusal(ParseArguments({"serve", "--metrics-listen", "fd:3"})) ==
        "weft: --metrics-listen: 'fd:3' is inherited: give unix:/PATH or tcp:HOST:PORT");
  CHECK(ParseArguments({"status", "--format", "openmetrics"}).settings->format ==
        OutputFormat::kOpenMetrics);
  CHECK(Refusal(ParseArguments({"status", "--format", "xml"})) ==
        "weft: --format: 'xml' is no format: give text, json or openmetrics");
}

TEST_CASE("Parse: ping takes the host's addresses, from wherever the host has them") {
  const ParseResult ping =
      ParseArguments({"ping", "--timeout", "2s", "--path", "/a?b=c", "--host", "www.example.org"},
                     {"WEFT_LISTEN=unix:/a tcp:127.0.0.1:9000"});
  REQUIRE(ping.settings);
  CHECK(ping.command == Command::kPing);
  CHECK(ping.settings->listen.size() == 2);
  CHECK(ping.settings->ping_timeout == std::chrono::seconds(2));
  CHECK(ping.settings->ping_path == "/a?b=c");
  CHECK(ping.settings->host == "www.example.org");
  for (const char* const path : {"a", "", "/a b", "/a\n"}) {
    CAPTURE(path);
    CHECK(Refusal(ParseArguments({"ping", "--path", path})).find("is no path: write it like") !=
          std::string::npos);
  }
  CHECK_FALSE(ParseArguments({"ping", "--format", "json"}).settings);
}

TEST_CASE("Parse: weft reload takes the path as status does, and how long to wait") {
  const ParseResult result = ParseArguments({"reload", "--timeout", "5s"}, {"WEFT_CONTROL=/b"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.command == Command::kReload);
  CHECK(result.settings->control == "/b");
  CHECK(result.settings->reload_timeout == std::chrono::seconds(5));
  CHECK(ParseServe({"--timeout", "5s"}).error.starts_with("weft: unknown option '--timeout'"));
}

TEST_CASE("Parse: weft trial takes all that weft serve takes") {
  const ParseResult result = ParseArguments({"trial", "--workers", "3", "--debug"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.command == Command::kTrial);
  CHECK(result.settings->workers == 3);
}

TEST_CASE("Parse: weft modules takes its own options, and the server's file and environment") {
  const ParseResult result =
      ParseArguments({"modules", "--modules", "/a", "--format", "json"}, {"WEFT_WORKERS=3"});
  REQUIRE_MESSAGE(result.settings, result.error);
  CHECK(result.command == Command::kModules);
  CHECK(result.settings->modules == std::vector<std::filesystem::path>{"/a"});
  CHECK(result.settings->format == OutputFormat::kJson);
  CHECK(result.warnings.empty());

  const ParseResult plain = ParseArguments({"modules"}, {"WEFT_MODULES=/b, /c"});
  REQUIRE_MESSAGE(plain.settings, plain.error);
  CHECK(plain.settings->modules == std::vector<std::filesystem::path>{"/b", "/c"});
  CHECK(plain.settings->format == OutputFormat::kText);

  CHECK(ParseServe({}).command == Command::kServe);
  CHECK(Refusal(ParseArguments({"modules", "--format", "xml"})) ==
        "weft: --format: 'xml' is no format: give text or json");
  CHECK(Refusal(ParseArguments({"modules", "--workers", "3"})) ==
        "weft: unknown option '--workers': see 'weft modules --help'");
  CHECK(Refusal(ParseArguments({"modules", "a"})) ==
        "weft: unexpected argument 'a': options start with '--'; see 'weft modules --help'");
  CHECK(Refusal(ParseServe({"--format", "json"})).starts_with("weft: unknown option '--format'"));
  CHECK(Refusal(ParseArguments({"module"})) ==
        "weft: unknown command 'module': did you mean 'modules'?");
}

TEST_CASE("Parse: an address given twice is refused") {
  CHECK(Refusal(ParseServe({"--listen", "fd:3", "--listen", "fd:3"})) ==
        "weft: --listen: 'fd:3' is given twice: keep one");
}

TEST_CASE("Parse: a wrong variable is named, even when a flag replaces it") {
  CHECK(Refusal(ParseServe({"--header-timeout", "5s"}, {"WEFT_HEADER_TIMEOUT=10"})) ==
        "weft: WEFT_HEADER_TIMEOUT: '10' has no unit: write 10s for seconds, or ms, m, h");
}

TEST_CASE("Parse: a buffer that is larger than the bound of all buffers is refused") {
  CHECK(Refusal(ParseServe({"--stdin-buffer-bytes", "2M", "--max-buffered-bytes", "1M"})) ==
        "weft: --stdin-buffer-bytes: 2M is more than --max-buffered-bytes, 1M: lower the one or "
        "raise the other");
  CHECK(Refusal(ParseServe({"--body-memory-bytes", "2M", "--max-buffered-bytes", "1M"})) ==
        "weft: --body-memory-bytes: 2M is more than --max-buffered-bytes, 1M: lower the one or "
        "raise the other");
}

}  // namespace
}  // namespace weft::host::options
