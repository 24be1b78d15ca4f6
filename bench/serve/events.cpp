// How late events of many streams at once arrive: bench_serve_upstream writes into each when it was
// sent, by the clock of the same machine.
//
//   bench_serve_events PORT STREAMS
//
// Writes a line of JSON with the number of events and percentiles in microseconds.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::int64_t now_ns() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int connect_to(std::uint16_t port) {
  const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail("connect");
  }
  return made;
}

void ask(int of) {
  constexpr std::string_view request =
      "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 27\r\n\r\n{\"model\":\"a\",\"stream\":true}";
  if (::send(of, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    fail("send");
  }
}

/// Adds how late the events in `text` are, and leaves what is not whole. @return whether it ends
bool take_events(std::string& text, std::int64_t at, std::vector<std::int64_t>& late) {
  constexpr std::string_view name = "data: ";
  std::size_t done = 0;
  for (std::size_t found = 0; (found = text.find(name, done)) != std::string::npos;) {
    const std::size_t end = text.find("\n\n", found);
    if (end == std::string::npos) break;
    std::int64_t sent = 0;
    std::from_chars(text.data() + found + name.size(), text.data() + end, sent);
    late.push_back(at - sent);
    done = end;
  }
  const bool ends = text.find("\n0\r\n\r\n", done) != std::string::npos;
  text.erase(0, done);
  return ends;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s PORT STREAMS\n", argv[0]);
    return 2;
  }
  const int all = ::epoll_create1(EPOLL_CLOEXEC);
  std::unordered_map<int, std::string> open;
  for (int i = 0; i < std::atoi(argv[2]); ++i) {
    const int made = connect_to(static_cast<std::uint16_t>(std::atoi(argv[1])));
    epoll_event wanted{.events = EPOLLIN, .data = {.fd = made}};
    ::epoll_ctl(all, EPOLL_CTL_ADD, made, &wanted);
    ask(made);
    open[made] = {};
  }
  std::vector<std::int64_t> late;
  std::array<epoll_event, 256> ready{};
  std::array<char, 65536> piece{};
  while (!open.empty()) {
    constexpr int patience_ms = 30000;
    const int count = ::epoll_wait(all, ready.data(), static_cast<int>(ready.size()), patience_ms);
    if (count == 0) {
      std::fprintf(stderr, "no event within 30 s\n");
      return 1;
    }
    for (int i = 0; i < count; ++i) {
      const int from = ready[static_cast<std::size_t>(i)].data.fd;
      const ssize_t got = ::recv(from, piece.data(), piece.size(), 0);
      const std::int64_t at = now_ns();
      if (got <= 0) fail("a stream ended early");
      std::string& text = open[from].append(piece.data(), static_cast<std::size_t>(got));
      if (!take_events(text, at, late)) continue;
      ::close(from);
      open.erase(from);
    }
  }
  std::sort(late.begin(), late.end());
  const auto percentile = [&](std::size_t percent) {
    return static_cast<double>(late[std::min(late.size() * percent / 100, late.size() - 1)]) / 1e3;
  };
  std::printf("{\"events\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", late.size(),
              percentile(50), percentile(99));
}
