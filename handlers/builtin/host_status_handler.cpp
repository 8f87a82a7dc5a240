#include "handlers/builtin/host_status_handler.hpp"

#include <optional>
#include <utility>

#include <weft/http_context.hpp>
#include <weft/http_exception.hpp>
#include "handlers/builtin/local_clients.hpp"

namespace weft::builtin {

namespace {

constexpr std::string_view kSection = "weft.status";
constexpr std::string_view kMetricsType = "application/openmetrics-text";

bool WantsMetrics(const HttpRequest& request) {
  if (const auto format = request.QueryString().Find("format")) {
    if (*format != "json" && *format != "openmetrics") {
      throw HttpException(400, "The format is json or openmetrics.", std::string(*format));
    }
    return *format == "openmetrics";
  }
  for (const auto& type : request.AcceptTypes()) {
    if (type.value.starts_with(kMetricsType)) {
      return type.quality > 0;
    }
    if (type.value == "application/json") {
      return false;
    }
  }
  return false;
}

void AnswerPing(HttpContext& context, std::string_view what, const HostStatusPages& pages) {
  auto& response = context.Response();
  response.SetContentType("text/plain; charset=utf-8");
  if (what == "live") {
    response.Write("live\n");
    return;
  }
  if (!what.empty() && what != "ready") {
    throw HttpException(400, "It is ping, ping=ready or ping=live.", std::string(what));
  }
  const auto why_not = pages.why_not_ready();
  if (why_not.empty()) {
    response.Write("ready\n");
    return;
  }
  response.SetStatusCode(503);
  response.AppendHeader("Retry-After", "1");
  response.Write(why_not + "\n");
}

}  // namespace

void HostStatusHandler::ProcessRequest(HttpContext& context) {
  const auto& request = context.Request();
  auto& response = context.Response();
  if (!IsForEverybody(context, kSection)) {
    CheckIsLocal(context, kSection, "the host's status is");
  }
  if (!pages_->json) {
    throw HttpException(503, {}, "no host tells of itself here");
  }
  response.AppendHeader("Cache-Control", "no-store");
  response.AppendHeader("X-Content-Type-Options", "nosniff");
  if (const auto ping = request.QueryString().Find("ping")) {
    AnswerPing(context, *ping, *pages_);
    return;
  }
  response.AppendHeader("Vary", "Accept");
  if (WantsMetrics(request)) {
    response.SetContentType(pages_->open_metrics_type);
    response.Write(pages_->open_metrics());
  } else {
    response.SetContentType("application/json");
    response.Write(pages_->json());
  }
}

}  // namespace weft::builtin
