#ifndef LULL_TESTS_SUPPORT_NO_THREADS_HPP
#define LULL_TESTS_SUPPORT_NO_THREADS_HPP

#include <pthread.h>

#include <cstddef>

namespace lull::test {

/// While it exists no thread of this process can be started: there is no memory for so large a
/// stack.
class no_threads {
 public:
  no_threads() {
    ::pthread_getattr_default_np(&before_);
    pthread_attr_t huge = before_;
    ::pthread_attr_setstacksize(&huge, std::size_t{1} << 50);
    ::pthread_setattr_default_np(&huge);
  }
  ~no_threads() { ::pthread_setattr_default_np(&before_); }
  no_threads(const no_threads&) = delete;
  no_threads& operator=(const no_threads&) = delete;

 private:
  pthread_attr_t before_{};
};

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_NO_THREADS_HPP
