#include "host/worker/change_watch.hpp"

namespace weft::host::worker {

ChangeWatch::Next ChangeWatch::Saw(std::uint64_t fingerprint, Clock::time_point now) {
  if (fingerprint == read_ && !read_in_burst_) {
    change_.reset();
    return Next::kRest;
  }
  if (!change_) {
    change_ = Change{fingerprint, now, now};
    return Next::kLookSoon;
  }
  if (fingerprint != change_->fingerprint) {
    change_->fingerprint = fingerprint;
    change_->seen = now;
    return now - change_->began < kLongestBurst ? Next::kLookSoon : Next::kRead;
  }
  change_->settled = now - change_->seen >= kSettled;
  return change_->settled ? Next::kRead : Next::kLookSoon;
}

void ChangeWatch::Read(std::uint64_t fingerprint) {
  read_in_burst_ = change_ && !change_->settled;
  read_ = fingerprint;
  change_.reset();
}

}  // namespace weft::host::worker
