// A program that is replaced by itself under its process id, for the tests of that.
//
//   serve TIMES     answers connections, and is replaced after every few of them, so many times
//   environment     is replaced with large arguments and variables, and says whether they came
//   signals         is replaced while a signal is pending, and says what became of it
//   program PATH    is replaced by another program
//   itself          waits for a line, and is replaced by the file that it was started from

#include <lull/error.hpp>
#include <lull/rebirth.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::uint32_t version = 7;
constexpr int answers_per_image = 3;
constexpr int threads = 24;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "reborn: %s\n", why.c_str());
  std::_Exit(1);
}

/// Threads in every kind of wait, some of them with a lock.
void start_threads() {
  static std::mutex held;
  for (int i = 0; i < threads; ++i) {
    std::thread([i] {
      if (i % 3 == 0) {
        const std::lock_guard lock(held);
        while (true) ::pause();
      }
      while (i % 3 == 1) ::usleep(200);
      volatile std::size_t work = 0;
      while (true) {
        // Memory, and descriptors that nobody marks.
        work = work + std::string(100000, 'x').size();
        const int open = ::open("/dev/null", O_RDONLY);
        ::usleep(100);
        ::close(open);
      }
    }).detach();
  }
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

int make_listener() {
  const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(made, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0) give_up("bind");
  if (::listen(made, 1024) != 0) give_up("listen");
  socklen_t size = sizeof here;
  ::getsockname(made, reinterpret_cast<sockaddr*>(&here), &size);
  std::printf("%d\n", ntohs(here.sin_port));
  std::fflush(stdout);
  return made;
}

/// Reads the question, a line, and answers it.
void answer(int connection, const std::string& text) {
  char each = 0;
  while (::read(connection, &each, 1) == 1 && each != '\n') {
  }
  if (::send(connection, text.data(), text.size(), MSG_NOSIGNAL) < 0) give_up("send");
  ::close(connection);
}

int serve(const std::optional<lull::reborn>& before, std::uint64_t times) {
  if (before && before->version != version) give_up("another version");
  std::uint64_t answered = before ? std::stoull(before->blob) : 0;
  const std::uint64_t rebirths = before ? before->rebirths : 0;
  const int listener = before ? before->descriptors.at("listener") : make_listener();
  const std::size_t open = open_descriptors();  // before others of this image open some
  start_threads();
  for (int here = 0; rebirths >= times || here < answers_per_image; ++here) {
    const int connection = ::accept(listener, nullptr, nullptr);
    if (connection < 0) give_up("accept");
    answer(connection, std::to_string(::getpid()) + ' ' + std::to_string(rebirths) + ' ' +
                           std::to_string(++answered) + ' ' + std::to_string(open) + '\n');
  }
  lull::rebirth({{{"listener", listener}}, version, std::to_string(answered)});
}

int environment(const std::optional<lull::reborn>& before, std::size_t arguments) {
  constexpr std::size_t count = 12;
  constexpr std::size_t size = 100000;
  if (!before) {
    lull::rebirth_options how;
    how.arguments = {"reborn", "environment", "", "last"};
    for (std::size_t i = 0; i < count; ++i) {
      how.environment["LARGE_" + std::to_string(i)] = std::string(size, 'e');
    }
    how.environment["REBORN_GONE"] = std::nullopt;
    ::setenv("REBORN_GONE", "yes", 1);
    ::setenv("REBORN_KEPT", "yes", 1);
    lull::rebirth({{}, 0, std::string(3'000'000, '\0')}, how);
  }
  std::size_t came = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const char* const value = std::getenv(("LARGE_" + std::to_string(i)).c_str());
    came += value != nullptr && std::string(value).size() == size ? 1 : 0;
  }
  std::printf("%zu of %zu variables, %zu arguments, %zu bytes, gone %d, kept %d, own %d\n", came,
              count, arguments, before->blob.size(), std::getenv("REBORN_GONE") == nullptr ? 1 : 0,
              std::getenv("REBORN_KEPT") == nullptr ? 0 : 1,
              std::getenv("LULL_REBIRTH_FD") == nullptr ? 0 : 1);
  return 0;
}

bool is_blocked(int number) {
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return ::sigismember(&mask, number) == 1;
}

int signals() {
  // As in the first image: before anything else.
  const bool all_blocked = is_blocked(SIGTERM);
  sigset_t own;
  ::sigemptyset(&own);
  ::sigaddset(&own, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &own, nullptr);
  int death_signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &death_signal);
  const bool tied_at_first = death_signal != 0;
  if (std::getenv("REBORN_TIED") == nullptr) ::prctl(PR_SET_PDEATHSIG, SIGUSR2);
  ::setenv("REBORN_TIED", "yes", 1);
  const auto before = lull::take_rebirth();
  if (!before) {
    ::kill(::getpid(), SIGUSR1);
    // What the thread that is replaced blocks is its own affair.
    std::thread([] {
      sigset_t all;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
      ::sched_setaffinity(0, sizeof one, &one);
      lull::rebirth({});
    }).join();
  }
  sigset_t pending;
  ::sigpending(&pending);
  std::array<char, 17> name{};
  ::prctl(PR_GET_NAME, name.data());
  std::printf("blocked at first %d, pending %d, blocked %d, SIGTERM blocked %d, name %s\n",
              all_blocked ? 1 : 0, ::sigismember(&pending, SIGUSR1), is_blocked(SIGUSR1) ? 1 : 0,
              is_blocked(SIGTERM) ? 1 : 0, name.data());
  ::prctl(PR_GET_PDEATHSIG, &death_signal);
  std::printf("tied at first %d, by signal %d; %u processors\n", tied_at_first ? 1 : 0,
              death_signal, std::thread::hardware_concurrency());
  return 0;
}

int run(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "signals") return signals();
  const auto before = lull::take_rebirth();
  if (what == "serve") return serve(before, std::stoull(argv[2]));
  if (what == "environment") return environment(before, static_cast<std::size_t>(argc));
  if (what == "program") {
    lull::rebirth_options how;
    how.program = argv[2];
    how.arguments = {"another", "-c", "echo replaced by a shell, process $$; kill -CONT $$"};
    std::printf("process %d\n", ::getpid());
    std::fflush(stdout);
    lull::rebirth({}, how);
  }
  if (what == "itself") {
    if (!before) {
      std::string line;
      std::getline(std::cin, line);
      lull::rebirth({});
    }
    std::printf("reborn %d\n", static_cast<int>(before->rebirths));
    return 0;
  }
  give_up("what?");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& failure) {
    give_up(failure.what());
  }
}
