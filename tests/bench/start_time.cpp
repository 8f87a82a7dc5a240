// start-time: how long a host takes from its start to the first answer. scripts/bench start runs it.
//
// start-time --connect ADDRESS --script-name PATH -- COMMAND...
//
// It executes the command, connects as soon as somebody listens, asks for PATH, prints the milliseconds from before the fork to the
// whole answer, which must be a 200, and ends the host. One request on one connection, looked for every 0.1 ms.
#include <getopt.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>
#include <thread>

#include "tests/support/fcgi/fcgi_client.hpp"

namespace {

using namespace weft::testsupport;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kBetweenLooks{100};
constexpr std::chrono::seconds kPatience{20};

/// Once somebody listens.
FcgiClient Connect(const Endpoint& endpoint, pid_t host, Clock::time_point until) {
  for (;;) {
    try {
      return FcgiClient(endpoint);
    } catch (const std::system_error&) {
      if (Clock::now() >= until || waitpid(host, nullptr, WNOHANG) != 0) {
        throw;
      }
      std::this_thread::sleep_for(kBetweenLooks);
    }
  }
}

int Measure(const std::string& address, const std::string& path, char** command) {
  const auto endpoint = Endpoint::Parse(address);
  WebRequest asked;
  asked.url = path;
  Request request;
  request.params = MakeParams(WebServer::kNginx, asked);
  request.connection = Connection::kClose;
  const auto began = Clock::now();
  const pid_t host = fork();
  if (host == 0) {
    execvp(command[0], command);
    _exit(127);
  }
  int exit_code = 1;
  try {
    auto client = Connect(endpoint, host, began + kPatience);
    const auto result = client.Exchange(request);
    const std::chrono::duration<double, std::milli> time = Clock::now() - began;
    if (result.ended && ParseCgiResponse(result.stdout_bytes).status == 200) {
      std::printf("%.2f\n", time.count());
      exit_code = 0;
    } else {
      std::fprintf(stderr, "start-time: no answer, or not 200: %s\n", result.stdout_bytes.c_str());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "start-time: %s\n", error.what());
  }
  kill(host, SIGTERM);
  waitpid(host, nullptr, 0);
  return exit_code;
}

}  // namespace

int main(int count, char** arguments) {
  const option options[] = {{"connect", required_argument, nullptr, 'c'},
                            {"script-name", required_argument, nullptr, 's'},
                            {}};
  std::string address;
  std::string path = "/";
  for (int option = 0; (option = getopt_long(count, arguments, "+", options, nullptr)) != -1;) {
    switch (option) {
      case 'c':
        address = optarg;
        break;
      case 's':
        path = optarg;
        break;
      default:
        return 64;
    }
  }
  if (address.empty() || optind >= count) {
    std::fputs("start-time: --connect ADDRESS and -- COMMAND... are needed\n", stderr);
    return 64;
  }
  return Measure(address, path, arguments + optind);
}
