// slow-upstream: web servers that take a while, for `scripts/bench fanout`.
//
// One process listens on --ports ports of 127.0.0.1, which the system chooses, and writes their numbers to
// standard output, one a line. A request's head is read, nothing is made of it, and --ms milliseconds later it is
// answered with a text of 100 bytes; the connection ends when the client closes it. One thread.
#include <getopt.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <list>
#include <memory>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

const std::string kAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n" +
    std::string(99, 'x') + "\n";
constexpr std::size_t kMostHeadBytes = 8192;
/// As many as come at once: 500 requests ask each port.
constexpr int kBacklog = 4096;

/// A connection; whatever goes wrong ends it.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, std::chrono::milliseconds time)
      : socket_(std::move(socket)), timer_(socket_.get_executor()), time_(time) {
    error_code ignored;
    static_cast<void>(socket_.set_option(tcp::no_delay(true), ignored));
  }

  void ReadHead() {
    asio::async_read_until(socket_, head_, "\r\n\r\n",
                           [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                             if (!error) {
                               self->head_.consume(bytes);
                               self->AnswerLater();
                             }
                           });
  }

 private:
  void AnswerLater() {
    timer_.expires_after(time_);
    timer_.async_wait([self = shared_from_this()](const error_code&) {
      asio::async_write(self->socket_, asio::buffer(kAnswer),
                        [self](const error_code& error, std::size_t) {
                          if (!error) {
                            self->ReadHead();
                          }
                        });
    });
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  const std::chrono::milliseconds time_;
  asio::streambuf head_{kMostHeadBytes};
};

void Accept(tcp::acceptor& acceptor, std::chrono::milliseconds time) {
  acceptor.async_accept([&acceptor, time](const error_code& error, tcp::socket socket) {
    if (!error) {
      std::make_shared<Session>(std::move(socket), time)->ReadHead();
    } else {
      std::fprintf(stderr, "slow-upstream: accept: %s\n", error.message().c_str());
    }
    Accept(acceptor, time);
  });
}

int Usage() {
  std::fputs("usage: slow-upstream --ports N --ms MILLISECONDS\n", stderr);
  return 2;
}

int Run(int ports, std::chrono::milliseconds time) {
  asio::io_context io(1);
  std::list<tcp::acceptor> acceptors;
  for (int i = 0; i < ports; ++i) {
    auto& acceptor = acceptors.emplace_back(io, tcp::v4());
    acceptor.bind({asio::ip::address_v4::loopback(), 0});
    acceptor.listen(kBacklog);
    std::printf("%d\n", acceptor.local_endpoint().port());
    Accept(acceptor, time);
  }
  std::fflush(stdout);
  io.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int ports = 0;
  int milliseconds = -1;
  const option options[] = {{"ports", required_argument, nullptr, 'p'},
                            {"ms", required_argument, nullptr, 'm'},
                            {nullptr, 0, nullptr, 0}};
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  for (int c = 0; (c = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    switch (c) {
      case 'p':
        ports = std::atoi(optarg);
        break;
      case 'm':
        milliseconds = std::atoi(optarg);
        break;
      default:
        return Usage();
    }
  }
  if (optind != argc || ports < 1 || milliseconds < 0) {
    return Usage();
  }
  try {
    return Run(ports, std::chrono::milliseconds(milliseconds));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "slow-upstream: %s\n", error.what());
    return 1;
  }
}
