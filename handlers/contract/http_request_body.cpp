#include <algorithm>
#include <array>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <weft/http_request.hpp>
#include <weft/http_worker_request.hpp>
#include <weft/multipart_reader.hpp>
#include "handlers/contract/blocking.hpp"
#include "handlers/contract/request_body.hpp"

namespace weft {

namespace {

/// A body is read in steps of this size; larger ones gained nothing in a run of 20 MiB uploads.
constexpr std::size_t kReadStep = 64 * 1024;
/// At most so much is reserved on the word of a CONTENT_LENGTH; the rest comes with the bytes.
constexpr std::uint64_t kReserveAtMost = 1024 * 1024;

}  // namespace

IInputStream::~IInputStream() = default;

void HttpWorkerRequest::HoldBody(std::size_t, std::uint64_t) {}

HttpRequest::BodyState& HttpRequest::BodyOfRequest() {
  if (!body_) {
    body_ = std::make_unique<BodyState>(*this, *settings_);
  }
  return *body_;
}

void HttpRequest::HoldBody() {
  source_.HoldBody(body_->store.MemoryBytes() +
                       (body_->form && body_->store.IsInFile() ? body_->form->field_bytes : 0),
                   body_->store.FileBytes());
}

void HttpRequest::FinishBody() {
  if (body_) {
    body_->store.Finish();
    HoldBody();
  }
  body_complete_ = true;
}

void HttpRequest::ReadBodyAhead() {
  if (body_complete_) {
    return;
  }
  if (body_mode_ != weft::ReadEntityBodyMode::kNone) {
    throw std::logic_error(
        "the body is being read as it arrives: a handler that wants it whole cannot be executed");
  }
  if (body_ && body_->failure) {
    std::rethrow_exception(body_->failure);
  }
  try {
    // Most requests have no body: they shall cost no memory.
    std::array<char, 512> first;
    auto count = source_.ReadBody(first);
    if (count != 0) {
      auto& store = BodyOfRequest().store;
      store.Reserve(std::min({ContentLength().value_or(0), kReserveAtMost,
                              std::uint64_t{settings_->body_memory_bytes} + kReadStep}));
      store.Append({first.data(), count});
      while (count != 0) {
        HoldBody();
        count = source_.ReadBody(store.Room(kReadStep));
        store.Commit(count);
      }
    }
    FinishBody();
  } catch (...) {
    BodyOfRequest().failure = std::current_exception();
    throw;
  }
}

void HttpRequest::RequireBody(const char* member) {
  if (body_mode_ == weft::ReadEntityBodyMode::kBufferless) {
    throw std::logic_error("HttpRequest::" + std::string(member) +
                           "() after GetBufferlessInputStream(): the body was not kept");
  }
  if (body_mode_ == weft::ReadEntityBodyMode::kBuffered) {
    if (!body_->stream.at_end_) {
      throw std::logic_error("HttpRequest::" + std::string(member) +
                             "() before GetBufferedInputStream() was read to its end");
    }
    return;
  }
  ReadBodyAhead();
  body_mode_ = weft::ReadEntityBodyMode::kClassic;
}

std::string_view HttpRequest::Body() {
  RequireBody("Body");
  if (!body_) {
    return {};
  }
  if (!body_->store.IsInFile()) {
    return body_->store.View();
  }
  std::string_view view;
  detail::RunFileWork([&] { view = body_->store.View(); });
  return view;
}

HttpBodyStream& HttpRequest::InputStream() {
  RequireBody("InputStream");
  auto& body = BodyOfRequest();
  if (!body.input_stream) {
    body.input_stream.emplace(&body.store, 0, body.store.Size());
  }
  return *body.input_stream;
}

std::uint64_t HttpRequest::TotalBytes() {
  RequireBody("TotalBytes");
  return body_ ? body_->store.Size() : 0;
}

std::string HttpRequest::BinaryRead(std::size_t count) {
  RequireBody("BinaryRead");
  auto& stream = InputStream();
  std::string bytes(
      static_cast<std::size_t>(std::min<std::uint64_t>(count, stream.Length() - stream.Position())),
      '\0');
  for (std::size_t used = 0; used < bytes.size();) {
    used += stream.Read(std::span(bytes).subspan(used));
  }
  return bytes;
}

FormData& HttpRequest::ParsedForm(const char* member) {
  RequireBody(member);
  auto& body = BodyOfRequest();
  if (!body.form) {
    if (body.store.IsInFile()) {
      // All in one go, on a thread that may wait for the disk.
      detail::RunFileWork([&] { body.form = ParseForm(body.store, ContentType(), *settings_); });
      try {
        HoldBody();
      } catch (...) {
        body.form.reset();
        throw;
      }
    } else {
      body.form = ParseForm(body.store, ContentType(), *settings_);
    }
  }
  return *body.form;
}

const NameValueCollection& HttpRequest::Form() { return ParsedForm("Form").fields; }

HttpFileCollection& HttpRequest::Files() { return ParsedForm("Files").files; }

HttpInputStream& HttpRequest::StreamOf(weft::ReadEntityBodyMode mode, const char* member) {
  auto& body = BodyOfRequest();
  if (body_mode_ != mode) {
    if (body_mode_ != weft::ReadEntityBodyMode::kNone) {
      throw std::logic_error("HttpRequest::" + std::string(member) +
                             "(): the body is being read in another way");
    }
    if (body.failure) {
      std::rethrow_exception(body.failure);
    }
    if (body_complete_) {
      body.stream.store_ = &body.store;
    }
    body_mode_ = mode;
  }
  return body.stream;
}

HttpInputStream& HttpRequest::GetBufferlessInputStream() {
  return StreamOf(weft::ReadEntityBodyMode::kBufferless, "GetBufferlessInputStream");
}

HttpInputStream& HttpRequest::GetBufferedInputStream() {
  return StreamOf(weft::ReadEntityBodyMode::kBuffered, "GetBufferedInputStream");
}

MultipartLimits HttpRequest::MultipartBounds() const noexcept { return BoundsOf(*settings_); }

std::size_t HttpRequest::ReadAndKeep(std::span<char> buffer) {
  if (body_->failure) {
    std::rethrow_exception(body_->failure);
  }
  try {
    const auto count = source_.ReadBody(buffer);
    if (count != 0) {
      body_->store.Append({buffer.data(), count});
      HoldBody();
    } else {
      FinishBody();
    }
    return count;
  } catch (...) {
    body_->failure = std::current_exception();
    throw;
  }
}

std::size_t HttpInputStream::Read(std::span<char> buffer) {
  if (buffer.empty() || at_end_) {
    return 0;
  }
  std::size_t count = 0;
  if (store_ != nullptr) {
    count = store_->ReadAt(position_, buffer);
    position_ += count;
  } else if (request_.body_mode_ == ReadEntityBodyMode::kBufferless) {
    count = request_.source_.ReadBody(buffer);
  } else {
    count = request_.ReadAndKeep(buffer);
  }
  at_end_ = count == 0;
  return count;
}

std::size_t HttpBodyStream::Read(std::span<char> buffer) {
  const auto left = length_ - position_;
  if (left == 0) {
    return 0;
  }
  if (buffer.size() > left) {
    buffer = buffer.first(static_cast<std::size_t>(left));
  }
  const auto count = store_->ReadAt(offset_ + position_, buffer);
  position_ += count;
  return count;
}

void HttpBodyStream::Seek(std::uint64_t position) {
  if (position > length_) {
    throw std::out_of_range("HttpBodyStream::Seek(" + std::to_string(position) +
                            "): the stream has " + std::to_string(length_) + " bytes");
  }
  position_ = position;
}

}  // namespace weft
