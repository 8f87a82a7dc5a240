#pragma once

#include <cstdint>
#include <memory>

#include "handlers/builtin/trace_handler.hpp"
#include "host/handling/handler_table.hpp"
#include "host/observe/trace_ring.hpp"
#include "mappings/mapping_table.hpp"

namespace weft::host::worker {

/// What tells this table's entries from those of another, in all processes: of their places, verbs, paths and types. It is the same
/// for what the same files say.
[[nodiscard]] std::uint64_t MarkOf(const mappings::MappingTable& table);

/// Answers what is asked of the traces, with what the mappings in `handlers` say of a request now. `handlers`: shared, for it may
/// be replaced meanwhile.
///
/// Threads: the reactor's, on a fiber, which waits while a thread of weft::Offload() makes the page.
[[nodiscard]] builtin::TraceAnswer AnswerTraces(
    const observe::TraceRing& ring, const std::shared_ptr<const handling::HandlerTable>& handlers,
    std::uint64_t mark, const builtin::TraceQuestion& question);

}  // namespace weft::host::worker
