#include "host/worker/trace_view.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <weft/async.hpp>
#include "host/observe/trace_page.hpp"
#include "mappings/explanation.hpp"
#include "mappings/route.hpp"
#include "mappings/site_folder.hpp"

namespace weft::host::worker {

namespace {

/// A folder may have thousands of entries; the last ones are those next to the decision.
constexpr std::size_t kMaxTried = 200;

observe::MappingExplanation Explain(const mappings::MappingTable& table, std::uint64_t mark,
                                    const observe::TraceRecord& record) {
  observe::MappingExplanation told;
  if (record.script_path.empty()) {
    return told;
  }
  mappings::SiteFolder files(record.site_folder);
  const auto route = mappings::FindRoute(table,
                                         {.host = record.host,
                                          .method = record.method,
                                          .script_path = record.script_path,
                                          .path_info = record.path_info,
                                          .query = record.query},
                                         files);
  const auto& resolution = route.resolution;
  told.is_known = true;
  told.is_same_table = mark == record.mappings;
  told.status = route.status;
  told.cause = route.cause;
  told.detail = route.detail;
  told.file_path = resolution.file_path;
  told.path_info = resolution.path_info;
  told.location = route.location;
  if (route.default_document) {
    told.default_document = *route.default_document;
  }
  if (resolution.settings != nullptr) {
    for (const auto& level : resolution.settings->levels) {
      told.chain.push_back(mappings::SourceLocation{level->file, 0, 0}.ToString() +
                           (level->location.empty() ? "" : ", location " + level->location));
    }
  }
  const auto tried = mappings::EntriesTried(table, resolution, record.method, &files);
  told.tried_omitted = tried.size() - std::min(tried.size(), kMaxTried);
  for (auto i = told.tried_omitted; i < tried.size(); ++i) {
    const auto& entry = *tried[i].entry;
    told.tried.push_back({.where = entry.where.ToString(),
                          .entry = entry.verb + " " + entry.path,
                          .type = entry.type_text,
                          .why = mappings::ReasonOf(tried[i]),
                          .is_chosen = tried[i].verdict == mappings::Verdict::kChosen});
  }
  return told;
}

builtin::TraceAnswer MakePage(const observe::TraceRing& ring, const mappings::MappingTable& table,
                              std::uint64_t mark, const builtin::TraceQuestion& question) {
  const observe::TracePage page{
      .self = question.self, .nonce = question.nonce, .kept = ring.Records()};
  if (question.id.empty()) {
    const observe::TraceFilter filter{.status = question.status,
                                      .path = question.path,
                                      .handler = question.handler,
                                      .slower_ms = question.slower_ms};
    std::vector<observe::Trace> traces;
    std::size_t all = 0;
    for (const auto& [id, at, bytes] : ring.Last()) {
      if (auto record = observe::DecodeTrace(bytes)) {
        ++all;
        if (filter.Passes(*record)) {
          traces.push_back({id, std::move(*record)});
        }
      }
    }
    return {.text = question.as_json ? observe::TracesToJson(traces, all, page)
                                     : observe::TracesToHtml(traces, all, filter, page)};
  }
  if (const auto id = observe::ParseTraceId(question.id)) {
    if (const auto found = ring.Find(*id)) {
      if (auto record = observe::DecodeTrace(found->bytes)) {
        const observe::Trace trace{*id, std::move(*record)};
        const auto mapping = Explain(table, mark, trace.record);
        return {.text = question.as_json ? observe::TraceToJson(trace, mapping)
                                         : observe::TraceToHtml(trace, mapping, page)};
      }
    }
  }
  return {.is_found = false,
          .text = question.as_json ? std::string("null\n") : observe::NoTraceToHtml(page)};
}

}  // namespace

std::uint64_t MarkOf(const mappings::MappingTable& table) {
  // FNV-1a.
  std::uint64_t mark = 14'695'981'039'346'656'037U;
  const auto add = [&mark](std::string_view text) {
    for (const char c : text) {
      mark = (mark ^ static_cast<unsigned char>(c)) * 1'099'511'628'211U;
    }
    mark = (mark ^ 0xffU) * 1'099'511'628'211U;
  };
  for (const auto& use : table.Types()) {
    for (const auto* const entry : use.entries) {
      add(entry->where.ToString());
      add(entry->verb);
      add(entry->path);
      add(entry->type_text);
      add(entry->name);
    }
  }
  return mark;
}

builtin::TraceAnswer AnswerTraces(const observe::TraceRing& ring,
                                  const std::shared_ptr<const handling::HandlerTable>& handlers,
                                  std::uint64_t mark, const builtin::TraceQuestion& question) {
  const auto kept = handlers;
  return Offload([&] { return MakePage(ring, kept->Mappings(), mark, question); });
}

}  // namespace weft::host::worker
