// The C program once more, as a program in C++17 without exceptions and run-time types would use
// it.

static_assert(__cplusplus == 201703L, "linking lull changes the dialect");
#ifdef __cpp_exceptions
#error "linking lull turns exceptions on"
#endif
#ifdef __cpp_rtti
#error "linking lull turns run-time types on"
#endif

#include "use_lull.c"
