#include "host/handling/handler_table.hpp"

#include <utility>

#include <weft/http_exception.hpp>

namespace weft::host::handling {

HandlerTable::HandlerTable(std::shared_ptr<const mappings::MappingTable> mappings,
                           TypeResolver& resolver)
    : mappings_(std::move(mappings)) {
  for (const auto& use : mappings_->Types()) {
    Type type;
    try {
      type.handler_class = &resolver.Resolve(use.type);
    } catch (const TypeError& error) {
      type.error = error.what();
      for (const auto* const entry : use.entries) {
        if (entry->validate) {
          problems_.push_back({entry->type_where, mappings::Problem::Severity::kError, type.error});
        }
      }
    }
    types_.push_back(std::move(type));
  }
}

HandlerClass& HandlerTable::ClassOf(const mappings::Entry& entry) const {
  const auto& type = types_[entry.type_index];
  if (type.handler_class == nullptr) {
    throw TypeError(entry.type_where.ToString() + ": " + type.error);
  }
  return *type.handler_class;
}

HandlerLease LeaseFor(const mappings::Entry& entry, HandlerClass& handler_class,
                      HttpContext& context) {
  try {
    return HandlerLease(handler_class, context);
  } catch (const NoHandlerError& error) {
    const auto& name = entry.name.empty() ? entry.verb + " " + entry.path : entry.name;
    throw HttpException(500, {},
                        entry.where.ToString() + ": entry '" + name + "', type '" +
                            entry.type_text + "': " + error.what())
        .WithCause(cause::kHandlerNotMade);
  }
}

}  // namespace weft::host::handling
