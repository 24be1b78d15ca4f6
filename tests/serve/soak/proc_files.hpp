#ifndef TESTS_SERVE_SOAK_PROC_FILES_HPP
#define TESTS_SERVE_SOAK_PROC_FILES_HPP

#include <sys/types.h>

#include <string>
#include <vector>

namespace lull::soak {

/// Open descriptors of a process; 0 when it is gone.
std::size_t descriptors_of(pid_t process);
/// Resident memory in KiB.
std::size_t resident_kib(pid_t process);
/// What it has in memory, without caches of files; 0: it is not there.
std::size_t held_kib(pid_t process);
bool is_alive(pid_t process);

struct seen_process {
  pid_t id = 0;
  pid_t parent = 0;
  char state = '?';     ///< 'Z' for a zombie
  std::string command;  ///< with blanks between the words; empty for zombies
};
std::vector<seen_process> all_processes();

}  // namespace lull::soak

#endif  // TESTS_SERVE_SOAK_PROC_FILES_HPP
