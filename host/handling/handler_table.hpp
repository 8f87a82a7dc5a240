#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/handling/module_loader.hpp"
#include "host/observe/worker_figures.hpp"
#include "mappings/mapping_table.hpp"
#include "mappings/problem.hpp"

namespace weft::host::handling {

/// A mapping table with the classes that its entries name.
///
/// Every type is looked up when the table is built, so that no request waits for a module to load. A type
/// that cannot be used is a problem of the table where an entry validates it; where none does, it is
/// remembered, and those entries alone answer with 500.
///
/// Threads: the reactor's. Lifetime: `resolver` must outlive it.
class HandlerTable {
 public:
  HandlerTable(std::shared_ptr<const mappings::MappingTable> mappings, TypeResolver& resolver);

  /// One for each validating entry whose type cannot be used, at its place in the file. With any, the table
  /// must not serve.
  const std::vector<mappings::Problem>& Problems() const noexcept { return problems_; }

  const mappings::MappingTable& Mappings() const noexcept { return *mappings_; }
  /// The class of an entry of this table. Throws TypeError where it cannot be used.
  HandlerClass& ClassOf(const mappings::Entry& entry) const;
  /// For Resolve() of Mappings().
  mappings::ResolutionCache& Cache() const noexcept { return cache_; }
  /// Where requests of an entry of this table are counted: null until somebody sets it. Throws std::bad_alloc.
  observe::EntryFigures*& FiguresOf(const mappings::Entry& entry) const { return figures_[&entry]; }

 private:
  struct Type {
    HandlerClass* handler_class = nullptr;
    std::string error;
  };

  std::shared_ptr<const mappings::MappingTable> mappings_;
  std::vector<Type> types_;  // by Entry::type_index
  std::vector<mappings::Problem> problems_;
  mutable mappings::ResolutionCache cache_;
  mutable std::unordered_map<const mappings::Entry*, observe::EntryFigures*> figures_;
};

/// Lends a handler of a class for a request that `entry` is to serve. Throws what the class's own code throws, and
/// HttpException(500), whose detail names the entry, where no handler was made.
HandlerLease LeaseFor(const mappings::Entry& entry, HandlerClass& handler_class,
                      HttpContext& context);

}  // namespace weft::host::handling
