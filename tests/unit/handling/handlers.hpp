#pragma once

#include <stdexcept>

#include <weft/http_handler.hpp>

namespace weft::test {

/// What became of the handlers that a test made.
struct Fates {
  int made = 0;
  int destroyed = 0;
};

/// A handler that reports its birth and death, and is as reusable as it is told to be.
class TrackedHandler final : public IHttpHandler {
 public:
  explicit TrackedHandler(Fates& fates, bool is_reusable = true)
      : fates_(fates), number_(++fates.made), reusable_(is_reusable) {}
  TrackedHandler(const TrackedHandler&) = delete;
  TrackedHandler& operator=(const TrackedHandler&) = delete;
  ~TrackedHandler() override { ++fates_.destroyed; }

  void ProcessRequest(HttpContext&) override {
    if (failing_) {
      throw std::runtime_error("the request failed");
    }
  }
  bool IsReusable() const override { return reusable_; }

  /// What ProcessRequest() does from now on.
  void SetFailing(bool failing) noexcept { failing_ = failing; }
  void SetReusable(bool reusable) noexcept { reusable_ = reusable; }
  /// Counted from 1.
  int Number() const noexcept { return number_; }

 private:
  Fates& fates_;
  const int number_;
  bool reusable_;
  bool failing_ = false;
};

}  // namespace weft::test
