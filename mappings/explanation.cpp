#include "mappings/explanation.hpp"

namespace weft::mappings {

namespace {

std::string NameOfMissing(ResourceType type) {
  switch (type) {
    case ResourceType::kFile:
      return "no file is there";
    case ResourceType::kDirectory:
      return "no folder is there";
    case ResourceType::kEither:
    case ResourceType::kUnspecified:
      break;
  }
  return "neither file nor folder is there";
}

}  // namespace

std::string_view ToString(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kChosen:
      return "chosen";
    case Verdict::kOtherPath:
      return "path";
    case Verdict::kNoResource:
      return "resourceType";
    case Verdict::kOtherMethod:
      return "verb";
  }
  return {};
}

std::string ReasonOf(const TriedEntry& tried) {
  switch (tried.verdict) {
    case Verdict::kChosen:
      return "chosen";
    case Verdict::kOtherPath:
      return "its path does not match";
    case Verdict::kNoResource:
      return "its path matches, but " + NameOfMissing(tried.entry->resource_type);
    case Verdict::kOtherMethod:
      return "its path matches, but it is for other verbs";
  }
  return {};
}

std::vector<TriedEntry> EntriesTried(const MappingTable& table, const Resolution& resolution,
                                     std::string_view method, IResources* resources) {
  std::vector<TriedEntry> tried;
  const CandidatePath path(resolution.file_path);
  ResourceProbe probe(resources, resolution.file_path);
  for (const Entry* entry : table.EntriesOf(resolution)) {
    if (!entry->pattern.Matches(path)) {
      tried.push_back({entry, Verdict::kOtherPath});
    } else if (!probe.Satisfies(entry->resource_type)) {
      tried.push_back({entry, Verdict::kNoResource});
    } else if (!entry->verbs.Matches(method)) {
      tried.push_back({entry, Verdict::kOtherMethod});
    } else {
      tried.push_back({entry, Verdict::kChosen});
      break;
    }
  }
  return tried;
}

}  // namespace weft::mappings
