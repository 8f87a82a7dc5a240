#include "mappings/machine_defaults.hpp"

namespace weft::mappings {

namespace {

constexpr std::string_view kText = R"json({
  "$schema": "mapping.schema.json",
  "httpRuntime": {
    "executionTimeoutSeconds": 110,  // no maxRequestBytes: the host's own limit holds
    "maxUrlBytes": 8192,
    "maxQueryStringBytes": 8192
  },
  "defaultDocuments": ["index.ashx", "index.html"],
  "redirectToFolder": true,
  "httpHandlers": [
    // What lies beside the pages but is nobody's business: configuration, modules, sources, data.
    { "add": { "name": "forbidden-configuration", "verb": "*", "type": "weft::HttpForbiddenHandler",
               "path": "mapping.json,machine.json,*.config,*.ini,*.webinfo,*.htaccess,*.htpasswd" } },
    { "add": { "name": "forbidden-modules", "verb": "*", "type": "weft::HttpForbiddenHandler",
               "path": "*.so" } },
    { "add": { "name": "forbidden-sources", "verb": "*", "type": "weft::HttpForbiddenHandler",
               "path": "*.cpp,*.hpp,*.h,*.cc,*.c,*.cxx,*.hxx,*.cs,*.csproj,*.vb,*.vbproj,*.vjsproj,*.java,*.jsl,*.licx,*.resx,*.resources,*.ad,*.dd,*.ldd,*.sd,*.cd,*.adprototype,*.lddprototype,*.sdm,*.sdmDocument,*.exclude,*.refresh" } },
    { "add": { "name": "forbidden-templates", "verb": "*", "type": "weft::HttpForbiddenHandler",
               "path": "*.asax,*.ascx,*.master,*.skin,*.browser,*.sitemap,*.rules" } },
    { "add": { "name": "forbidden-databases", "verb": "*", "type": "weft::HttpForbiddenHandler",
               "path": "*.mdb,*.ldb,*.mdf,*.ldf" } },

    // A file that names the class which answers for it.
    { "add": { "name": "ashx", "verb": "*", "path": "*.ashx", "type": "weft::SimpleHandlerFactory" } },

    { "add": { "name": "static", "verb": "GET,HEAD,OPTIONS", "path": "*", "type": "weft::StaticFileHandler" } },
    { "add": { "name": "method-not-allowed", "verb": "*", "path": "*", "type": "weft::HttpMethodNotAllowedHandler" } }
  ]
}
)json";

}  // namespace

std::string_view MachineDefaults() { return kText; }

}  // namespace weft::mappings
