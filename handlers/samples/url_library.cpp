// Boost.URL, compiled here: Debian's static library is not made for shared objects.
#include <boost/url/src.hpp>
