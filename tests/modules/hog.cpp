#include <lull/backend_module.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>

#include "table.hpp"

// From its score on no descriptor of this process can be had.
const lull_backend_ops* lull_backend_entry() {
  return test_module::changed_table([](lull_backend_ops& table) {
    table.name = "hog";
    table.score = [](char* reason, std::uint64_t size) -> std::int32_t {
      rlimit now{};
      ::getrlimit(RLIMIT_NOFILE, &now);
      const int next = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
      ::close(next);
      now.rlim_cur = static_cast<rlim_t>(next);
      ::setrlimit(RLIMIT_NOFILE, &now);
      std::strncpy(reason, "it has taken what it wanted", size);
      return 0;
    };
  });
}
