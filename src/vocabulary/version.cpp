#include <lull/version.h>

// Two levels, so that the argument is expanded before it is made a string.
#define LULL_TEXT_OF(x) #x
#define LULL_TEXT(x) LULL_TEXT_OF(x)

int lull_version(void) {
  return LULL_VERSION;
}

const char* lull_version_string(void) {
  return LULL_TEXT(LULL_VERSION_MAJOR) "." LULL_TEXT(LULL_VERSION_MINOR) "." LULL_TEXT(
      LULL_VERSION_PATCH);
}
