#include "handlers/builtin/trace_handler.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <weft/cause.hpp>
#include <weft/http_context.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_utility.hpp>
#include "handlers/builtin/local_clients.hpp"

namespace weft::builtin {

namespace {

constexpr std::string_view kSection = "weft.trace";

/// An address, or a name that means this machine to every resolver.
bool IsOwnName(std::string_view host) {
  if (host.empty() || host.front() == '[') {
    return true;
  }
  host = host.substr(0, host.find(':'));
  std::string name(host);
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name == "localhost" || name.ends_with(".localhost") ||
         name.find_first_not_of("0123456789.") == std::string::npos;
}

[[noreturn]] void Refuse(std::string text, std::string detail) {
  throw HttpException(403, std::move(text), std::move(detail)).WithCause(cause::kClientNotLocal);
}

void CheckClient(const HttpContext& context) {
  if (IsForEverybody(context, kSection)) {
    return;
  }
  CheckIsLocal(context, kSection, "the traces are");
  if (!IsOwnName(context.Request().ServerVariables().Get("HTTP_HOST"))) {
    Refuse("Ask for this page under an address or under localhost.",
           "the traces are asked for under another name than an address or localhost");
  }
}

/// Another site's page may have a browser send a form here.
void CheckOrigin(const HttpRequest& request) {
  const auto& variables = request.ServerVariables();
  const auto site = variables.Find("HTTP_SEC_FETCH_SITE");
  const auto origin = variables.Find("HTTP_ORIGIN");
  const auto host = variables.Get("HTTP_HOST");
  const bool is_foreign = site ? *site != "same-origin" && *site != "none"
                               : origin && *origin != "http://" + std::string(host) &&
                                     *origin != "https://" + std::string(host);
  if (is_foreign) {
    Refuse("This comes from another site.", "another site asks to clear the traces");
  }
}

bool WantsJson(const HttpRequest& request) {
  if (const auto format = request.QueryString().Find("format")) {
    if (*format != "json" && *format != "html") {
      throw HttpException(400, "The format is json or html.", std::string(*format));
    }
    return *format == "json";
  }
  for (const auto& type : request.AcceptTypes()) {
    if (type.value == "text/html") {
      return false;
    }
    if (type.value == "application/json") {
      return type.quality > 0;
    }
  }
  return false;
}

std::string Nonce() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw HttpException(500, {}, "the system gives no random bytes");
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const auto byte : bytes) {
    text.push_back(kDigits[byte >> 4U]);
    text.push_back(kDigits[byte & 15U]);
  }
  return text;
}

/// The page's own path, for links and the redirect: on this site, whatever path a pattern has let through.
std::string SelfOf(const HttpRequest& request) {
  auto path = request.FilePath();
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  std::string self;
  do {
    const auto end = std::min(path.find('/'), path.size());
    self += "/" + HttpUtility::EscapeDataString(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  } while (!path.empty());
  return self;
}

TraceQuestion QuestionOf(const HttpRequest& request) {
  const auto text = [&](std::string_view name) {
    const auto value = request.QueryString().Find(name);
    return value ? std::string(*value) : std::string();
  };
  TraceQuestion question{.id = text("id"),
                         .status = text("status"),
                         .path = text("path"),
                         .handler = text("handler"),
                         .as_json = WantsJson(request),
                         .self = SelfOf(request)};
  if (const auto slower = text("slower"); !slower.empty()) {
    const auto* const end = slower.data() + slower.size();
    const auto [parsed, error] = std::from_chars(slower.data(), end, question.slower_ms);
    if (error != std::errc() || parsed != end || !(question.slower_ms >= 0)) {
      throw HttpException(400, "slower is a number of milliseconds.", slower);
    }
  }
  return question;
}

}  // namespace

void TraceHandler::ProcessRequest(HttpContext& context) {
  const auto& request = context.Request();
  auto& response = context.Response();
  CheckClient(context);
  if (!pages_->answer) {
    throw HttpException(403, "No traces are kept: start weft with --trace 100, say.",
                        "no traces are kept (--trace)");
  }
  const std::string_view method = request.HttpMethod();
  const bool clears =
      request.QueryString().Find("clear").has_value() || request.QueryStringText() == "clear";
  if (method == "POST" ? !clears : method != "GET" && method != "HEAD") {
    response.SetHeader("Allow", "GET, HEAD, POST");
    throw HttpException(method == "POST" ? 400 : 405, "POST is for ?clear alone.",
                        std::string(method));
  }
  auto question = QuestionOf(request);
  response.AppendHeader("Cache-Control", "no-store");
  response.AppendHeader("X-Content-Type-Options", "nosniff");
  response.AppendHeader("Referrer-Policy", "no-referrer");
  response.AppendHeader("Cross-Origin-Resource-Policy", "same-origin");
  if (method == "POST") {
    CheckOrigin(request);
    pages_->clear();
    response.SetStatusCode(303);
    response.SetHeader("Location", question.self);
    return;
  }
  response.AppendHeader("Vary", "Accept");
  if (question.as_json) {
    response.SetContentType("application/json");
  } else {
    question.nonce = Nonce();
    response.SetContentType("text/html; charset=utf-8");
    response.AppendHeader("Content-Security-Policy",
                          "default-src 'none'; style-src 'nonce-" + question.nonce +
                              "'; img-src data:; form-action 'self'; base-uri 'none'; "
                              "frame-ancestors 'none'");
  }
  const auto answer = pages_->answer(question);
  if (!answer.is_found) {
    response.SetStatusCode(404);
  }
  response.Write(answer.text);
}

}  // namespace weft::builtin
