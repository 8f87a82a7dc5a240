#include "mappings/glob.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "mappings/ascii.hpp"

namespace weft::mappings {
namespace {

// State j means: j tokens of the pattern are consumed. A token is a literal byte or a `?`; stars
// are not tokens but loops at the state where they stand.
enum class Loop { kNone, kContinuationBytes, kWithinSegment, kEverything };

struct Token {
  bool any_character = false;
  unsigned char byte = 0;
};

struct Automaton {
  std::vector<Token> tokens;
  std::vector<Loop> loops{Loop::kNone};
};

bool IsContinuationByte(unsigned char byte) { return (byte & 0xC0U) == 0x80U; }

unsigned char Lower(unsigned char byte) {
  return static_cast<unsigned char>(ToLower(static_cast<char>(byte)));
}

Automaton Build(std::string_view pattern, Glob::Kind kind) {
  Automaton automaton;
  const bool verb = kind == Glob::Kind::kVerb;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '*') {
      const bool doubled = i + 1 < pattern.size() && pattern[i + 1] == '*';
      Loop& loop = automaton.loops.back();
      loop = std::max(loop, doubled || verb ? Loop::kEverything : Loop::kWithinSegment);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    automaton.tokens.push_back({c == '?', verb ? byte : Lower(byte)});
    automaton.loops.push_back(c == '?' ? Loop::kContinuationBytes : Loop::kNone);
  }
  return automaton;
}

bool Takes(const Token& token, unsigned char byte, Glob::Kind kind) {
  if (token.any_character) {
    return !IsContinuationByte(byte) && (byte != '/' || kind == Glob::Kind::kVerb);
  }
  return token.byte == (kind == Glob::Kind::kVerb ? byte : Lower(byte));
}

bool Stays(Loop loop, unsigned char byte) {
  switch (loop) {
    case Loop::kNone:
      return false;
    case Loop::kContinuationBytes:
      return IsContinuationByte(byte);
    case Loop::kWithinSegment:
      return byte != '/';
    case Loop::kEverything:
      return true;
  }
  return false;
}

void SetBit(std::uint64_t* words, std::size_t bit) {
  words[bit / 64] |= std::uint64_t{1} << (bit % 64);
}

bool EndsSegment(std::string_view text, std::size_t end) {
  return end == text.size() || text[end] == '/';
}

}  // namespace

Glob::Glob(std::string_view pattern, Kind kind) : floating_(kind == Kind::kPathSuffix) {
  const Automaton automaton = Build(pattern, kind);
  last_state_ = automaton.tokens.size();
  words_ = last_state_ / 64 + 1;
  std::map<std::vector<std::uint64_t>, std::uint8_t> classes;
  for (std::size_t value = 0; value < class_of_byte_.size(); ++value) {
    const auto byte = static_cast<unsigned char>(value);
    std::vector<std::uint64_t> masks(2 * words_);
    for (std::size_t state = 0; state <= last_state_; ++state) {
      if (state < last_state_ && Takes(automaton.tokens[state], byte, kind)) {
        SetBit(masks.data(), state);
      }
      if (Stays(automaton.loops[state], byte)) {
        SetBit(masks.data() + words_, state);
      }
    }
    const auto [known, is_new] =
        classes.try_emplace(masks, static_cast<std::uint8_t>(classes.size()));
    if (is_new) {
      masks_.insert(masks_.end(), masks.begin(), masks.end());
    }
    class_of_byte_[value] = known->second;
  }
}

bool Glob::Matches(std::string_view text) const {
  return LongestPrefix(text, text.size(), text.size()) != kNone;
}

std::size_t Glob::LongestPrefix(std::string_view text, std::size_t min_end,
                                std::size_t max_end) const {
  return words_ == 1 ? LongestPrefixInOneWord(text, min_end, max_end)
                     : LongestPrefixInWords(text, min_end, max_end);
}

std::size_t Glob::LongestPrefixInOneWord(std::string_view text, std::size_t min_end,
                                         std::size_t max_end) const {
  std::uint64_t states = 1;
  std::size_t longest = kNone;
  for (std::size_t end = 0;; ++end) {
    if (end >= min_end && (states >> last_state_ & 1U) != 0 && EndsSegment(text, end)) {
      longest = end;
    }
    if (end == max_end || (states == 0 && !floating_)) {
      return longest;
    }
    const auto byte = static_cast<unsigned char>(text[end]);
    const std::uint64_t* masks = masks_.data() + 2 * std::size_t{class_of_byte_[byte]};
    const std::uint64_t begin = floating_ && byte == '/' ? 1U : 0U;
    states = (states & masks[0]) << 1U | (states & masks[1]) | begin;
  }
}

std::size_t Glob::LongestPrefixInWords(std::string_view text, std::size_t min_end,
                                       std::size_t max_end) const {
  std::array<std::uint64_t, kMaxWords> states{};
  states[0] = 1;
  std::size_t longest = kNone;
  for (std::size_t end = 0;; ++end) {
    const bool accepts = (states[last_state_ / 64] >> (last_state_ % 64) & 1U) != 0;
    if (end >= min_end && accepts && EndsSegment(text, end)) {
      longest = end;
    }
    if (end == max_end) {
      return longest;
    }
    const auto byte = static_cast<unsigned char>(text[end]);
    const std::uint64_t* advance = masks_.data() + 2 * words_ * class_of_byte_[byte];
    const std::uint64_t* stay = advance + words_;
    std::uint64_t carry = floating_ && byte == '/' ? 1U : 0U;
    for (std::size_t word = 0; word < words_; ++word) {
      const std::uint64_t advanced = states[word] & advance[word];
      states[word] = advanced << 1U | carry | (states[word] & stay[word]);
      carry = advanced >> 63U;
    }
  }
}

Glob::States Glob::FirstStates() const {
  States states(words_);
  states[0] = 1;
  return states;
}

void Glob::Step(const std::uint64_t* states, unsigned char byte, std::uint64_t* next) const {
  const std::uint64_t* advance = masks_.data() + 2 * words_ * class_of_byte_[byte];
  const std::uint64_t* stay = advance + words_;
  std::uint64_t carry = floating_ && byte == '/' ? 1U : 0U;
  for (std::size_t word = 0; word < words_; ++word) {
    const std::uint64_t advanced = states[word] & advance[word];
    next[word] = advanced << 1U | carry | (states[word] & stay[word]);
    carry = advanced >> 63U;
  }
}

bool Glob::Accepts(const std::uint64_t* states) const {
  return (states[last_state_ / 64] >> (last_state_ % 64) & 1U) != 0;
}

}  // namespace weft::mappings
