# Fcgi::static: libfcgi's static archive. Only the archive will do: its objects take the eight OS_*
# functions from host/fastcgi/os_port.cpp, and its own Unix port is then never pulled in.
find_path(Fcgi_INCLUDE_DIR fcgios.h)
find_library(Fcgi_LIBRARY NAMES libfcgi.a)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Fcgi REQUIRED_VARS Fcgi_LIBRARY Fcgi_INCLUDE_DIR)
if(Fcgi_FOUND AND NOT TARGET Fcgi::static)
  add_library(Fcgi::static STATIC IMPORTED)
  set_target_properties(Fcgi::static PROPERTIES
    IMPORTED_LOCATION ${Fcgi_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${Fcgi_INCLUDE_DIR})
endif()
