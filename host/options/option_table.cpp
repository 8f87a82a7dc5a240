#include "host/options/option_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "host/options/access_format.hpp"
#include "host/options/values.hpp"
#include "mappings/ascii.hpp"
#include "mappings/host_name.hpp"

namespace weft::host::options {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr std::size_t kKibi = 1024;
constexpr std::size_t kMebi = kKibi * kKibi;
constexpr std::size_t kGibi = kMebi * kKibi;
constexpr std::size_t kSmallestStack = 64 * kKibi;
constexpr std::size_t kLargestStack = 16 * kMebi;

template <typename T>
struct Bounds {
  T least;
  T most;
};

/// What the three quantities have in common: a parser, a printer and a name for the help.
struct Count {
  static constexpr std::string_view kValueName = "N";
  static std::size_t Parse(std::string_view text) { return ParseCount(text); }
  static std::string Format(std::size_t value) { return std::to_string(value); }
};
struct Size {
  static constexpr std::string_view kValueName = "SIZE";
  static std::size_t Parse(std::string_view text) { return ParseSize(text); }
  static std::string Format(std::size_t value) { return FormatSize(value); }
};
struct Duration {
  static constexpr std::string_view kValueName = "TIME";
  static milliseconds Parse(std::string_view text) { return ParseDuration(text); }
  static std::string Format(milliseconds value) { return FormatDuration(value); }
};

template <typename Kind, typename T>
std::string BoundsText(const Bounds<T>& bounds) {
  return Kind::Format(bounds.least) + " to " + Kind::Format(bounds.most);
}

template <typename Kind, typename T>
T ParseWithin(const Bounds<T>& bounds, std::string_view text) {
  const T value = Kind::Parse(text);
  if (value < bounds.least || value > bounds.most) {
    throw BadValue(Quoted(text) + " is out of bounds: give " + BoundsText<Kind>(bounds));
  }
  return value;
}

/// A count, size or duration with bounds: the shape of nearly every option.
template <typename Kind, typename T>
Option Quantity(std::string_view group, std::string_view name, T Settings::*field,
                std::type_identity_t<Bounds<T>> bounds, std::string_view meaning) {
  return {.group = group,
          .name = name,
          .value_name = Kind::kValueName,
          .meaning = meaning,
          .default_text = Kind::Format(Settings{}.*field),
          .bounds = BoundsText<Kind>(bounds),
          .arity = Option::Arity::kOnce,
          .set = [field, bounds](
                     Settings& settings,
                     std::string_view text) { settings.*field = ParseWithin<Kind>(bounds, text); },
          .clear = {}};
}

/// An option with a form of its own.
Option Special(std::string_view group, std::string_view name, std::string_view value_name,
               std::string default_text, std::string_view meaning,
               std::function<void(Settings&, std::string_view)> set) {
  return {.group = group,
          .name = name,
          .value_name = value_name,
          .meaning = meaning,
          .default_text = std::move(default_text),
          .bounds = {},
          .arity = Option::Arity::kOnce,
          .set = std::move(set),
          .clear = {}};
}

/// The same that may be given several times; `clear` forgets what a weaker source has said.
Option Repeatable(Option option, std::function<void(Settings&)> clear) {
  option.arity = Option::Arity::kList;
  option.clear = std::move(clear);
  return option;
}

std::string_view NotEmpty(std::string_view text) {
  if (text.empty()) throw BadValue("'' is empty: give a path");
  return text;
}

std::string_view AccountName(std::string_view text) {
  if (text.empty() || text.find_first_of(": \t\n") != std::string_view::npos) {
    throw BadValue(Quoted(text) + " is no user or group: give a name or a number");
  }
  return text;
}

void AppendListening(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Listening";
  table.push_back(Special(
      kGroup, "config", "FILE", "none", "INI file with more options, one `name = value` a line.",
      [](Settings& settings, std::string_view text) { settings.config = NotEmpty(text); }));

  Option listen = Special(kGroup, "listen", "ADDRESS",
                          "sockets passed by systemd, else a listening socket on descriptor 0",
                          "Where to listen: unix:/PATH, tcp:HOST:PORT, tcp:[IPV6]:PORT, tcp:*:PORT "
                          "(every address) or fd:N (inherited). May be repeated; in the file and "
                          "in the environment blanks or commas separate several.",
                          [](Settings& settings, std::string_view text) {
                            ListenAddress address = ParseListenAddress(text);
                            for (const ListenAddress& other : settings.listen) {
                              if (ToString(other) == ToString(address)) {
                                throw BadValue(Quoted(text) + " is given twice: keep one");
                              }
                            }
                            settings.listen.push_back(std::move(address));
                          });
  table.push_back(
      Repeatable(std::move(listen), [](Settings& settings) { settings.listen.clear(); }));

  Option mode = Special(kGroup, "socket-mode", "MODE", FormatFileMode(Settings{}.socket_mode),
                        "Permissions of the Unix sockets that it creates, octal.",
                        [](Settings& settings, std::string_view text) {
                          settings.socket_mode = ParseFileMode(text);
                        });
  mode.bounds = "0 to 0777";
  table.push_back(std::move(mode));

  table.push_back(Special(kGroup, "socket-owner", "USER", "the process's",
                          "Owner of the Unix sockets that it creates, a name or a number; only "
                          "root may name another.",
                          [](Settings& settings, std::string_view text) {
                            settings.socket_owner = AccountName(text);
                          }));
  table.push_back(Special(kGroup, "socket-group", "GROUP", "the process's",
                          "Group of the Unix sockets that it creates, a name or a number: that of "
                          "the web server, which must be one of the process's unless root runs it.",
                          [](Settings& settings, std::string_view text) {
                            settings.socket_group = AccountName(text);
                          }));
  Option clients = Special(
      kGroup, "allowed-clients", "ADDRESS", "all, or those of FCGI_WEB_SERVER_ADDRS",
      "Web servers that may connect: an address, a network (192.0.2.0/24, 2001:db8::/32), or unix "
      "for Unix sockets, whose mode says more. Others are closed at once. Those of the variable "
      "FCGI_WEB_SERVER_ADDRS may, too. May be repeated; in the file and in the environment blanks "
      "or commas separate several.",
      [](Settings& settings, std::string_view text) {
        try {
          settings.allowed_clients.Add(text);
        } catch (const std::invalid_argument& error) {
          throw BadValue(error.what());
        }
      });
  clients.words = {"unix"};
  table.push_back(
      Repeatable(std::move(clients), [](Settings& settings) { settings.allowed_clients = {}; }));

  table.push_back(Quantity<Count>(kGroup, "backlog", &Settings::backlog, {1, 65'535},
                                  "Connections that may wait to be accepted, per socket. The "
                                  "kernel caps it at net.core.somaxconn."));
  table.push_back(Quantity<Count>(kGroup, "max-connections", &Settings::max_connections,
                                  {1, 1'000'000},
                                  "Open connections per worker; beyond it accepting pauses."));
}

/// The same where nothing is said by default; `default_text` is what holds then.
template <typename Kind, typename T>
Option OptionalQuantity(std::string_view group, std::string_view name,
                        std::optional<T> Settings::*field, std::type_identity_t<Bounds<T>> bounds,
                        T default_value, std::string_view meaning) {
  Option option = Special(group, name, Kind::kValueName, Kind::Format(default_value), meaning,
                          [field, bounds](Settings& settings, std::string_view text) {
                            settings.*field = ParseWithin<Kind>(bounds, text);
                          });
  option.bounds = BoundsText<Kind>(bounds);
  return option;
}

void AppendProcessModel(std::vector<Option>& table, std::string_view group) {
  constexpr std::size_t kMostWorkers = 1'024;
  const Settings defaults;
  table.push_back(Special(
      group, "process-model", "static|dynamic|ondemand",
      std::string(FormatProcessModel(defaults.process_model)),
      "How many of the --workers there are: static, always all; dynamic, as many as are busy and "
      "--min-spare-workers more, and at least --min-workers; ondemand, as many as are busy, and "
      "none "
      "while nobody asks: the first request starts one.",
      [](Settings& settings, std::string_view text) {
        settings.process_model = ParseProcessModel(text);
      }));
  table.push_back(OptionalQuantity<Count>(group, "min-workers", &Settings::min_workers,
                                          {1, kMostWorkers}, defaults.MinWorkers(),
                                          "The least workers of a dynamic host."));
  table.push_back(OptionalQuantity<Count>(
      group, "min-spare-workers", &Settings::min_spare_workers, {1, kMostWorkers},
      defaults.MinSpareWorkers(),
      "Of a dynamic host: when less than that is free, others are started. What is free is added "
      "up: of a worker that uses half a core, or half of its threads for handlers, half is."));
  table.push_back(OptionalQuantity<Count>(
      group, "max-spare-workers", &Settings::max_spare_workers, {2, kMostWorkers},
      defaults.MaxSpareWorkers(),
      "Of a dynamic host: when more than that is free for --worker-idle-timeout, one ends. More "
      "than --min-spare-workers; one more than that by default."));
  table.push_back(OptionalQuantity<Duration>(
      group, "worker-idle-timeout", &Settings::worker_idle_timeout, {100ms, 24h},
      defaults.WorkerIdleTimeout(),
      "How long a worker stays that a dynamic host, or one on demand, does not need."));
}

void AppendRecycling(std::vector<Option>& table, std::string_view group) {
  table.push_back(Quantity<Count>(
      group, "recycle-requests", &Settings::recycle_requests, {0, 1'000'000'000},
      "Requests after which a worker is replaced. 0: never. Another one is ready before it leaves, "
      "one at a time, and no request is lost."));
  table.push_back(Quantity<Duration>(group, "recycle-age", &Settings::recycle_age, {0ms, 8'760h},
                                     "Age at which a worker is replaced. 0ms: never."));
  table.push_back(Quantity<Size>(
      group, "recycle-memory", &Settings::recycle_memory, {0, 1'024 * kGibi},
      "Memory of its own, swapped out or not, beyond which a worker is replaced. 0: never."));
  table.push_back(Quantity<Count>(
      group, "recycle-jitter", &Settings::recycle_jitter, {0, 100},
      "Percent by which --recycle-requests and --recycle-age are lowered at most, for each worker "
      "by chance, so that those which were started together do not go together."));
  table.push_back(Special(
      group, "max-crashes", "N/TIME", "none",
      "The host stops, with exit code 70, when N workers have crashed within TIME: 10/1m. They end "
      "by a signal, or by an exit code that is not 0. 1 to 100000 within 1s to 24h.",
      [](Settings& settings, std::string_view text) {
        settings.max_crashes = ParseCrashLimit(text);
      }));
}

void AppendProcesses(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Processes";
  constexpr Bounds<std::size_t> kWorkers{0, 1'024};
  Option workers = Special(
      kGroup, "workers", "N", "auto",
      "Worker processes, the most of them unless --process-model is static; 0 serves in the first "
      "process. auto: one per core, or 0 when started by a web server with the socket on "
      "descriptor 0.",
      [kWorkers](Settings& settings, std::string_view text) {
        if (text == "auto") {
          settings.workers.reset();
          return;
        }
        try {
          settings.workers = ParseWithin<Count>(kWorkers, text);
        } catch (const BadValue&) {
          throw BadValue(Quoted(text) + " is no number of workers: give auto, or " +
                         BoundsText<Count>(kWorkers));
        }
      });
  workers.bounds = BoundsText<Count>(kWorkers);
  workers.words = {"auto"};
  table.push_back(std::move(workers));
  AppendProcessModel(table, kGroup);
  AppendRecycling(table, kGroup);

  Option outlive = Special(
      kGroup, "outlive-spawner", "on|off", Settings{}.outlive_spawner ? "on" : "off",
      "A host that a web server has started, with the socket on descriptor 0, goes on when that "
      "ends. Off, it stops then, unless spawn-fcgi has started it.",
      [](Settings& settings, std::string_view text) {
        settings.outlive_spawner = ParseSwitch(text);
      });
  outlive.arity = Option::Arity::kSwitch;
  table.push_back(std::move(outlive));
  table.push_back(Special(
      kGroup, "share-connections", "off|new|all", "all",
      "Whether connections go to workers that are free. new: a busy worker leaves a new connection "
      "to them. all: it passes on connections that web servers keep as well, when a request waits "
      "there or it has more than its share.",
      [](Settings& settings, std::string_view text) {
        if (text == "off") {
          settings.share_connections = ShareConnections::kOff;
        } else if (text == "new") {
          settings.share_connections = ShareConnections::kNew;
        } else if (text == "all") {
          settings.share_connections = ShareConnections::kAll;
        } else {
          throw BadValue(Quoted(text) + " is none of them: give off, new or all");
        }
      }));

  table.push_back(
      Special(kGroup, "control", "PATH", "none",
              "Unix socket where the supervisor answers `weft status`, `weft reload` and `weft "
              "log-level`, for its own user alone.",
              [](Settings& settings, std::string_view text) {
                if (!text.starts_with('/') || text.find('\0') != std::string_view::npos) {
                  // Relative, it would mean another file to a command in another folder.
                  throw BadValue(Quoted(text) +
                                 " is no absolute path: write it like /run/weft/control.sock");
                }
                settings.control = text;
              }));
  table.push_back(Special(
      kGroup, "metrics-listen", "ADDRESS", "none",
      "Where the supervisor answers HTTP: /metrics (OpenMetrics), /live and /ready. unix:/PATH or "
      "tcp:HOST:PORT; whoever reaches it may read them.",
      [](Settings& settings, std::string_view text) {
        ListenAddress address = ParseListenAddress(text);
        if (std::holds_alternative<DescriptorAddress>(address)) {
          throw BadValue(Quoted(text) + " is inherited: give unix:/PATH or tcp:HOST:PORT");
        }
        settings.metrics_listen = std::move(address);
      }));
  table.push_back(Quantity<Count>(
      kGroup, "max-start-failures", &Settings::max_start_failures, {1, 1'000},
      "Workers that end before they are ready, one after the other, until the host gives up. Once "
      "any was ready, dead workers are replaced for ever."));

  table.push_back(Quantity<Duration>(
      kGroup, "start-timeout", &Settings::start_timeout, {0ms, 24h},
      "How long a worker may take to load its modules and be ready; then it is killed and has "
      "failed "
      "to start. 0ms: for ever. A process without a supervisor is not watched. The commands beside "
      "serve give each module as long."));

  constexpr Bounds<milliseconds> kDrain{0ms, 24h};
  Option drain = Special(kGroup, "drain-timeout", "TIME",
                         FormatDuration(Settings{}.DrainTimeout(/*spawned=*/false)) + "; " +
                             FormatDuration(Settings{}.DrainTimeout(/*spawned=*/true)) +
                             " when started by a web server",
                         "How long running requests may take to end after a stop was asked for.",
                         [kDrain](Settings& settings, std::string_view text) {
                           settings.drain_timeout = ParseWithin<Duration>(kDrain, text);
                         });
  drain.bounds = BoundsText<Duration>(kDrain);
  table.push_back(std::move(drain));
}

void AddVariable(Environment& environment, std::string_view text) {
  if (text == "all") {
    environment.all = true;
    return;
  }
  const auto equals = text.find('=');
  const auto name = text.substr(0, equals);
  if (name.empty() || (equals != std::string_view::npos && name.ends_with('*'))) {
    throw BadValue(Quoted(text) +
                   " is no variable: write it like PGHOST, AWS_*, MODE=live, or all");
  }
  if (equals == std::string_view::npos) {
    environment.kept.emplace_back(name);
  } else {
    environment.set.emplace_back(name, text.substr(equals + 1));
  }
}

std::string UsualVariables() {
  std::string names;
  for (const std::string& name : Settings{}.KeptVariables(/*spawned=*/false).kept) {
    names += (names.empty() ? "" : " ") + name;
  }
  return names;
}

void AppendPrivileges(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Rights of the processes that run handlers";
  table.push_back(
      Special(kGroup, "chroot", "DIR", "none",
              "The root of the whole host, whose other options name paths inside; --config is read "
              "before. Only root may; give --user too, for root can leave it.",
              [](Settings& settings, std::string_view text) {
                if (!text.starts_with('/') || text.find('\0') != std::string_view::npos) {
                  throw BadValue(Quoted(text) + " is no absolute path: write it like /srv/weft");
                }
                settings.chroot = text;
              }));
  table.push_back(Special(
      kGroup, "user", "USER", "the one who starts it",
      "Whose they are, a name or a number: with his groups. Only root may name another. The "
      "supervisor, which runs no handler, stays root's.",
      [](Settings& settings, std::string_view text) { settings.user = AccountName(text); }));
  table.push_back(Special(
      kGroup, "group", "GROUP", "that of --user, else of the one who starts it",
      "Their group, a name or a number.",
      [](Settings& settings, std::string_view text) { settings.group = AccountName(text); }));
  Option limits = Special(
      kGroup, "limit", "NAME=SOFT[:HARD]", "as inherited",
      "What the system lets each have (setrlimit(2)): nofile=65536, core=0, as=4G, nproc=512. "
      "unlimited: no limit. May be repeated, once for a name; in the file and in the environment "
      "blanks or commas separate several.",
      [](Settings& settings, std::string_view text) {
        const ResourceLimit limit = ParseResourceLimit(text);
        for (const ResourceLimit& other : settings.resource_limits) {
          if (other.resource == limit.resource) {
            throw BadValue(Quoted(text) + " is a second limit of " + std::string(limit.name) +
                           ": keep one");
          }
        }
        settings.resource_limits.push_back(limit);
      });
  table.push_back(
      Repeatable(std::move(limits), [](Settings& settings) { settings.resource_limits.clear(); }));
  Option privileges = Special(
      kGroup, "no-new-privileges", "on|off", Settings{}.no_new_privileges ? "on" : "off",
      "No program that they start gets more rights than they have (setuid, capabilities). Then "
      "sendmail, say, cannot send.",
      [](Settings& settings, std::string_view text) {
        settings.no_new_privileges = ParseSwitch(text);
      });
  privileges.arity = Option::Arity::kSwitch;
  table.push_back(std::move(privileges));
  table.push_back(Special(
      kGroup, "umask", "MODE", "as inherited",
      "Permissions that files which they make do not get, octal, 0 to 0777.",
      [](Settings& settings, std::string_view text) { settings.umask = ParseFileMode(text); }));
  Option environment = Special(
      kGroup, "environment", "all|NAME|NAME=VALUE",
      UsualVariables() + "; all when started by a web server",
      "Variables that they keep (one that ends with * is all that begin so), or get; all others "
      "are "
      "taken away. May be repeated; in the file and in the environment blanks or commas separate "
      "several.",
      [](Settings& settings, std::string_view text) {
        if (!settings.environment)
          settings.environment = Settings{}.KeptVariables(/*spawned=*/false);
        AddVariable(*settings.environment, text);
      });
  table.push_back(
      Repeatable(std::move(environment), [](Settings& settings) { settings.environment.reset(); }));
}

void AddCoding(std::vector<ContentCoding>& codings, ContentCoding coding, std::string_view text) {
  if (std::find(codings.begin(), codings.end(), coding) != codings.end()) {
    throw BadValue(Quoted(text) + " is given twice: keep one");
  }
  codings.push_back(coding);
}

void AppendStaticFiles(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Handlers";
  table.push_back(Special(
      kGroup, "follow-links", "off|within-root|on", "within-root",
      "Symbolic links on the way from the document root to a static file: none is followed, those "
      "that stay below the document root are, or all.",
      [](Settings& settings, std::string_view text) {
        if (text == "off") {
          settings.follow_links = FollowLinks::kOff;
        } else if (text == "within-root") {
          settings.follow_links = FollowLinks::kWithinRoot;
        } else if (text == "on") {
          settings.follow_links = FollowLinks::kOn;
        } else {
          throw BadValue(Quoted(text) + " is none of them: give off, within-root or on");
        }
      }));
  Option precompressed =
      Special(kGroup, "precompressed", "CODING", "none",
              "Compressed forms of static files that may lie beside them: br (app.js.br), zstd "
              "(app.js.zst), gzip (app.js.gz), the preferred one first. May be repeated; in the "
              "file and in the environment blanks or commas separate several.",
              [](Settings& settings, std::string_view text) {
                const auto coding = ContentCodingOf(text);
                if (!coding) {
                  throw BadValue(Quoted(text) + " is none of them: give some of br, zstd and gzip");
                }
                AddCoding(settings.precompressed, *coding, text);
              });
  precompressed.words = {"br", "zstd", "gzip"};
  table.push_back(Repeatable(std::move(precompressed),
                             [](Settings& settings) { settings.precompressed.clear(); }));
  table.push_back(Quantity<Count>(
      kGroup, "max-ranges", &Settings::max_ranges, {0, 10'000},
      "Ranges of a static file that one request may ask for; more count for nothing, and it is "
      "sent whole. 0: no parts are sent."));
  table.push_back(Special(
      kGroup, "mime-types", "FILE|none", "/etc/mime.types, if there is one",
      "List of media types for static files, a type and its endings a line; it wins over what is "
      "built in.",
      [](Settings& settings, std::string_view text) { settings.mime_types = NotEmpty(text); }));
}

void AppendHandlers(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Handlers";
  table.push_back(Special(
      kGroup, "mappings", "DIR", "the built-in mappings alone",
      "Folder of machine.json and of one folder per site.",
      [](Settings& settings, std::string_view text) { settings.mappings = NotEmpty(text); }));
  Option roots = Special(
      kGroup, "document-root-mappings", "[HOST=]DIR", "none are looked for there",
      "Document root of the site HOST, or of all hosts without a site of their own, whose folders' "
      "mapping.json files apply too, each after that of the site's folder below --mappings. "
      "Whoever "
      "may write there decides what runs. May be repeated, once for a host; in the file and in the "
      "environment blanks or commas separate several.",
      [](Settings& settings, std::string_view text) {
        mappings::DocumentRoot root = ParseDocumentRoot(text);
        for (const mappings::DocumentRoot& other : settings.document_root_mappings) {
          if (mappings::EqualsIgnoringCase(other.host, root.host)) {
            throw BadValue(Quoted(text) + " is a second document root of the host " +
                           Quoted(root.host) + ": keep one");
          }
        }
        settings.document_root_mappings.push_back(std::move(root));
      });
  table.push_back(Repeatable(std::move(roots),
                             [](Settings& settings) { settings.document_root_mappings.clear(); }));
  table.push_back(Quantity<Duration>(
      kGroup, "reload-interval", &Settings::reload_interval, {0ms, 24h},
      "How often changes of the mapping files are looked for; less often where a look takes long. "
      "0s: they are reloaded on SIGHUP alone."));
  Option modules =
      Special(kGroup, "modules", "DIR",
              "`modules` beside the program's own folder, if there is one, else that "
              "of the installation (/usr/local/lib/weft/modules, say), if there is one",
              "Folder of the handler modules. May be repeated, the first folder with "
              "a NAME.so wins; in the "
              "file and in the environment blanks or commas separate several.",
              [](Settings& settings, std::string_view text) {
                const std::filesystem::path folder(NotEmpty(text));
                for (const std::filesystem::path& other : settings.modules) {
                  if (other == folder) throw BadValue(Quoted(text) + " is given twice: keep one");
                }
                settings.modules.push_back(folder);
              });
  table.push_back(
      Repeatable(std::move(modules), [](Settings& settings) { settings.modules.clear(); }));
  table.push_back(Quantity<Count>(kGroup, "handler-pool", &Settings::handler_pool, {0, 65'536},
                                  "Reusable instances of one class that are kept, per worker; 0: "
                                  "each request gets a new one."));
  table.push_back(Quantity<Duration>(
      kGroup, "ashx-check-interval", &Settings::ashx_check_interval, {0ms, 1h},
      "How long what a .ashx file says is used before the file is looked at again; 0ms: at every "
      "request."));
  table.push_back(Quantity<Count>(
      kGroup, "ashx-files", &Settings::ashx_files, {1, 1'000'000},
      "Files of .ashx that are remembered, per worker; at that many all are forgotten."));
  AppendStaticFiles(table);
  table.push_back(Quantity<Count>(
      kGroup, "max-execute-depth", &Settings::max_execute_depth, {0, 100},
      "Handlers that one request may execute inside one another (Server().Execute and Transfer); "
      "beyond it 500."));
  Option debug = Special(
      kGroup, "debug", "on|off", Settings{}.debug ? "on" : "off",
      "Show details of errors to clients on this machine; not to those that come "
      "through a proxy.",
      [](Settings& settings, std::string_view text) { settings.debug = ParseSwitch(text); });
  debug.arity = Option::Arity::kSwitch;
  table.push_back(std::move(debug));
}

void AppendLimits(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Limits";
  table.push_back(Quantity<Count>(kGroup, "max-requests", &Settings::max_requests, {1, 1'000'000},
                                  "Requests in flight per worker; beyond it 503."));
  table.push_back(Quantity<Count>(kGroup, "max-finished", &Settings::max_finished, {0, 1'000'000},
                                  "Handlers that work on after Response().Finish(), per worker; "
                                  "beyond it the client waits for the handler's end."));
  // 65,535: a request id has 16 bits, and 0 is the connection itself.
  table.push_back(Quantity<Count>(
      kGroup, "max-requests-per-connection", &Settings::max_requests_per_connection, {1, 65'535},
      "Requests at once on one connection of a server that multiplexes; beyond it 503."));
  table.push_back(Quantity<Size>(kGroup, "max-params-bytes", &Settings::max_params_bytes,
                                 {kKibi, 16 * kMebi},
                                 "Bytes of one request's parameters (URL and header fields); "
                                 "beyond it 431."));
  table.push_back(Quantity<Count>(kGroup, "max-params", &Settings::max_params, {16, 65'536},
                                  "Number of one request's parameters; beyond it 431."));
  table.push_back(Quantity<Count>(kGroup, "max-fields", &Settings::max_fields, {1, 1'000'000},
                                  "Fields of one request's query, of its form, and cookies; beyond "
                                  "it a handler that asks for them answers 400."));
  table.push_back(Quantity<Size>(kGroup, "max-field-bytes", &Settings::max_field_bytes, {1, kGibi},
                                 "Bytes of the value of one field of a form; beyond it 413."));
  table.push_back(Quantity<Size>(kGroup, "max-field-name-bytes", &Settings::max_field_name_bytes,
                                 {1, kMebi},
                                 "Bytes of the name of one field of a form; beyond it 413."));
  table.push_back(Quantity<Size>(kGroup, "max-form-bytes", &Settings::max_form_bytes,
                                 {1, 16 * kGibi},
                                 "Bytes of the names and values of all fields of a form, which are "
                                 "in memory; beyond it 413."));
  table.push_back(Quantity<Count>(kGroup, "max-files", &Settings::max_files, {0, 1'000'000},
                                  "Files of one form; beyond it 400."));
  table.push_back(
      Quantity<Size>(kGroup, "max-part-header-bytes", &Settings::max_part_header_bytes, {64, kMebi},
                     "Bytes of the header fields of one part of a multipart body; beyond it 400."));
  table.push_back(Quantity<Size>(kGroup, "max-request-bytes", &Settings::max_request_bytes,
                                 {0, 1'024 * kGibi},
                                 "Bytes of one request's body; beyond it 413. Mappings may set "
                                 "another limit for a folder."));
  // 64K: a record of the largest size must fit.
  table.push_back(Quantity<Size>(
      kGroup, "stdin-buffer-bytes", &Settings::stdin_buffer_bytes, {64 * kKibi, kGibi},
      "Bytes of a body that wait for the handler; beyond it the "
      "connection is not read further. Twice as many, up to 1M, of a long "
      "one that a plain handler reads as it comes."));
  table.push_back(Quantity<Size>(kGroup, "output-buffer-bytes", &Settings::output_buffer_bytes,
                                 {4 * kKibi, 64 * kMebi},
                                 "Bytes of a response that gather before they are sent."));
  table.push_back(Quantity<Size>(
      kGroup, "file-send-buffer-bytes", &Settings::file_send_buffer_bytes, {0, 64 * kMebi},
      "Send buffer of a Unix socket through which a file is sent; Linux grants no more than "
      "net.core.wmem_max. 0, or less than it has: as the system has it."));
  table.push_back(Quantity<Size>(kGroup, "max-buffered-bytes", &Settings::max_buffered_bytes,
                                 {kMebi, 1'024 * kGibi},
                                 "Bytes of bodies that a worker holds in memory; beyond it 503."));
  table.push_back(Quantity<Size>(kGroup, "body-memory-bytes", &Settings::body_memory_bytes,
                                 {0, kGibi},
                                 "Bytes of one body that are kept in memory; a longer one goes to "
                                 "a temporary file."));
  table.push_back(Special(
      kGroup, "temporary-folder", "DIR", "TMPDIR, else /tmp",
      "Folder of temporary files. They have no names, so that nothing is left behind there.",
      [](Settings& settings, std::string_view text) {
        if (text.empty() || text.front() != '/') {
          throw BadValue(Quoted(text) + " is no absolute path: give the folder from the root on");
        }
        settings.temporary_folder = text;
      }));
  table.push_back(Quantity<Size>(kGroup, "max-temporary-bytes", &Settings::max_temporary_bytes,
                                 {kMebi, 1'024 * kGibi * kKibi},
                                 "Bytes of all temporary files of a worker; beyond it 503."));
  table.push_back(Quantity<Size>(
      kGroup, "memory-reserve", &Settings::memory_reserve, {128 * kKibi, kGibi},
      "Memory that a worker puts by for when the system has no more: it then takes no new "
      "connections, and ends those that it has."));
}

void AppendTimeouts(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Timeouts";
  constexpr Bounds<milliseconds> kBounds{10ms, 24h};
  table.push_back(Quantity<Duration>(kGroup, "header-timeout", &Settings::header_timeout, kBounds,
                                     "From a request's first byte to its last parameter."));
  table.push_back(Quantity<Duration>(kGroup, "idle-timeout", &Settings::idle_timeout, kBounds,
                                     "A kept connection without a request."));
  table.push_back(Quantity<Duration>(kGroup, "body-timeout", &Settings::body_timeout, kBounds,
                                     "Between two reads of a request's body."));
  table.push_back(Quantity<Duration>(kGroup, "send-timeout", &Settings::send_timeout, kBounds,
                                     "Between two writes that the web server accepts."));
  table.push_back(Quantity<Duration>(kGroup, "linger-timeout", &Settings::linger_timeout,
                                     {0ms, 1min},
                                     "Wait for the web server to close after the last byte."));
  table.push_back(Quantity<Duration>(kGroup, "finish-timeout", &Settings::finish_timeout, kBounds,
                                     "For a handler that works on after Response().Finish()."));
  table.push_back(Quantity<Duration>(
      kGroup, "overdue-grace", &Settings::overdue_grace, {0ms, 24h},
      "For a handler on a thread to return once its deadline has passed and its client was "
      "answered "
      "504; then its worker takes no more requests, another is started, and the log says where the "
      "handler is stuck."));
}

/// `x-sendfile:DIR` or `x-accel-redirect:DIR=PREFIX`.
void AddSendfileRoot(HttpResponseSettings& response, std::string_view text) {
  const auto colon = text.find(':');
  const auto name = text.substr(0, colon);
  auto rest = colon == text.npos ? std::string_view() : text.substr(colon + 1);
  const bool is_redirect = mappings::EqualsIgnoringCase(name, "x-accel-redirect");
  if (!is_redirect && !mappings::EqualsIgnoringCase(name, "x-sendfile")) {
    throw BadValue(Quoted(text) +
                   " names no such header: give x-sendfile:DIR or x-accel-redirect:DIR=PREFIX");
  }
  const auto header = is_redirect ? SendfileHeader::kXAccelRedirect : SendfileHeader::kXSendfile;
  if (!response.sendfile_roots.empty() && response.sendfile_header != header) {
    throw BadValue(Quoted(text) + " is of another header than the one before: give one of them");
  }
  SendfileRoot root;
  if (is_redirect) {
    const auto equals = rest.rfind('=');
    root.prefix = equals == rest.npos ? "" : rest.substr(equals + 1);
    rest = rest.substr(0, equals);
    if (!root.prefix.starts_with('/')) {
      throw BadValue(Quoted(text) +
                     " names no internal location: write x-accel-redirect:DIR=/internal/");
    }
    if (!root.prefix.ends_with('/')) {
      root.prefix += '/';
    }
  }
  while (rest.size() > 1 && rest.ends_with('/')) {
    rest.remove_suffix(1);
  }
  const std::filesystem::path directory(rest);
  if (!directory.is_absolute() || rest == "/" || directory.lexically_normal().native() != rest) {
    throw BadValue(Quoted(text) +
                   " names no folder whose files may be sent: give an absolute path "
                   "below /, without . and ..");
  }
  root.directory = rest;
  response.sendfile_header = header;
  response.sendfile_roots.push_back(std::move(root));
}

void AppendAnswers(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Answers";
  Option sendfile = Special(
      kGroup, "sendfile", "HEADER:DIR[=PREFIX]", "none",
      "Files in DIR are sent by the web server itself where they are a whole answer: "
      "x-sendfile:DIR (lighttpd, Apache with mod_xsendfile) or x-accel-redirect:DIR=PREFIX (nginx; "
      "PREFIX is the internal location for DIR). May be repeated; in the file and in the "
      "environment blanks or commas separate several.",
      [](Settings& settings, std::string_view text) { AddSendfileRoot(settings.response, text); });
  table.push_back(Repeatable(std::move(sendfile), [](Settings& settings) {
    settings.response.sendfile_header = SendfileHeader::kNone;
    settings.response.sendfile_roots.clear();
  }));

  Option compression = Special(
      kGroup, "compression", "CODING", "off",
      "Compress answers for clients that accept it: br, zstd, gzip, or on for all three; those "
      "given first are preferred. off: only where a handler says so. May be repeated; in the file "
      "and in the environment blanks or commas separate several.",
      [](Settings& settings, std::string_view text) {
        auto& codings = settings.response.compression;
        const bool is_off = text == "off";
        if (settings.compression_off || (is_off && !codings.empty())) {
          throw BadValue(is_off && codings.empty()
                             ? Quoted(text) + " is given twice: keep one"
                             : Quoted(text) +
                                   " contradicts what stands before it: give off alone, "
                                   "or codings without it");
        }
        if (is_off) {
          settings.compression_off = true;
        } else if (text == "on") {
          for (const auto coding :
               {ContentCoding::kBrotli, ContentCoding::kZstd, ContentCoding::kGzip}) {
            AddCoding(codings, coding, text);
          }
        } else if (const auto coding = ContentCodingOf(text)) {
          AddCoding(codings, *coding, text);
        } else {
          throw BadValue(Quoted(text) +
                         " is none of them: give off, on, or some of br, zstd and gzip");
        }
      });
  compression.words = {"off", "on", "br", "zstd", "gzip"};
  table.push_back(Repeatable(std::move(compression), [](Settings& settings) {
    settings.response.compression.clear();
    settings.compression_off = false;
  }));
}

void AppendProxies(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Proxies in front of the web server";
  Option proxies = Special(
      kGroup, "trusted-proxies", "ADDRESS", "none",
      "Proxies whose word about the client is taken: an address, a network (192.0.2.0/24, "
      "2001:db8::/32), or unix for peers of the web server without an address. May be repeated; in "
      "the file and in the environment blanks or commas separate several.",
      [](Settings& settings, std::string_view text) {
        try {
          settings.trusted_proxies.Add(text);
        } catch (const std::invalid_argument& error) {
          throw BadValue(error.what());
        }
      });
  proxies.words = {"unix"};
  table.push_back(
      Repeatable(std::move(proxies), [](Settings& settings) { settings.trusted_proxies = {}; }));

  Option fields = Special(
      kGroup, "forwarded-headers", "NAME", "x-forwarded-for x-forwarded-proto x-forwarded-host",
      "Header fields in which trusted proxies tell of the client: these, or forwarded (RFC 7239) "
      "alone. Name only what your proxies set or take away themselves. May be repeated; in the "
      "file and in the environment blanks or commas separate several.",
      [](Settings& settings, std::string_view text) {
        auto& names = settings.forwarded_headers;
        constexpr std::array<std::string_view, 4> kNames = {
            "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"};
        const auto* const known = std::find_if(kNames.begin(), kNames.end(), [&](auto name) {
          return mappings::EqualsIgnoringCase(name, text);
        });
        if (known == kNames.end()) {
          throw BadValue(Quoted(text) +
                         " is none of them: give forwarded, or some of x-forwarded-for, "
                         "x-forwarded-proto and x-forwarded-host");
        }
        if (std::find(names.begin(), names.end(), *known) != names.end()) {
          throw BadValue(Quoted(text) + " is given twice: keep one");
        }
        names.emplace_back(*known);
        if (names.size() > 1 && std::find(names.begin(), names.end(), kNames[0]) != names.end()) {
          throw BadValue(
              "'forwarded' goes with no other: what one says of the client, the other could "
              "contradict");
        }
      });
  fields.words = {"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"};
  table.push_back(Repeatable(std::move(fields),
                             [](Settings& settings) { settings.forwarded_headers.clear(); }));
}

void AppendThreads(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Threads and stacks of a worker";
  table.push_back(Quantity<Count>(kGroup, "blocking-threads", &Settings::blocking_threads,
                                  {1, 4'096}, "Threads for handlers that block."));
  table.push_back(Quantity<Count>(kGroup, "blocking-queue", &Settings::blocking_queue,
                                  {0, 1'000'000},
                                  "Calls that wait for one of these threads; beyond it 503."));
  table.push_back(Quantity<Count>(kGroup, "max-tasks", &Settings::max_tasks, {0, 1'000'000},
                                  "Tasks of async handlers (weft::Async) at once, per worker; "
                                  "beyond it a handler that begins one answers 503."));
  table.push_back(Quantity<Duration>(kGroup, "queue-timeout", &Settings::queue_timeout, {1ms, 24h},
                                     "Wait of a call for one of these threads; then 503."));
  table.push_back(Quantity<Duration>(
      kGroup, "shed-target", &Settings::shed_target, {0ms, 1h},
      "Wait for a thread, or for the reactor, that is borne; requests that would wait longer are "
      "refused with 503 once all have done so for --shed-interval. 0ms: none is refused for it."));
  table.push_back(Quantity<Duration>(kGroup, "shed-interval", &Settings::shed_interval, {1ms, 1h},
                                     "How long a burst of requests may be."));
  table.push_back(Quantity<Duration>(kGroup, "blocking-idle", &Settings::blocking_idle, {10ms, 24h},
                                     "A thread that had nothing to do for so long ends."));
  Option stack_size =
      Quantity<Size>(kGroup, "stack-size", &Settings::stack_size, {kSmallestStack, kLargestStack},
                     "Stack of one fiber, rounded up to a power of two.");
  stack_size.set = [](Settings& settings, std::string_view text) {
    settings.stack_size =
        std::bit_ceil(ParseWithin<Size>(Bounds<std::size_t>{kSmallestStack, kLargestStack}, text));
  };
  table.push_back(std::move(stack_size));
  table.push_back(Quantity<Count>(kGroup, "idle-stacks", &Settings::idle_stacks, {0, 65'536},
                                  "Stacks kept for reuse."));
  table.push_back(Quantity<Duration>(kGroup, "stall-threshold", &Settings::stall_threshold,
                                     {0ms, 1h},
                                     "How long one handler may hold the reactor's thread, on which "
                                     "all requests of a worker wait, until a warning tells "
                                     "it with its stack; 0ms: nobody looks."));
}

void AppendLogging(std::vector<Option>& table) {
  constexpr std::string_view kGroup = "Logging";
  Option level = Special(
      kGroup, "log-level", "LEVEL", FormatLogLevel(Settings{}.log_level),
      "The least level that is logged: debug, info, warning or error.",
      [](Settings& settings, std::string_view text) { settings.log_level = ParseLogLevel(text); });
  level.words = {"debug", "info", "warning", "error"};
  table.push_back(std::move(level));
  table.push_back(
      Special(kGroup, "log", "stderr|FILE|journald", "stderr",
              "Where the log goes: stderr, a file or FIFO, or journald (journald:PATH: a socket of "
              "its protocol at PATH). A file is opened anew on SIGUSR1.",
              [](Settings& settings, std::string_view text) {
                settings.log = ParseLogTarget(NotEmpty(text));
              }));
  table.push_back(Special(kGroup, "log-format", "text|json", "text",
                          "How an event is written: a line for people, or one JSON object a line.",
                          [](Settings& settings, std::string_view text) {
                            if (text != "text" && text != "json") {
                              throw BadValue(Quoted(text) + " is no format: give text or json");
                            }
                            settings.log_format =
                                text == "json" ? LogFormat::kJson : LogFormat::kText;
                          }));
  table.push_back(
      Quantity<Count>(kGroup, "log-rate", &Settings::log_rate, {0, 1'000'000},
                      "Events of one kind a second that a process logs, once "
                      "--log-burst of them are used up; others are dropped, and counted in "
                      "the next. 0: all are logged."));
  table.push_back(Quantity<Count>(kGroup, "log-burst", &Settings::log_burst, {1, 1'000'000},
                                  "Events of one kind that may come at once."));
  table.push_back(Special(kGroup, "access-log", "off|-|FILE", "off",
                          "Where a line per request goes: off, - (standard error), a file or a "
                          "FIFO.",
                          [](Settings& settings, std::string_view text) {
                            settings.access_log =
                                text == "off" ? std::string_view{} : NotEmpty(text);
                          }));
  Option format = Special(
      kGroup, "access-log-format", "FORMAT", "text",
      "How: text (key=value), json, common, combined, or a format with Apache's placeholders, or, "
      "after fpm:, php-fpm's, and %{NAME}w for what only Weft has (docs/guide/logs.md).",
      [](Settings& settings, std::string_view text) {
        settings.access_log_format = ParseAccessFormat(text);
      });
  format.words = {"text", "json", "common", "combined"};
  table.push_back(std::move(format));
  table.push_back(Quantity<Duration>(
      kGroup, "slow-log-threshold", &Settings::slow_log_threshold, {0ms, 24h},
      "A request that takes longer is told once, while it does, with where its time has gone and "
      "the stack of its handler; 0ms: none is."));
  table.push_back(Special(kGroup, "slow-log", "same|FILE", "same",
                          "Where: the log, or a file of its own in the log's form.",
                          [](Settings& settings, std::string_view text) {
                            settings.slow_log =
                                text == "same" ? std::string_view{} : NotEmpty(text);
                          }));
  table.push_back(Quantity<Count>(
      kGroup, "trace", &Settings::trace, {0, 1'000},
      "Requests whose traces are kept, the last of the host; a mapping to weft::TraceHandler shows "
      "them to clients of this machine (docs/guide/trace.md). 0: none."));
  table.push_back(Quantity<Size>(kGroup, "trace-bytes", &Settings::trace_bytes, {4'096, 65'536},
                                 "Of each at most; longer texts are cut."));
  table.push_back(Special(
      kGroup, "crash-dir", "none|DIR", "none",
      "Folder for the reports of workers' crashes, a JSON file each that the supervisor's user "
      "alone "
      "may read; the last 100 are kept. The log has them in any case. A process without a "
      "supervisor writes none, and does not start.",
      [](Settings& settings, std::string_view text) {
        if (text != "none" && (text.empty() || text.front() != '/')) {
          throw BadValue(Quoted(text) + " is no absolute path: give the folder from the root on");
        }
        settings.crash_dir = text == "none" ? std::string_view() : text;
      }));
  Option skip =
      Special(kGroup, "access-log-skip", "PATH", "none",
              "Path whose requests have no line where their status is below 400: those "
              "of health checks, say. A * at its end stands for any rest. May be "
              "repeated.",
              [](Settings& settings, std::string_view text) {
                if (!text.starts_with('/')) {
                  throw BadValue(Quoted(text) + " is no path: write it like /ping or /health/*");
                }
                if (text.substr(0, text.size() - 1).find('*') != std::string_view::npos) {
                  throw BadValue(Quoted(text) + " has a * that is not at its end");
                }
                settings.access_log_skip.emplace_back(text);
              });
  table.push_back(
      Repeatable(std::move(skip), [](Settings& settings) { settings.access_log_skip.clear(); }));
}

}  // namespace

Option FormatOption() {
  return Special("Output", "format", "text|json", "text", "For people, or for programs.",
                 [](Settings& settings, std::string_view text) {
                   if (text != "text" && text != "json") {
                     throw BadValue(Quoted(text) + " is no format: give text or json");
                   }
                   settings.format = text == "json" ? OutputFormat::kJson : OutputFormat::kText;
                 });
}

Option StatusFormatOption() {
  return Special("Output", "format", "text|json|openmetrics", "text",
                 "For people, for programs, or the metrics.",
                 [](Settings& settings, std::string_view text) {
                   if (text == "text") {
                     settings.format = OutputFormat::kText;
                   } else if (text == "json") {
                     settings.format = OutputFormat::kJson;
                   } else if (text == "openmetrics") {
                     settings.format = OutputFormat::kOpenMetrics;
                   } else {
                     throw BadValue(Quoted(text) + " is no format: give text, json or openmetrics");
                   }
                 });
}

Option TimeoutOption() {
  return Quantity<Duration>("Waiting", "timeout", &Settings::reload_timeout, {1ms, 24h},
                            "How long to wait for the outcome. The reload goes on without this "
                            "command.");
}

Option DocumentRootOption() {
  return Special(
      "Site", "document-root", "DIR",
      "that of the site in --document-root-mappings, else none: nothing exists",
      "Folder of the site's files, for resource types, default documents, the redirect to a "
      "folder's slash, and files that name a class.",
      [](Settings& settings, std::string_view text) { settings.document_root = NotEmpty(text); });
}

Option CheckedRootOption() {
  Option option = DocumentRootOption();
  option.default_text = "those of --document-root-mappings, else none: no file is looked at";
  option.meaning =
      "Folder of the site's files: those below it that name a class, .ashx files say, are checked, "
      "too.";
  return option;
}

Option HostOption() {
  return Special(
      "Site", "host", "HOST", "the site for all other hosts",
      "The site whose files are in --document-root.",
      [](Settings& settings, std::string_view text) {
        if (!mappings::IsHostName(mappings::HostName(text))) {
          throw BadValue(Quoted(text) + " is no possible host: write it like www.example.org");
        }
        settings.host = text;
      });
}

std::vector<Option> NewOptions() {
  constexpr std::string_view kGroup = "Project";
  std::vector<Option> table;
  table.push_back(
      Special(kGroup, "output", "DIR", "a folder with the name of the module, here",
              "The folder to write, which must not be there.",
              [](Settings& settings, std::string_view text) { settings.output = NotEmpty(text); }));
  Option is_async = Special(
      kGroup, "async", "on|off", Settings{}.new_async ? "on" : "off",
      "The handler runs on a fiber, where it may wait but not block; else on a thread of the pool.",
      [](Settings& settings, std::string_view text) { settings.new_async = ParseSwitch(text); });
  is_async.arity = Option::Arity::kSwitch;
  table.push_back(std::move(is_async));
  return table;
}

std::vector<Option> RecordingOptions() {
  constexpr std::string_view kBoth = "Import and export";
  constexpr std::string_view kImport = "Import";
  constexpr std::string_view kExport = "Export";
  std::vector<Option> table;
  const auto add_switch = [&table](std::string_view group, std::string_view name,
                                   bool Settings::*field, std::string_view meaning) {
    table.push_back(Special(group, name, "on|off", Settings{}.*field ? "on" : "off", meaning,
                            [field](Settings& settings, std::string_view text) {
                              settings.*field = ParseSwitch(text);
                            }));
    table.back().arity = Option::Arity::kSwitch;
  };
  table.push_back(Special(
      kBoth, "output", "PATH",
      "for an import a folder with the name of the file, here; for an export standard output",
      "The folder for recordings, or the file for a HAR.",
      [](Settings& settings, std::string_view text) { settings.output = NotEmpty(text); }));
  add_switch(kBoth, "force", &Settings::force, "Files that are there already are replaced.");
  Option host = HostOption();
  host.group = kImport;
  host.default_text = "all hosts";
  host.meaning = "Requests to this host alone.";
  table.push_back(std::move(host));
  add_switch(kImport, "keep-secrets", &Settings::keep_secrets,
             "Passwords, cookies, tokens and their like are written as they are, and not masked.");
  add_switch(kExport, "har", &Settings::har, "As HTTP Archive 1.2, the one form that there is.");
  return table;
}

std::vector<Option> PingOptions() {
  std::vector<Option> table;
  for (Option& option : OptionTable()) {
    if (option.name == "config")
      table.push_back(std::move(option));
    else if (option.name == "listen") {
      option.meaning =
          "Whom to ask: unix:/PATH or tcp:HOST:PORT, as the host listens; * is this machine. May "
          "be "
          "repeated; each is asked.";
      option.default_text = "none: it must be given, here, in the host's file or its environment";
      table.push_back(std::move(option));
    }
  }
  constexpr std::string_view kGroup = "Question";
  table.push_back(Quantity<Duration>(kGroup, "timeout", &Settings::ping_timeout, {1ms, 24h},
                                     "How long each address may take to answer."));
  table.push_back(Special(
      kGroup, "path", "PATH", "none: a worker is asked whether it answers, and no handler",
      "Path, and query, of a GET request, which is answered by whatever handler is mapped.",
      [](Settings& settings, std::string_view text) {
        const bool is_plain =
            std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
        if (!text.starts_with('/') || !is_plain) {
          throw BadValue(Quoted(text) + " is no path: write it like /health.ashx?full=1");
        }
        settings.ping_path = text;
      }));
  Option host = HostOption();
  host.group = kGroup;
  host.default_text = "localhost";
  host.meaning = "Whose site --path is of.";
  table.push_back(std::move(host));
  Option root = DocumentRootOption();
  root.group = kGroup;
  root.default_text = "none: a handler that a file names is not found";
  root.meaning = "The site's document root, which a web server would tell with --path.";
  table.push_back(std::move(root));
  return table;
}

std::string Option::Flag() const { return "--" + std::string(name); }

std::string Option::EnvironmentVariable() const {
  std::string variable = "WEFT_";
  for (const char c : name) {
    variable += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return variable;
}

std::string Option::HelpText() const {
  std::string text(meaning);
  text += " Default: " + default_text + ".";
  if (!bounds.empty()) text += " Bounds: " + bounds + ".";
  return text;
}

std::vector<std::string_view> Option::Words() const {
  if (!words.empty() || value_name.find('|') == std::string_view::npos) return words;
  std::vector<std::string_view> spelt;
  for (std::string_view rest = value_name;;) {
    const auto bar = rest.find('|');
    const auto word = rest.substr(0, bar);
    const auto is_kind = [](char c) { return c >= 'A' && c <= 'Z'; };
    if (std::none_of(word.begin(), word.end(), is_kind)) spelt.push_back(word);
    if (bar == std::string_view::npos) return spelt;
    rest.remove_prefix(bar + 1);
  }
}

std::vector<Option> OptionTable() {
  std::vector<Option> table;
  AppendListening(table);
  AppendProcesses(table);
  AppendPrivileges(table);
  AppendHandlers(table);
  AppendLimits(table);
  AppendTimeouts(table);
  AppendAnswers(table);
  AppendProxies(table);
  AppendThreads(table);
  AppendLogging(table);
  return table;
}

}  // namespace weft::host::options
