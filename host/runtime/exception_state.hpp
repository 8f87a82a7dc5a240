#pragma once

#include <cxxabi.h>

#include <cstring>

namespace weft::host::runtime {

/// Keeps which exceptions are being handled on a fiber, while others run. The compiler's library knows that by
/// thread: without this, a fiber that waits in a catch block, or in a destructor while an exception unwinds its stack,
/// would have its exception ended by another fiber's handler, and end that one's.
///
/// (Itanium C++ ABI: Exception Handling, 2.2.2: __cxa_eh_globals.)
class ExceptionState {
 public:
  /// Whoever runs next handles none.
  ExceptionState() noexcept {
    auto* const current = abi::__cxa_get_globals();
    std::memcpy(&saved_, current, sizeof saved_);
    constexpr Globals none{};
    std::memcpy(current, &none, sizeof none);
  }
  ExceptionState(const ExceptionState&) = delete;
  ExceptionState& operator=(const ExceptionState&) = delete;
  ~ExceptionState() { std::memcpy(abi::__cxa_get_globals(), &saved_, sizeof saved_); }

 private:
  struct Globals {
    void* caught;
    unsigned int uncaught;
  };

  Globals saved_;
};

}  // namespace weft::host::runtime
