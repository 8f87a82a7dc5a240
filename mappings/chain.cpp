#include "mappings/chain.hpp"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mappings/ascii.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

class ChainBuilder {
 public:
  ChainBuilder(const Chain& inherited, const ChainProblems& problems) : problems_(problems) {
    slots_.reserve(inherited.size());
    for (Entry* entry : inherited) {
      Append(EntryKey(entry->verb, entry->path), entry);
    }
    own_begin_ = slots_.size();
  }

  void operator()(const AddDirective& add) {
    if (const Entry* locked = Locked(add.key)) {
      Refuse(add.entry->where, "This entry", *locked, "Give it another path or verb.");
      return;
    }
    Erase(add.key);
    Append(add.key, add.entry.get());
  }

  void operator()(const RemoveDirective& remove) {
    if (const Entry* locked = Locked(remove.key)) {
      Refuse(remove.where, "This directive", *locked, "Delete it.");
    } else if (!Erase(remove.key) && problems_.warn) {
      problems_.problems.push_back({remove.where, Problem::Severity::kWarning,
                                    "There is no entry with the verb " + Quoted(remove.verb) +
                                        " and the path " + Quoted(remove.path) + " to remove" +
                                        Meant(remove) + AsText(remove)});
    }
  }

  void operator()(const ClearDirective& clear) {
    for (std::size_t i = 0; i < own_begin_; ++i) {
      if (slots_[i] != nullptr && slots_[i]->locked) {
        Refuse(clear.where, "This directive", *slots_[i], "Delete it, and remove entries by name.");
        return;
      }
    }
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

  // The inherited entry of this key, if it is locked.
  [[nodiscard]] const Entry* Locked(const std::string& key) const {
    const auto found = position_of_key_.find(key);
    if (found == position_of_key_.end() || found->second >= own_begin_ ||
        !slots_[found->second]->locked) {
      return nullptr;
    }
    return slots_[found->second];
  }

  void Refuse(const SourceLocation& where, std::string_view what, const Entry& locked,
              std::string_view advice) {
    const std::string place =
        locked.where.file.empty() ? "the built-in defaults" : locked.where.ToString();
    problems_.problems.push_back({where, Problem::Severity::kError,
                                  std::string(what) + " would take away the entry with the verb " +
                                      Quoted(locked.verb) + " and the path " + Quoted(locked.path) +
                                      ", which is locked at " + place + ". " +
                                      std::string(advice)});
  }

  // The entry that was probably meant: of the same path, or of the same verb and a path like it.
  [[nodiscard]] std::string Meant(const RemoveDirective& remove) const {
    std::vector<std::string_view> paths;
    for (const Entry* entry : slots_) {
      if (entry == nullptr) {
        continue;
      }
      if (EqualsIgnoringCase(entry->path, remove.path)) {
        return "; there is one with this path and the verb " + Quoted(entry->verb) + ".";
      }
      if (EqualsIgnoringCase(entry->verb, remove.verb)) {
        paths.push_back(entry->path);
      }
    }
    const auto nearest = NearestName(remove.path, paths);
    return nearest ? "; did you mean the path " + Quoted(*nearest) + "?" : ".";
  }

  static std::string AsText(const RemoveDirective& remove) {
    const bool wildcard = (remove.verb + remove.path).find_first_of("*?") != std::string::npos;
    return wildcard ? " Both are compared as text, in which * and ? are no wildcards."
                    : " Both are compared as text: blanks and order count.";
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

  const ChainProblems& problems_;
  Chain slots_;  // inherited ones, then own ones; null where one was taken away
  std::size_t own_begin_ = 0;
  std::unordered_map<std::string, std::size_t> position_of_key_;
};

}  // namespace

Chain Extend(const Chain& inherited, const std::vector<Directive>& directives,
             const ChainProblems& problems) {
  ChainBuilder builder(inherited, problems);
  for (const Directive& directive : directives) {
    std::visit(builder, directive);
  }
  return builder.Take();
}

FolderSettings Extend(const FolderSettings& inherited, const Block& block) {
  FolderSettings settings = inherited;
  const auto extend = [&block, &settings](auto member) {
    if (const auto& own = block.settings.runtime.*member; own.value) {
      settings.runtime.*member = own;
    }
  };
  extend(&Runtime::execution_timeout);
  extend(&Runtime::max_request_bytes);
  extend(&Runtime::max_url_bytes);
  extend(&Runtime::max_query_string_bytes);
  extend(&Runtime::response_buffer_bytes);
  if (block.settings.default_documents) {
    settings.default_documents = *block.settings.default_documents;
  }
  if (block.settings.redirect_to_folder) {
    settings.redirect_to_folder = *block.settings.redirect_to_folder;
  }
  settings.levels.push_back(block.source);
  return settings;
}

}  // namespace weft::mappings
