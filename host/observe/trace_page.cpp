#include "host/observe/trace_page.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "host/observe/log.hpp"
#include "host/options/values.hpp"
#include "mappings/ascii.hpp"

namespace weft::host::observe {

namespace {

using Json = nlohmann::ordered_json;
using std::chrono::nanoseconds;

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --page: #fbfbf9; --card: #fff; --text: #1d2328; --soft: #566069; --line: #dfe2e1;
  --link: #0b5f8a; --bar: #2f7fab; --wait: #b9741a; --rest: #e9ebea; --ok: #1d6b3f; --ok-back: #e1f3e7; --moved: #245a8d;
  --moved-back: #e2eef9; --client: #855100; --client-back: #fcefd5; --server: #a3202c; --server-back: #fce4e4; }
@media (prefers-color-scheme: dark) { :root { --page: #14181b; --card: #1c2226; --text: #e4e8ea; --soft: #a3aeb5;
  --line: #313a40; --link: #86c9ee; --bar: #4d9fcb; --wait: #d9973f; --rest: #2a3237; --ok: #8fdcab; --ok-back: #173524;
  --moved: #9ccdf5; --moved-back: #172f45; --client: #f3c57c; --client-back: #3a2a0e; --server: #ff9d9d;
  --server-back: #441b1e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .6rem; }
p { margin: .35rem 0; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, input:focus-visible, select:focus-visible, button:focus-visible, summary:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px; border-radius: 4px; }
code, .mono { font: .87em/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.time { white-space: nowrap; }
.soft { color: var(--soft); }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.head { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: baseline; justify-content: space-between; }
.pill { display: inline-block; min-width: 2.9rem; padding: .05rem .55rem; border-radius: 1rem; text-align: center;
  font-weight: 600; font-variant-numeric: tabular-nums; }
.s2 { color: var(--ok); background: var(--ok-back); }
.s1, .s3 { color: var(--moved); background: var(--moved-back); }
.s4 { color: var(--client); background: var(--client-back); }
.s0, .s5 { color: var(--server); background: var(--server-back); }
form.filter { display: flex; flex-wrap: wrap; gap: .7rem; align-items: end; margin: 1.1rem 0 1.25rem; }
label { display: grid; gap: .15rem; font-size: .85rem; color: var(--soft); }
input, select, button { font: inherit; color: var(--text); background: var(--card); border: 1px solid var(--soft);
  border-radius: 6px; padding: .35rem .6rem; min-width: 0; height: 2.3rem; }
input[name=path], input[name=handler] { width: 13rem; }
input[name=slower] { width: 6.5rem; }
button { cursor: pointer; }
button.main { background: var(--link); border-color: var(--link); color: var(--card); font-weight: 600; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
table { width: 100%; border-collapse: collapse; }
caption { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
th, td { padding: .45rem .8rem; text-align: left; vertical-align: baseline; }
thead th { font-size: .8rem; font-weight: 600; color: var(--soft); white-space: nowrap; }
tbody tr { border-top: 1px solid var(--line); }
table.pairs tbody tr:first-child, table.bare tbody tr:first-child { border-top: 0; }
tbody th { font-weight: 500; }
table.list tbody tr:hover { background: color-mix(in srgb, var(--link) 7%, transparent); }
table.list .what { width: 100%; }
table.list .what a { text-decoration: none; font-weight: 500; }
table.list .what a:hover { text-decoration: underline; }
table.list .handler { display: block; font-size: .87rem; }
svg.bar { display: block; width: 100%; height: .7rem; border-radius: 3px; background: var(--rest); }
svg.bar.small { width: 6rem; height: .35rem; margin-top: .25rem; margin-left: auto; }
svg .work { fill: var(--bar); } svg .wait { fill: var(--wait); }
table.steps th { white-space: nowrap; width: 1%; } table.steps .num { width: 1%; }
table.steps thead th:last-child { width: 90%; }
table.steps td.lane { min-width: 8rem; vertical-align: middle; }
table.tried td:first-child { width: 45%; } table.tried td:last-child { width: 22%; }
table.pairs th { width: 17rem; vertical-align: baseline; color: var(--soft); overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: 1px; margin: 1.2rem 0 0;
  background: var(--line); }
dl div { background: var(--card); padding: .55rem .8rem; }
dt { font-size: .8rem; color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.error { border: 1px solid var(--server); border-radius: 10px; background: var(--server-back); color: var(--server);
  padding: .7rem .9rem; margin-top: 1.2rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.chosen { background: var(--ok-back); } .chosen td:last-child, .chosen strong { color: var(--ok); font-weight: 600; }
ol.chain { margin: .4rem 0 .9rem; padding-left: 1.4rem; }
td.line { white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin-top: .6rem; } summary { cursor: pointer; padding: .2rem 0; }
.note { border-left: 3px solid var(--wait); padding: .1rem 0 .1rem .8rem; }
.empty { padding: 2.5rem 1rem; text-align: center; }
@media (max-width: 44rem) {
  main { padding: 1rem .8rem 3rem; }
  form.filter label { flex: 1 1 8rem; } input[name=path], input[name=handler], input[name=slower] { width: 100%; }
  table.list, table.list tbody, table.list tr, table.list td, table.tried, table.tried tbody, table.tried tr, table.tried td,
  table.pairs, table.pairs tbody, table.pairs tr, table.pairs th, table.pairs td { display: block; width: auto; }
  table.list thead, table.tried thead { position: absolute; clip-path: inset(50%); height: 1px; width: 1px;
    overflow: hidden; }
  dl { grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); }
  table.list tr { display: grid; grid-template-columns: auto 1fr auto; gap: .1rem .7rem; padding: .6rem .8rem; }
  table.list td { padding: 0; } table.list .what { grid-column: 1 / -1; order: 2; } table.list .time { order: 1; }
  table.list .took { order: 1; } table.list .size, table.list .who { order: 3; font-size: .82rem; text-align: left; }
  table.list .who { grid-column: 2 / -1; text-align: right; }
  table.pairs tr, table.tried tr { padding: .45rem .8rem; }
  table.pairs th, table.pairs td, table.tried td { padding: 0; }
  table.steps { font-size: .88rem; } table.steps th, table.steps td { padding: .4rem .45rem; }
  table.steps td.lane { min-width: 4rem; } table.steps .start { display: none; }
}
)css";

/// Three threads on a loom.
constexpr std::string_view kIcon =
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cg "
    "stroke='%232f7fab' "
    "stroke-width='2'%3E%3Cpath d='M4 1v14M8 1v14M12 1v14' opacity='.5'/%3E%3Cpath d='M1 4h14M1 "
    "8h9M1 12h12'/%3E%3C/g%3E%3C/svg%3E";

struct StepName {
  TraceStep step;
  std::string_view name;
  std::string_view json;
  std::string_view what;
};
constexpr std::array<StepName, kTraceSteps> kSteps{{
    {TraceStep::kParsed, "Parse", "parse", "its parameters are read"},
    {TraceStep::kAdmitted, "Admission", "admission", "is there room for it?"},
    {TraceStep::kMapped, "Mapping", "mapping", "which entry is for it?"},
    {TraceStep::kLeased, "Lease", "lease", "a handler is taken, or made"},
    {TraceStep::kBodyRead, "Body", "body", "its body comes"},
    {TraceStep::kCalled, "Queue", "queue", "it waits for a thread"},
    {TraceStep::kReturned, "Handler", "handler", "its handler works"},
    {TraceStep::kEnded, "End", "end", "the answer is completed, and handed over"},
}};

struct Span {
  const StepName* step;
  nanoseconds begin;
  nanoseconds end;
};

std::vector<Span> SpansOf(const TraceRecord& record) {
  std::vector<Span> spans;
  nanoseconds begin{0};
  for (const auto& step : kSteps) {
    const auto end = record.steps[static_cast<std::size_t>(step.step)];
    if (end >= begin) {
      spans.push_back({&step, begin, end});
      begin = end;
    }
  }
  return spans;
}

double Milliseconds(nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// `0.042 ms`, `3.17 ms`, `12.4 s`.
std::string Took(nanoseconds time) {
  std::array<char, 48> text{};
  const auto ms = Milliseconds(time);
  const char* const form = ms >= 10'000  ? "%.1f s"
                           : ms >= 100.0 ? "%.0f ms"
                           : ms >= 1.0   ? "%.2f ms"
                                         : "%.3f ms";
  std::snprintf(text.data(), text.size(), form, ms >= 10'000 ? ms / 1000 : ms);
  return text.data();
}

std::string Bytes(std::uint64_t bytes) {
  std::array<char, 48> text{};
  if (bytes < 10'000) {
    return std::to_string(bytes) + " B";
  }
  const auto kib = static_cast<double>(bytes) / 1024;
  std::snprintf(text.data(), text.size(), kib < 10'000 ? "%.1f KiB" : "%.1f MiB",
                kib < 10'000 ? kib : kib / 1024);
  return text.data();
}

std::string LevelName(std::uint8_t level) {
  // The bits may be any.
  return options::FormatLogLevel(std::min(static_cast<Level>(level), Level::kError));
}

/// How many bytes of UTF-8 `text` begins with; 0: none. `code`: what they are.
std::size_t CodePoint(std::string_view text, char32_t& code) noexcept {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[i]));
  };
  const auto first = byte(0);
  const std::size_t size = first < 0x80   ? 1
                           : first < 0xc2 ? 0
                           : first < 0xe0 ? 2
                           : first < 0xf0 ? 3
                           : first < 0xf5 ? 4
                                          : 0;
  if (size == 0 || size > text.size()) {
    return 0;
  }
  code = size == 1 ? first : first & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) {
      return 0;
    }
    code = (code << 6U) | (byte(i) & 0x3fU);
  }
  constexpr std::array<char32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  const bool is_wrong = code < kLeast[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000);
  return is_wrong ? 0 : size;
}

/// Cannot be seen, or makes what stands around it look like something else.
bool IsInvisible(char32_t code) noexcept {
  return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0) ||
         code == 0xad || code == 0x61c || (code >= 0x200b && code <= 0x200f) ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
         code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
         (code >= 0xe0000 && code <= 0xe007f);
}

class Html {
 public:
  Html& Raw(std::string_view text) {
    text_.append(text);
    return *this;
  }
  Html& Text(std::string_view text) {
    AppendHtml(text_, text);
    return *this;
  }
  /// Nothing where there is no value.
  void Fact(std::string_view name, std::string_view value, bool is_code = false) {
    if (!value.empty()) {
      Raw("<div><dt>").Raw(name).Raw(is_code ? "</dt><dd><code>" : "</dt><dd>").Text(value);
      Raw(is_code ? "</code></dd></div>\n" : "</dd></div>\n");
    }
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

void Begin(Html& html, std::string_view title, const TracePage& page) {
  html.Raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
      .Raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
      .Raw("<meta name=\"robots\" content=\"noindex\">\n<title>")
      .Text(title)
      .Raw("</title>\n<link rel=\"icon\" href=\"")
      .Raw(kIcon)
      .Raw("\">\n<style nonce=\"")
      .Text(page.nonce)
      .Raw("\">")
      .Raw(kStyle)
      .Raw("</style>\n</head>\n<body>\n<main>\n");
}

std::string End(Html& html) { return html.Raw("</main>\n</body>\n</html>\n").Take(); }

/// A client that left has no status of its own that anybody got.
void Pill(Html& html, int status) {
  html.Raw("<span class=\"pill s").Raw(std::to_string(std::clamp(status / 100, 0, 5))).Raw("\">");
  html.Raw(std::to_string(status)).Raw("</span>");
}

/// A bar from `begin` to `end` of `whole`.
void Bar(Html& html, std::string_view css, std::string_view kind, nanoseconds begin,
         nanoseconds end, nanoseconds whole) {
  const auto scaled = [&](nanoseconds time) {
    return whole.count() <= 0 ? 0.0
                              : std::clamp(1000.0 * static_cast<double>(time.count()) /
                                               static_cast<double>(whole.count()),
                                           0.0, 1000.0);
  };
  // So that it can be seen.
  constexpr double kLeast = 4;
  const auto width = std::max(scaled(end) - scaled(begin), kLeast);
  const auto x = std::min(scaled(begin), 1000.0 - width);
  std::array<char, 160> rect{};
  std::snprintf(rect.data(), rect.size(),
                "<rect class=\"%.*s\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"10\"/>",
                static_cast<int>(kind.size()), kind.data(), x, width);
  html.Raw("<svg class=\"")
      .Raw(css)
      .Raw("\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
  html.Raw(rect.data()).Raw("</svg>");
}

void Option(Html& html, std::string_view value, std::string_view label, std::string_view chosen) {
  html.Raw("<option value=\"").Text(value).Raw(value == chosen ? "\" selected>" : "\">");
  html.Text(label).Raw("</option>");
}

void FilterForm(Html& html, const TraceFilter& filter, const TracePage& page) {
  html.Raw("<form class=\"filter\" method=\"get\" action=\"").Text(page.self).Raw("\">\n");
  html.Raw("<label>Status<select name=\"status\">");
  Option(html, "", "any", filter.status);
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kClasses{
      {{"2xx", "2xx, success"},
       {"3xx", "3xx, elsewhere"},
       {"4xx", "4xx, the client"},
       {"5xx", "5xx, the server"}}};
  bool is_listed = filter.status.empty();
  for (const auto& [value, label] : kClasses) {
    Option(html, value, label, filter.status);
    is_listed = is_listed || value == filter.status;
  }
  if (!is_listed) {
    Option(html, filter.status, filter.status, filter.status);
  }
  html.Raw("</select></label>\n<label>Path has<input name=\"path\" value=\"").Text(filter.path);
  html.Raw("\"></label>\n<label>Handler has<input name=\"handler\" value=\"").Text(filter.handler);
  html.Raw(
      "\"></label>\n<label>Slower than, ms<input name=\"slower\" inputmode=\"decimal\" value=\"");
  if (filter.slower_ms > 0) {
    html.Text(Json(filter.slower_ms).dump());
  }
  html.Raw("\"></label>\n<button class=\"main\">Filter</button>\n");
  if (!filter.IsEmpty()) {
    html.Raw("<a href=\"").Text(page.self).Raw("\">Show all</a>\n");
  }
  html.Raw("</form>\n");
}

void Row(Html& html, const Trace& trace, nanoseconds slowest, const TracePage& page) {
  const auto& record = trace.record;
  html.Raw("<tr role=\"row\"><td role=\"cell\" class=\"time mono\">")
      .Raw(Timestamp(record.began).substr(11, 12));
  html.Raw("</td><td role=\"cell\" class=\"status\">");
  Pill(html, record.status);
  html.Raw("</td><td role=\"cell\" class=\"what\"><a class=\"mono\" href=\"")
      .Text(page.self)
      .Raw("?id=")
      .Raw(ToString(trace.id))
      .Raw("\">");
  html.Text(record.method.empty() ? "(no request came of it)" : record.method)
      .Raw(" ")
      .Text(record.url)
      .Raw("</a>");
  html.Raw("<span class=\"handler soft\">");
  html.Text(!record.type.empty() ? record.type : record.cause);
  if (record.outcome != Outcome::kCompleted && record.outcome != Outcome::kRefused) {
    html.Raw(", ").Raw(ToString(record.outcome));
  }
  html.Raw("</span></td><td role=\"cell\" class=\"took num\">").Raw(Took(record.duration));
  Bar(html, "bar small", "work", nanoseconds(0), record.duration, slowest);
  html.Raw("</td><td role=\"cell\" class=\"size num soft\">").Raw(Bytes(record.body_bytes_sent));
  html.Raw("</td><td role=\"cell\" class=\"who num soft\"><span class=\"mono\">")
      .Raw(std::to_string(record.worker));
  html.Raw("</span></td></tr>\n");
}

void Waterfall(Html& html, const TraceRecord& record) {
  const auto spans = SpansOf(record);
  if (spans.empty()) {
    return;
  }
  html.Raw(
      "<h2 id=\"time\">Where the time went</h2>\n<div class=\"card\"><table role=\"table\" "
      "class=\"steps\" "
      "aria-labelledby=\"time\">");
  html.Raw(
      "<thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\" "
      "scope=\"col\">Step</th><th role=\"columnheader\" scope=\"col\" class=\"num start\">from</th>"
      "<th role=\"columnheader\" scope=\"col\" class=\"num\">took</th><th role=\"columnheader\" "
      "scope=\"col\">of ");
  html.Raw(Took(record.duration)).Raw("</th></tr></thead>\n<tbody role=\"rowgroup\">\n");
  for (const auto& span : spans) {
    html.Raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\" title=\"")
        .Raw(span.step->what)
        .Raw("\">")
        .Raw(span.step->name);
    html.Raw("</th><td role=\"cell\" class=\"num soft start\">")
        .Raw(Took(span.begin))
        .Raw("</td><td role=\"cell\" class=\"num\">");
    html.Raw(Took(span.end - span.begin)).Raw("</td><td role=\"cell\" class=\"lane\">");
    const bool is_wait =
        span.step->step == TraceStep::kCalled || span.step->step == TraceStep::kBodyRead;
    Bar(html, "bar", is_wait ? "wait" : "work", span.begin, span.end, record.duration);
    html.Raw("</td></tr>\n");
  }
  html.Raw("</tbody></table></div>\n<p class=\"soft\">");
  if (record.answered.count() >= 0) {
    html.Raw("The answer began to leave after ").Raw(Took(record.answered)).Raw("; ");
  }
  html.Raw("writing it took ").Raw(Took(record.writing)).Raw(", reading the request's body ");
  html.Raw(Took(record.reading_body)).Raw(" of these times.</p>\n");
}

void Mapping(Html& html, const TraceRecord& record, const MappingExplanation& mapping) {
  html.Raw("<h2 id=\"mapping\">Mapping decision</h2>\n");
  if (!record.entry_where.empty()) {
    html.Raw("<p>The entry <strong>")
        .Text(record.entry)
        .Raw("</strong> at <code>")
        .Text(record.entry_where);
    html.Raw("</code> was chosen; <strong>").Text(record.type).Raw("</strong> served it.</p>\n");
  } else {
    html.Raw("<p>No entry was chosen: <code>").Text(record.cause).Raw("</code>.</p>\n");
  }
  if (!mapping.is_known) {
    html.Raw("<p class=\"soft\">It did not come to be mapped.</p>\n");
    return;
  }
  if (!mapping.is_same_table) {
    html.Raw(
        "<p class=\"note\">The entries have changed since. What follows is what the mappings of "
        "now say.</p>\n");
  }
  html.Raw("<p class=\"soft\">File path <code>")
      .Text(mapping.file_path.empty() ? "-" : mapping.file_path);
  html.Raw("</code>, path info <code>")
      .Text(mapping.path_info.empty() ? "-" : mapping.path_info)
      .Raw("</code>");
  if (!mapping.default_document.empty()) {
    html.Raw(", by the default document <code>").Text(mapping.default_document).Raw("</code>");
  }
  if (!mapping.location.empty()) {
    html.Raw(", a redirect to <code>").Text(mapping.location).Raw("</code>");
  }
  if (!mapping.detail.empty()) {
    html.Raw(", ").Text(mapping.detail);
  }
  html.Raw(". Mapping files, the outermost first:</p>\n<ol class=\"chain\">\n");
  for (const auto& level : mapping.chain) {
    html.Raw("<li><code>").Text(level).Raw("</code></li>\n");
  }
  html.Raw(
      "</ol>\n<div class=\"card\"><table role=\"table\" class=\"tried\" "
      "aria-labelledby=\"mapping\"><thead role=\"rowgroup\"><tr role=\"row\"><th "
      "role=\"columnheader\" scope=\"col\">Entry, as tried, and its type</th>"
      "<th role=\"columnheader\" "
      "scope=\"col\">Stands at</th><th role=\"columnheader\" "
      "scope=\"col\">Verdict</th></tr></thead>\n<tbody role=\"rowgroup\">\n");
  for (const auto& tried : mapping.tried) {
    html.Raw(tried.is_chosen ? "<tr role=\"row\" class=\"chosen\">" : "<tr role=\"row\">");
    html.Raw("<td role=\"cell\"><code>").Text(tried.entry).Raw("</code><br><span class=\"soft\">");
    html.Text(tried.type)
        .Raw("</span></td><td role=\"cell\" class=\"soft\"><code>")
        .Text(tried.where);
    html.Raw("</code></td><td role=\"cell\">").Text(tried.why).Raw("</td></tr>\n");
  }
  html.Raw("</tbody></table></div>\n");
  if (mapping.tried_omitted != 0) {
    html.Raw("<p class=\"soft\">And ")
        .Raw(std::to_string(mapping.tried_omitted))
        .Raw(" before them, which did not match.</p>\n");
  }
}

void Omitted(Html& html, std::uint64_t count, std::string_view what) {
  if (count != 0) {
    html.Raw("<p class=\"soft\">").Raw(std::to_string(count)).Raw(" more ").Raw(what);
    html.Raw(": there was no room for them (--trace-bytes).</p>\n");
  }
}

void Lines(Html& html, const TraceRecord& record) {
  html.Raw("<h2 id=\"lines\">What was logged</h2>\n");
  if (record.lines.empty()) {
    html.Raw("<p class=\"soft\">Nothing.</p>\n");
  } else {
    html.Raw(
        "<div class=\"card\"><table role=\"table\" class=\"bare\" aria-labelledby=\"lines\"><tbody "
        "role=\"rowgroup\">\n");
    for (const auto& line : record.lines) {
      html.Raw("<tr role=\"row\"><td role=\"cell\" class=\"num soft\">")
          .Raw(Took(line.at))
          .Raw("</td><td role=\"cell\">")
          .Raw(LevelName(line.level));
      html.Raw("</td><td role=\"cell\" class=\"line mono\">").Text(line.text).Raw("</td></tr>\n");
    }
    html.Raw("</tbody></table></div>\n");
  }
  Omitted(html, record.lines_omitted, "were logged");
}

template <typename Pick>
void Fields(Html& html, std::string_view title, std::string_view id,
            const std::vector<TraceRecord::Field>& fields, std::uint64_t omitted, Pick pick) {
  html.Raw("<h2 id=\"").Raw(id).Raw("\">").Raw(title).Raw("</h2>\n");
  bool is_empty = true;
  for (const auto& [name, value] : fields) {
    std::string shown = name;
    if (!pick(shown)) {
      continue;
    }
    if (std::exchange(is_empty, false)) {
      html.Raw("<div class=\"card\"><table role=\"table\" class=\"pairs\" aria-labelledby=\"")
          .Raw(id)
          .Raw("\"><tbody role=\"rowgroup\">\n");
    }
    html.Raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">")
        .Text(shown)
        .Raw("</th><td role=\"cell\" class=\"mono\">")
        .Text(value)
        .Raw("</td></tr>\n");
  }
  html.Raw(is_empty ? "<p class=\"soft\">None.</p>\n" : "</tbody></table></div>\n");
  Omitted(html, omitted, "came");
}

/// `HTTP_USER_AGENT` as `User-Agent`; false: it is none.
bool ToHeader(std::string& name) {
  if (!name.starts_with("HTTP_")) {
    return name == "CONTENT_TYPE" || name == "CONTENT_LENGTH"
               ? (name = name == "CONTENT_TYPE" ? "Content-Type" : "Content-Length", true)
               : false;
  }
  name.erase(0, 5);
  bool begins = true;
  for (auto& c : name) {
    if (c == '_') {
      c = '-';
      begins = true;
    } else {
      if (!begins && c >= 'A' && c <= 'Z') {
        c = static_cast<char>(c - 'A' + 'a');
      }
      begins = false;
    }
  }
  return true;
}

std::string Dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json ToJson(const Trace& trace) {
  const auto& record = trace.record;
  Json steps = Json::array();
  for (const auto& span : SpansOf(record)) {
    steps.push_back({{"step", span.step->json},
                     {"fromMs", Milliseconds(span.begin)},
                     {"ms", Milliseconds(span.end - span.begin)}});
  }
  return {{"id", ToString(trace.id)},
          {"request", record.request_id},
          {"time", Timestamp(record.began)},
          {"client", record.client},
          {"method", record.method},
          {"url", record.url},
          {"status", record.status},
          {"outcome", ToString(record.outcome)},
          {"cause", record.cause},
          {"ms", Milliseconds(record.duration)},
          {"bytes", record.body_bytes_sent},
          {"headerBytes", record.header_bytes_sent},
          {"bodyBytes", record.body_bytes_received},
          {"worker", record.worker},
          {"entry", record.entry},
          {"where", record.entry_where},
          {"handler", record.type},
          {"error", record.error},
          {"steps", std::move(steps)},
          {"answeredMs",
           record.answered.count() < 0 ? Json(nullptr) : Json(Milliseconds(record.answered))},
          {"readingMs", Milliseconds(record.reading_body)},
          {"writingMs", Milliseconds(record.writing)}};
}

Json ToJson(const std::vector<TraceRecord::Field>& fields) {
  Json json = Json::array();
  for (const auto& [name, value] : fields) {
    json.push_back({name, value});
  }
  return json;
}

bool HasIgnoringCase(std::string_view text, std::string_view part) noexcept {
  return part.empty() ||
         !std::ranges::search(text, part, {}, mappings::ToLower, mappings::ToLower).empty();
}

}  // namespace

void AppendHtml(std::string& to, std::string_view text) {
  while (!text.empty()) {
    char32_t code = 0;
    const auto size = CodePoint(text, code);
    if (size == 0) {
      to += "\ufffd";
      text.remove_prefix(1);
      continue;
    }
    switch (code) {
      case '<':
        to += "&lt;";
        break;
      case '>':
        to += "&gt;";
        break;
      case '&':
        to += "&amp;";
        break;
      case '"':
        to += "&quot;";
        break;
      case '\'':
        to += "&#39;";
        break;
      default:
        if (IsInvisible(code)) {
          std::array<char, 16> number{};
          std::snprintf(number.data(), number.size(), "[U+%04X]", static_cast<unsigned>(code));
          to += number.data();
        } else {
          to.append(text.substr(0, size));
        }
    }
    text.remove_prefix(size);
  }
}

bool TraceFilter::Passes(const TraceRecord& record) const noexcept {
  if (!status.empty()) {
    const auto number = std::to_string(record.status);
    const bool is_class = status.size() == 3 && (status.ends_with("xx") || status.ends_with("XX"));
    if (is_class ? number.front() != status.front() || number.size() != 3 : number != status) {
      return false;
    }
  }
  const auto url = std::string_view(record.url);
  return HasIgnoringCase(url.substr(0, url.find('?')), path) &&
         (HasIgnoringCase(record.type, handler) || HasIgnoringCase(record.entry, handler)) &&
         (slower_ms <= 0 || Milliseconds(record.duration) > slower_ms);
}

std::string ToString(TraceRing::Id id) {
  return std::to_string(id.part) + "-" + std::to_string(id.number);
}

std::optional<TraceRing::Id> ParseTraceId(std::string_view text) noexcept {
  TraceRing::Id id;
  const auto* const end = text.data() + text.size();
  const auto part = std::from_chars(text.data(), end, id.part);
  if (part.ec != std::errc() || part.ptr == end || *part.ptr != '-') {
    return std::nullopt;
  }
  const auto number = std::from_chars(part.ptr + 1, end, id.number);
  if (number.ec != std::errc() || number.ptr != end) {
    return std::nullopt;
  }
  return id;
}

std::string TracesToHtml(const std::vector<Trace>& traces, std::size_t all,
                         const TraceFilter& filter, const TracePage& page) {
  Html html;
  Begin(html, "Requests", page);
  html.Raw("<div class=\"head\"><div><h1>Requests</h1>\n<p class=\"soft\">");
  if (filter.IsEmpty()) {
    html.Raw("The last ")
        .Raw(std::to_string(traces.size()))
        .Raw(" of this host, the newest first; ");
  } else {
    html.Raw(std::to_string(traces.size()))
        .Raw(" of the last ")
        .Raw(std::to_string(all))
        .Raw(" of this host; ");
  }
  html.Raw(std::to_string(page.kept)).Raw(" are kept.</p></div>\n");
  html.Raw("<form method=\"post\" action=\"")
      .Text(page.self)
      .Raw("?clear\"><button>Clear</button></form></div>\n");
  FilterForm(html, filter, page);
  html.Raw("<div class=\"card\">");
  if (traces.empty()) {
    html.Raw("<p class=\"empty soft\">")
        .Raw(all == 0 ? "No request yet." : "No request is so.")
        .Raw("</p>");
  } else {
    nanoseconds slowest{0};
    for (const auto& trace : traces) {
      slowest = std::max(slowest, trace.record.duration);
    }
    html.Raw(
        "<table role=\"table\" class=\"list\"><caption>Requests</caption><thead "
        "role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\" "
        "scope=\"col\">Time, UTC</th><th role=\"columnheader\" scope=\"col\">Status</th>"
        "<th role=\"columnheader\" scope=\"col\">Request and handler</th><th role=\"columnheader\" "
        "scope=\"col\" class=\"num\">Took</th><th role=\"columnheader\" "
        "scope=\"col\" class=\"num\">Body</th>"
        "<th role=\"columnheader\" scope=\"col\" class=\"num\">Worker</th></tr></thead>\n<tbody "
        "role=\"rowgroup\">\n");
    for (const auto& trace : traces) {
      Row(html, trace, slowest, page);
    }
    html.Raw("</tbody></table>");
  }
  html.Raw("</div>\n<p class=\"soft\">The same <a href=\"")
      .Text(page.self)
      .Raw("?format=json\">as JSON</a>.</p>\n");
  return End(html);
}

std::string TracesToJson(const std::vector<Trace>& traces, std::size_t all, const TracePage& page) {
  Json json = {{"kept", page.kept}, {"all", all}, {"requests", Json::array()}};
  for (const auto& trace : traces) {
    json["requests"].push_back(ToJson(trace));
  }
  return Dump(json);
}

std::string TraceToHtml(const Trace& trace, const MappingExplanation& mapping,
                        const TracePage& page) {
  const auto& record = trace.record;
  Html html;
  const auto what = record.method.empty() ? std::string("Request ") + std::to_string(record.id)
                                          : record.method + " " + record.url;
  Begin(html, std::to_string(record.status) + " " + what, page);
  html.Raw("<p><a href=\"").Text(page.self).Raw("\">\u2190 All requests</a></p>\n<h1>");
  Pill(html, record.status);
  html.Raw(" <span class=\"mono\">").Text(what).Raw("</span></h1>\n");
  if (!record.error.empty()) {
    html.Raw("<p class=\"error mono\" role=\"note\">").Text(record.error).Raw("</p>\n");
  }
  html.Raw("<dl class=\"card\">\n");
  html.Fact("Began", Timestamp(record.began));
  html.Fact("Took", Took(record.duration));
  html.Fact("Handler", record.type, true);
  html.Fact("Client", record.client, true);
  html.Fact("Outcome", std::string(ToString(record.outcome)) +
                           (record.cause.empty() ? "" : ", " + record.cause));
  html.Fact("Sent", Bytes(record.body_bytes_sent) + " of body, " + Bytes(record.header_bytes_sent) +
                        " of header");
  html.Fact("Received", Bytes(record.body_bytes_received) + " of body");
  html.Fact("Request", record.request_id, true);
  html.Fact("Worker", std::to_string(record.worker) + ", its request " + std::to_string(record.id));
  html.Fact("Told by its handler", record.log_text);
  html.Raw("</dl>\n");
  Waterfall(html, record);
  Mapping(html, record, mapping);
  Lines(html, record);
  Fields(html, "Request header", "request", record.parameters, 0, ToHeader);
  Fields(html, "Response header", "response", record.response_fields,
         record.response_fields_omitted, [](std::string&) { return true; });
  Fields(html, "Other parameters of the web server", "parameters", record.parameters,
         record.parameters_omitted, [](std::string& name) { return !ToHeader(name); });
  html.Raw("<p class=\"soft\">The same <a href=\"")
      .Text(page.self)
      .Raw("?id=")
      .Raw(ToString(trace.id));
  html.Raw("&amp;format=json\">as JSON</a>. Secrets are masked before they are kept.</p>\n");
  return End(html);
}

std::string TraceToJson(const Trace& trace, const MappingExplanation& mapping) {
  const auto& record = trace.record;
  auto json = ToJson(trace);
  json["log"] = record.log_text;
  json["lines"] = Json::array();
  for (const auto& line : record.lines) {
    json["lines"].push_back(
        {{"ms", Milliseconds(line.at)}, {"level", LevelName(line.level)}, {"message", line.text}});
  }
  json["linesOmitted"] = record.lines_omitted;
  json["responseHeader"] = ToJson(record.response_fields);
  json["responseHeaderOmitted"] = record.response_fields_omitted;
  json["parameters"] = ToJson(record.parameters);
  json["parametersOmitted"] = record.parameters_omitted;
  if (!mapping.is_known) {
    json["mapping"] = nullptr;
    return Dump(json);
  }
  Json tried = Json::array();
  for (const auto& entry : mapping.tried) {
    tried.push_back({{"entry", entry.entry},
                     {"type", entry.type},
                     {"where", entry.where},
                     {"why", entry.why},
                     {"chosen", entry.is_chosen}});
  }
  json["mapping"] = {{"same", mapping.is_same_table},
                     {"status", mapping.status},
                     {"cause", mapping.cause},
                     {"detail", mapping.detail},
                     {"filePath", mapping.file_path},
                     {"pathInfo", mapping.path_info},
                     {"defaultDocument", mapping.default_document},
                     {"location", mapping.location},
                     {"chain", mapping.chain},
                     {"tried", std::move(tried)},
                     {"triedOmitted", mapping.tried_omitted}};
  return Dump(json);
}

std::string NoTraceToHtml(const TracePage& page) {
  Html html;
  Begin(html, "No such request", page);
  html.Raw(
      "<h1>This request is not kept any more</h1>\n<p>Later ones have taken its place, or it was "
      "cleared, or the "
      "host was started anew.</p>\n<p><a href=\"");
  html.Text(page.self).Raw("\">\u2190 All requests</a></p>\n");
  return End(html);
}

}  // namespace weft::host::observe
