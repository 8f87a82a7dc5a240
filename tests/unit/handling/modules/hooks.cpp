// A module that starts and stops, and tells of it in the application's state.
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/weft.hpp>

namespace {

void Tell(weft::HttpApplicationState& application, const std::string& what) {
  application.Find<std::vector<std::string>>()->push_back(HOOKS_NAME " " + what);
}

}  // namespace

WEFT_MODULE(registry) {
  registry.OnStart([](weft::HttpApplicationState& application) {
    Tell(application, "starts");
    application.Set<std::string>(HOOKS_NAME, "set by " HOOKS_NAME);
  });
  registry.OnStart([](weft::HttpApplicationState& application) {
    if (const auto* const fails = application.Find<std::string>("fails");
        fails != nullptr && *fails == HOOKS_NAME) {
      throw std::runtime_error("no database");
    }
    Tell(application, "starts again");
  });
  registry.OnStop([](weft::HttpApplicationState& application) { Tell(application, "stops last"); });
  registry.OnStop([](weft::HttpApplicationState&) { throw std::runtime_error("no more"); });
  registry.OnStop([](weft::HttpApplicationState& application) { Tell(application, "stops"); });
}
