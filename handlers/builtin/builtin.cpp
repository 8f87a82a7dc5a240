#include "handlers/builtin/builtin.hpp"

#include <memory>
#include <utility>

#include "handlers/builtin/host_status_handler.hpp"
#include "handlers/builtin/simple_handler_factory.hpp"
#include "handlers/builtin/status_handlers.hpp"

namespace weft::builtin {

void RegisterHandlers(IHandlerRegistry& registry, ResolveType resolve_type,
                      const Options& options) {
  AddHandler<StaticFileHandler>(
      registry, "weft::StaticFileHandler",
      [settings = std::make_shared<const StaticFileSettings>(options.static_files)] {
        return std::make_unique<StaticFileHandler>(settings);
      });
  AddHandler<HttpForbiddenHandler>(registry, "weft::HttpForbiddenHandler");
  AddHandler<HttpNotFoundHandler>(registry, "weft::HttpNotFoundHandler");
  AddHandler<HttpMethodNotAllowedHandler>(registry, "weft::HttpMethodNotAllowedHandler");
  AddHandler<HostStatusHandler>(
      registry, "weft::StatusHandler",
      [pages = std::make_shared<const HostStatusPages>(options.host_status)] {
        return std::make_unique<HostStatusHandler>(pages);
      });
  AddHandler<TraceHandler>(registry, "weft::TraceHandler",
                           [pages = std::make_shared<const TracePages>(options.traces)] {
                             return std::make_unique<TraceHandler>(pages);
                           });
  registry.AddFactory(kSimpleHandlerFactory, std::make_unique<SimpleHandlerFactory>(
                                                 std::move(resolve_type),
                                                 options.ashx_check_interval, options.ashx_files));
}

}  // namespace weft::builtin
