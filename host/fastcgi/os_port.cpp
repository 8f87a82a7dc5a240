// libfcgi's way to the operating system: the eight functions of <fcgios.h> that fcgiapp.o calls, over
// channels instead of descriptors. A waiting call suspends the request's fiber, never the thread.
//
// With these defined, the archive's own Unix port is not pulled in; a function that is missing here is an
// error of the link.

#include <fcgios.h>

#include <cerrno>

#include "host/fastcgi/channel.hpp"

using weft::host::fastcgi::Channel;

extern "C" {

// Signals and descriptors are the host's own.
int OS_LibInit(int* /*stdio_descriptors*/) { return 0; }

void OS_ShutdownPending(void) {}

int OS_IsFcgi(int /*descriptor*/) { return 1; }

int OS_CreateLocalIpcFd(const char* /*address*/, int /*backlog*/) {
  errno = ENOSYS;  // the supervisor listens
  return -1;
}

// The "listening socket" of a request is its channel's number, which is handed over once: when libfcgi has
// given a request up it asks again, and learns that there is nothing more.
int OS_Accept(int listening_socket, int /*fail_on_interrupt*/,
              const char* /*web_server_addresses*/) {
  Channel* const channel = Channel::Find(listening_socket);
  if (channel == nullptr || !channel->TakeAccept()) {
    errno = ECONNABORTED;
    return -1;
  }
  return listening_socket;
}

int OS_Read(int descriptor, char* buffer, size_t size) {
  Channel* const channel = Channel::Find(descriptor);
  if (channel == nullptr) {
    errno = EBADF;
    return -1;
  }
  return channel->Read(buffer, size);
}

int OS_Write(int descriptor, char* records, size_t size) {
  Channel* const channel = Channel::Find(descriptor);
  if (channel == nullptr) {
    errno = EBADF;
    return -1;
  }
  return channel->Write(records, size);
}

int OS_IpcClose(int descriptor, int /*shutdown*/) {
  if (Channel* const channel = Channel::Find(descriptor)) {
    channel->Close();
  }
  return 0;
}

}  // extern "C"
