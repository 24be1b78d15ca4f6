#ifndef LULL_TESTS_SUPPORT_FEW_DESCRIPTORS_HPP
#define LULL_TESTS_SUPPORT_FEW_DESCRIPTORS_HPP

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

namespace lull::test {

/// While it exists, so many more descriptors can be had and no more.
class few_descriptors {
 public:
  explicit few_descriptors(std::size_t more) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    std::vector<int> taken;
    int last = -1;
    for (std::size_t i = 0; i <= more; ++i) {
      last = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
      taken.push_back(last);
    }
    for (const int each : taken) ::close(each);
    rlimit now = before_;
    now.rlim_cur = static_cast<rlim_t>(last);
    ::setrlimit(RLIMIT_NOFILE, &now);
  }
  ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  few_descriptors(const few_descriptors&) = delete;
  few_descriptors& operator=(const few_descriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace lull::test

#endif  // LULL_TESTS_SUPPORT_FEW_DESCRIPTORS_HPP
