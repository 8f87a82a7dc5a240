#include "host/fastcgi/channel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <vector>

#include "host/fastcgi/connection.hpp"
#include "host/runtime/waits_for.hpp"

namespace weft::host::fastcgi {

namespace {

/// The prologue's BEGIN_REQUEST record, and the header of its first PARAMS record.
constexpr std::size_t kBeginBytes = kHeaderBytes + 8;
constexpr std::size_t kFirstParamsAt = kBeginBytes + kHeaderBytes;

constexpr const char* kBody = "more of the request's body";

/// Numbers of open channels. libfcgi asks by number, and only on the reactor's thread.
struct ChannelTable {
  std::vector<Channel*> channels;
  std::vector<int> free;
};

ChannelTable& Table() {
  static auto& table = *new ChannelTable();  // never destroyed: fibers may outlive statics
  return table;
}

}  // namespace

Channel::Channel(IRequestServer& server, Connection& connection, std::uint16_t id, Role role,
                 bool keep_connection, std::chrono::steady_clock::time_point begun_at)
    : server_(server),
      connection_(&connection),
      id_(id),
      keep_connection_(keep_connection),
      begun_at_(begun_at) {
  char begin[kFirstParamsAt] = {};
  EncodeHeader(begin, RecordType::kBeginRequest, id, 8);
  begin[kHeaderBytes + 1] = static_cast<char>(role);
  // libfcgi is told that nothing is kept: it then closes the channel with its request, and the connection
  // alone decides what becomes of the socket.
  prologue_.assign(begin, sizeof begin);
}

bool Channel::TryOpen() noexcept {
  auto& table = Table();
  try {
    if (table.free.empty()) {
      // Room for its return too: Close() cannot fail.
      table.free.reserve(table.channels.size() + 1);
      table.channels.push_back(this);
      number_ = static_cast<int>(table.channels.size()) - 1;
    } else {
      number_ = table.free.back();
      table.free.pop_back();
      table.channels[static_cast<std::size_t>(number_)] = this;
    }
    return true;
  } catch (const std::bad_alloc&) {
    Close();
    return false;
  }
}

Channel* Channel::Find(int number) noexcept {
  auto& channels = Table().channels;
  return number < 0 || static_cast<std::size_t>(number) >= channels.size()
             ? nullptr
             : channels[static_cast<std::size_t>(number)];
}

void Channel::Close() noexcept {
  if (number_ >= 0) {
    auto& table = Table();
    table.channels[static_cast<std::size_t>(number_)] = nullptr;
    table.free.push_back(number_);
    number_ = -1;
  }
  phase = Phase::kEnded;
  CloseFeed();
  DropStdin();
  if (connection_ != nullptr) {
    // It may let go at once: nothing of this is touched after it.
    connection_->OnFailed(*this);
  } else {
    DeleteIfUnheld();
  }
}

void Channel::DeleteIfUnheld() noexcept {
  if (connection_ == nullptr && phase != Phase::kRunning) {
    delete this;
  }
}

void Channel::Detach() noexcept {
  connection_ = nullptr;
  NotifyReader();
  writable_.Notify();
  DeleteIfUnheld();
}

std::string_view Channel::Params() const noexcept {
  return std::string_view(prologue_).substr(kFirstParamsAt);
}

void Channel::SealParams() {
  const auto total = params_bytes_ = prologue_.size() - kFirstParamsAt;
  if (total <= kMaxContentBytes) {
    // One record holds them: its header was left room for.
    EncodeHeader(prologue_.data() + kBeginBytes, RecordType::kParams, id_, total);
  } else {
    const std::string params(Params());
    prologue_.resize(kBeginBytes);
    for (std::size_t at = 0; at < params.size(); at += kMaxContentBytes) {
      const auto piece = std::string_view(params).substr(at, kMaxContentBytes);
      char header[kHeaderBytes];
      EncodeHeader(header, RecordType::kParams, id_, piece.size());
      prologue_.append(header, kHeaderBytes).append(piece);
    }
  }
  if (total != 0) {
    char header[kHeaderBytes];
    EncodeHeader(header, RecordType::kParams, id_, 0);
    prologue_.append(header, kHeaderBytes);
  }
}

void Channel::AppendStdin(std::string_view bytes, std::size_t max_buffered) {
  if (stdin_lost_ != StdinLoss::kNone) {
    return;
  }
  if (taken_ < taker_.size()) {
    const auto count = bytes.copy(taker_.data() + taken_, taker_.size() - taken_);
    taken_ += count;
    bytes.remove_prefix(count);
    readable_.Notify();
    if (bytes.empty()) {
      return;
    }
  }
  if (feed_ != nullptr && StdinBuffered() == 0) {
    bytes.remove_prefix(feed_->Append(bytes));
    if (bytes.empty()) {
      return;
    }
  }
  if (stdin_head_ > stdin_.size() / 2) {
    // Not erase(), which keeps the memory of what no longer counts.
    std::string(stdin_, stdin_head_).swap(stdin_);
    stdin_head_ = 0;
  }
  stdin_.reserve(stdin_.size() + bytes.size());  // may throw: before anything is counted
  if (StdinBuffered() + bytes.size() > max_buffered) {
    LoseStdin(StdinLoss::kTooLarge);
  } else if (!server_.Bodies().TryTake(bytes.size())) {
    LoseStdin(StdinLoss::kNoRoom);
  } else {
    stdin_.append(bytes);
  }
  NotifyReader();
}

void Channel::LoseStdin(StdinLoss loss) noexcept {
  stdin_lost_ = loss;
  CloseFeed();
  DropStdin();
}

void Channel::DropStdin() noexcept {
  GiveBackStdin();
  std::string().swap(stdin_);
  stdin_head_ = 0;
}

void Channel::ConsumeStdin(std::size_t count) noexcept {
  stdin_head_ += count;
  server_.Bodies().GiveBack(count);
  if (stdin_head_ == stdin_.size()) {
    DropStdin();  // its memory too: it no longer counts
  }
  if (connection_ != nullptr) {
    connection_->StdinDrained();
  }
}

Channel::Taken Channel::TakeStdin(std::span<char> buffer, std::chrono::milliseconds time) noexcept {
  bool timed_out = false;
  std::size_t count = 0;
  if (feed_ != nullptr) {
    RefillFeed();
    count = feed_->Take(buffer, std::chrono::microseconds(0));
    if (count != 0) {
      RefillFeed();
      return {count, false};
    }
  }
  if (StdinBuffered() == 0) {
    taker_ = buffer;
    taken_ = 0;
    timed_out = !WaitForStdin(time);
    count = std::exchange(taken_, 0);
    taker_ = {};
  }
  if (count < buffer.size() && StdinBuffered() != 0) {
    const auto more = stdin_.copy(buffer.data() + count, buffer.size() - count, stdin_head_);
    ConsumeStdin(more);
    count += more;
  }
  return {count, timed_out};
}

std::shared_ptr<StdinFeed> Channel::FeedStdin(boost::asio::io_context& io) {
  // While a thread takes one half the other is filled: with less each would wait for the other in turn.
  constexpr std::size_t kLeastBytes = 128 * 1024;
  constexpr std::size_t kMostBytes = 1024 * 1024;  // more gained nothing
  const auto bytes =
      connection_ == nullptr ? 0 : std::min(2 * connection_->StdinBufferBytes(), kMostBytes);
  if (feed_ == nullptr && bytes >= kLeastBytes && server_.Bodies().TryTake(bytes)) {
    try {
      feed_ = std::make_shared<StdinFeed>(io, bytes, [this] { RefillFeed(); });
    } catch (const std::bad_alloc&) {
      server_.Bodies().GiveBack(bytes);
      return nullptr;
    }
    if (stdin_ended_) {
      feed_->SetFiberKnowsMore(true);
    }
    RefillFeed();
  }
  return feed_;
}

bool Channel::WantsStdin(std::size_t max_buffered) const noexcept {
  return feed_ == nullptr ? StdinBuffered() < max_buffered
                          : StdinBuffered() == 0 && feed_->HasRoom(kMaxContentBytes);
}

/// There is room in the ring: what waits behind it goes there, and reading goes on.
void Channel::RefillFeed() noexcept {
  if (feed_ == nullptr) {
    return;
  }
  if (StdinBuffered() != 0) {
    const auto count = feed_->Append(std::string_view(stdin_).substr(stdin_head_));
    stdin_head_ += count;
    server_.Bodies().GiveBack(count);
    if (StdinBuffered() == 0) {
      DropStdin();
      feed_->SetFiberKnowsMore(stdin_ended_);
    }
    feed_->Wake();
  }
  if (connection_ != nullptr) {
    connection_->StdinDrained();
  }
}

void Channel::CloseFeed() noexcept {
  if (feed_ != nullptr) {
    server_.Bodies().GiveBack(feed_->Capacity());
    feed_->Close();
    feed_ = nullptr;
  }
}

void Channel::NotifyReader() noexcept {
  readable_.Notify();
  if (feed_ != nullptr) {
    feed_->SetFiberKnowsMore(true);
  }
}

void Channel::EndStdin() noexcept {
  stdin_ended_ = true;
  NotifyReader();
}

void Channel::Abort() noexcept {
  aborted_ = true;
  cancellation_.Cancel(CancellationReason::kClientGone);
  NotifyReader();
  writable_.Notify();
}

bool Channel::WaitForStdin(std::chrono::milliseconds time) noexcept {
  const auto ready = [this] {
    return taken_ != 0 || StdinBuffered() != 0 || stdin_ended_ || stdin_lost_ != StdinLoss::kNone ||
           aborted_ || connection_ == nullptr || cancellation_.Token().IsCancellationRequested();
  };
  if (ready()) {
    return true;
  }
  const auto give_up = std::chrono::steady_clock::now() + time;
  const runtime::WaitsFor waits_for(kBody);
  do {
    if (!readable_.WaitUntil(give_up)) {
      return ready();
    }
  } while (!ready());
  return true;
}

int Channel::Read(char* buffer, std::size_t size) noexcept {
  if (prologue_read_ < prologue_.size()) {
    const auto count = prologue_.copy(buffer, size, prologue_read_);
    prologue_read_ += count;
    if (prologue_read_ == prologue_.size()) {
      std::string().swap(prologue_);
      prologue_read_ = 0;
    }
    return static_cast<int>(count);
  }
  for (;;) {
    if (stdin_lost_ != StdinLoss::kNone) {
      errno = EMSGSIZE;
      return -1;
    }
    if (StdinBuffered() != 0) {
      std::size_t used = 0;
      if (record_left_ == 0) {
        if (size <= kHeaderBytes) {
          // libfcgi reads into a buffer of several KiB; smaller than a header it never is.
          errno = EINVAL;
          return -1;
        }
        record_left_ = std::min({StdinBuffered(), kMaxContentBytes, size - kHeaderBytes});
        EncodeHeader(buffer, RecordType::kStdin, id_, record_left_);
        used = kHeaderBytes;
      }
      const auto count = std::min({record_left_, StdinBuffered(), size - used});
      std::memcpy(buffer + used, stdin_.data() + stdin_head_, count);
      stdin_of_libfcgi_ += count;
      record_left_ -= count;
      ConsumeStdin(count);
      return static_cast<int>(used + count);
    }
    if (stdin_ended_) {
      if (stdin_end_read_) {
        return 0;
      }
      stdin_end_read_ = true;
      EncodeHeader(buffer, RecordType::kStdin, id_, 0);
      return kHeaderBytes;
    }
    if (aborted_ || connection_ == nullptr || cancellation_.Token().IsCancellationRequested()) {
      errno = ECANCELED;
      return -1;
    }
    const runtime::WaitsFor waits_for(kBody);
    readable_.Wait();
  }
}

int Channel::Write(const char* records, std::size_t size) noexcept {
  if (connection_ == nullptr) {
    errno = EPIPE;
    return -1;
  }
  bool ended = false;
  try {
    ended = connection_->WriteRecords(*this, std::string_view(records, size));
    // A cancelled request's output is not waited for: it is an error's text, or nothing.
    while (!ended && connection_ != nullptr && connection_->OutputFull() && !aborted_ &&
           !cancellation_.Token().IsCancellationRequested()) {
      WaitForOutput();
    }
  } catch (const std::bad_alloc&) {
    waits_to_write_ = false;
    // Half a record may be queued: nothing more can be said on this connection.
    if (connection_ != nullptr) {
      connection_->Abandon(IConnectionSocket::Ending::kReset);
    }
    errno = ENOMEM;
    return -1;
  }
  if (!ended && connection_ == nullptr) {
    errno = EPIPE;
    return -1;
  }
  return static_cast<int>(size);
}

void Channel::WaitForOutput() {
  waits_to_write_ = true;
  connection_->WaitForOutput(*this);
  {
    const runtime::WaitsFor waits_for("the web server to take more of the answer");
    writable_.Wait();
  }
  waits_to_write_ = false;
}

template <typename SendSome>
bool Channel::SendAll(std::size_t bytes, SendSome send_some) noexcept {
  const auto in_vain = [this] {
    return connection_ == nullptr || aborted_ || cancellation_.Token().IsCancellationRequested();
  };
  try {
    while (!in_vain()) {
      const auto taken = send_some(bytes);
      bytes -= taken;
      if (taken == 0) {
        if (connection_ != nullptr) {
          WaitForOutput();
        }
        continue;
      }
      while (!in_vain() && connection_->OutputFull()) {
        WaitForOutput();
      }
      if (bytes == 0) {
        return connection_ != nullptr;
      }
      // Where the peer keeps up nothing else would give the others their turn.
      runtime::YieldFiber();
    }
  } catch (const std::bad_alloc&) {
    waits_to_write_ = false;
    // Half a record may be queued: nothing more can be said on this connection.
    if (connection_ != nullptr) {
      connection_->Abandon(IConnectionSocket::Ending::kReset);
    }
  }
  return false;
}

bool Channel::SendStdout(std::string_view bytes) noexcept {
  return SendAll(bytes.size(), [&](std::size_t left) {
    return connection_->SendStdout(*this, bytes.substr(bytes.size() - left));
  });
}

bool Channel::SendPiped(int pipe, std::size_t bytes) noexcept {
  return SendAll(bytes,
                 [&](std::size_t left) { return connection_->SendPiped(*this, pipe, left); });
}

void Channel::Flush() noexcept {
  if (connection_ != nullptr) {
    connection_->Flush();
  }
}

}  // namespace weft::host::fastcgi
