#include "mappings/chain.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mappings/ascii.hpp"
#include "mappings/wording.hpp"

namespace weft::mappings {
namespace {

class ChainBuilder {
 public:
  ChainBuilder(IInherited& inherited, const ChainProblems& problems)
      : inherited_(inherited), problems_(problems) {}

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
    if (!cleared_) {
      for (const Entry* entry : inherited_.All()) {
        if (entry->locked) {
          Refuse(clear.where, "This directive", *entry, "Delete it, and remove entries by name.");
          return;
        }
      }
    }
    own_.clear();
    position_of_key_.clear();
    taken_.clear();
    cleared_ = true;
  }

  [[nodiscard]] Extension Take() {
    Extension extension;
    std::ranges::copy_if(own_, std::back_inserter(extension.own),
                         [](const Entry* entry) { return entry != nullptr; });
    extension.cleared = cleared_;
    extension.taken = std::move(taken_);
    return extension;
  }

 private:
  void Append(std::string key, Entry* entry) {
    position_of_key_.insert_or_assign(std::move(key), own_.size());
    own_.push_back(entry);
  }

  // The inherited entry of this key that is still there; or null.
  [[nodiscard]] const Entry* Inherited(const std::string& key) const {
    const Entry* entry = cleared_ ? nullptr : inherited_.Find(key);
    return taken_.contains(entry) ? nullptr : entry;
  }

  // The same, if it is locked.
  [[nodiscard]] const Entry* Locked(const std::string& key) const {
    const Entry* entry = Inherited(key);
    return entry != nullptr && entry->locked ? entry : nullptr;
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
    bool same_path = false;
    std::string_view verb;
    const auto look_at = [&](const Entry* entry) {
      if (same_path || entry == nullptr || taken_.contains(entry)) {
        return;
      }
      if (EqualsIgnoringCase(entry->path, remove.path)) {
        same_path = true;
        verb = entry->verb;
      } else if (EqualsIgnoringCase(entry->verb, remove.verb)) {
        paths.push_back(entry->path);
      }
    };
    if (!cleared_) {
      std::ranges::for_each(inherited_.All(), look_at);
    }
    std::ranges::for_each(own_, look_at);
    if (same_path) {
      return "; there is one with this path and the verb " + Quoted(verb) + ".";
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
    if (const auto found = position_of_key_.find(key); found != position_of_key_.end()) {
      own_[found->second] = nullptr;
      position_of_key_.erase(found);
      return true;
    }
    const Entry* inherited = Inherited(key);
    return inherited != nullptr && taken_.insert(inherited).second;
  }

  IInherited& inherited_;
  const ChainProblems& problems_;
  Chain own_;  // null where one was taken away
  std::unordered_map<std::string, std::size_t> position_of_key_;
  std::unordered_set<const Entry*> taken_;  // of the inherited ones
  bool cleared_ = false;                    // of all of these
};

/// A chain that is at hand as a whole.
class WholeChain final : public IInherited {
 public:
  explicit WholeChain(const Chain& chain) : chain_(chain) {
    for (Entry* entry : chain) {
      entry_of_key_.emplace(EntryKey(entry->verb, entry->path), entry);
    }
  }

  Entry* Find(const std::string& key) override {
    const auto found = entry_of_key_.find(key);
    return found == entry_of_key_.end() ? nullptr : found->second;
  }
  const Chain& All() override { return chain_; }

 private:
  const Chain& chain_;
  std::unordered_map<std::string, Entry*> entry_of_key_;
};

}  // namespace

Extension Extend(IInherited& inherited, const std::vector<Directive>& directives,
                 const ChainProblems& problems) {
  ChainBuilder builder(inherited, problems);
  for (const Directive& directive : directives) {
    std::visit(builder, directive);
  }
  return builder.Take();
}

Chain Extend(const Chain& inherited, const std::vector<Directive>& directives,
             const ChainProblems& problems) {
  WholeChain whole(inherited);
  Extension extension = Extend(whole, directives, problems);
  if (!extension.cleared) {
    std::ranges::copy_if(inherited, std::back_inserter(extension.own),
                         [&extension](Entry* entry) { return !extension.taken.contains(entry); });
  }
  return std::move(extension.own);
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
  extend(&Runtime::max_requests);
  extend(&Runtime::stack_bytes);
  extend(&Runtime::slow_log_threshold);
  if (block.settings.default_documents) {
    settings.default_documents = *block.settings.default_documents;
  }
  if (block.settings.redirect_to_folder) {
    settings.redirect_to_folder = *block.settings.redirect_to_folder;
  }
  if (block.settings.sections) {
    settings.sections =
        std::make_shared<const ConfigSections>(block.settings.sections, inherited.sections);
  }
  settings.levels.push_back(block.source);
  return settings;
}

}  // namespace weft::mappings
