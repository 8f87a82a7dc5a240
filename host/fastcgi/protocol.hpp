#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// The FastCGI records of the specification (FastCGI Specification 1.0, sections 3 and 8).
namespace weft::host::fastcgi {

enum class RecordType : std::uint8_t {
  kBeginRequest = 1,
  kAbortRequest = 2,
  kEndRequest = 3,
  kParams = 4,
  kStdin = 5,
  kStdout = 6,
  kStderr = 7,
  kData = 8,
  kGetValues = 9,
  kGetValuesResult = 10,
  kUnknownType = 11,
};

enum class Role : std::uint16_t { kResponder = 1, kAuthorizer = 2, kFilter = 3 };

enum class ProtocolStatus : std::uint8_t {
  kRequestComplete = 0,
  // 1, FCGI_CANT_MPX_CONN, is for who takes one request at a time.
  kOverloaded = 2,
  kUnknownRole = 3,
};

inline constexpr std::uint8_t kVersion = 1;
inline constexpr std::uint8_t kKeepConnection = 1;  // flag of BEGIN_REQUEST
inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kMaxContentBytes = 65535;
inline constexpr std::uint16_t kManagementId = 0;

struct RecordHeader {
  std::uint8_t version;
  RecordType type;
  std::uint16_t id;
  std::uint16_t content_length;
  std::uint8_t padding_length;
};

inline RecordHeader DecodeHeader(const char* bytes) noexcept {
  const auto at = [bytes](int i) { return static_cast<unsigned char>(bytes[i]); };
  return {at(0), static_cast<RecordType>(at(1)), static_cast<std::uint16_t>(at(2) << 8 | at(3)),
          static_cast<std::uint16_t>(at(4) << 8 | at(5)), at(6)};
}

inline void EncodeHeader(char* bytes, RecordType type, std::uint16_t id, std::size_t content_length,
                         std::size_t padding_length = 0) noexcept {
  bytes[0] = static_cast<char>(kVersion);
  bytes[1] = static_cast<char>(type);
  bytes[2] = static_cast<char>(id >> 8);
  bytes[3] = static_cast<char>(id & 0xff);
  bytes[4] = static_cast<char>(content_length >> 8);
  bytes[5] = static_cast<char>(content_length & 0xff);
  bytes[6] = static_cast<char>(padding_length);
  bytes[7] = 0;
}

/// Appends a whole record, its content padded with zeros to a multiple of eight bytes (section 3.3).
/// `content` is at most kMaxContentBytes - 7 long.
inline void AppendRecord(std::string& to, RecordType type, std::uint16_t id,
                         std::string_view content) {
  const auto padding = (8 - content.size() % 8) % 8;
  char header[kHeaderBytes];
  EncodeHeader(header, type, id, content.size(), padding);
  to.append(header, kHeaderBytes).append(content).append(padding, '\0');
}

/// Appends an END_REQUEST record (section 5.5).
inline void AppendEndRequest(std::string& to, std::uint16_t id, std::uint32_t app_status,
                             ProtocolStatus protocol_status) {
  char body[8] = {};
  for (int i = 0; i < 4; ++i) {
    body[i] = static_cast<char>(app_status >> (24 - 8 * i));
  }
  body[4] = static_cast<char>(protocol_status);
  AppendRecord(to, RecordType::kEndRequest, id, std::string_view(body, sizeof body));
}

}  // namespace weft::host::fastcgi
