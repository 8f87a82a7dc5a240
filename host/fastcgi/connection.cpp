#include "host/fastcgi/connection.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <exception>
#include <utility>

#include <weft/http_exception.hpp>
#include "host/fastcgi/name_value_pairs.hpp"

namespace weft::host::fastcgi {

namespace {

/// Content of a management record is looked at up to here; the three names it may ask for take 50 bytes.
constexpr std::size_t kMaxControlBytes = 4096;
/// Answers to management records and refusals that may wait for a peer that does not read them; one who lets
/// more pile up is no web server.
constexpr std::size_t kMaxControlQueued = 64 * 1024;
/// Requests of one connection may together gather so many times --max-params-bytes before they are whole.
/// Only a peer that multiplexes gathers more than one at all, and it sends each in one go: 16 that are cut off at a
/// record's end are far more than there are.
constexpr std::size_t kParamsShare = 16;
/// What a socket may deliver at once, beyond the point where the connection asks it to stop.
constexpr std::size_t kReadAheadBytes = 1024 * 1024;
/// Kept for reuse between responses; a larger buffer is given back.
constexpr std::size_t kOutputKept = 16 * 1024;
/// Of the records that are made here: whole pages, two to what usually comes at once. lighttpd takes up a record only when all
/// of it has come.
constexpr std::size_t kStdoutContentBytes = 32 * 1024;
/// Such records of a request that leave before others have their turn.
constexpr std::size_t kRecords = 4;

void DiscardPiped(int pipe, std::size_t bytes) noexcept {
  char unread[4096];
  while (bytes != 0) {
    const auto count = ::read(pipe, unread, std::min(bytes, sizeof unread));
    if (count > 0) {
      bytes -= static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      return;
    }
  }
}

}  // namespace

Connection::Connection(IConnectionSocket& socket, IRequestServer& server,
                       const ConnectionLimits& limits, RefusalLog log_refusal, void* log_context,
                       Clock::time_point now)
    : socket_(socket),
      server_(server),
      limits_(limits),
      log_refusal_(log_refusal),
      log_context_(log_context),
      idle_since_(now) {}

Connection::~Connection() {
  if (!ended_) {
    ended_ = true;
    WakeWriters();
  }
  for (auto* const channel : std::exchange(channels_, {})) {
    channel->Abort();
    channel->Detach();
  }
}

void Connection::OnBytes(std::string_view bytes, Clock::time_point now) {
  if (ended_) {
    return;
  }
  now_ = now;
  if (!parser_.Feed(bytes, *this)) {
    if (!ended_) {
      Abandon(IConnectionSocket::Ending::kNow);
    }
    return;
  }
  Flush();
  idle_since_ = now;
  if (parser_.AtBoundary()) {
    partial_since_ = {};
  } else if (partial_since_ == Clock::time_point() || parser_.RecordsRead() != partial_record_) {
    partial_since_ = now;
    partial_record_ = parser_.RecordsRead();
  }
}

bool Connection::OnRecordStart(const RecordHeader& header) {
  record_ = header;
  record_channel_ = nullptr;
  control_.clear();
  if (header.id == kManagementId || header.type == RecordType::kBeginRequest) {
    return true;
  }
  // A record of an id that is not active is passed over (section 3.3), and its framing with it.
  record_channel_ = FindChannel(header.id);
  if (record_channel_ != nullptr && header.type == RecordType::kParams &&
      record_channel_->phase == Channel::Phase::kParams) {
    record_channel_->ExpectParams(
        std::min<std::size_t>(header.content_length, limits_.max_params_bytes));
  }
  return true;
}

bool Connection::OnContent(std::string_view bytes) {
  if (record_.id == kManagementId || record_.type == RecordType::kBeginRequest) {
    control_.append(bytes.substr(0, kMaxControlBytes - control_.size()));
  } else if (record_channel_ != nullptr) {
    if (record_.type == RecordType::kParams) {
      OnParams(bytes);
    } else if (record_.type == RecordType::kStdin &&
               record_channel_->phase == Channel::Phase::kRunning &&
               !record_channel_->StdinEnded()) {
      // At least what comes before reading stops; a mapping may allow more than --max-request-bytes.
      record_channel_->AppendStdin(
          bytes, std::max<std::uint64_t>(limits_.max_request_bytes,
                                         limits_.stdin_buffer_bytes + kReadAheadBytes));
    }
  }
  return !ended_;
}

bool Connection::OnRecordEnd() {
  if (record_.id == kManagementId) {
    if (record_.type == RecordType::kGetValues) {
      OnGetValues();
    } else if (record_.type != RecordType::kBeginRequest) {
      // Section 4.2. An application record with id 0 is no request's: it is answered the same way.
      const std::array<char, 8> type{static_cast<char>(record_.type)};
      std::string answer;
      AppendRecord(answer, RecordType::kUnknownType, kManagementId, {type.data(), type.size()});
      QueueControl(answer);
    } else {
      return false;
    }
    return !ended_;
  }
  if (record_.type == RecordType::kBeginRequest) {
    return OnBegin() && !ended_;
  }
  if (record_channel_ == nullptr) {
    return true;
  }
  if (record_.type == RecordType::kParams && record_.content_length == 0) {
    OnParamsEnd();
  } else if (record_.type == RecordType::kStdin && record_.content_length == 0) {
    if (record_channel_->phase == Channel::Phase::kRunning) {
      record_channel_->EndStdin();
    }
  } else if (record_.type == RecordType::kAbortRequest) {
    if (record_channel_->phase == Channel::Phase::kRunning) {
      record_channel_->Abort();
    } else {
      EndAborted(*record_channel_);
    }
  }
  // Any other type is not a responder's to read, and is passed over.
  return !ended_;
}

void Connection::EndAborted(Channel& channel) {
  if (channel.phase == Channel::Phase::kParams) {
    params_gathered_ -= channel.Params().size();
  } else {
    --failed_;
  }
  std::string answer;
  AppendEndRequest(answer, channel.Id(), 0, ProtocolStatus::kRequestComplete);
  LetGo(channel);
  QueueControl(answer);
}

Channel* Connection::FindChannel(std::uint16_t id) const noexcept {
  const auto at = std::lower_bound(
      channels_.begin(), channels_.end(), id,
      [](const Channel* channel, std::uint16_t wanted) { return channel->Id() < wanted; });
  return at != channels_.end() && (*at)->Id() == id ? *at : nullptr;
}

bool Connection::OnBegin() {
  if (control_.size() < 8 || record_.content_length != 8 || FindChannel(record_.id) != nullptr) {
    // Not the length of BEGIN_REQUEST's body, or an id that is in use: the framing cannot be trusted.
    return false;
  }
  const auto role = static_cast<Role>(static_cast<unsigned char>(control_[0]) << 8 |
                                      static_cast<unsigned char>(control_[1]));
  const bool keep = (static_cast<unsigned char>(control_[2]) & kKeepConnection) != 0;
  if (role != Role::kResponder) {
    if (!keep) {
      end_when_done_ = true;
    }
    std::string answer;
    AppendEndRequest(answer, record_.id, 0, ProtocolStatus::kUnknownRole);
    unread_stdin_ = true;
    QueueControl(answer);
    return true;
  }
  if (channels_.size() >= limits_.max_requests) {
    Refuse(record_.id, keep, 503,
           "more than " + std::to_string(limits_.max_requests) +
               " requests at once on a connection (--max-requests-per-connection)",
           ProtocolStatus::kOverloaded);
    return true;
  }
  multiplexed_ = multiplexed_ || !channels_.empty();
  auto* const channel = new Channel(server_, *this, record_.id, role, keep, now_);
  channels_.insert(std::upper_bound(channels_.begin(), channels_.end(), record_.id,
                                    [](std::uint16_t wanted, const Channel* other) {
                                      return wanted < other->Id();
                                    }),
                   channel);
  return true;
}

void Connection::OnParams(std::string_view bytes) {
  if (record_channel_->phase != Channel::Phase::kParams) {
    return;
  }
  const auto gathered = record_channel_->Params().size();
  const bool too_many = gathered + bytes.size() > limits_.max_params_bytes;
  if (too_many || params_gathered_ + bytes.size() > kParamsShare * limits_.max_params_bytes) {
    params_gathered_ -= gathered;
    const auto bound =
        std::to_string(limits_.max_params_bytes) + " bytes of parameters (--max-params-bytes)";
    RefuseChannel(*record_channel_, 431,
                  too_many ? "more than " + bound
                           : "the requests that begin on this connection have more than " +
                                 std::to_string(kParamsShare) + " times " + bound);
    return;
  }
  params_gathered_ += bytes.size();
  record_channel_->AppendParams(bytes);
}

void Connection::OnParamsEnd() {
  auto& channel = *record_channel_;
  if (channel.phase != Channel::Phase::kParams) {
    return;
  }
  params_gathered_ -= channel.Params().size();
  if (const auto problem = CheckParams(channel.Params(), limits_.max_params)) {
    RefuseChannel(channel, problem->status, problem->detail);
    return;
  }
  channel.SealParams();
  channel.phase = Channel::Phase::kRunning;
  ++running_;
  try {
    server_.Start(channel);
  } catch (const std::exception& error) {
    channel.phase = Channel::Phase::kParams;
    --running_;
    RefuseChannel(channel, 503, error.what());
  }
}

void Connection::OnGetValues() {
  std::string values;
  std::array<bool, 3> answered{};
  const std::array<std::pair<std::string_view, std::size_t>, 3> known{
      {{"FCGI_MAX_CONNS", limits_.application_max_connections},
       {"FCGI_MAX_REQS", limits_.application_max_requests},
       {"FCGI_MPXS_CONNS", 1}}};
  NameValuePairs asked(control_);
  while (const auto pair = asked.Next()) {
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (pair->name == known[i].first && !answered[i]) {
        answered[i] = true;
        AppendPair(values, known[i].first, std::to_string(known[i].second));
      }
    }
  }
  std::string answer;
  AppendRecord(answer, RecordType::kGetValuesResult, kManagementId, values);
  QueueControl(answer);
}

void Connection::QueueControl(std::string_view bytes) {
  if (control_queued_ + bytes.size() > kMaxControlQueued && !SendQueued()) {
    return;
  }
  control_queued_ += bytes.size();
  if (control_queued_ > kMaxControlQueued) {
    Abandon(IConnectionSocket::Ending::kNow);
    return;
  }
  output_.append(bytes);
}

void Connection::Refuse(std::uint16_t id, bool keep, int status, const std::string& detail,
                        ProtocolStatus protocol_status) {
  if (log_refusal_ != nullptr) {
    log_refusal_(log_context_, RefusedRequest{status, detail});
  }
  if (!keep) {
    end_when_done_ = true;
  }
  unread_stdin_ = true;
  const std::string phrase(StatusDescriptionOf(status));
  std::string text = "Status: " + std::to_string(status) + " " + phrase +
                     "\r\nContent-Type: text/plain; charset=utf-8\r\n";
  if (status == 503) {
    text += "Retry-After: 1\r\n";
  }
  text += "Content-Length: " + std::to_string(phrase.size() + 1) + "\r\n\r\n" + phrase + "\n";
  std::string answer;
  AppendRecord(answer, RecordType::kStdout, id, text);
  AppendRecord(answer, RecordType::kStdout, id, {});
  AppendEndRequest(answer, id, 0, protocol_status);
  QueueControl(answer);
}

void Connection::RefuseChannel(Channel& channel, int status, const std::string& detail) {
  const auto id = channel.Id();
  const bool keep = channel.KeepConnection();
  LetGo(channel);
  Refuse(id, keep, status, detail);
}

void Connection::LetGo(Channel& channel) {
  const auto at = std::find(channels_.begin(), channels_.end(), &channel);
  channels_.erase(at);
  std::erase(waiting_for_output_, &channel);
  if (record_channel_ == &channel) {
    record_channel_ = nullptr;
  }
  if (!channel.KeepConnection()) {
    end_when_done_ = true;
  }
  if (!channel.StdinEnded()) {
    unread_stdin_ = true;
  }
  channel.Detach();
}

bool Connection::WriteRecords(Channel& channel, std::string_view records) {
  bool request_ended = false;
  // With END_REQUEST half an answer would look whole; who aborted it knows that it is not.
  const bool withheld = channel.IsCut() && !channel.Aborted();
  while (records.size() >= kHeaderBytes) {
    const auto header = DecodeHeader(records.data());
    const auto content =
        std::min<std::size_t>(header.content_length, records.size() - kHeaderBytes);
    const auto whole = std::min(kHeaderBytes + content + header.padding_length, records.size());
    if (header.type == RecordType::kEndRequest) {
      request_ended = true;
      if (!withheld) {
        output_.append(records.substr(0, kHeaderBytes + content));
      }
    } else if (channel.Aborted() || channel.IsCut()) {
      // Nobody will read it.
    } else {
      // The padding is ours: what the writer left there would tell the peer of this process's memory.
      output_.append(records.substr(0, kHeaderBytes + content));
      output_.append(whole - kHeaderBytes - content, '\0');
    }
    records.remove_prefix(whole);
  }
  if (!request_ended) {
    if (output_.size() - output_sent_ >= limits_.output_buffer_bytes) {
      Flush();
    }
    return false;
  }
  if (withheld) {
    return true;  // OnFailed() comes next
  }
  --running_;
  LetGo(channel);
  idle_since_ = request_ended_at_ = Clock::now();
  Flush();
  if (!ended_) {
    socket_.ReadingChanged();
  }
  return true;
}

bool Connection::SendQueued() {
  while (output_sent_ < output_.size() && !waits_writable_) {
    const auto sent = socket_.Send(std::string_view(output_).substr(output_sent_));
    if (sent < 0) {
      OnSocketError();
      return false;
    }
    if (sent == 0) {
      WaitUntilWritable();
      break;
    }
    output_sent_ += static_cast<std::size_t>(sent);
    control_queued_ = std::min(control_queued_, output_.size() - output_sent_);
    send_since_ = {};
  }
  if (output_sent_ == output_.size()) {
    ReleaseOutput();
  } else if (output_sent_ > limits_.output_buffer_bytes) {
    output_.erase(0, output_sent_);
    output_sent_ = 0;
  }
  return true;
}

void Connection::ReleaseOutput() noexcept {
  output_sent_ = 0;
  output_.clear();
  if (output_.capacity() > kOutputKept) {
    std::string().swap(output_);
  }
}

void Connection::WaitUntilWritable() {
  waits_writable_ = true;
  if (send_since_ == Clock::time_point()) {
    send_since_ = Clock::now();
  }
  socket_.NotifyWhenWritable();
  socket_.ReadingChanged();
}

std::size_t Connection::SendStdout(Channel& channel, std::string_view bytes) {
  if (ended_ || channel.Aborted() || channel.IsCut()) {
    return bytes.size();  // nobody will read it
  }
  if (waits_writable_) {
    if (channels_.size() == 1) {
      return 0;
    }
    // In the queue each of several requests has its turn.
    bytes = bytes.substr(0, kStdoutContentBytes);
    AppendRecord(output_, RecordType::kStdout, channel.Id(), bytes);
    return bytes.size();
  }

  struct Record {
    char header[kHeaderBytes];
    std::string_view content;
    std::size_t padding;

    std::size_t Bytes() const noexcept { return kHeaderBytes + content.size() + padding; }
  };
  static_assert(1 + 3 * kRecords <= IConnectionSocket::kMaxPieces);
  static constexpr char kPadding[8] = {};
  std::array<Record, kRecords> records;
  std::array<std::string_view, 1 + 3 * kRecords> pieces;
  std::size_t record_count = 0;
  std::size_t piece_count = 0;
  const auto queued = output_.size() - output_sent_;
  if (queued != 0) {
    pieces[piece_count++] = std::string_view(output_).substr(output_sent_);
  }
  auto total = queued;
  while (record_count < kRecords && !bytes.empty()) {
    auto& record = records[record_count++];
    record.content = bytes.substr(0, kStdoutContentBytes);
    record.padding = (8 - record.content.size() % 8) % 8;
    EncodeHeader(record.header, RecordType::kStdout, channel.Id(), record.content.size(),
                 record.padding);
    pieces[piece_count++] = {record.header, kHeaderBytes};
    pieces[piece_count++] = record.content;
    if (record.padding != 0) {
      pieces[piece_count++] = {kPadding, record.padding};
    }
    total += record.Bytes();
    bytes.remove_prefix(record.content.size());
  }
  const auto result = socket_.SendPieces({pieces.data(), piece_count});
  if (result < 0) {
    OnSocketError();
    return 0;
  }
  auto sent = static_cast<std::size_t>(result);
  const bool full = sent < total;
  if (sent != 0) {
    send_since_ = {};
  }
  const auto of_queue = std::min(sent, queued);
  output_sent_ += of_queue;
  control_queued_ = std::min(control_queued_, queued - of_queue);
  sent -= of_queue;
  std::size_t taken = 0;
  if (of_queue == queued) {
    ReleaseOutput();
    for (std::size_t i = 0; i < record_count && sent != 0; ++i) {
      const auto& record = records[i];
      taken += record.content.size();
      if (sent < record.Bytes()) {
        QueueRest({record.header, kHeaderBytes}, sent);
        QueueRest(record.content, sent);
        QueueRest({kPadding, record.padding}, sent);
        break;
      }
      sent -= record.Bytes();
    }
  }
  if (full) {
    WaitUntilWritable();
  }
  return taken;
}

/// Queues what is not among the first `sent` bytes, and takes off those that are.
void Connection::QueueRest(std::string_view bytes, std::size_t& sent) {
  const auto gone = std::min(sent, bytes.size());
  sent -= gone;
  output_.append(bytes.substr(gone));
}

bool Connection::QueuePiped(int pipe, std::size_t bytes) {
  auto at = output_.size();
  output_.resize(at + bytes);
  while (at < output_.size()) {
    const auto count = ::read(pipe, output_.data() + at, output_.size() - at);
    if (count > 0) {
      at += static_cast<std::size_t>(count);
    } else if (count == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

std::size_t Connection::SendPiped(Channel& channel, int pipe, std::size_t bytes) {
  if (ended_ || channel.Aborted() || channel.IsCut()) {
    DiscardPiped(pipe, bytes);  // nobody will read it
    return bytes;
  }
  std::size_t taken = 0;
  for (std::size_t i = 0; i < kRecords && taken < bytes; ++i) {
    if (!waits_writable_ && !SendQueued()) {
      return 0;
    }
    // In the queue each of several requests has its turn.
    if (waits_writable_ && (channels_.size() == 1 || taken != 0)) {
      break;
    }
    const auto content = std::min(bytes - taken, kStdoutContentBytes);
    const auto padding = (8 - content % 8) % 8;
    char header[kHeaderBytes];
    EncodeHeader(header, RecordType::kStdout, channel.Id(), content, padding);
    std::size_t sent = 0;
    if (!waits_writable_) {
      const auto result = socket_.SendPiped({header, kHeaderBytes}, pipe, content);
      if (result < 0) {
        OnSocketError();
        return 0;
      }
      if (result == 0) {
        WaitUntilWritable();
        break;
      }
      sent = static_cast<std::size_t>(result);
      send_since_ = {};
      if (sent < kHeaderBytes + content) {
        WaitUntilWritable();
      }
    }
    taken += content;
    QueueRest({header, kHeaderBytes}, sent);
    if (!QueuePiped(pipe, content - sent)) {
      // The record has begun, and cannot be ended.
      Abandon(IConnectionSocket::Ending::kReset);
      return 0;
    }
    output_.append(padding, '\0');
  }
  return waits_writable_ || SendQueued() ? taken : 0;
}

void Connection::Flush() {
  if (ended_ || !SendQueued()) {
    return;
  }
  EndIfDone();
  if (!ended_ && !waiting_for_output_.empty() && !OutputFull()) {
    WakeWriters();
  }
}

void Connection::WakeWriters() {
  for (auto* const channel : std::exchange(waiting_for_output_, {})) {
    channel->NotifyWritable();
  }
}

void Connection::OnWritable(Clock::time_point now) {
  if (ended_) {
    return;
  }
  waits_writable_ = false;
  Flush();
  if (send_since_ != Clock::time_point()) {
    // A writer may have waited without queueing anything.
    send_since_ = output_.empty() ? Clock::time_point() : now;
  }
}

void Connection::EndIfDone() {
  if (!(end_when_done_ || failed_ != 0 || read_closed_) || channels_.size() != failed_ ||
      output_sent_ < output_.size()) {
    return;
  }
  if (failed_ != 0 && !multiplexed_) {
    End(IConnectionSocket::Ending::kReset);
    return;
  }
  const bool peer_may_send =
      !read_closed_ && (unread_stdin_ || failed_ != 0 || !parser_.AtBoundary());
  End(peer_may_send ? IConnectionSocket::Ending::kLinger : IConnectionSocket::Ending::kNow);
}

void Connection::End(IConnectionSocket::Ending ending) {
  ended_ = true;
  WakeWriters();
  socket_.End(ending);
}

void Connection::Abandon(IConnectionSocket::Ending ending) {
  if (ended_) {
    return;
  }
  ended_ = true;
  record_channel_ = nullptr;
  running_ = 0;
  failed_ = 0;
  WakeWriters();
  for (auto* const channel : std::exchange(channels_, {})) {
    channel->Abort();
    channel->Detach();
  }
  socket_.End(ending);
}

void Connection::OnSocketError() { Abandon(IConnectionSocket::Ending::kNow); }

void Connection::OnEndOfStream(bool half_closed) {
  if (ended_) {
    return;
  }
  read_closed_ = true;
  if (!half_closed) {
    Abandon(IConnectionSocket::Ending::kNow);
    return;
  }
  // What was begun and is not whole will never be; what runs gets the end of its body.
  for (auto* const channel : std::vector<Channel*>(channels_)) {
    if (channel->phase == Channel::Phase::kRunning) {
      if (!channel->StdinEnded()) {
        channel->CutStdin();
      }
    } else if (channel->phase == Channel::Phase::kParams) {
      params_gathered_ -= channel->Params().size();
      LetGo(*channel);
    }
  }
  EndIfDone();
}

bool Connection::WantsToRead() const noexcept {
  if (ended_ || read_closed_) {
    return false;
  }
  if (held_back_ && parser_.AtBoundary() && !channels_.empty() &&
      std::ranges::all_of(channels_, [](const Channel* channel) {
        return channel->phase == Channel::Phase::kRunning && channel->StdinEnded();
      })) {
    return false;
  }
  // Only a connection with a single request can wait for it: others would starve behind one that does not
  // read. And it must not wait while that request's output does: a peer that sends its whole body before it
  // reads would never come to read.
  if (channels_.size() != 1) {
    return true;
  }
  const auto& only = *channels_.front();
  return only.WantsStdin(limits_.stdin_buffer_bytes) || only.WaitsToWrite() || waits_writable_ ||
         only.Aborted();
}

void Connection::OnAllRead() noexcept {
  for (auto* const channel : channels_) {
    channel->StdinCame();
  }
}

void Connection::StdinDrained() {
  if (!ended_ && channels_.size() == 1) {
    socket_.ReadingChanged();
  }
}

void Connection::OnFailed(Channel&) {
  --running_;
  ++failed_;
  Flush();
}

const char* Connection::Overdue(Clock::time_point now) const noexcept {
  if (ended_) {
    return nullptr;
  }
  if (send_since_ != Clock::time_point() && now - send_since_ >= limits_.send_timeout) {
    return "the web server does not read its answers (--send-timeout)";
  }
  if (channels_.size() > running_ + failed_ &&
      std::any_of(channels_.begin(), channels_.end(), [&](const Channel* channel) {
        return channel->phase == Channel::Phase::kParams &&
               now - channel->BegunAt() >= limits_.header_timeout;
      })) {
    return "a request was begun and its parameters did not come (--header-timeout)";
  }
  if (running_ != 0) {
    return nullptr;
  }
  // What stayed half of a request that has been answered meanwhile counts from the answer.
  if (partial_since_ != Clock::time_point() &&
      now - std::max(partial_since_, request_ended_at_) >= limits_.header_timeout) {
    return "half a record came, and then too little (--header-timeout)";
  }
  if (now - idle_since_ >= limits_.idle_timeout) {
    return "idle (--idle-timeout)";
  }
  return nullptr;
}

bool Connection::IsAtRest() const noexcept {
  return !ended_ && !read_closed_ && !end_when_done_ && failed_ == 0 && channels_.empty() &&
         parser_.AtBoundary() && output_sent_ == output_.size() && !waits_writable_;
}

void Connection::Drain() {
  end_when_done_ = true;
  if (ended_ || !parser_.AtBoundary() || !channels_.empty()) {
    return;
  }
  EndIfDone();
}

}  // namespace weft::host::fastcgi
