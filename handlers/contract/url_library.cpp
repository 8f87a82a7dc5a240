// Boost.URL compiled into libweft: its archive is not built for shared libraries everywhere.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <boost/url/src.hpp>
#pragma GCC diagnostic pop
