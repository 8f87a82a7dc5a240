// http-load: asks a web server for several URLs at once, each at random times of a rate of its own (a Poisson process, as of clients
// that know nothing of each other), and tells how long the answers took. scripts/bench sharing runs it.
//
// http-load --port PORT --seconds S --ask NAME:RATE:CONNECTIONS:TARGET...
//
// One thread, one epoll, HTTP/1.1 on kept connections to 127.0.0.1. Open loop: a latency runs from the moment at which its request was
// wanted, so that waiting for a free connection counts. It prints one JSON object a line for each --ask. A 503 is refused, an answer that
// is neither 200 nor 503, or does not come, is wrong; both are in no latency. Exit code 1 where one is wrong.
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Seconds = std::chrono::duration<double>;

/// So long after the end answers are waited for.
constexpr std::chrono::seconds kPatience{10};

/// What is asked for, and how often.
struct Ask {
  std::string name;
  double rate = 0;  // a second
  std::size_t connections = 0;
  std::string request;
  Time next{};               // is wanted
  std::deque<Time> waiting;  // wanted, without a connection
  std::vector<int> idle;     // connections
  std::vector<double> milliseconds;
  std::size_t sent = 0;
  std::size_t refused = 0;
  std::size_t wrong = 0;
};

struct Connection {
  Ask* ask = nullptr;
  Time wanted{};
  std::string answer;
  std::size_t whole = 0;  // bytes of the answer; 0: its head has not all come
  int status = 0;
};

class Load {
 public:
  Load(std::uint16_t port, std::vector<Ask>& asks)
      : asks_(asks), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    for (auto& ask : asks_) {
      for (std::size_t i = 0; i < ask.connections; ++i) {
        ask.idle.push_back(Connect(port, ask));
      }
    }
  }

  void Run(Seconds time) {
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::duration_cast<Clock::duration>(time);
    for (auto& ask : asks_) {
      ask.next = begin + Gap(ask);
    }
    for (auto now = begin; now < end || (busy_ != 0 && now < end + kPatience); now = Clock::now()) {
      auto next = end;
      for (auto& ask : asks_) {
        for (; ask.next <= now && ask.next < end; ask.next += Gap(ask)) {
          ask.waiting.push_back(ask.next);
        }
        while (now < end && !ask.waiting.empty() && !ask.idle.empty()) {
          Send(ask);
        }
        next = std::min(next, ask.next);
      }
      Wait(now < end ? next : now + std::chrono::milliseconds(100));
    }
    for (auto& ask : asks_) {
      ask.wrong = ask.sent - ask.milliseconds.size() - ask.refused;
    }
  }

 private:
  int Connect(std::uint16_t port, Ask& ask) {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::system_error(errno, std::generic_category(), "connect");
    }
    const int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.fd = descriptor;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &wanted);
    if (connections_.size() <= static_cast<std::size_t>(descriptor)) {
      connections_.resize(static_cast<std::size_t>(descriptor) + 1);
    }
    Of(descriptor) = {.ask = &ask, .wanted = {}, .answer = {}, .whole = 0, .status = 0};
    return descriptor;
  }

  Connection& Of(int descriptor) { return connections_[static_cast<std::size_t>(descriptor)]; }

  Clock::duration Gap(const Ask& ask) {
    return std::chrono::duration_cast<Clock::duration>(
        Seconds(std::exponential_distribution<>(ask.rate)(random_)));
  }

  void Send(Ask& ask) {
    const int descriptor = ask.idle.back();
    ask.idle.pop_back();
    auto& connection = Of(descriptor);
    connection.wanted = ask.waiting.front();
    ask.waiting.pop_front();
    ++ask.sent;
    ++busy_;
    if (send(descriptor, ask.request.data(), ask.request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(ask.request.size())) {
      throw std::runtime_error("the web server has closed a connection");
    }
  }

  void Wait(Time until) {
    const auto left =
        std::chrono::duration_cast<std::chrono::nanoseconds>(until - Clock::now()).count();
    timespec time{};
    time.tv_sec = std::max<std::int64_t>(left, 0) / 1'000'000'000;
    time.tv_nsec = std::max<std::int64_t>(left, 0) % 1'000'000'000;
    std::vector<epoll_event> events(64);
    const int count =
        epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &time, nullptr);
    for (int i = 0; i < count; ++i) {
      Read(events[static_cast<std::size_t>(i)].data.fd);
    }
  }

  void Read(int descriptor) {
    auto& connection = Of(descriptor);
    char bytes[16 * 1024];
    const auto count = recv(descriptor, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count <= 0) {
      throw std::runtime_error("the web server has closed a connection");
    }
    connection.answer.append(bytes, static_cast<std::size_t>(count));
    if (connection.whole == 0) {
      const auto head = connection.answer.find("\r\n\r\n");
      if (head == std::string::npos) {
        return;
      }
      connection.status =
          std::atoi(connection.answer.c_str() + std::string_view("HTTP/1.1 ").size());
      const auto length = connection.answer.find("\nContent-Length: ");
      if (length == std::string::npos || length > head) {
        throw std::runtime_error("an answer without a Content-Length");
      }
      connection.whole =
          head + 4 + std::strtoul(connection.answer.c_str() + length + 17, nullptr, 10);
    }
    if (connection.answer.size() < connection.whole) {
      return;
    }
    auto& ask = *connection.ask;
    if (connection.status == 200) {
      ask.milliseconds.push_back(Seconds(Clock::now() - connection.wanted).count() * 1000);
    } else if (connection.status == 503) {
      ++ask.refused;
    }
    connection.answer.clear();
    connection.whole = 0;
    ask.idle.push_back(descriptor);
    --busy_;
  }

  std::vector<Ask>& asks_;
  const int epoll_;
  std::vector<Connection> connections_;  // by descriptor
  std::size_t busy_ = 0;
  std::mt19937_64 random_{1};
};

Ask Parse(std::string_view text) {
  std::vector<std::string> parts;
  for (int i = 0; i < 3; ++i) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) {
      throw std::invalid_argument("--ask NAME:RATE:CONNECTIONS:TARGET");
    }
    parts.emplace_back(text.substr(0, colon));
    text.remove_prefix(colon + 1);
  }
  Ask ask;
  ask.name = parts[0];
  ask.rate = std::stod(parts[1]);
  ask.connections = std::stoul(parts[2]);
  ask.request = "GET " + std::string(text) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  return ask;
}

double Quantile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) {
    return 0;
  }
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(share * static_cast<double>(sorted.size())))];
}

}  // namespace

int main(int count, char** arguments) {
  const option options[] = {{"port", required_argument, nullptr, 'p'},
                            {"seconds", required_argument, nullptr, 's'},
                            {"ask", required_argument, nullptr, 'a'},
                            {}};
  try {
    unsigned long port = 0;
    double seconds = 1;
    std::vector<Ask> asks;
    for (int option = 0; (option = getopt_long(count, arguments, "", options, nullptr)) != -1;) {
      switch (option) {
        case 'p':
          port = std::stoul(optarg);
          break;
        case 's':
          seconds = std::stod(optarg);
          break;
        case 'a':
          asks.push_back(Parse(optarg));
          break;
        default:
          return 64;
      }
    }
    Load load(static_cast<std::uint16_t>(port), asks);
    load.Run(Seconds(seconds));
    std::size_t wrong = 0;
    for (auto& ask : asks) {
      std::ranges::sort(ask.milliseconds);
      std::printf(
          "{\"name\":\"%s\",\"requests\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
          "\"refused\":%zu,\"wrong\":%zu}\n",
          ask.name.c_str(), ask.sent, Quantile(ask.milliseconds, 0.5),
          Quantile(ask.milliseconds, 0.99), Quantile(ask.milliseconds, 1), ask.refused, ask.wrong);
      wrong += ask.wrong;
    }
    return wrong == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "http-load: %s\n", error.what());
    return 74;
  }
}
