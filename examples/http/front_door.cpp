#include "http/front_door.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace http {
namespace {

using namespace std::chrono_literals;

// For how long a client may take to hang up when it has its answer. It is waited for, because a
// close with something unread would take the answer back from it.
constexpr auto farewell_limit = 1s;
// After a stop, for answers that are on their way.
constexpr auto stop_limit = 500ms;
constexpr auto late_interval = 50ms;
constexpr int backlog = 1024;
constexpr std::string_view consent = "HTTP/1.1 100 Continue\r\n\r\n";

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Whether an address can be reached from this machine only.
bool is_local(const sockaddr_storage& address) noexcept {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return ntohl(v4.sin_addr.s_addr) >> 24U == 127;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  return address.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
}

struct address_list {
  explicit address_list(const std::string& host, int port) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &first);
    if (failed != 0) {
      throw std::runtime_error(
          fmt::format("cannot listen on {}: {}", host, ::gai_strerror(failed)));
    }
  }
  ~address_list() { ::freeaddrinfo(first); }
  address_list(const address_list&) = delete;
  address_list& operator=(const address_list&) = delete;
  addrinfo* first = nullptr;
};

}  // namespace

struct front_door::connection {
  enum class phase : std::uint8_t { reading, answering, leaving };

  connection(int socket, const request_limits& limits)
      : number(socket, "accept"), reader(limits), since(clock::now()) {}

  descriptor number;
  request_reader reader;
  phase now = phase::reading;
  clock::time_point since;    ///< when it was accepted
  clock::time_point give_up;  ///< when the phase has lasted too long
  bool consented = false;     ///< to a body
  std::shared_ptr<exchange> out;
};

front_door::front_door(front_door_options options, handler handle, explainer explain)
    : options_(std::move(options)),
      handle_(std::move(handle)),
      explain_(std::move(explain)),
      poll_(::epoll_create1(EPOLL_CLOEXEC), "epoll"),
      outbox_(std::make_shared<outbox>()) {
  if (options_.listener) {
    listener_.emplace(*options_.listener, "the listening socket that was handed over");
    look_at_own_address();
  } else {
    bind_to(options_.host, options_.port);
  }
}

front_door::~front_door() {
  send_everybody_home();
}

void front_door::bind_to(const std::string& host, int port) {
  const address_list addresses(host, port);
  const addrinfo& to = *addresses.first;
  listener_.emplace(::socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                    "socket");
  const int yes = 1;
  ::setsockopt(listener_->get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const std::string where = fmt::format("cannot listen on {} port {}", host, port);
  if (::bind(listener_->get(), to.ai_addr, to.ai_addrlen) != 0) fail(where);
  look_at_own_address();
  // Two servers on one port are a mistake that shows only here.
  if (::listen(listener_->get(), backlog) != 0) fail(where);
}

void front_door::look_at_own_address() {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(listener_->get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    fail("getsockname");
  }
  loopback_ = is_local(bound);
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                            : reinterpret_cast<sockaddr_in&>(bound).sin_port);
}

bool front_door::empty_out(const std::function<bool()>& give_up) {
  deserted_ = false;  // it may be so no more since the last time
  closed_ = true;
  outbox_->ring();
  while (!deserted_) {
    if (give_up()) {
      open_again();
      return false;
    }
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

void front_door::open_again() noexcept {
  closed_ = false;
  outbox_->ring();
}

/// Lets people in, or not any more.
void front_door::watch_the_door() {
  if (watched_ == closed_) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener_->get();
    const int action = watched_ ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
    if (::epoll_ctl(poll_.get(), action, listener_->get(), &event) != 0) fail("epoll");
    watched_ = !watched_;
  }
  deserted_ = !watched_ && connections_.empty();
}

void front_door::run(const std::stop_token& stop) {
  const auto register_for_reading = [this](int which) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = which;
    if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, which, &event) != 0) fail("epoll");
  };
  register_for_reading(outbox_->bell());
  const std::stop_callback ring(stop, [this] { outbox_->ring(); });
  std::array<epoll_event, 64> events;
  while (!stop.stop_requested()) {
    watch_the_door();
    const int timeout = connections_.empty() ? -1 : int{late_interval / 1ms};
    const int count = ::epoll_wait(poll_.get(), events.data(), events.size(), timeout);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      if (event.data.fd == listener_->get()) {
        accept_all();
      } else if (const auto found = connections_.find(event.data.fd); found != connections_.end()) {
        look_at(*found->second, event.events);
      }
    }
    send_what_changed();
    close_the_late();
  }
  send_everybody_home();
}

void front_door::send_what_changed() {
  for (const std::shared_ptr<exchange>& each : outbox_->take()) {
    const auto found = connections_.find(each->connection);
    if (found == connections_.end() || found->second->out != each) continue;
    if (found->second->now == connection::phase::answering) send_to(*found->second);
  }
}

void front_door::accept_all() {
  while (true) {
    const int made = ::accept4(listener_->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (made < 0 && (errno == EMFILE || errno == ENFILE) && make_room()) continue;
    if (made < 0 && (errno == ECONNABORTED || errno == EINTR)) continue;
    if (made < 0) {
      // Nobody can be sent away for it, and epoll would ask again at once.
      if (errno != EAGAIN) std::this_thread::sleep_for(10ms);
      return;
    }
    if (connections_.size() >= options_.most_connections && !make_room()) {
      ::close(made);
      continue;
    }
    const int yes = 1;
    ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    auto& added = connections_[made];
    added = std::make_unique<connection>(made, options_.limits);
    added->give_up = added->since + options_.head_limit;
    watch(*added, EPOLLIN, true);
  }
}

/// Closes the one that has been here for the longest without a request, or with its answer.
bool front_door::make_room() {
  connection* oldest = nullptr;
  for (const auto& [number, each] : connections_) {
    if (each->now == connection::phase::answering) continue;
    if (oldest == nullptr || each->since < oldest->since) oldest = each.get();
  }
  if (oldest != nullptr) close(*oldest);
  return oldest != nullptr;
}

void front_door::watch(connection& which, std::uint32_t events, bool anew) {
  epoll_event event{};
  event.events = events;
  event.data.fd = which.number.get();
  ::epoll_ctl(poll_.get(), anew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, which.number.get(), &event);
}

void front_door::look_at(connection& which, std::uint32_t events) {
  if (which.now != connection::phase::answering) return read_from(which);
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) return close(which);
  send_to(which);
}

void front_door::read_from(connection& which) {
  std::array<char, std::size_t{64} << 10> bytes;
  const ssize_t got = ::recv(which.number.get(), bytes.data(), bytes.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close(which);
  if (which.now == connection::phase::leaving) return;  // what comes too late is dropped
  try {
    if (which.reader.feed({bytes.data(), static_cast<std::size_t>(got)})) return hand_over(which);
  } catch (const refusal& fault) {
    return refuse(which, fault.status(), fault.what());
  }
  if (!which.reader.head_is_read()) return;
  which.give_up = which.since + options_.request_limit;
  if (which.reader.body_awaits_consent() && !std::exchange(which.consented, true)) {
    // It has been sent nothing yet, so that there is room for it.
    ::send(which.number.get(), consent.data(), consent.size(), MSG_NOSIGNAL);
  }
}

void front_door::hand_over(connection& which) {
  request asked = which.reader.take();
  which.now = connection::phase::answering;
  which.give_up = clock::time_point::max();
  which.out = std::make_shared<exchange>();
  which.out->door = outbox_;
  which.out->connection = which.number.get();
  which.out->head_only = asked.method == "HEAD";
  which.out->chunks = !asked.is_1_0;
  watch(which, EPOLLRDHUP);
  try {
    handle_(std::move(asked), reply(which.out));
  } catch (...) {
    close(which);
  }
}

void front_door::refuse(connection& which, int status, const std::string& reason) {
  which.now = connection::phase::answering;
  which.out = std::make_shared<exchange>();
  which.out->door = outbox_;
  which.out->connection = which.number.get();
  reply(which.out).send(explain_(status, reason));
}

void front_door::send_to(connection& which) {
  bool ended = false;
  bool all = false;
  {
    const std::lock_guard lock(which.out->mutex);
    std::string& output = which.out->output;
    const ssize_t sent = ::send(which.number.get(), output.data(), output.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      output.erase(0, static_cast<std::size_t>(sent));
      which.give_up = clock::now() + options_.send_limit;
    }
    all = output.empty();
    ended = which.out->ended;
  }
  if (all && ended) {
    ::shutdown(which.number.get(), SHUT_WR);
    which.now = connection::phase::leaving;
    which.give_up = clock::now() + farewell_limit;
    return watch(which, EPOLLIN);
  }
  if (all) which.give_up = clock::time_point::max();
  watch(which, all ? EPOLLRDHUP : EPOLLRDHUP | EPOLLOUT);
}

void front_door::close(connection& which) {
  if (which.out != nullptr) which.out->unwanted.request_stop();
  connections_.erase(which.number.get());
}

void front_door::close_the_late() {
  const clock::time_point now = clock::now();
  if (now - late_ones_closed_at_ < late_interval) return;
  late_ones_closed_at_ = now;
  std::vector<connection*> late;
  for (const auto& [number, each] : connections_) {
    if (each->give_up <= now) late.push_back(each.get());
  }
  for (connection* const each : late) {
    if (each->now == connection::phase::reading) {
      refuse(*each, 408, "the request took too long to arrive");
      each->give_up = now + farewell_limit;
    } else {
      close(*each);
    }
  }
}

void front_door::send_everybody_home() {
  listener_.reset();
  std::vector<connection*> others;
  for (const auto& [number, each] : connections_) {
    if (each->now == connection::phase::answering) {
      each->out->unwanted.request_stop();
    } else {
      others.push_back(each.get());
    }
  }
  for (connection* const each : others) close(*each);
  const auto end = clock::now() + stop_limit;
  while (clock::now() < end && !connections_.empty()) {
    std::array<epoll_event, 64> events;
    const int count =
        ::epoll_wait(poll_.get(), events.data(), events.size(), int{late_interval / 1ms});
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      if (const auto found = connections_.find(event.data.fd); found != connections_.end()) {
        look_at(*found->second, event.events);
      }
    }
    send_what_changed();
  }
  connections_.clear();
}

}  // namespace http
