// The program that Weft is compared with: the usual blocking libfcgi loop in prefork processes, one
// request at a time in each, as its manual shows it.
//
//   blocking-libfcgi --listen unix:/path|tcp:PORT [--processes 16]
//
// The parent serves nothing and restarts nothing. On TERM or INT, or when the last child is gone,
// it kills and reaps what is left. A parent that is killed takes its children along.
#include <fcgiapp.h>
#include <getopt.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

// NOLINTBEGIN(concurrency-mt-unsafe): no threads here.
namespace {

// As much as the kernel grants (net.core.somaxconn cuts it): the backlog shall not decide.
constexpr int kBacklog = 65535;

[[noreturn]] void Usage() {
  std::fputs("usage: blocking-libfcgi --listen unix:/path|tcp:PORT [--processes 16]\n", stderr);
  std::exit(2);
}

/// Serves until accepting fails. The least that any handler does: it looks at the method, names the
/// content type and, but for HEAD, writes a body.
void Serve(int listen_socket) {
  FCGX_Request request;
  if (FCGX_InitRequest(&request, listen_socket, 0) != 0) return;
  while (FCGX_Accept_r(&request) == 0) {
    const char* method = FCGX_GetParam("REQUEST_METHOD", request.envp);
    FCGX_PutS("Content-Type: text/plain\r\n\r\n", request.out);
    if (!method || std::strcmp(method, "HEAD") != 0) FCGX_PutS("Hello, world", request.out);
    FCGX_Finish_r(&request);
  }
}

pid_t StartChild(int listen_socket, const sigset_t& inherited_mask) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  // libfcgi's handler for SIGTERM waits for the request to end; an idle process would stay.
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_IGN);
  sigprocmask(SIG_SETMASK, &inherited_mask, nullptr);
  Serve(listen_socket);
  _exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  std::string listen_at;
  int processes = 16;
  const option options[] = {{"listen", required_argument, nullptr, 'l'},
                            {"processes", required_argument, nullptr, 'p'},
                            {nullptr, 0, nullptr, 0}};
  for (int c; (c = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    if (c == 'l') {
      listen_at = optarg;
    } else if (c == 'p') {
      processes = std::atoi(optarg);
    } else {
      Usage();
    }
  }
  // libfcgi takes a path, or a colon and a port.
  if (listen_at.starts_with("unix:")) {
    listen_at.erase(0, 5);
  } else if (listen_at.starts_with("tcp:")) {
    listen_at = ":" + listen_at.substr(4);
  } else {
    Usage();
  }
  if (optind != argc || processes < 1) Usage();

  FCGX_Init();
  const int listen_socket = FCGX_OpenSocket(listen_at.c_str(), kBacklog);
  if (listen_socket < 0) {
    std::fprintf(stderr, "blocking-libfcgi: cannot listen at %s\n", listen_at.c_str());
    return 1;
  }

  // Blocked before the first fork, so that no signal is lost between here and sigwaitinfo.
  sigset_t waited;
  sigset_t inherited_mask;
  sigemptyset(&waited);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&waited, number);
  sigprocmask(SIG_BLOCK, &waited, &inherited_mask);

  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    const pid_t child = StartChild(listen_socket, inherited_mask);
    if (child < 0) {
      std::perror("blocking-libfcgi: fork");
      break;
    }
    children.push_back(child);
  }
  const bool complete = static_cast<int>(children.size()) == processes;
  bool told_to_stop = false;
  while (complete && !told_to_stop && !children.empty()) {
    const int number = sigwaitinfo(&waited, nullptr);
    told_to_stop = number == SIGTERM || number == SIGINT;
    for (pid_t dead; number == SIGCHLD && (dead = waitpid(-1, nullptr, WNOHANG)) > 0;) {
      std::fprintf(stderr, "blocking-libfcgi: process %d is gone\n", static_cast<int>(dead));
      std::erase(children, dead);
    }
  }
  for (const pid_t child : children) kill(child, SIGKILL);
  while (waitpid(-1, nullptr, 0) > 0) {
  }
  if (!listen_at.starts_with(':')) unlink(listen_at.c_str());
  return told_to_stop ? 0 : 1;
}
// NOLINTEND(concurrency-mt-unsafe)
