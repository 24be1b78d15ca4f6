/* Another plugin with lull inside, in C. */

#define main use_from_c
#include "use_lull.c"
#undef main

/* Empty, or what went wrong. */
__attribute__((visibility("default"))) const char* PLUGIN_ENTRY(void);

const char* PLUGIN_ENTRY(void) {
  return use_from_c() == 0 ? "" : lull_last_error_message();
}
