#include "handlers/contract/content_encoder.hpp"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <cstdint>
#include <new>
#include <stdexcept>

namespace weft::detail {

namespace {

// Levels for answers that are made while a client waits: some 50 to 200 MB/s a processor, and within a tenth of the size that
// the libraries' defaults for files reach.
constexpr int kGzipLevel = 5;
constexpr int kBrotliQuality = 4;
constexpr int kBrotliWindow = 18;
constexpr int kZstdLevel = 3;
constexpr int kZstdWindow = 18;

constexpr std::size_t kOutputBytes = 16 * 1024;

class Gzip final : public ContentEncoder {
 public:
  Gzip() {
    constexpr int kGzipFormat = 16;
    if (deflateInit2(&stream_, kGzipLevel, Z_DEFLATED, MAX_WBITS + kGzipFormat, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
      throw std::bad_alloc();
    }
  }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  ~Gzip() override { deflateEnd(&stream_); }

  void Encode(std::string_view bytes, Then then, std::string& to) override {
    const int mode = then == Then::kFinish  ? Z_FINISH
                     : then == Then::kFlush ? Z_SYNC_FLUSH
                                            : Z_NO_FLUSH;
    std::array<char, kOutputBytes> output;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(output.data());
      stream_.avail_out = static_cast<uInt>(output.size());
      if (deflate(&stream_, mode) == Z_STREAM_ERROR) {
        throw std::runtime_error("zlib cannot compress");
      }
      to.append(output.data(), output.size() - stream_.avail_out);
    } while (stream_.avail_out == 0);
  }

 private:
  z_stream stream_{};
};

class Brotli final : public ContentEncoder {
 public:
  Brotli() : state_(BrotliEncoderCreateInstance(nullptr, nullptr, nullptr)) {
    if (state_ == nullptr) {
      throw std::bad_alloc();
    }
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_QUALITY, kBrotliQuality);
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGWIN, kBrotliWindow);
  }
  Brotli(const Brotli&) = delete;
  Brotli& operator=(const Brotli&) = delete;
  ~Brotli() override { BrotliEncoderDestroyInstance(state_); }

  void Encode(std::string_view bytes, Then then, std::string& to) override {
    const auto operation = then == Then::kFinish  ? BROTLI_OPERATION_FINISH
                           : then == Then::kFlush ? BROTLI_OPERATION_FLUSH
                                                  : BROTLI_OPERATION_PROCESS;
    auto left = bytes.size();
    const auto* next = reinterpret_cast<const std::uint8_t*>(bytes.data());
    do {
      std::size_t room = 0;
      if (BrotliEncoderCompressStream(state_, operation, &left, &next, &room, nullptr, nullptr) ==
          BROTLI_FALSE) {
        throw std::runtime_error("brotli cannot compress");
      }
      std::size_t count = 0;
      const auto* const output = BrotliEncoderTakeOutput(state_, &count);
      to.append(reinterpret_cast<const char*>(output), count);
    } while (left != 0 || BrotliEncoderHasMoreOutput(state_) == BROTLI_TRUE);
  }

 private:
  BrotliEncoderState* state_;
};

class Zstd final : public ContentEncoder {
 public:
  Zstd() : state_(ZSTD_createCCtx()) {
    if (state_ == nullptr) {
      throw std::bad_alloc();
    }
    ZSTD_CCtx_setParameter(state_, ZSTD_c_compressionLevel, kZstdLevel);
    ZSTD_CCtx_setParameter(state_, ZSTD_c_windowLog, kZstdWindow);
  }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
  ~Zstd() override { ZSTD_freeCCtx(state_); }

  void Encode(std::string_view bytes, Then then, std::string& to) override {
    const auto mode = then == Then::kFinish  ? ZSTD_e_end
                      : then == Then::kFlush ? ZSTD_e_flush
                                             : ZSTD_e_continue;
    std::array<char, kOutputBytes> output;
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (bool more = true; more;) {
      ZSTD_outBuffer out{output.data(), output.size(), 0};
      const auto left = ZSTD_compressStream2(state_, &out, &in, mode);
      if (ZSTD_isError(left) != 0) {
        throw std::runtime_error(std::string("zstd cannot compress: ") + ZSTD_getErrorName(left));
      }
      to.append(output.data(), out.pos);
      more = mode == ZSTD_e_continue ? in.pos < in.size : left != 0;
    }
  }

 private:
  ZSTD_CCtx* state_;
};

}  // namespace

std::unique_ptr<ContentEncoder> MakeContentEncoder(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::kBrotli:
      return std::make_unique<Brotli>();
    case ContentCoding::kZstd:
      return std::make_unique<Zstd>();
    case ContentCoding::kGzip:
      break;
  }
  return std::make_unique<Gzip>();
}

}  // namespace weft::detail
