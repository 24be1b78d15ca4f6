#include "server.hpp"

#include <lull/error.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace lull::serve {
namespace {

/// Each connection takes two descriptors, and each child a few.
void raise_descriptor_limit(std::size_t connections) {
  const rlim_t enough = 2 * connections + 1024;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= enough) return;
  limit.rlim_cur = std::min(enough, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

bool all_loopback(const config& given) {
  return std::all_of(given.listen.begin(), given.listen.end(),
                     [](const endpoint& each) { return each.is_loopback(); });
}

access_rules rules_of(const config& given) {
  access_rules rules{given.token, given.allowed_hosts, all_loopback(given)};
  // What it was told to listen on is a name of it.
  for (const endpoint& each : given.listen) rules.allowed_hosts.push_back(each.host);
  return rules;
}

/// Also into the book, for /logs.
log_sink both(net::io_context& io, log_book& book, const log_sink& log) {
  log_level from = log_level::error;
  for (const log_level each : {log_level::warning, log_level::info, log_level::debug}) {
    if (log.wants(each)) from = each;
  }
  return log_sink(
      [&io, &book, log](log_level level, std::string_view line) {
        log.write(level, line);
        net::post(io, [&book, text = std::string(line) + "\n"] { book.add({}, text); });
      },
      from);
}

}  // namespace

server::server(server_options options)
    : options_(std::move(options)),
      log_(both(io_, logs_, options_.log)),
      fleet_(io_, options_.given, options_.state_folder, logs_, log_),
      routes_(fleet_, metrics_, rules_of(options_.given)),
      world_{io_, routes_, metrics_, options_.given.limits},
      signals_(io_.get_executor()),
      timer_(io_.get_executor()),
      accept_again_(io_.get_executor()) {
  if (!all_loopback(options_.given) && !options_.given.token) {
    throw error(status::invalid_argument,
                "listens where others can reach it: that takes a 'token'");
  }
  raise_descriptor_limit(options_.given.limits.connections);
  // Before anybody can know of it: whoever sees it listen may tell it to end.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signals_.add(number);
  for (const endpoint& each : options_.given.listen) acceptors_.push_back(listen_on(io_, each));
  world_.ended = [this](session& which) { sessions_.erase(&which); };
  fleet_.on_change([this] { routes_.tell_change(); });
  if (options_.given.launcher) add_launcher();
  fleet_.on_arrival([this](const std::string& model, const std::string& from, duration waited,
                           bool load) { metrics_.arrived(model, from, waited, load); });
}

server::~server() = default;

void server::add_launcher() {
  const config& given = options_.given;
  launcher_options made{*given.launcher, given.listen, rules_of(given), given.limits,
                        options_.state_folder};
  made.came = [this](session_world& world, tcp_socket socket, std::string door) {
    accepted(world, std::move(socket), std::move(door));
  };
  launcher_.emplace(io_, fleet_, metrics_, std::move(made));
  launcher_->world().ended = world_.ended;
  routes_.ask_first([this](const request_head& asked) { return launcher_->decide(asked); });
}

std::vector<std::string> server::addresses() const {
  std::vector<std::string> list;
  for (const tcp_acceptor& each : acceptors_) {
    const tcp::endpoint where = each.local_endpoint();
    list.push_back(endpoint{where.address().to_string(), where.port()}.text());
  }
  return list;
}

ending server::run() {
  on_signal();
  fleet_.start();
  for (std::size_t which = 0; which < acceptors_.size(); ++which) accept(which);
  every_half_second();
  io_.run();
  return cut_ == 0 ? ending::drained : ending::cut;
}

void server::accept(std::size_t which) {
  acceptors_[which].async_accept([this, which](error_code failed, tcp_socket socket) {
    if (closing_) return;
    if (failed) {
      if (failed == net::error::operation_aborted) return;
      // Out of descriptors, most likely: it is tried again when some may be free.
      accept_again_.expires_after(std::chrono::milliseconds{100});
      accept_again_.async_wait([this, which](error_code) { accept(which); });
      return;
    }
    accepted(world_, std::move(socket));
    accept(which);
  });
}

void server::accepted(session_world& world, tcp_socket socket, std::string door) {
  if (sessions_.size() >= world_.limits.connections) {
    static constexpr std::string_view full =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n";
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(net::buffer(full.data(), full.size()), ignored);
    return;
  }
  const auto made = std::make_shared<session>(world, std::move(socket), std::move(door));
  sessions_.emplace(made.get(), made);
  made->start();
}

std::vector<std::shared_ptr<session>> server::open_sessions() const {
  std::vector<std::shared_ptr<session>> all;
  all.reserve(sessions_.size());
  for (const auto& [key, each] : sessions_) {
    if (auto open = each.lock()) all.push_back(std::move(open));
  }
  return all;
}

void server::every_half_second() {
  const time_point now = steady_clock().now();
  for (const auto& each : open_sessions()) each->check_time(now);
  if (++half_seconds_ % 2 == 0) routes_.tell_time();
  if (world_.draining) drained();
  timer_.expires_after(std::chrono::milliseconds{world_.draining ? 50 : 500});
  timer_.async_wait([this](error_code failed) {
    if (!failed) every_half_second();
  });
}

void server::on_signal() {
  signals_.async_wait([this](error_code failed, int number) {
    if (failed) return;
    if (number == SIGHUP) {
      if (!world_.draining) reload();
    } else if (!world_.draining) {
      drain();
    } else {
      hurry();
    }
    on_signal();
  });
}

void server::reload() {
  const std::optional<config> next = options_.reread ? options_.reread() : std::nullopt;
  if (!next) return;
  std::vector<std::string> kept = fleet_.reconfigure(*next);
  if (next->listen != options_.given.listen) kept.emplace_back("listen takes a restart");
  if (!all_loopback(options_.given) && !next->token) {
    kept.emplace_back("token: without one it cannot be reached by others, which it can");
  } else {
    config rules = *next;
    rules.listen = options_.given.listen;
    routes_.set_rules(rules_of(rules));
    if (launcher_) launcher_->set_rules(rules_of(rules));
  }
  if (next->launcher.has_value() != launcher_.has_value()) {
    kept.emplace_back("launcher: with or without one takes a restart");
  } else if (launcher_) {
    launcher_->reconfigure(*next->launcher, next->limits);
  }
  world_.limits = next->limits;
  options_.given.drain = next->drain;
  for (const std::string& each : kept) {
    log_.write(log_level::warning, fmt::format("not applied: {}", each));
  }
  log_.write(log_level::info, "the configuration was read again");
}

/// It says at once that it is not ready. Requests are served as before until those who send them
/// have heard of it, then refused; those that are under way come to their end.
void server::drain() {
  const drain_config& how = options_.given.drain;
  refuse_from_ = steady_clock().deadline_in(how.delay);
  cut_at_ = steady_clock().deadline_in(how.delay + options_.drain_time.value_or(how.requests));
  if (how.total) end_by_ = steady_clock().deadline_in(*how.total - time_to_kill);
  cut_at_ = std::min(cut_at_, end_by_);
  log_.write(log_level::info, "ending");
  world_.draining = true;
  if (launcher_) launcher_->drain();
  fleet_.begin_to_drain();
  timer_.cancel();
  every_half_second();
}

void server::drained() {
  if (closing_) return;
  const time_point now = steady_clock().now();
  if (now < refuse_from_) return;
  if (!std::exchange(refusing_, true)) fleet_.refuse_new();
  const auto all = open_sessions();
  const bool at_work =
      std::any_of(all.begin(), all.end(), [](const auto& each) { return each->is_at_work(); });
  if (!at_work || now >= cut_at_) end_all();
}

/// Who asks twice does not want to wait.
void server::hurry() {
  constexpr std::chrono::seconds for_servers{2};
  log_.write(log_level::info, "ending at once");
  const time_point now = steady_clock().now();
  refuse_from_ = cut_at_ = now;
  end_by_ = std::min(end_by_, now + for_servers);
  if (closing_) return fleet_.hurry(end_by_);
  drained();
}

void server::end_all() {
  closing_ = true;
  if (launcher_) launcher_->close_doors();
  for (tcp_acceptor& each : acceptors_) {
    error_code ignored;
    each.close(ignored);
  }
  for (const auto& each : open_sessions()) {
    if (each->is_at_work()) ++cut_;
    each->close();
  }
  if (cut_ > 0) log_.write(log_level::warning, fmt::format("{} requests are cut off", cut_));
  fleet_.close(end_by_, [this] { io_.stop(); });
}

}  // namespace lull::serve
