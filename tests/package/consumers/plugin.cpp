// A plugin that has lull inside: what it exports is its entry and, unless hidden, lull.

#include <lull/lull.hpp>

#define main use_from_cpp
#include "use_lull.cpp"
#undef main

extern "C" __attribute__((visibility("default"))) int plugin_entry() {
  return use_from_cpp();
}
