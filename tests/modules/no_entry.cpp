// Has the note, and no entry function.
#include <lull/backend_module.h>
