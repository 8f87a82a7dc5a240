# Writes the C++ source OUTPUT with the texts of host/tools/templates: cmake -DROOT=... -DOUTPUT=... -P EmbedTemplates.cmake
# A file KIND/PATH.in becomes {"KIND/PATH", text}; SCHEMA, the schema of mapping files, comes beside them.
file(GLOB_RECURSE files LIST_DIRECTORIES false RELATIVE ${ROOT} ${ROOT}/*.in)
list(SORT files)
set(entries "")
foreach(path IN LISTS files)
  file(READ ${ROOT}/${path} text)
  string(REGEX REPLACE "[.]in$" "" name "${path}")
  string(APPEND entries "    {\"${name}\", R\"weft_text(${text})weft_text\"},\n")
endforeach()
file(READ ${SCHEMA} text)
string(APPEND entries "    {\"common/mapping.schema.json\", R\"weft_text(${text})weft_text\"},\n")
file(WRITE ${OUTPUT} "// Made from host/tools/templates by cmake/EmbedTemplates.cmake.
#include \"host/tools/templates.hpp\"

namespace weft::host::tools {
namespace {

constexpr TemplateFile kHandlerTemplates[] = {
${entries}};

}  // namespace

std::span<const TemplateFile> HandlerTemplates() { return kHandlerTemplates; }

}  // namespace weft::host::tools
")
