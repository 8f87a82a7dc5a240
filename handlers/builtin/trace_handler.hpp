#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <weft/http_handler.hpp>

namespace weft::builtin {

/// What is asked of the traces.
struct TraceQuestion {
  std::string id{};  ///< empty: for the list of those that the rest says
  std::string status{};
  std::string path{};
  std::string handler{};
  double slower_ms = 0;
  bool as_json = false;
  std::string self{};   ///< the page's own path
  std::string nonce{};  ///< for its style
};

struct TraceAnswer {
  bool is_found = true;
  std::string text{};
};

/// What the host keeps of its requests. Threads: a worker's reactor, on a fiber that may wait. Empty functions: it keeps nothing.
struct TracePages {
  std::function<TraceAnswer(const TraceQuestion&)> answer{};
  std::function<void()> clear{};
};

/// `weft::TraceHandler`: shows the last requests of the host, as pages for people or, by `?format=json` or Accept, as JSON; with
/// `?id=` one of them. A POST with `?clear` forgets them.
///
/// Clients of the web server's own machine alone are answered, under an address or `localhost`, so that no page of another site can
/// have its name point here; others get 403, unless the folder's section `weft.trace` is `"all"`.
///
/// It runs on the fiber, so that it answers while all threads are busy, and for no body.
class TraceHandler final : public IHttpAsyncHandler, public IHttpBufferlessHandler {
 public:
  explicit TraceHandler(std::shared_ptr<const TracePages> pages) noexcept
      : pages_(std::move(pages)) {}
  void ProcessRequest(HttpContext& context) override;
  bool IsReusable() const override { return true; }

 private:
  std::shared_ptr<const TracePages> pages_;
};

}  // namespace weft::builtin
