#ifndef LULL_PROCESS_SPAWN_HPP
#define LULL_PROCESS_SPAWN_HPP

#include <lull/process.hpp>

#include "vocabulary/unique_fd.hpp"

namespace lull::detail {

/// A child that runs, and this process's ends of its pipes.
struct spawned {
  int id = -1;
  unique_fd input;   ///< blocking
  unique_fd output;  ///< blocking
  unique_fd errors;  ///< blocking
  unique_fd states;  ///< non-blocking
};

/// Starts a program as process_options says. All options have been checked. A child that ends with
/// its parent ends with the thread that calls this, which must take no signals: a handler of this
/// program could run in the child.
/// @throws error as the constructor of process
spawned spawn(const process_options& options);

}  // namespace lull::detail

#endif  // LULL_PROCESS_SPAWN_HPP
