#include <charconv>
#include <chrono>
#include <string>

#include <weft/weft.hpp>

namespace samples {

namespace {

/// A number of the query.
int Number(const weft::HttpContext& context, std::string_view name, std::string_view usual,
           int most) {
  const auto text = context.Request().QueryString().Get(name, usual);
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0 || number > most) {
    throw weft::HttpException(
        400, std::string(name) + " is to be a number from 0 to " + std::to_string(most) + ".");
  }
  return number;
}

}  // namespace

/// /redirect.ashx?to=URL&status=N: leads to another page of this site, and nowhere else.
class Redirect : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const auto to = context.Request().QueryString().Get("to", "~/");
    if (!weft::HttpResponse::IsLocalUrl(to)) {
      throw weft::HttpException(400, "to is to be a path of this site.").WithCause("url_not_local");
    }
    const int status = Number(context, "status", "302", 308);
    if (status < 301 || status == 304 || status == 305 || status == 306) {
      throw weft::HttpException(400, "status is to be 301, 302, 303, 307 or 308.");
    }
    context.Response().Redirect(to, status);
  }
  bool IsReusable() const override { return true; }
};

/// /accept.ashx?ms=N: says that work was accepted, lets the client go, and works for so long.
class Accept : public weft::IHttpAsyncHandler {
 public:
  void ProcessRequest(weft::HttpContext& context) override {
    const std::chrono::milliseconds work(Number(context, "ms", "1000", 3'600'000));
    auto& response = context.Response();
    response.SetStatusCode(202);
    response.SetRedirectLocation("~/hello.ashx");  // where the work's result would be
    response.SetContentType("text/plain");
    response.Write("accepted\n");
    response.Finish();
    weft::SleepFor(work);
  }
  bool IsReusable() const override { return true; }
};

}  // namespace samples

WEFT_MODULE(registry) {
  weft::AddHandler<samples::Redirect>(registry, "samples::Redirect");
  weft::AddHandler<samples::Accept>(registry, "samples::Accept");
}
