#include "mappings/chain.hpp"

#include <string>
#include <unordered_map>

#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

class ChainBuilder {
 public:
  ChainBuilder(const Chain& inherited, std::vector<Problem>* problems) : problems_(problems) {
    slots_.reserve(inherited.size());
    for (Entry* entry : inherited) {
      Append(EntryKey(entry->verb, entry->path), entry);
    }
    own_begin_ = slots_.size();
  }

  void operator()(const AddDirective& add) {
    Erase(add.key);
    Append(add.key, add.entry.get());
  }

  void operator()(const RemoveDirective& remove) {
    if (!Erase(remove.key) && problems_ != nullptr) {
      problems_->push_back(
          {remove.where, Problem::Severity::kWarning,
           "There is no entry with the verb " + Quoted(remove.verb) + " and the path " +
               Quoted(remove.path) +
               " to remove. Both are compared as text: wildcards, blanks and order count."});
    }
  }

  void operator()(const ClearDirective& /*clear*/) {
    slots_.clear();
    position_of_key_.clear();
    own_begin_ = 0;
  }

  [[nodiscard]] Chain Take() const {
    Chain chain;
    const auto add_present = [this, &chain](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        if (slots_[i] != nullptr) {
          chain.push_back(slots_[i]);
        }
      }
    };
    add_present(own_begin_, slots_.size());
    add_present(0, own_begin_);
    return chain;
  }

 private:
  void Append(std::string key, Entry* entry) {
    position_of_key_.insert_or_assign(std::move(key), slots_.size());
    slots_.push_back(entry);
  }

  bool Erase(const std::string& key) {
    const auto found = position_of_key_.find(key);
    if (found == position_of_key_.end()) {
      return false;
    }
    slots_[found->second] = nullptr;
    position_of_key_.erase(found);
    return true;
  }

  std::vector<Problem>* problems_;
  Chain slots_;  // inherited ones, then own ones; null where one was taken away
  std::size_t own_begin_ = 0;
  std::unordered_map<std::string, std::size_t> position_of_key_;
};

}  // namespace

Chain Extend(const Chain& inherited, const Level& level, std::vector<Problem>* problems) {
  ChainBuilder builder(inherited, problems);
  for (const Directive& directive : level.directives) {
    std::visit(builder, directive);
  }
  return builder.Take();
}

Runtime Extend(const Runtime& inherited, const RuntimeOverrides& overrides) {
  Runtime runtime = inherited;
  if (overrides.execution_timeout) {
    runtime.execution_timeout = *overrides.execution_timeout;
  }
  if (overrides.max_request_bytes) {
    runtime.max_request_bytes = overrides.max_request_bytes;
  }
  return runtime;
}

}  // namespace weft::mappings
