// Not built: check_layers must find what is wrong here.
#include "policy/gate.hpp"
