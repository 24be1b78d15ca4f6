// A shared object like any other; loading it would leave a mark.
#include <cstdlib>

namespace {
[[maybe_unused]] const int mark = ::setenv("LULL_TEST_CODE_HAS_RUN", "no_note", 1);
}
