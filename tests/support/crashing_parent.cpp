// Starts a child with a pid file, says its id, and dies as in a crash: no destructor runs.
//
//   crashing_parent [--end-with-parent] DIRECTORY PROGRAM ARGUMENT...

#include <lull/process.hpp>

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string_view>

int main(int argc, char** argv) {
  lull::process_options options;
  if (std::string_view(argv[1]) == "--end-with-parent") {
    options.end_with_parent = true;
    --argc;
    ++argv;
  }
  options.pid_directory = argv[1];
  options.arguments.assign(argv + 2, argv + argc);
  options.output = lull::child_stream::pipe;
  lull::process child(options);
  // Until the child has said something: then it is as it will stay.
  pollfd words{.fd = child.take_output(), .events = POLLIN, .revents = 0};
  ::poll(&words, 1, -1);
  std::printf("%d\n", child.id());
  std::fflush(stdout);
  std::raise(SIGKILL);
}
