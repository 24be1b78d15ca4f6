/* Used as an outsider would: from the installed headers and library alone. */

#include <lull/status.h>
#include <lull/version.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  if (lull_version() != LULL_VERSION) {
    fprintf(stderr, "headers %d, library %d\n", LULL_VERSION, lull_version());
    return 1;
  }
  if (strcmp(lull_status_name(LULL_ERROR_BUSY), "LULL_ERROR_BUSY") != 0) return 1;
  printf("lull %s\n", lull_version_string());
  return 0;
}
