// A server that answers as fast as one thread can: what a router in front of it adds is the
// router's.
//
//   bench_serve_upstream PORT [--gpu BYTES]
//
// What is in the target of a request says what it gets:
//   /events   100 events, 20 ms apart; each holds the nanoseconds of the monotonic clock
//   /stream   one event, of a stream that stays open
//   /bytes/N  a body of N bytes
// and anything else a small answer, after the body of the request, of whatever length.
//
// With --gpu the process holds so much of the simulated GPU of SIMGPU_PROCESSES.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::string_view answer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    "{\"content\":\"x\"}";
constexpr std::string_view stream_head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr int events_each = 100;
constexpr std::chrono::milliseconds between_events{20};

std::uint64_t number_after(std::string_view text, std::string_view name) {
  std::uint64_t number = 0;
  const std::size_t at = text.find(name);
  if (at == std::string_view::npos) return 0;
  std::from_chars(text.data() + at + name.size(), text.data() + text.size(), number);
  return number;
}

std::string chunk(std::string_view text) {
  std::array<char, 20> size{};
  std::snprintf(size.data(), size.size(), "%zx\r\n", text.size());
  return std::string(size.data()).append(text).append("\r\n");
}

struct client {
  std::string heard;            ///< of a header that is not whole yet
  std::string line;             ///< of the request whose body is being read
  std::uint64_t body = 0;       ///< of it still to come
  std::uint64_t to_send = 0;    ///< of an answer of many bytes
  bool waits_to_write = false;  ///< until there is room
  int events = 0;               ///< still to come
};

class server {
 public:
  explicit server(std::uint16_t port) {
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, SOMAXCONN) != 0) {
      std::perror("bench_serve_upstream");
      std::exit(1);
    }
    listen_to(EPOLL_CTL_ADD, listener_, EPOLLIN);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> ready{};
    while (true) {
      const int count =
          ::epoll_wait(all_, ready.data(), static_cast<int>(ready.size()), time_left());
      for (int i = 0; i < count; ++i) {
        const epoll_event& each = ready[static_cast<std::size_t>(i)];
        if (each.data.fd == listener_) {
          accept();
        } else if ((each.events & EPOLLOUT) != 0) {
          send_bytes(each.data.fd);
        } else {
          read(each.data.fd);
        }
      }
      send_due_events();
    }
  }

 private:
  void listen_to(int change, int which, std::uint32_t what) const {
    epoll_event wanted{.events = what, .data = {.fd = which}};
    ::epoll_ctl(all_, change, which, &wanted);
  }

  void accept() {
    const int made = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (made < 0) return;
    const int on = 1;
    ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    clients_[made] = {};
    listen_to(EPOLL_CTL_ADD, made, EPOLLIN);
  }

  void read(int from) {
    const ssize_t got = ::recv(from, piece_.data(), piece_.size(), 0);
    if (got <= 0) {
      clients_.erase(from);
      ::close(from);
      return;
    }
    client& of = clients_[from];
    std::string_view text(piece_.data(), static_cast<std::size_t>(got));
    if (of.body > 0) {
      text.remove_prefix(take_body(of, text.size()));
      if (of.body == 0) respond(from, of);
    }
    of.heard.append(text);
    while (begin_request(from, of)) {
    }
  }

  static std::size_t take_body(client& of, std::size_t count) {
    const std::size_t taken = static_cast<std::size_t>(std::min<std::uint64_t>(of.body, count));
    of.body -= taken;
    return taken;
  }

  /// @return whether there may be another request
  bool begin_request(int from, client& of) {
    const std::size_t end = of.heard.find("\r\n\r\n");
    if (end == std::string::npos || of.body > 0) return false;
    const std::string_view head = std::string_view(of.heard).substr(0, end);
    of.line = head.substr(0, head.find("\r\n"));
    of.body = number_after(head, "\r\nContent-Length: ");
    if (head.find("100-continue") != std::string_view::npos) {
      send(from, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    of.heard.erase(0, end + 4);
    of.heard.erase(0, take_body(of, of.heard.size()));
    if (of.body == 0) respond(from, of);
    return true;
  }

  void respond(int to, client& of) {
    if (of.line.find("/events") != std::string::npos) {
      send(to, stream_head);
      of.events = events_each;
      // Those that come together do not send together.
      due_.emplace(clock_type::now() + between_events * (to % 64) / 64, to);
    } else if (of.line.find("/stream") != std::string::npos) {
      send(to, std::string(stream_head) + chunk("data: one\n\n"));
    } else if (of.line.find("/bytes/") != std::string::npos) {
      of.to_send = number_after(of.line, "/bytes/");
      send(to, "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(of.to_send) + "\r\n\r\n");
      send_bytes(to);
    } else {
      send(to, answer);
    }
  }

  static void send(int to, std::string_view text) {
    ::send(to, text.data(), text.size(), MSG_NOSIGNAL);
  }

  void send_bytes(int to) {
    client& of = clients_[to];
    while (of.to_send > 0) {
      const std::size_t count =
          static_cast<std::size_t>(std::min<std::uint64_t>(of.to_send, piece_.size()));
      const ssize_t sent = ::send(to, piece_.data(), count, MSG_NOSIGNAL);
      if (sent <= 0) break;
      of.to_send -= static_cast<std::uint64_t>(sent);
    }
    const bool waits = of.to_send > 0;
    if (waits != of.waits_to_write) listen_to(EPOLL_CTL_MOD, to, waits ? EPOLLOUT : EPOLLIN);
    of.waits_to_write = waits;
  }

  [[nodiscard]] int time_left() const {
    if (due_.empty()) return -1;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(due_.begin()->first - clock_type::now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
  }

  void send_due_events() {
    while (!due_.empty() && due_.begin()->first <= clock_type::now()) {
      const auto [when, to] = *due_.begin();
      due_.erase(due_.begin());
      const auto found = clients_.find(to);
      if (found == clients_.end() || found->second.events == 0) continue;
      const auto now = clock_type::now().time_since_epoch();
      send(to, chunk("data: " + std::to_string(std::chrono::nanoseconds(now).count()) + "\n\n"));
      if (--found->second.events == 0) {
        send(to, "0\r\n\r\n");
      } else {
        due_.emplace(when + between_events, to);
      }
    }
  }

  const int listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int all_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::unordered_map<int, client> clients_;
  std::multimap<clock_type::time_point, int> due_;
  std::array<char, std::size_t{256} << 10> piece_{};
};

/// As a process that has a GPU's memory, for the simulator (tests/simgpu/suspend.cpp).
void hold_gpu(const std::string& bytes) {
  const char* const folder = std::getenv("SIMGPU_PROCESSES");
  if (folder == nullptr) {
    std::fprintf(stderr, "bench_serve_upstream: SIMGPU_PROCESSES is not set\n");
    std::exit(1);
  }
  const auto file = std::filesystem::path(folder) / std::to_string(::getpid());
  const auto beside = file.string() + ".new";
  std::ofstream(beside) << "0 0 " << bytes << " 0\n";
  std::filesystem::rename(beside, file);
}

}  // namespace

int main(int argc, char** argv) {
  const bool has_gpu = argc == 4 && std::string_view(argv[2]) == "--gpu";
  if (argc != 2 && !has_gpu) {
    std::fprintf(stderr, "usage: %s PORT [--gpu BYTES]\n", argv[0]);
    return 2;
  }
  if (has_gpu) hold_gpu(argv[3]);
  const auto it = std::make_unique<server>(static_cast<std::uint16_t>(std::atoi(argv[1])));
  it->run();
}
