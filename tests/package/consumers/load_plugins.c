/* Loads each plugin that is named and says how it fares. */

#include <dlfcn.h>
#include <stdio.h>

typedef const char* (*entry_fn)(void);

int main(int count, char** names) {
  for (int i = 1; i < count; ++i) {
    void* const plugin = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    entry_fn entry = NULL;
    if (plugin != NULL) *(void**)&entry = dlsym(plugin, "plugin_entry");
    if (entry == NULL) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
    const char* const problem = entry();
    printf("plugin %d: %s\n", i, *problem == '\0' ? "works" : problem);
  }
  return 0;
}
