#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <weft/content_coding.hpp>
#include <weft/forwarded_fields.hpp>
#include <weft/http_response_settings.hpp>
#include <weft/peer_set.hpp>
#include "host/options/access_format.hpp"
#include "mappings/sources.hpp"

namespace weft::host::options {

/// `unix:/run/weft.sock`: a Unix socket at an absolute path.
struct UnixAddress {
  std::string path;
};

/// `tcp:HOST:PORT`. The host is a name, an IPv4 address, an IPv6 address (without its brackets), or
/// `*` for every address of the machine. Port 0 lets the system choose one.
struct TcpAddress {
  std::string host;
  std::uint16_t port = 0;
};

/// `fd:N`: a listening socket that the parent process left open on descriptor N.
struct DescriptorAddress {
  int number = 0;
};

using ListenAddress = std::variant<UnixAddress, TcpAddress, DescriptorAddress>;

/// The address as `--listen` takes it.
[[nodiscard]] std::string ToString(const ListenAddress& address);

/// Which symbolic links static files may be reached by.
enum class FollowLinks { kOff, kWithinRoot, kOn };

/// Which connections a worker lets others of the host have: none; new ones; those that are there, too.
enum class ShareConnections { kOff, kNew, kAll };

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// A bound that the system keeps for a process, setrlimit(2).
struct ResourceLimit {
  int resource = 0;       ///< RLIMIT_NOFILE and so on.
  std::string_view name;  ///< As `--limit` takes it; of static duration.
  /// RLIM_INFINITY: none.
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

/// Which variables of the environment handlers see.
struct Environment {
  bool all = false;
  std::vector<std::string> kept{};  ///< Names; one may end with *.
  std::vector<std::pair<std::string, std::string>> set{};
};

/// A line for people, or an object for programs.
enum class LogFormat { kText, kJson };

/// Where the log goes.
struct LogTarget {
  enum class Kind { kStandardError, kFile, kJournald };
  Kind kind = Kind::kStandardError;
  std::string path{};  ///< of the file, or of journald's socket
};

/// How many workers there are; docs/decisions/0023-process-models.md.
enum class ProcessModel {
  kStatic,    ///< As many as `workers`, always.
  kDynamic,   ///< As many as the load asks for, between two bounds.
  kOnDemand,  ///< The same, and none while nobody asks for anything.
};

/// So many crashes of workers within that time end the host.
struct CrashLimit {
  std::size_t crashes = 0;
  std::chrono::milliseconds within{0};
};

/// How a command that lists something prints it: for people, or for programs.
enum class OutputFormat { kText, kJson, kOpenMetrics };

/// Everything that the commands of `weft` can be told; most of it is for `weft serve`. A default-constructed one is
/// what `weft serve` without any flag, file or variable runs with: the help text prints its defaults from here.
///
/// Each comment gives the unit where the type does not, and the reason for the default. The bounds
/// of each value stand in the option table (option_table.cpp), which is also the help text.
struct Settings {
  /// The INI file that was read; empty: none. For messages only, its values are in here already.
  std::filesystem::path config;

  // Listening.

  /// Where to listen. Empty: sockets passed by systemd, else descriptor 0, else refuse to start.
  /// No default address: a guess would either clash or open a port that nobody asked for.
  std::vector<ListenAddress> listen;
  /// Permission bits of Unix sockets. 0660: the web server joins the group, others stay out.
  unsigned socket_mode = 0660;
  /// Of the Unix sockets that it creates: names or numbers; empty: as the process has it.
  std::string socket_owner;
  std::string socket_group;
  /// Who may connect, besides those that FCGI_WEB_SERVER_ADDRS names. Empty, and the variable too: everybody.
  PeerSet allowed_clients;
  /// Connections that wait to be accepted, per socket. 1024: a burst of a busy web server fits; a
  /// short queue shows as connection errors that nobody can explain. The kernel caps it at
  /// net.core.somaxconn.
  std::size_t backlog = 1024;
  /// Connections open at once, per worker; beyond it accepting pauses and the backlog fills.
  /// 20,000: twice the 10,000 waiting requests that take some 300 MB (docs/benchmarks.md).
  std::size_t max_connections = 20'000;

  // Processes.

  /// The path of the Unix socket where the supervisor answers `weft status`; empty: none. No default: there is no path
  /// that two hosts of one user could share.
  std::string control;
  /// Where the supervisor answers HTTP: /metrics, /live and /ready; nothing: nowhere. No default, as for `listen`.
  std::optional<ListenAddress> metrics_listen;
  /// Worker processes, the most of them where the model is not static; 0 serves in the first process; empty:
  /// WorkerCount() decides.
  std::optional<std::size_t> workers;
  /// Of a host that was spawned: whether it goes on when the process ends that has spawned it. Off: nobody could ask it any
  /// more, nor stop it. spawn-fcgi(1) is known, and always outlived.
  bool outlive_spawner = false;
  ShareConnections share_connections = ShareConnections::kAll;
  /// Static: a worker takes thousands of requests at once, so one for each core is enough for any load, and no request ever
  /// waits for one to start. The others save memory where a machine has many hosts.
  ProcessModel process_model = ProcessModel::kStatic;
  /// Of a dynamic host: the least workers; empty: MinWorkers().
  std::optional<std::size_t> min_workers;
  /// Of a dynamic host: in workers, what must be free at least, and what may be free at most; empty: MinSpareWorkers(),
  /// MaxSpareWorkers(). Their distance keeps a load that stays from starting and ending the same worker again and again.
  std::optional<std::size_t> min_spare_workers;
  std::optional<std::size_t> max_spare_workers;
  /// Where the model is not static: how long a worker that is not needed stays; empty: WorkerIdleTimeout().
  std::optional<std::chrono::milliseconds> worker_idle_timeout;
  /// Requests after which a worker is replaced; 0: never. Off, as are the next two: what leaks is mended, and until then its
  /// owner knows when it hurts. None of them costs a request.
  std::size_t recycle_requests = 0;
  /// The age at which it is.
  std::chrono::milliseconds recycle_age{0};
  /// Bytes of memory of its own beyond which it is.
  std::size_t recycle_memory = 0;
  /// By how many percent the first two are lowered at most, for each worker by chance. 10: of workers that were started
  /// together an hour ago each goes in a minute of its own, and a bound stays what its owner takes it for.
  std::size_t recycle_jitter = 10;
  /// None by default: the workers that are left, and those that replace the dead, serve all but the requests that kill, and a host
  /// that ends serves nobody. For where another machine takes over.
  std::optional<CrashLimit> max_crashes;
  /// Workers that end before they are ready, one after the other, until the host gives up; once any
  /// was ready it never does. 5: with the growing delays between them some 1.5 s, and as many as
  /// systemd's StartLimitBurst.
  std::size_t max_start_failures = 5;
  /// From a worker's start until it is ready, modules loaded; then it is killed and has failed to start. The other
  /// commands give each module as long: one that takes longer serves nobody. 0: it may take for ever. 60s: far above what
  /// modules may sensibly take, and within the 90 s of systemd's TimeoutStartSec.
  std::chrono::milliseconds start_timeout{60'000};
  /// How long running requests may take to end after a stop was asked for; empty: DrainTimeout().
  std::optional<std::chrono::milliseconds> drain_timeout;

  // What the processes that run handlers may do. The supervisor runs none, and stays what it was started as.

  /// The folder that is the root of the whole host, and of all paths that options name but --config; empty: the system's.
  std::string chroot;
  /// Whose they are: names or numbers; empty: as started. Only root may name others.
  std::string user;
  std::string group;
  /// Their limits; those that are not named stay as they were inherited.
  std::vector<ResourceLimit> resource_limits;
  /// Whether a program that they start may have more rights than they (setuid, setgid, capabilities). On: it may not, ever.
  /// Off by default, for sending mail by sendmail(8) needs it.
  bool no_new_privileges = false;
  /// Their umask; empty: as inherited.
  std::optional<unsigned> umask;
  /// Empty: KeptVariables().
  std::optional<Environment> environment;

  // Handlers.

  /// The folder of machine.json and the sites. Empty: the built-in mappings alone.
  std::filesystem::path mappings;
  /// The document roots whose own folders may hold mapping files, at most one for a host. Empty: none are looked for
  /// there. Off by default, for whoever may write below a document root decides with them what runs.
  std::vector<mappings::DocumentRoot> document_root_mappings;
  /// How often changes of its files are looked for; 0s: never, SIGHUP alone reloads them. 250ms: with the reading,
  /// a change takes effect within a second, and a look at a hundred folders costs a fifth of a millisecond.
  std::chrono::milliseconds reload_interval{250};
  /// The folders of the handler modules, the first one that has a NAME.so wins; empty: ModuleFolders() looks beside
  /// the program.
  std::vector<std::filesystem::path> modules;
  /// Instances of one class of handlers that are kept for later requests, per worker; what comes back beyond it is
  /// destroyed. 64: as many as run at once on the blocking threads, so that a plain handler under any load is
  /// seldom made anew; more help only where making one is dear, a connection of its own say.
  std::size_t handler_pool = 64;
  /// How long what a `.ashx` file says is used before the file is looked at again; 0: at every request. 1s: an edit
  /// shows at once to who edits, and a file costs one look a second, on a thread, whatever its load.
  std::chrono::milliseconds ashx_check_interval{1'000};
  /// `.ashx` files that are remembered, per worker; at that many all are forgotten. 10,000: some megabytes, and more
  /// than a site has; only files that exist count.
  std::size_t ashx_files = 10'000;
  /// Symbolic links on the way from a document root to a static file. Within the root: what somebody lays out among the
  /// pages is arranged freely, and no link, left by mistake or by a foe, opens the rest of the machine.
  FollowLinks follow_links = FollowLinks::kWithinRoot;
  /// Forms of static files that lie beside them, compressed beforehand, the preferred one first. Empty: none, for a look
  /// costs each request one or more opens.
  std::vector<ContentCoding> precompressed;
  /// Ranges of one request for a static file; more count for nothing. 100: far above what readers of documents and players
  /// ask for, and what is sorted and sent for one is small.
  std::size_t max_ranges = 100;
  /// The list of media types; empty: /etc/mime.types if there is one, "none": those that are built in alone.
  std::string mime_types;
  /// Handlers that one request may execute inside one another; beyond it 500. 10: deeper than what is meant, and far from
  /// what the stack of a fiber bears. 0: none.
  std::size_t max_execute_depth = 10;
  /// A folder for the reports of workers' crashes, a file each; empty: the log alone has them.
  std::string crash_dir;
  /// Show details of errors to clients on the loopback interface. Off: they name files and code.
  bool debug = false;

  // Limits of one worker. Beyond a limit the answer is 4xx or 503, never a queue without end.

  /// Requests in flight, per worker; beyond it 503. As many as connections: more can only come
  /// from a server that multiplexes.
  std::size_t max_requests = 20'000;
  /// Handlers that work on after HttpResponse::Finish(), per worker; beyond it the client waits for the handler. 256: as
  /// many as a worker easily bears, for no web server bounds what it no longer knows of.
  std::size_t max_finished = 256;
  /// Requests at once on one multiplexed connection. 1024: far above HAProxy's max-reqs (the only
  /// server that multiplexes; 1 unless raised), and one connection cannot take a worker for itself.
  std::size_t max_requests_per_connection = 1024;
  /// Bytes of one request's parameters (its header fields and URL). 128K: twice the 64 KiB that
  /// Apache, lighttpd and nginx can send at all in their one PARAMS record.
  std::size_t max_params_bytes = 131'072;
  /// Number of one request's parameters. 1024: servers send 30 and pass on at most some hundred
  /// header fields (Apache's LimitRequestFields is 100).
  std::size_t max_params = 1024;
  /// Fields of one request's query, of its form, and its cookies; beyond it 400, where a handler asks for them. 1000:
  /// ASP.NET's and PHP's default, far above what pages send.
  std::size_t max_fields = 1000;
  /// Bytes of the value of one field of a form; beyond it 413. 1M: a long text; larger things are sent as files, which cost no
  /// memory.
  std::size_t max_field_bytes = 1'048'576;
  /// Bytes of the name of one field of a form; beyond it 413. 2048: ASP.NET Core's default.
  std::size_t max_field_name_bytes = 2'048;
  /// Bytes of the names and values of all fields of a form, which are in memory while its handler runs; beyond it 413. 4M:
  /// the default of ASP.NET for a whole request.
  std::size_t max_form_bytes = 4'194'304;
  /// Files of one form; beyond it 400. 1000: as fields; a folder that is sent whole may have more.
  std::size_t max_files = 1000;
  /// Bytes of the header fields of one part of a multipart body; beyond it 400. 16K: ASP.NET Core's default; browsers send some
  /// hundred.
  std::size_t max_part_header_bytes = 16'384;
  /// Bytes of one request's body; beyond it 413. 30,000,000 is the default of IIS and Kestrel. A
  /// mapping's maxRequestBytes may lower or raise it for its folder.
  std::size_t max_request_bytes = 30'000'000;
  /// Bytes of a body that wait for the handler to read them; beyond it the connection is not read
  /// further. 256K: a handler that reads keeps a fast sender busy, a stuck one costs little.
  std::size_t stdin_buffer_bytes = 262'144;
  /// Bytes of a response that gather before they are sent. 64K: one full FastCGI record.
  std::size_t output_buffer_bytes = 65'536;
  /// What waits in a Unix socket through which a file is sent. 1M: lighttpd is woken for more at once, and takes it half as fast again;
  /// more sent nothing faster.
  std::size_t file_send_buffer_bytes = 1'048'576;
  /// Bytes of all bodies that a worker holds in memory; beyond it 503. 1G: some thirty of the
  /// largest bodies at once, and within the memory of a small machine.
  std::size_t max_buffered_bytes = std::size_t{1} << 30;
  /// Bytes of one body that are kept in memory; a longer one goes to a temporary file. 80K: ASP.NET's; forms without files stay
  /// below it, and 10,000 bodies at once within the 1G of max_buffered_bytes.
  std::size_t body_memory_bytes = 81'920;
  /// The folder of temporary files. Empty: TMPDIR, or /tmp. Where that is in memory, a tmpfs, another one is better.
  std::string temporary_folder;
  /// Bytes of all temporary files of a worker; beyond it 503. 16G: some five hundred of the largest bodies at once.
  std::size_t max_temporary_bytes = std::size_t{16} << 30;
  /// Bytes that a worker puts by for when the system has no more memory: what must not fail, to wait for the next
  /// event and to end connections, is served from it. 512K: its requests take more, and may fail.
  std::size_t memory_reserve = 524'288;

  // Timeouts.

  /// From a request's first byte to its last parameter. 10s: a local web server sends them in one
  /// write; what takes longer is stuck.
  std::chrono::milliseconds header_timeout{10'000};
  /// A kept connection without a request. 120s: twice the 60 s of nginx's keepalive_timeout for
  /// upstreams, so that it is the server who closes and no request meets a closing socket.
  std::chrono::milliseconds idle_timeout{120'000};
  /// Between two reads of a body. 60s: nginx's client_body_timeout.
  std::chrono::milliseconds body_timeout{60'000};
  /// Between two writes that the peer accepts. 60s: nginx's send_timeout.
  std::chrono::milliseconds send_timeout{60'000};
  /// After the last byte was sent, how long to wait for the peer to close. 2s: it has the
  /// whole answer by then, or does not want it.
  std::chrono::milliseconds linger_timeout{2'000};
  /// For a handler that works on after HttpResponse::Finish(), from there. 110s: as long as executionTimeoutSeconds gives it
  /// before.
  std::chrono::milliseconds finish_timeout{110'000};

  /// For a plain handler, and a call of weft::Offload(), to return once its request was cancelled by its deadline; then its
  /// worker is replaced. 1s: whoever looks at the token, reads or writes is out by then, and few others are.
  std::chrono::milliseconds overdue_grace{1'000};

  // Proxies in front of the web server.

  /// Whose word about the client is taken. Empty: nobody's, for anybody can send these header fields.
  PeerSet trusted_proxies;
  /// The header fields in which it is taken; empty: those of X-Forwarded-*, which proxies set most.
  std::vector<std::string> forwarded_headers;

  // Answers.

  /// `--sendfile`: files that the web server sends itself. None: it must be configured to, and who may name files to it
  /// may have it send them.
  HttpResponseSettings response;
  /// `--compression off` was said: codings in front of it or behind it contradict that.
  bool compression_off = false;

  // Threads and stacks of one worker.

  /// Threads for handlers that block. 64: enough for a database's connection pool, and small beside
  /// what a worker uses otherwise.
  std::size_t blocking_threads = 64;
  /// Calls that wait for one of these threads; beyond it 503. 1024: 16 per thread, so a wait stays
  /// in the order of a request's own time.
  std::size_t blocking_queue = 1024;
  std::size_t max_tasks = 20'000;
  /// How long a call may wait for one of these threads; then 503. 10s: who waited longer has most likely gone, and an answer
  /// for nobody takes a thread from those who still wait.
  std::chrono::milliseconds queue_timeout{10'000};
  /// How long requests may wait for a thread, or for the reactor, when they do so for longer than `shed_interval`: what would wait
  /// longer is refused, 503, before it waits. 0: nothing is. 50ms: nobody notices, and it is far beyond what a load
  /// that can be borne makes of it.
  std::chrono::milliseconds shed_target{50};
  /// What is a burst. 500ms: ten thousand clients that come at the same moment to handlers that wait are taken up within it, and
  /// before a load that lasts is known as one, the queue for a thread has less than that in it.
  std::chrono::milliseconds shed_interval{500};
  /// A thread that had nothing to do for so long ends. 10s: a load that comes in waves finds its threads, and the stacks and
  /// thread-local memory of a peak do not stay for days.
  std::chrono::milliseconds blocking_idle{10'000};
  /// Bytes of a fiber's stack, a power of two. 256K: libraries that print or parse take 100 KiB and more; untouched pages cost
  /// no memory.
  std::size_t stack_size = 262'144;
  /// Stacks kept for reuse. 256: covers the usual concurrency of one worker in at most 64 MiB.
  std::size_t idle_stacks = 256;

  /// How long one handler may hold the reactor's thread until it is told with its stack; 0: nobody looks. 100ms: what people
  /// notice, and all other requests of the worker wait for it.
  std::chrono::milliseconds stall_threshold{100};

  // Logging.

  /// The least level that is logged.
  LogLevel log_level = LogLevel::kInfo;
  /// Standard error: a service manager, a container, or the web server takes it from there.
  LogTarget log;
  LogFormat log_format = LogFormat::kText;
  /// Events of one kind a second that are logged, of one process, once its burst is used up; 0: all. 50: a failure that comes with
  /// every request is seen, and fills a disk with no more than some megabytes an hour.
  std::size_t log_rate = 50;
  /// 500: a load test's failures, say, are all there.
  std::size_t log_burst = 500;
  /// Requests that take longer are told with the stack of their handler; 0: none. Off: what is slow, each site says for itself.
  std::chrono::milliseconds slow_log_threshold{0};
  /// The file of the slow log; empty: the log.
  std::string slow_log;
  /// Where access lines go: empty = nowhere, "-" = standard error, else a file or FIFO. Off: the web server
  /// in front writes one already.
  std::string access_log;
  /// How. Text: key=value, which both people and programs read.
  AccessFormat access_log_format;
  /// Paths whose successes it leaves out: health checks, say. One that ends in * stands for all that begin so.
  std::vector<std::string> access_log_skip;

  // Traces of requests.

  /// Requests of a host whose traces are kept, for weft::TraceHandler; 0: none. Off: it costs time and memory, and tells much.
  std::size_t trace = 0;
  /// Bytes of one, at most. 16K: a browser's request has 2 to 4 KiB of parameters, and some lines of the log fit beside.
  std::size_t trace_bytes = 16'384;

  // Commands that list something.

  OutputFormat format = OutputFormat::kText;
  /// How long `weft reload` waits for the outcome. 10m: a trial and the first worker have `start_timeout` each, and a
  /// reload that goes on is waited for before.
  std::chrono::milliseconds reload_timeout{600'000};
  /// Where the site's files are, for `weft explain` and `weft check`. Empty: where `document_root_mappings` has them, else
  /// nothing exists. `weft serve` is told by the web server.
  std::filesystem::path document_root;
  /// Whose files these are, for `weft check`; whom `weft ping --path` asks; to whom the requests went that `weft recording` imports. Empty: the site
  /// for all other hosts, or all.
  std::string host;

  // `weft new`.

  /// The folder of the project; empty: the module's name, here. Of `weft recording`, what is written: a folder, or a file.
  std::filesystem::path output;
  /// The handler runs on a fiber. Off: what blocks is right in it, too.
  bool new_async = false;

  // `weft recording`.

  /// The form that recordings are exported in is HAR: the one there is, said so that another can be added.
  bool har = false;
  /// What is there is replaced. Off: recordings are edited by hand, and an import is soon done twice.
  bool force = false;
  /// Secrets stay in what is imported. Off: recordings are meant for repositories.
  bool keep_secrets = false;

  // `weft ping`.

  /// How long each address may take to answer. 5s: far above what a host that is well takes, and less than what who asks
  /// for health gives.
  std::chrono::milliseconds ping_timeout{5'000};
  /// The path and query of a request; empty: only whether a worker answers.
  std::string ping_path;

  /// Where the mapping files lie: `mappings` and `document_root_mappings`.
  [[nodiscard]] mappings::MappingSources Mappings() const {
    return {.directory = mappings, .document_roots = document_root_mappings};
  }

  /// `forwarded_headers`, or else their default.
  [[nodiscard]] ForwardedFields BelievedFields() const;
  /// `environment`, or what it is by default: all for a host that a web server has spawned, whose configuration says what it
  /// gets; else where programs, the home, and temporary files lie, the language and the time zone.
  [[nodiscard]] Environment KeptVariables(bool spawned) const;

  /// `workers`, or else: 0 when spawned (a spawner starts as many processes as it wants and cannot
  /// see ours), one per core otherwise.
  [[nodiscard]] std::size_t WorkerCount(bool spawned) const;

  /// `min_workers`, or else 1: there is always one, so that no request waits for its start. On demand: 0.
  [[nodiscard]] std::size_t MinWorkers() const;
  /// `min_spare_workers`, or else 1: a core's worth of requests more finds its worker.
  [[nodiscard]] std::size_t MinSpareWorkers() const;
  /// `max_spare_workers`, or else one more than the least, the smallest distance at which a load that stays leaves the workers alone.
  [[nodiscard]] std::size_t MaxSpareWorkers() const;
  /// `worker_idle_timeout`, or else 10 s, as php-fpm has it: a load that comes in waves finds its workers.
  [[nodiscard]] std::chrono::milliseconds WorkerIdleTimeout() const;
  /// The first option, with its dashes, that needs a supervisor, which a process with 0 workers does not have; empty: there is none.
  [[nodiscard]] std::string_view NeedsSupervisor() const;

  /// `drain_timeout`, or else: 2 s when spawned (mod_fcgid kills about 3 s after SIGTERM, and cancelled
  /// requests get one more second), 30 s otherwise (a container's usual grace).
  [[nodiscard]] std::chrono::milliseconds DrainTimeout(bool spawned) const;

  /// `modules`, or else `modules` beside the folder of the running program (/opt/weft/modules for
  /// /opt/weft/bin/weft) if there is one, or else that of the installation (/usr/local/lib/weft/modules for
  /// /usr/local/bin/weft) if there is one, or else empty: no modules.
  [[nodiscard]] std::vector<std::filesystem::path> ModuleFolders() const;
};

}  // namespace weft::host::options
