#pragma once

#include <cstddef>
#include <string>

#include <weft/http_exception.hpp>
#include "host/observe/figure.hpp"

namespace weft::host::pipeline {

/// Bytes of request bodies that a worker holds, in memory, wherever they wait, or in temporary files, and their bound.
///
/// Threads: the reactor's.
class BodyBudget {
 public:
  enum class Place { kMemory, kFiles };

  explicit BodyBudget(std::size_t max_bytes, Place place = Place::kMemory) noexcept
      : max_bytes_(max_bytes), place_(place) {}
  BodyBudget(const BodyBudget&) = delete;
  BodyBudget& operator=(const BodyBudget&) = delete;

  /// False: it would go over the bound, and nothing is taken.
  [[nodiscard]] bool TryTake(std::size_t bytes) noexcept {
    if (bytes > max_bytes_ - used_bytes_) {
      return false;
    }
    used_bytes_ += bytes;
    Tell();
    return true;
  }
  void GiveBack(std::size_t bytes) noexcept {
    used_bytes_ -= bytes;
    Tell();
  }
  /// Where it tells how much is held. It must outlive the budget.
  void SetFigure(observe::Figure& figure) noexcept { figure_ = &figure; }
  std::size_t UsedBytes() const noexcept { return used_bytes_; }

  /// What a request is answered with whose body had no room.
  HttpException Exceeded() const {
    return HttpException(
               503, {},
               std::string("request bodies in ") +
                   (place_ == Place::kMemory ? "memory" : "temporary files") + " exceed " +
                   std::to_string(max_bytes_) + " bytes (" +
                   (place_ == Place::kMemory ? "--max-buffered-bytes" : "--max-temporary-bytes") +
                   ")")
        .WithCause(cause::kOverloaded);
  }

 private:
  void Tell() noexcept {
    if (figure_ != nullptr) {
      figure_->Set(used_bytes_);
    }
  }

  const std::size_t max_bytes_;
  const Place place_;
  std::size_t used_bytes_ = 0;
  observe::Figure* figure_ = nullptr;
};

}  // namespace weft::host::pipeline
