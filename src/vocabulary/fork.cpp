#include "vocabulary/fork.hpp"

#include <lull/error.hpp>

#include <pthread.h>

namespace lull::detail {

std::atomic<bool> in_forked_child{false};

void note_use() {
  expect_same_process();
  // Where there is no memory to register the handler, a child is not recognized.
  [[maybe_unused]] static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { in_forked_child = true; });
}

void refuse_forked_child() {
  throw error(
      status::unsupported,
      "lull was in use before this process was forked, and its threads and GPU contexts do not "
      "survive a fork: fork before the first use of lull, or start a program in the child");
}

}  // namespace lull::detail
