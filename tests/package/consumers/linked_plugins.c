/* Two libraries with lull inside that are linked, not loaded. */

#include <stdio.h>

const char* first_entry(void);
const char* second_entry(void);

int main(void) {
  const char* problem = first_entry();
  printf("plugin 1: %s\n", *problem == '\0' ? "works" : problem);
  problem = second_entry();
  printf("plugin 2: %s\n", *problem == '\0' ? "works" : problem);
  return 0;
}
