// fcgi-load: a load generator for FastCGI hosts, and the meter of scripts/bench.
//
// One thread, one epoll. Closed loop: every slot (a connection, or an id of a multiplexed one)
// sends its next request when it has the answer to the last. With --rate open loop: requests are
// wanted at random times, so many a second on average (a Poisson process, as of clients that know
// nothing of each other), however long the answers take; one that is wanted while every slot is busy
// waits for the next that is free.
//
// A request's latency runs from the moment it is wanted, so with --keep 0 it includes connecting, and
// with --rate the wait for a slot, to END_REQUEST. Each answer is
// checked; what is wrong or missing is counted by kind and makes the exit code 1. A request
// unanswered for
// --stall-seconds ends the run with exit code 3. Only right answers enter the latencies.
//
// The generator needs CPU of its own (printed as "generator CPU"): where that is near one core, or
// server and generator share cores, req/s says little and server CPU per request is the figure.
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <queue>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/support/fcgi/fcgi_client.hpp"

namespace {

using weft::testsupport::CgiResponse;
using weft::testsupport::Connection;
using weft::testsupport::Endpoint;
using weft::testsupport::Pairs;
using weft::testsupport::ProtocolError;
using weft::testsupport::ProtocolStatus;
using weft::testsupport::RecordDecoder;
using weft::testsupport::RecordType;
using weft::testsupport::RecordView;
using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::milliseconds;

// Looked at this often: the memory of the server, stalled requests. Reading /proc for 20 processes
// takes the generator about 0.2 ms, so this stays below 1 % of it.
constexpr milliseconds kTick{100};
// The tree of processes changes rarely and is dear to read (all of /proc).
constexpr milliseconds kTreeRefresh{1000};
// Before connecting again: a full backlog empties within a turn of the server's loop; a server that
// refuses is not asked thousands of times a second.
constexpr milliseconds kBacklogRetry{1};
constexpr milliseconds kRefusedRetry{10};

// Replaced in the bytes of a request by as many digits.
constexpr std::string_view kRandomPlace = "{random}";
constexpr std::size_t kMostRandom = 99'999'999;

constexpr int kExitErrors = 1;
constexpr int kExitUsage = 2;
constexpr int kExitStalled = 3;

volatile sig_atomic_t told_to_stop = 0;

struct Options {
  std::string connect;
  std::size_t connections = 16;
  std::size_t requests = 0;  // 0: by time
  double seconds = 0;
  bool keep = true;
  std::string method = "GET";
  std::string script_name = "/";
  std::string query;
  std::string document_root = "/srv/www";
  Pairs params;
  std::size_t body_bytes = 0;
  std::optional<std::string> expect_body;
  std::optional<std::pair<std::size_t, std::string>> expect_times;
  std::size_t random = 0;
  double rate = 0;  // 0: closed loop
  double settle = 0;
  double ramp = 0;
  bool allow_503 = false;
  std::size_t multiplex = 1;
  std::size_t warmup = 0;
  milliseconds pause{0};
  double stall_seconds = 10;
  std::vector<int> pids;
  bool json = false;
};

constexpr const char* kUsage =
    R"(usage: fcgi-load --connect unix:/path|tcp:host:port (--requests N | --seconds S) [options]
  --connections C      concurrent connections (16)
  --keep 0|1           1: kept connections, id 1 reused as nginx does (default); 0: a fresh one each
  --multiplex M        concurrent ids on each connection (1)
  --warmup N           requests before the measured ones (0)
  --pause-ms P         pause of a slot between an answer and its next request (0)
  --rate R             R requests a second at random times, whatever the answers take; not with
                       --pause-ms or --requests
  --method M  --script-name /path  --query Q  --document-root DIR  --body-bytes N
  --param NAME=VALUE   replaces a parameter of that name, or adds one; repeatable
  --settle S           with --rate: so many seconds before the measured ones, at the same rate. Then
                       server CPU per request is not told
  --ramp S             closed loop: the slots start one after another within so many seconds (0)
  --random N           replaces {random} in --query by a number from 1 to N, another for each
                       request, of eight digits
  --expect-body TEXT   the answer's body; status 200 is always expected. With --random, {random}
                       is the number that was asked for, without leading zeros
  --expect-times N:TEXT  the answer's body holds TEXT so many times
  --allow-503          answers of status 503 are no errors: they are counted apart
  --stall-seconds S    a request unanswered for longer ends the run, exit code 3 (10)
  --pid PID            measure CPU and memory of this process and all below it; repeatable
  --json               one line of JSON instead of text
exit code: 0 all answers right, 1 errors, 2 usage, 3 stalled
)";

class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename Number>
Number ParseNumber(std::string_view option, std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < Number{}) {
    throw UsageError("--" + std::string(option) + ": no number: " + std::string(text));
  }
  return number;
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  using Setter = std::function<void(std::string_view name, const char* value)>;
  const auto text = [](std::string& field) -> Setter {
    return [&field](std::string_view, const char* value) { field = value; };
  };
  const auto number = [](auto& field) -> Setter {
    return [&field](std::string_view name, const char* value) {
      field = ParseNumber<std::remove_reference_t<decltype(field)>>(name, value);
    };
  };
  const std::vector<std::pair<const char*, Setter>> setters = {
      {"connect", text(options.connect)},
      {"connections", number(options.connections)},
      {"requests", number(options.requests)},
      {"seconds", number(options.seconds)},
      {"keep", [&](std::string_view name,
                   const char* value) { options.keep = ParseNumber<int>(name, value) != 0; }},
      {"method", text(options.method)},
      {"script-name", text(options.script_name)},
      {"query", text(options.query)},
      {"document-root", text(options.document_root)},
      {"param",
       [&](std::string_view, const char* value) {
         const char* equals = std::strchr(value, '=');
         if (!equals) throw UsageError("--param: NAME=VALUE");
         options.params.emplace_back(std::string(value, equals), equals + 1);
       }},
      {"body-bytes", number(options.body_bytes)},
      {"expect-body", [&](std::string_view, const char* value) { options.expect_body = value; }},
      {"expect-times",
       [&](std::string_view name, const char* value) {
         const char* colon = std::strchr(value, ':');
         if (!colon || colon[1] == '\0') throw UsageError("--expect-times: N:TEXT");
         options.expect_times.emplace(
             ParseNumber<std::size_t>(name, std::string_view(value, colon)), colon + 1);
       }},
      {"random", number(options.random)},
      {"rate", number(options.rate)},
      {"settle", number(options.settle)},
      {"ramp", number(options.ramp)},
      {"multiplex", number(options.multiplex)},
      {"warmup", number(options.warmup)},
      {"pause-ms",
       [&](std::string_view name, const char* value) {
         options.pause = milliseconds(ParseNumber<int>(name, value));
       }},
      {"stall-seconds", number(options.stall_seconds)},
      {"pid", [&](std::string_view name,
                  const char* value) { options.pids.push_back(ParseNumber<int>(name, value)); }},
  };
  std::vector<option> table;
  table.reserve(setters.size() + 3);
  for (const auto& [name, setter] : setters) table.push_back({name, required_argument, nullptr, 0});
  table.push_back({"json", no_argument, nullptr, 'j'});
  table.push_back({"allow-503", no_argument, nullptr, 'a'});
  table.push_back({nullptr, 0, nullptr, 0});
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  for (int c, at = 0; (c = getopt_long(argc, argv, "", table.data(), &at)) != -1;) {
    if (c == 'j') {
      options.json = true;
    } else if (c == 'a') {
      options.allow_503 = true;
    } else if (c == 0) {
      const auto& [name, setter] = setters[static_cast<std::size_t>(at)];
      setter(name, optarg);
    } else {
      throw UsageError("bad option");
    }
  }
  if (optind != argc) throw UsageError(std::string("unexpected ") + argv[optind]);
  if (options.connect.empty()) throw UsageError("--connect is missing");
  if ((options.requests > 0) == (options.seconds > 0))
    throw UsageError("either --requests or --seconds");
  if (options.connections == 0) throw UsageError("--connections 0");
  if (options.multiplex == 0 || options.multiplex > 0xffff)
    throw UsageError("--multiplex: 1 to 65535");
  if (options.multiplex > 1 && !options.keep)
    throw UsageError("--multiplex needs kept connections");
  if (options.rate > 0 && (options.pause.count() > 0 || options.requests > 0))
    throw UsageError("--rate goes with --seconds, and without --pause-ms");
  if (options.settle > 0 && options.rate <= 0) throw UsageError("--settle goes with --rate");
  if (options.ramp > 0 && (options.rate > 0 || options.warmup > 0))
    throw UsageError("--ramp goes without --rate and --warmup");
  if (options.random > kMostRandom) throw UsageError("--random: at most 99999999");
  if (options.random > 0 && options.query.find(kRandomPlace) == options.query.npos)
    throw UsageError("--random needs a --query with {random} in it");
  return options;
}

/// What a browser's request becomes behind nginx: 27 parameters, about 900 bytes.
Pairs MakeLoadParams(const Options& options) {
  weft::testsupport::WebRequest request;
  request.method = options.method;
  request.url = "http://bench.example.org" + options.script_name;
  if (!options.query.empty()) request.url += "?" + options.query;
  request.document_root = options.document_root;
  request.body_bytes = options.body_bytes;
  request.headers = {
      {"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
      {"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
      {"Accept-Language", "en-GB,en;q=0.5"},
      {"Accept-Encoding", "gzip, deflate, br"},
      {"Cookie", "session=4f1c8a52e07d4be39a61; theme=dark"},
      {"Upgrade-Insecure-Requests", "1"},
  };
  if (options.body_bytes > 0) {
    request.headers.emplace_back("Content-Type", "application/octet-stream");
  }
  Pairs params = MakeParams(weft::testsupport::WebServer::kNginx, request);
  for (const auto& given : options.params) {
    const auto same = std::find_if(params.begin(), params.end(),
                                   [&](const auto& param) { return param.first == given.first; });
    if (same == params.end()) {
      params.push_back(given);
    } else {
      same->second = given.second;
    }
  }
  return params;
}

/// CPU time and memory of processes and all their descendants, from /proc.
class ProcessTree {
 public:
  explicit ProcessTree(std::vector<int> roots) : roots_(std::move(roots)) { Refresh(); }

  bool Empty() const { return roots_.empty(); }
  std::size_t Size() const { return members_.size(); }

  /// Reads the whole tree anew. By parent ids: /proc/PID/task/TID/children is not in every kernel.
  void Refresh() {
    refreshed_ = Clock::now();
    members_.clear();
    if (roots_.empty()) return;
    std::unordered_map<int, std::vector<int>> children;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      int pid = 0;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
      if (error != std::errc{} || end != name.data() + name.size()) continue;
      if (const auto stat = ReadStat(pid)) children[stat->parent].push_back(pid);
    }
    members_ = roots_;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const auto found = children.find(members_[i]);
      if (found == children.end()) continue;
      for (const int child : found->second) {
        if (std::find(members_.begin(), members_.end(), child) == members_.end()) {
          members_.push_back(child);
        }
      }
    }
  }

  void RefreshIfOld(Time now) {
    if (now - refreshed_ >= kTreeRefresh) Refresh();
  }

  /// CPU time by process, in clock ticks.
  struct Cpu {
    std::unordered_map<int, long> own;
    long total = 0;  // with what reaped children used: a worker that died is not lost
  };

  Cpu ReadCpu() {
    Refresh();
    Cpu cpu;
    for (const int pid : members_) {
      if (const auto stat = ReadStat(pid)) {
        cpu.own[pid] = stat->cpu_ticks;
        cpu.total += stat->cpu_ticks + stat->reaped_ticks;
      }
    }
    return cpu;
  }

  /// The sum of VmRSS. Pages shared between the processes count once for each.
  long RssKib() const {
    long pages = 0;
    for (const int pid : members_) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
      long size = 0;
      long resident = 0;
      if (file >> size >> resident) pages += resident;
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
  }

 private:
  struct Stat {
    int parent;
    long cpu_ticks;
    long reaped_ticks;
  };

  static std::optional<Stat> ReadStat(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    // The name, field 2, may hold anything, also blanks and brackets.
    const auto name_end = line.rfind(')');
    if (name_end == line.npos) return std::nullopt;
    Stat stat{};
    char state = 0;
    std::array<long, 4> cpu{};  // fields 14 to 17: utime, stime, cutime, cstime
    const int fields = std::sscanf(line.c_str() + name_end + 1,
                                   " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld %ld %ld",
                                   &state, &stat.parent, &cpu[0], &cpu[1], &cpu[2], &cpu[3]);
    if (fields != 6) return std::nullopt;
    stat.cpu_ticks = cpu[0] + cpu[1];
    stat.reaped_ticks = cpu[2] + cpu[3];
    return stat;
  }

  std::vector<int> roots_;
  std::vector<int> members_;
  Time refreshed_{};
};

/// Why a request has no right answer.
enum class Failure {
  kConnect,      // connect() failed; a full backlog is waited for instead
  kClosed,       // the connection ended before END_REQUEST
  kRefused,      // END_REQUEST with another protocol status than REQUEST_COMPLETE
  kProtocol,     // records that do not belong there
  kBadHeaders,   // no CGI header block
  kWrongStatus,  // not 200
  kWrongBody,    // not the body that was expected
  kStalled,      // unanswered for --stall-seconds
  kInterrupted,  // unanswered when the generator was told to stop
  kCount,
  kShed,  // 503 with --allow-503, which is no failure of the host's
};

constexpr std::array<const char*, static_cast<std::size_t>(Failure::kCount)> kFailureNames = {
    "connect",      "closed",     "refused", "protocol",   "bad_headers",
    "wrong_status", "wrong_body", "stalled", "interrupted"};

struct Results {
  std::vector<std::uint32_t> latencies_us;  // exact, one per right answer
  std::vector<std::uint32_t> shed_us;       // the same of those that were 503, with --allow-503
  std::vector<std::uint32_t> late_us;       // with --rate: by which the generator itself was late
  std::array<std::size_t, kFailureNames.size()> failures{};
  std::size_t idle_closes = 0;  // kept connections closed by the server between requests: no error
  std::size_t backlog_waits = 0;
  std::size_t stderr_bytes = 0;
  std::size_t max_in_flight = 0;
  std::string first_wrong_answer;
  double seconds = 0;

  std::size_t Errors() const {
    std::size_t sum = 0;
    for (const std::size_t count : failures) sum += count;
    return sum;
  }

  /// The smallest that `share` of them did not exceed; nothing without any. Sorted input.
  static std::optional<double> PercentileMs(const std::vector<std::uint32_t>& sorted_us,
                                            double share) {
    if (sorted_us.empty()) return std::nullopt;
    const auto rank = std::ceil(share * static_cast<double>(sorted_us.size()));
    const auto index = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
    return sorted_us[std::min(index, sorted_us.size() - 1)] / 1000.0;
  }
  /// Of the right answers.
  std::optional<double> PercentileMs(double share) const {
    return PercentileMs(latencies_us, share);
  }
};

class Load {
 public:
  Load(const Options& options, ProcessTree& server)
      : options_(options), endpoint_(Endpoint::Parse(options.connect)), server_(server) {
    weft::testsupport::Request request;
    request.params = MakeLoadParams(options);
    request.body.assign(options.body_bytes, 'b');
    request.connection = options.keep ? Connection::kKeep : Connection::kClose;
    for (std::size_t slot = 0; slot < options.multiplex; ++slot) {
      request.id = static_cast<std::uint16_t>(slot + 1);
      request_bytes_.push_back(EncodeRequest(request));
    }
    param_count_ = request.params.size();
    param_bytes_ = weft::testsupport::EncodePairs(request.params).size();

    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
    lines_.resize(options.connections);
    for (Line& line : lines_) line.slots.resize(options.multiplex);
  }

  ~Load() {
    for (Line& line : lines_) {
      if (line.fd >= 0) close(line.fd);
    }
    close(epoll_);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  /// Runs `requests` requests, or for `seconds` when it is 0, and until all are answered.
  Results Run(std::size_t requests, double seconds);

  long PeakRssKib() const { return peak_rss_kib_; }
  bool Stalled() const { return stalled_; }
  std::size_t ParamCount() const { return param_count_; }
  std::size_t ParamBytes() const { return param_bytes_; }

 private:
  /// One id of a connection, and the request that it carries.
  struct Slot {
    bool busy = false;
    Time wanted{};
    std::string answer;
    std::string bytes{};     // with --random, its own copy of the request
    std::size_t random = 0;  // and the number in it
  };
  struct SlotAt {
    std::size_t line;
    std::size_t slot;
  };

  /// One connection, open or to be opened.
  struct Line {
    // kWaiting: in waiting_, because the server's backlog is full.
    enum class State { kClosed, kWaiting, kConnecting, kOpen };

    State state = State::kClosed;
    int fd = -1;
    std::uint32_t generation = 0;  // counts the sockets, so that a late event is known as such
    bool wants_out = false;        // epoll watches for room
    std::vector<Slot> slots;
    std::size_t busy = 0;
    RecordDecoder decoder;
    // Slots whose request is not sent whole yet, and how much of the first one is.
    std::deque<std::uint16_t> unsent;
    std::size_t sent_of_first = 0;
  };

  struct Wakeup {
    Time at;
    std::size_t line;
    std::size_t slot;
    bool operator>(const Wakeup& other) const { return at > other.at; }
  };
  // A wakeup for the lines in waiting_, in the place of a line.
  static constexpr std::size_t kOpenWaiting = ~std::size_t{0};

  void StartIfDue(std::size_t line_at, std::size_t slot_at);
  void Start(std::size_t line_at, std::size_t slot_at, Time wanted);
  void StartArrivals(Time now);
  void DrawRandom(Slot& slot, std::size_t slot_at);
  const std::string& BytesOf(const Line& line, std::uint16_t slot_at) const {
    return options_.random > 0 ? line.slots[slot_at].bytes : request_bytes_[slot_at];
  }
  void Open(std::size_t line_at);
  bool TryOpen(std::size_t line_at);
  void OpenWaiting();
  void Watch(std::size_t line_at, int operation, bool wants_out);
  void Flush(std::size_t line_at);
  void OnEvent(std::size_t line_at, std::uint32_t events);
  void OnReadable(std::size_t line_at);
  void OnRecord(std::size_t line_at, const RecordView& record);
  void Finish(std::size_t line_at, std::size_t slot_at, std::optional<Failure> failure);
  void Count(Line& line, Slot& slot, std::optional<Failure> failure);
  void StartLater(std::size_t line_at, std::size_t slot_at, milliseconds pause);
  std::optional<Failure> Check(const Slot& slot);
  bool HasRightBody(const Slot& slot, const std::string& body) const;
  void Drop(Line& line);
  void FailAll(std::size_t line_at, Failure failure);
  void Tick(Time now);
  std::chrono::nanoseconds WaitTime(Time now) const;

  const Options& options_;
  const Endpoint endpoint_;
  ProcessTree& server_;
  std::vector<std::string> request_bytes_;  // by slot: only the ids differ
  std::size_t param_count_ = 0;
  std::size_t param_bytes_ = 0;
  int epoll_ = -1;
  std::vector<Line> lines_;
  std::priority_queue<Wakeup, std::vector<Wakeup>, std::greater<>> wakeups_;
  std::deque<std::size_t> waiting_;  // lines, in the order in which they wanted to connect
  std::array<char, 65536> read_buffer_{};
  std::mt19937_64 random_{1};  // the same in each run

  // The open loop.
  std::vector<SlotAt> idle_;  // the last that became so is the first to be used, as nginx does
  std::deque<Time> arrived_;  // wanted, and no slot was idle
  Time next_arrival_{};
  bool is_open_loop_ = false;

  Results results_;
  std::size_t budget_ = 0;
  Time measured_from_{};
  Time deadline_{};
  std::size_t started_ = 0;
  std::size_t in_flight_ = 0;
  std::string right_answer_;  // an answer that was found right: its like need not be parsed
  long peak_rss_kib_ = 0;
  bool stalled_ = false;
};

Results Load::Run(std::size_t requests, double seconds) {
  results_ = {};
  if (requests > 0) results_.latencies_us.reserve(requests);
  budget_ = requests;
  started_ = 0;
  const auto duration = [](double time) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(time));
  };
  is_open_loop_ = options_.rate > 0 && requests == 0;
  const Time begin = Clock::now();
  measured_from_ = begin + duration(is_open_loop_ ? options_.settle : 0);
  deadline_ = measured_from_ + duration(seconds);
  idle_.clear();
  next_arrival_ = begin;
  for (std::size_t line = 0; line < lines_.size(); ++line) {
    for (std::size_t slot = 0; slot < options_.multiplex; ++slot) {
      if (is_open_loop_) {
        idle_.push_back({line, slot});
      } else if (options_.ramp > 0) {
        const auto order = static_cast<double>(line * options_.multiplex + slot);
        const auto all = static_cast<double>(lines_.size() * options_.multiplex);
        wakeups_.push({begin + duration(options_.ramp * order / all), line, slot});
      } else {
        StartIfDue(line, slot);
      }
    }
  }

  std::array<epoll_event, 256> events{};
  Time next_tick = begin + kTick;
  while (!stalled_ && !told_to_stop) {
    Time now = Clock::now();
    while (!wakeups_.empty() && wakeups_.top().at <= now) {
      const Wakeup wakeup = wakeups_.top();
      wakeups_.pop();
      if (wakeup.line == kOpenWaiting) {
        OpenWaiting();
      } else {
        StartIfDue(wakeup.line, wakeup.slot);
      }
    }
    if (is_open_loop_) {
      StartArrivals(now);
    }
    // A pause that outlasts the run holds no request: it need not be waited for.
    const bool may_start = budget_ > 0 ? started_ < budget_ : now < deadline_;
    if (in_flight_ == 0 && (!may_start || (wakeups_.empty() && !is_open_loop_))) break;

    const auto wait = WaitTime(now);
    const timespec timeout{.tv_sec = wait.count() / 1'000'000'000,
                           .tv_nsec = wait.count() % 1'000'000'000};
    const int count =
        epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    if (count < 0 && errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "epoll_wait");
    }
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const auto line = static_cast<std::size_t>(event.data.u64 & 0xffffffff);
      if (lines_[line].generation == event.data.u64 >> 32) OnEvent(line, event.events);
    }
    now = Clock::now();
    if (now >= next_tick) {
      Tick(now);
      next_tick = now + kTick;
    }
  }
  results_.seconds = std::chrono::duration<double>(Clock::now() - measured_from_).count();
  if (in_flight_ > 0) {
    budget_ = started_ = 1;  // nothing new starts
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      FailAll(line, Failure::kInterrupted);
    }
  }
  wakeups_ = {};
  waiting_.clear();
  arrived_.clear();
  for (auto* const times : {&results_.latencies_us, &results_.shed_us, &results_.late_us}) {
    std::sort(times->begin(), times->end());
  }
  return std::move(results_);
}

std::chrono::nanoseconds Load::WaitTime(Time now) const {
  std::chrono::nanoseconds left = kTick;
  if (!wakeups_.empty()) left = wakeups_.top().at - now;
  if (is_open_loop_ && next_arrival_ < deadline_) {
    left = std::min<std::chrono::nanoseconds>(left, next_arrival_ - now);
  }
  return std::clamp<std::chrono::nanoseconds>(left, std::chrono::nanoseconds(0), kTick);
}

/// Starts what is wanted by now, as far as there are slots for it.
void Load::StartArrivals(Time now) {
  std::exponential_distribution<double> gap(options_.rate);
  for (; next_arrival_ <= now && next_arrival_ < deadline_ && !told_to_stop;
       next_arrival_ +=
       std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(gap(random_)))) {
    arrived_.push_back(next_arrival_);
    if (next_arrival_ >= measured_from_) {
      const auto late = std::chrono::duration_cast<std::chrono::microseconds>(now - next_arrival_);
      results_.late_us.push_back(static_cast<std::uint32_t>(late.count()));
    }
  }
  while (!arrived_.empty() && !idle_.empty()) {
    const Time wanted = arrived_.front();
    arrived_.pop_front();
    const SlotAt at = idle_.back();
    idle_.pop_back();
    Start(at.line, at.slot, wanted);
  }
}

void Load::StartIfDue(std::size_t line_at, std::size_t slot_at) {
  const Time now = Clock::now();
  const bool due = budget_ > 0 ? started_ < budget_ : now < deadline_;
  if (due && !told_to_stop) Start(line_at, slot_at, now);
}

/// Puts the next number into the slot's request.
void Load::DrawRandom(Slot& slot, std::size_t slot_at) {
  slot.random = std::uniform_int_distribution<std::size_t>(1, options_.random)(random_);
  std::array<char, 24> digits{};  // of any size_t; --random is bounded to as many as fit the place
  std::snprintf(digits.data(), digits.size(), "%08zu", slot.random);
  slot.bytes = request_bytes_[slot_at];
  for (auto at = slot.bytes.find(kRandomPlace); at != slot.bytes.npos;
       at = slot.bytes.find(kRandomPlace, at)) {
    slot.bytes.replace(at, kRandomPlace.size(), digits.data());
  }
}

void Load::Start(std::size_t line_at, std::size_t slot_at, Time wanted) {
  Line& line = lines_[line_at];
  Slot& slot = line.slots[slot_at];
  slot.busy = true;
  slot.wanted = wanted;
  slot.answer.clear();
  if (options_.random > 0) DrawRandom(slot, slot_at);
  ++line.busy;
  ++started_;
  results_.max_in_flight = std::max(results_.max_in_flight, ++in_flight_);
  line.unsent.push_back(static_cast<std::uint16_t>(slot_at));
  if (line.state == Line::State::kClosed) {
    Open(line_at);
  } else if (line.state == Line::State::kOpen && !line.wants_out) {
    Flush(line_at);
  }
}

void Load::Open(std::size_t line_at) {
  // In turn, one try for all: thousands of lines that each knock by themselves would take the CPU
  // from the server that they wait for.
  if (waiting_.empty() && TryOpen(line_at)) return;
  if (waiting_.empty()) wakeups_.push({Clock::now() + kBacklogRetry, kOpenWaiting, 0});
  lines_[line_at].state = Line::State::kWaiting;
  waiting_.push_back(line_at);
}

void Load::OpenWaiting() {
  while (!waiting_.empty()) {
    const std::size_t line_at = waiting_.front();
    if (!TryOpen(line_at)) {
      wakeups_.push({Clock::now() + kBacklogRetry, kOpenWaiting, 0});
      return;
    }
    waiting_.pop_front();
  }
}

/// False when the backlog is full; a Unix socket says so instead of waiting.
bool Load::TryOpen(std::size_t line_at) {
  Line& line = lines_[line_at];
  line.fd = socket(endpoint_.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (line.fd < 0) throw std::system_error(errno, std::generic_category(), "socket");
  if (!endpoint_.IsUnix()) {
    const int on = 1;
    setsockopt(line.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  const auto* address = reinterpret_cast<const sockaddr*>(&endpoint_.address);
  if (connect(line.fd, address, endpoint_.address_bytes) == 0) {
    line.state = Line::State::kOpen;
    Watch(line_at, EPOLL_CTL_ADD, false);
    Flush(line_at);
  } else if (errno == EINPROGRESS) {
    line.state = Line::State::kConnecting;
    Watch(line_at, EPOLL_CTL_ADD, true);
  } else if (errno == EAGAIN) {
    ++results_.backlog_waits;
    close(std::exchange(line.fd, -1));
    return false;
  } else {
    FailAll(line_at, Failure::kConnect);
  }
  return true;
}

void Load::Watch(std::size_t line_at, int operation, bool wants_out) {
  Line& line = lines_[line_at];
  line.wants_out = wants_out;
  epoll_event event{};
  event.events = EPOLLIN;
  if (wants_out) event.events |= EPOLLOUT;
  event.data.u64 = std::uint64_t{line.generation} << 32 | line_at;
  if (epoll_ctl(epoll_, operation, line.fd, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

void Load::Flush(std::size_t line_at) {
  Line& line = lines_[line_at];
  while (!line.unsent.empty()) {
    std::array<iovec, 16> pieces{};
    std::size_t count = 0;
    std::size_t skip = line.sent_of_first;
    for (const std::uint16_t slot : line.unsent) {
      if (count == pieces.size()) break;
      const std::string& bytes = BytesOf(line, slot);
      pieces[count++] = {const_cast<char*>(bytes.data()) + skip, bytes.size() - skip};
      skip = 0;
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(line.fd, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN) break;
      if (errno == EINTR) continue;
      // The peer closed. What it said before is read first; the end shows there.
      line.unsent.clear();
      line.sent_of_first = 0;
      break;
    }
    line.sent_of_first += static_cast<std::size_t>(sent);
    while (!line.unsent.empty() &&
           line.sent_of_first >= BytesOf(line, line.unsent.front()).size()) {
      line.sent_of_first -= BytesOf(line, line.unsent.front()).size();
      line.unsent.pop_front();
    }
  }
  const bool wants_out = !line.unsent.empty();
  if (wants_out != line.wants_out) Watch(line_at, EPOLL_CTL_MOD, wants_out);
}

void Load::OnEvent(std::size_t line_at, std::uint32_t events) {
  Line& line = lines_[line_at];
  if (line.state == Line::State::kConnecting) {
    int error = 0;
    socklen_t error_bytes = sizeof error;
    getsockopt(line.fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes);
    if (error != 0) {
      FailAll(line_at, Failure::kConnect);
      return;
    }
    line.state = Line::State::kOpen;
  }
  if (events & EPOLLOUT) Flush(line_at);
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) OnReadable(line_at);
}

void Load::OnReadable(std::size_t line_at) {
  Line& line = lines_[line_at];
  const std::uint32_t generation = line.generation;
  ssize_t received = 0;
  do {
    received = recv(line.fd, read_buffer_.data(), read_buffer_.size(), 0);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (received <= 0) {
      if (line.busy > 0) {
        FailAll(line_at, Failure::kClosed);
      } else {
        ++results_.idle_closes;
        Drop(line);
      }
      return;
    }
    line.decoder.Feed({read_buffer_.data(), static_cast<std::size_t>(received)});
    try {
      while (const auto record = line.decoder.Next()) {
        OnRecord(line_at, *record);
        if (line.generation != generation) return;
      }
    } catch (const ProtocolError&) {
      // Also where no request waits: bytes after END_REQUEST, for which nginx drops a connection,
      // are an error of their own.
      if (line.busy == 0) ++results_.failures[static_cast<std::size_t>(Failure::kProtocol)];
      FailAll(line_at, Failure::kProtocol);
      return;
    }
  } while (received == static_cast<ssize_t>(read_buffer_.size()));
}

/// Throws ProtocolError when the record does not belong there.
void Load::OnRecord(std::size_t line_at, const RecordView& record) {
  Line& line = lines_[line_at];
  if (record.id == 0 || record.id > line.slots.size()) throw ProtocolError("an id not asked for");
  const std::size_t slot_at = record.id - 1U;
  Slot& slot = line.slots[slot_at];
  if (!slot.busy) throw ProtocolError("a record after END_REQUEST");
  switch (record.type) {
    case RecordType::kStdout:
      slot.answer += record.content;
      break;
    case RecordType::kStderr:
      results_.stderr_bytes += record.content.size();
      break;
    case RecordType::kEndRequest: {
      if (record.content.size() != 8) throw ProtocolError("END_REQUEST is not 8 bytes");
      const auto status = static_cast<ProtocolStatus>(record.content[4]);
      Finish(line_at, slot_at,
             status == ProtocolStatus::kRequestComplete ? Check(slot) : Failure::kRefused);
      break;
    }
    default:
      throw ProtocolError("not a host's record");
  }
}

bool Load::HasRightBody(const Slot& slot, const std::string& body) const {
  if (options_.expect_body) {
    std::string expected = *options_.expect_body;
    const auto at = options_.random > 0 ? expected.find(kRandomPlace) : expected.npos;
    if (at != expected.npos) expected.replace(at, kRandomPlace.size(), std::to_string(slot.random));
    if (body != expected) return false;
  }
  if (options_.expect_times) {
    const auto& [times, text] = *options_.expect_times;
    std::size_t found = 0;
    for (auto at = body.find(text); at != body.npos; at = body.find(text, at + text.size()))
      ++found;
    if (found != times) return false;
  }
  return true;
}

std::optional<Failure> Load::Check(const Slot& slot) {
  const std::string& answer = slot.answer;
  if (!answer.empty() && options_.random == 0 && answer == right_answer_) return std::nullopt;
  std::optional<Failure> failure;
  try {
    const CgiResponse response = weft::testsupport::ParseCgiResponse(answer);
    if (response.status == 503 && options_.allow_503) return Failure::kShed;
    if (response.status != 200) {
      failure = Failure::kWrongStatus;
    } else if (!HasRightBody(slot, response.body)) {
      failure = Failure::kWrongBody;
    }
  } catch (const ProtocolError&) {
    failure = Failure::kBadHeaders;
  }
  if (!failure) {
    right_answer_ = answer;
  } else if (results_.first_wrong_answer.empty()) {
    results_.first_wrong_answer = answer.substr(0, 300);
  }
  return failure;
}

void Load::Finish(std::size_t line_at, std::size_t slot_at, std::optional<Failure> failure) {
  Count(lines_[line_at], lines_[line_at].slots[slot_at], failure);
  // As nginx: the one who asked closes at END_REQUEST and does not wait for the host to.
  if (!options_.keep) Drop(lines_[line_at]);
  StartLater(line_at, slot_at, options_.pause);
}

void Load::Count(Line& line, Slot& slot, std::optional<Failure> failure) {
  if (failure && *failure != Failure::kShed) {
    ++results_.failures[static_cast<std::size_t>(*failure)];
  } else if (slot.wanted >= measured_from_) {
    const auto us =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - slot.wanted);
    (failure ? results_.shed_us : results_.latencies_us)
        .push_back(static_cast<std::uint32_t>(us.count()));
  }
  slot.busy = false;
  --line.busy;
  --in_flight_;
}

void Load::StartLater(std::size_t line_at, std::size_t slot_at, milliseconds pause) {
  if (is_open_loop_) {
    idle_.push_back({line_at, slot_at});  // used in the next turn of the loop
  } else if (pause.count() > 0) {
    wakeups_.push({Clock::now() + pause, line_at, slot_at});
  } else {
    StartIfDue(line_at, slot_at);
  }
}

void Load::Drop(Line& line) {
  if (line.fd >= 0) close(std::exchange(line.fd, -1));
  ++line.generation;
  line.state = Line::State::kClosed;
  line.wants_out = false;
  line.decoder.Reset();
  line.unsent.clear();
  line.sent_of_first = 0;
}

void Load::FailAll(std::size_t line_at, Failure failure) {
  Line& line = lines_[line_at];
  Drop(line);
  // All are counted before one starts anew: the start may fail, and would fail the others again.
  std::vector<std::size_t> failed;
  for (std::size_t slot = 0; slot < line.slots.size(); ++slot) {
    if (!line.slots[slot].busy) continue;
    failed.push_back(slot);
    Count(line, line.slots[slot], failure);
  }
  const milliseconds pause =
      failure == Failure::kConnect ? std::max(options_.pause, kRefusedRetry) : options_.pause;
  for (const std::size_t slot : failed) StartLater(line_at, slot, pause);
}

void Load::Tick(Time now) {
  if (!server_.Empty()) {
    server_.RefreshIfOld(now);
    peak_rss_kib_ = std::max(peak_rss_kib_, server_.RssKib());
  }
  const auto limit = std::chrono::duration<double>(options_.stall_seconds);
  for (Line& line : lines_) {
    for (Slot& slot : line.slots) {
      if (!slot.busy || now - slot.wanted < limit) continue;
      stalled_ = true;
      Count(line, slot, Failure::kStalled);
    }
  }
}

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Room for one descriptor per connection.
void RaiseDescriptorLimit(std::size_t connections) {
  const rlim_t needed = connections + 64;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= needed) return;
  limit.rlim_cur = needed;
  limit.rlim_max = std::max(limit.rlim_max, needed);  // above the hard limit only root succeeds
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    throw std::system_error(errno, std::generic_category(),
                            "RLIMIT_NOFILE of " + std::to_string(needed));
  }
}

/// The figures of a run, in the order in which they are printed.
class Report {
 public:
  void Add(const char* name, std::optional<double> value, int decimals) {
    std::array<char, 64> text{};
    if (value) std::snprintf(text.data(), text.size(), "%.*f", decimals, *value);
    lines_.emplace_back(name, value ? text.data() : "null");
  }
  void Add(const char* name, std::size_t value) {
    lines_.emplace_back(name, std::to_string(value));
  }

  void Print(bool json) const {
    if (!json) {
      for (const auto& [name, value] : lines_) std::printf("%-24s %s\n", name, value.c_str());
      return;
    }
    const char* separator = "{";
    for (const auto& [name, value] : lines_) {
      std::printf("%s\"%s\":%s", separator, name, value.c_str());
      separator = ",";
    }
    std::puts("}");
  }

 private:
  std::vector<std::pair<const char*, std::string>> lines_;
};

int RunLoad(const Options& options) {
  // Requests are to start when they are wanted, not 50 µs later.
  static_cast<void>(prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL));
  RaiseDescriptorLimit(options.connections);
  ProcessTree server(options.pids);
  const long idle_rss_kib = server.RssKib();
  Load load(options, server);
  if (options.warmup > 0) {
    const Results warmup = load.Run(options.warmup, 0);
    if (warmup.Errors() > 0) {
      std::fprintf(stderr, "fcgi-load: %zu errors while warming up\n", warmup.Errors());
    }
  }
  const ProcessTree::Cpu cpu_before = server.ReadCpu();
  const double own_cpu = OwnCpuSeconds();
  Results results;
  if (!load.Stalled() && !told_to_stop) results = load.Run(options.requests, options.seconds);
  const double own_cpu_used = OwnCpuSeconds() - own_cpu;
  const ProcessTree::Cpu cpu_after = server.ReadCpu();
  const long peak_rss_kib = std::max({idle_rss_kib, load.PeakRssKib(), server.RssKib()});

  const std::size_t right = results.latencies_us.size();
  const double seconds = std::max(results.seconds, 1e-9);
  Report report;
  report.Add("requests", right + results.shed_us.size() + results.Errors());
  report.Add("ok", right);
  report.Add("shed", results.shed_us.size());
  report.Add("errors", results.Errors());
  for (std::size_t kind = 0; kind < kFailureNames.size(); ++kind) {
    report.Add(kFailureNames[kind], results.failures[kind]);
  }
  report.Add("seconds", results.seconds, 3);
  report.Add("req_per_s", static_cast<double>(right) / seconds, 1);
  report.Add("p50_ms", results.PercentileMs(0.5), 3);
  report.Add("p90_ms", results.PercentileMs(0.9), 3);
  report.Add("p99_ms", results.PercentileMs(0.99), 3);
  report.Add("max_ms", results.PercentileMs(1), 3);
  if (options.allow_503) {
    report.Add("shed_p50_ms", Results::PercentileMs(results.shed_us, 0.5), 3);
    report.Add("shed_p99_ms", Results::PercentileMs(results.shed_us, 0.99), 3);
  }
  if (options.rate > 0) {
    report.Add("late_p99_ms", Results::PercentileMs(results.late_us, 0.99), 3);
  }
  report.Add("max_in_flight", results.max_in_flight);
  report.Add("idle_closes", results.idle_closes);
  report.Add("backlog_waits", results.backlog_waits);
  report.Add("stderr_bytes", results.stderr_bytes);
  report.Add("params", load.ParamCount());
  report.Add("param_bytes", load.ParamBytes());
  report.Add("generator_cpu_percent", 100 * own_cpu_used / seconds, 1);
  if (!server.Empty()) {
    report.Add("server_processes", server.Size());
    const long used = cpu_after.total - cpu_before.total;
    long busiest = 0;
    for (const auto& [pid, ticks] : cpu_after.own) {
      const auto before = cpu_before.own.find(pid);
      busiest = std::max(busiest, ticks - (before == cpu_before.own.end() ? 0 : before->second));
    }
    std::optional<double> cpu_us;
    const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
    if (right > 0 && options.settle == 0) {
      cpu_us = 1e6 * static_cast<double>(used) / ticks_per_second / static_cast<double>(right);
    }
    // How evenly the processes were used: 50 of two, 6 of sixteen; 100 is one that did it all.
    std::optional<double> busiest_percent;
    if (used > 0) busiest_percent = 100 * static_cast<double>(busiest) / static_cast<double>(used);
    report.Add("server_cpu_us", cpu_us, 2);
    report.Add("busiest_process_percent", busiest_percent, 0);
    report.Add("rss_idle_kib", static_cast<std::size_t>(idle_rss_kib));
    report.Add("rss_peak_kib", static_cast<std::size_t>(peak_rss_kib));
  }
  report.Print(options.json);

  if (!results.first_wrong_answer.empty()) {
    std::fprintf(stderr, "fcgi-load: the first wrong answer:\n%s\n",
                 results.first_wrong_answer.c_str());
  }
  if (load.Stalled()) {
    std::fprintf(stderr, "fcgi-load: requests unanswered for %g s\n", options.stall_seconds);
    return kExitStalled;
  }
  return results.Errors() > 0 ? kExitErrors : 0;
}

}  // namespace

int main(int argc, char** argv) {
  struct sigaction action {};
  action.sa_handler = [](int) { told_to_stop = 1; };
  for (const int number : {SIGTERM, SIGINT}) sigaction(number, &action, nullptr);
  try {
    return RunLoad(ParseOptions(argc, argv));
  } catch (const UsageError& error) {
    std::fprintf(stderr, "fcgi-load: %s\n%s", error.what(), kUsage);
    return kExitUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fcgi-load: %s\n", error.what());
    return kExitUsage;
  }
}
