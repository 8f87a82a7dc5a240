#include "mappings/resolution_cache.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

namespace weft::mappings {

ResolutionCache::ResolutionCache(std::size_t requests)
    : set_mask_(std::bit_ceil((requests + kWays - 1) / kWays) - 1) {}

void ResolutionCache::SetRequest(std::size_t site, std::string_view verb,
                                 std::string_view script_path, std::string_view path_info) {
  key_.clear();
  if (verb.size() + script_path.size() + path_info.size() > kMaxKeyBytes) {
    return;
  }
  // No method and no normal path holds a NUL.
  key_.append(verb).append(1, '\0').append(script_path).append(1, '\0').append(path_info);
  key_.append(1, '\0').append(std::to_string(site));
  hash_ = std::hash<std::string_view>()(key_);
}

const ResolutionCache::Answer* ResolutionCache::Find() {
  if (key_.empty() || slots_.empty()) {
    return nullptr;
  }
  Slot* const set = SetOf();
  for (std::size_t way = 0; way < kWays; ++way) {
    if (set[way].key == key_) {
      set[way].used = true;
      return &set[way].answer;
    }
  }
  return nullptr;
}

void ResolutionCache::Offer(Answer answer) {
  if (key_.empty()) {
    return;
  }
  if (slots_.empty()) {
    slots_.resize((set_mask_ + 1) * kWays);
    hands_.resize(set_mask_ + 1);
    offered_.resize(slots_.size());
  }
  const auto mark = static_cast<std::uint32_t>(hash_ >> 32U) | 1U;
  auto& offered = offered_[hash_ % offered_.size()];
  if (std::ranges::find(offered, mark) == offered.end()) {
    std::ranges::rotate(offered, offered.end() - 1);
    offered.front() = mark;
    return;
  }
  Slot* const set = SetOf();
  auto& hand = hands_[hash_ & set_mask_];
  while (std::exchange(set[hand].used, false)) {
    hand = static_cast<std::uint8_t>((hand + 1U) % kWays);
  }
  set[hand].key = key_;
  set[hand].answer = std::move(answer);
  hand = static_cast<std::uint8_t>((hand + 1U) % kWays);
}

}  // namespace weft::mappings
