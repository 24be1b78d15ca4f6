// A plugin that has lull inside: what it exports is its entry and, unless hidden, lull.

#include <lull/lull.hpp>

#include <string>

#define main use_from_cpp
#include "use_lull.cpp"
#undef main

/// Empty, or what went wrong.
extern "C" __attribute__((visibility("default"))) const char* plugin_entry() try {
  return use_from_cpp() == 0 ? "" : "a wrong answer";
} catch (const lull::error& failure) {
  static std::string words;
  words = failure.what();
  return words.c_str();
}
