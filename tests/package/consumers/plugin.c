/* Another plugin with lull inside, in C. */

#include <lull/graph_cache.h>

#define main use_from_c
#include "use_lull.c"
#undef main

/* Empty, or what went wrong. */
__attribute__((visibility("default"))) const char* PLUGIN_ENTRY(void);

const char* PLUGIN_ENTRY(void) {
  lull_graph_hold* hold = NULL;
  if (use_from_c() == 0) return "";
  if (lull_graph_hold_create(0, &hold) == LULL_OK)
    return "it is refused devices, but not a graph hold";
  return lull_last_error_message();
}
