// The parts of the libraries that need be compiled only once.

#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
