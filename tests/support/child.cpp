// A child that behaves in one of the ways that children do. The first argument says in which.
//
// It links next to nothing and no sanitizer, so that hundreds of it start in a moment.

#include <lull/process.hpp>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

namespace {

/// No mode outlives a test that fails to stop it.
constexpr unsigned longest_life_s = 30;

void say(const std::string& line) {
  const std::string text = line + "\n";
  [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
}

[[noreturn]] void wait_for_ever() {
  while (true) ::pause();
}

int state_descriptor() {
  const char* const text = std::getenv(lull::state_descriptor_variable);
  return text == nullptr ? -1 : std::atoi(text);
}

void write_states(std::string_view text) {
  [[maybe_unused]] const auto written = ::write(state_descriptor(), text.data(), text.size());
}

[[noreturn]] void sleep_ignoring_sigterm() {
  ::signal(SIGTERM, SIG_IGN);
  say("ignoring SIGTERM");
  wait_for_ever();
}

/// A grandchild that ignores SIGTERM and has all descriptors of its parent, and has spoken.
int fork_grandchild(bool parent_stays, bool leaves_group) {
  sigset_t news;
  ::sigemptyset(&news);
  ::sigaddset(&news, SIGUSR1);  // it has spoken
  ::sigaddset(&news, SIGCHLD);  // or ended
  ::sigprocmask(SIG_BLOCK, &news, nullptr);
  const pid_t grandchild = ::fork();
  if (grandchild < 0) return EXIT_FAILURE;
  if (grandchild == 0) {
    ::alarm(longest_life_s);
    ::signal(SIGTERM, SIG_IGN);
    if (leaves_group) ::setsid();
    say(std::to_string(::getpid()));
    ::kill(::getppid(), SIGUSR1);
    wait_for_ever();
  }
  int number = 0;
  ::sigwait(&news, &number);
  if (!parent_stays) return EXIT_SUCCESS;
  wait_for_ever();
}

[[noreturn]] void flood(int descriptor) {
  constexpr std::size_t line_bytes = 64;
  std::string garbage(std::size_t{64} << 10, 'x');
  for (std::size_t at = line_bytes - 1; at < garbage.size(); at += line_bytes) garbage[at] = '\n';
  while (::write(descriptor, garbage.data(), garbage.size()) >= 0) {
  }
  std::exit(EXIT_FAILURE);
}

/// Stopped by itself; ends with 7 when it is continued and asked to end.
[[noreturn]] void stop_itself() {
  ::signal(SIGTERM, [](int) { ::_exit(7); });
  say("stopping");
  ::raise(SIGSTOP);
  wait_for_ever();
}

volatile sig_atomic_t asked_to_end = 0;

int speak() {
  ::signal(SIGTERM, [](int) { asked_to_end = 1; });
  const lull::state_reporter parent;
  using enum lull::process_state;
  bool reported = parent.report(loading, 0.0) && parent.report(loading, 0.5) &&
                  parent.report(ready) && parent.report(sleeping) && parent.report(awake);
  while (asked_to_end == 0) ::usleep(1000);
  reported = reported && parent.report(stopped);
  return reported ? EXIT_SUCCESS : EXIT_FAILURE;
}

void say_garbage() {
  write_states("model loaded\n{\"lull\":1,\"state\":\"loading\"}\n\xff\xfe\n");
  write_states(std::string(10'000, 'y') + "\n{\"lull\":2,\"state\":\"ready\"}\n");
  write_states("{\"lull\":1,\"state\":\"ready\",\"model\":\"m\"}\n\n{\"lull\":1");
}

/// What it inherited: descriptors, blocked and ignored signals, group, directory, a variable.
void describe_itself() {
  std::string open;
  for (int descriptor = 0; descriptor < 1024; ++descriptor) {
    struct stat what {};
    if (::fstat(descriptor, &what) == 0) open += " " + std::to_string(descriptor);
  }
  sigset_t blocked;
  ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
  std::string signals;
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    if (::sigismember(&blocked, number) == 1) signals += " blocked:" + std::to_string(number);
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_DFL) {
      signals += " handled:" + std::to_string(number);
    }
  }
  const char* const variable = std::getenv("LULL_TEST_VARIABLE");
  say("open" + open);
  say("signals" + signals);
  say(std::string("leads its group: ") + (::getpgrp() == ::getpid() ? "yes" : "no"));
  say("directory " + std::filesystem::current_path().string());
  say(std::string("variable ") + (variable == nullptr ? "(none)" : variable));
  say("state descriptor " + std::to_string(state_descriptor()));
}

}  // namespace

int main(int argc, char** argv) {
  ::alarm(longest_life_s);
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const char* const argument = argc > 2 ? argv[2] : "";
  if (mode == "exit") return std::atoi(argument);
  if (mode == "abort") std::abort();
  if (mode == "sleep") {
    say("sleeping");
    wait_for_ever();
  }
  if (mode == "ignore-sigterm") sleep_ignoring_sigterm();
  if (mode == "grandchild") return fork_grandchild(true, false);
  if (mode == "grandchild-and-exit") return fork_grandchild(false, false);
  if (mode == "grandchild-leaves-and-exit") return fork_grandchild(false, true);
  if (mode == "flood-states") flood(state_descriptor());
  if (mode == "flood-output") flood(STDOUT_FILENO);
  if (mode == "stop-itself") stop_itself();
  if (mode == "speak") return speak();
  if (mode == "garbage") say_garbage();
  if (mode == "describe") describe_itself();
  if (mode == "echo") {
    for (int c = 0; (c = std::getchar()) != EOF;) std::putchar(c);
  }
  return EXIT_SUCCESS;
}
