// How a model comes: its server is started, or woken.

#include <lull/error.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "model.hpp"

namespace lull::serve {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// Whether a program listens there. Blocks for a moment at most.
bool is_listening(const tcp::endpoint& where) {
  const int socket =
      ::socket(where.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return false;
  bool listening = ::connect(socket, where.data(), static_cast<socklen_t>(where.size())) == 0;
  if (!listening && errno == EINPROGRESS) {
    constexpr int moment_ms = 500;
    pollfd waiting{socket, POLLOUT, 0};
    int failed = 0;
    socklen_t size = sizeof failed;
    listening = ::poll(&waiting, 1, moment_ms) == 1 &&
                ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &failed, &size) == 0 && failed == 0;
  }
  ::close(socket);
  return listening;
}

duration pause_after(unsigned failures) {
  constexpr unsigned most_doublings = 6;
  if (failures <= 1) return {};
  return seconds{1} * (1U << std::min(failures - 2, most_doublings));
}

}  // namespace

/// With leave to load: it starts, or wakes.
void model::load(budget_ticket ticket) {
  loading_ = std::move(ticket);
  load_deadline_ = steady_clock().deadline_in(config_.check_timeout);
  arrivals_.begin(child_ && phase_ == phase::asleep ? level_ : "cold", steady_clock().now());
  if (child_ && phase_ == phase::asleep) {
    enter(phase::waking);
    return wake();
  }
  enter(phase::starting);
  const std::uint64_t run = ++run_;
  const auto start = [weak = weak_from_this(), run] {
    const auto self = weak.lock();
    if (self && self->run_ == run && self->loading_) self->spawn();
  };
  if (around_.make_way) {
    around_.make_way(*this, start);
  } else {
    start();
  }
}

void model::spawn() {
  ++starts_;
  spawning_ = true;
  exit_.reset();
  const std::uint64_t run = run_;
  process_options options;
  options.arguments = config_.command;
  for (const std::string& each : config_.environment) {
    const std::size_t sign = each.find('=');
    options.environment[each.substr(0, sign)] =
        sign == std::string::npos ? std::string() : each.substr(sign + 1);
  }
  options.output = options.errors = child_stream::pipe;
  options.releases = &around_.releases;
  options.devices = around_.memory->gpus();
  options.stopping.grace = config_.stop_timeout;
  options.pid_directory = around_.pid_folder;
  options.log = around_.log;
  options.on_event = [weak = weak_from_this(), &io = around_.io, run](const process_event& event) {
    net::post(io, [weak, run, event] {
      if (const auto self = weak.lock()) self->heard(run, event);
    });
  };
  around_.threads.run([self = shared_from_this(), run, options = std::move(options)] {
    std::shared_ptr<lull::process> made;
    std::string words;
    try {
      if (is_listening(self->address_)) {
        words = fmt::format("another program listens on {} already", self->host_header_);
      } else {
        made = std::make_shared<lull::process>(options);
      }
    } catch (const std::exception& failure) {
      words = failure.what();
    }
    const int output = made ? made->take_output() : -1;
    const int errors = made ? made->take_errors() : -1;
    net::post(self->around_.io, [self, run, made, output, errors, words] {
      self->spawned(run, made, output, errors, words);
    });
  });
}

void model::spawned(std::uint64_t run, std::shared_ptr<lull::process> made, int output, int errors,
                    const std::string& words) {
  const auto heard = [weak = weak_from_this()](std::string_view text) {
    if (const auto self = weak.lock()) self->around_.logs.add(self->name(), text);
  };
  spawning_ = false;
  if (run != run_ || !loading_) {  // it was given up meanwhile
    if (output >= 0) ::close(output);
    if (errors >= 0) ::close(errors);
    const auto then = std::exchange(when_spawned_, nullptr);
    around_.threads.run([made, then, &io = around_.io] {
      if (made) made->stop();
      if (then) net::post(io, then);
    });
    return;
  }
  if (!made) return load_failed(words);
  say(log_level::info, fmt::format("started, process {}", made->id()));
  child_ = std::move(made);
  output_ = std::make_unique<child_output>(around_.io, output, heard);
  errors_ = std::make_unique<child_output>(around_.io, errors, heard);
  was_suspended_ = discarded_ = false;
  std::fill(broken_.begin(), broken_.end(), false);
  // Where no thread can be had for it, tick() sees it a little later.
  around_.threads.try_run([weak = weak_from_this(), &around = around_, run, child = child_] {
    if (!child->wait(no_deadline, around.ending.get_token())) return;
    net::post(around.io, [weak, run] {
      if (const auto self = weak.lock()) self->exited(run);
    });
  });
  check_pause_ = milliseconds{20};
  around_.changed();
  check();
}

/// A server that tells its state need not be asked for it every moment.
void model::heard(std::uint64_t run, const process_event& event) {
  if (run != run_ || phase_ != phase::starting || event.state != process_state::ready) return;
  stop_asking();
  check();
}

void model::check() {
  small_request asked = request_for("GET", config_.check_path.empty() ? "/" : config_.check_path);
  cancel_asking_ =
      ask(around_.io, std::move(asked), [weak = weak_from_this()](const small_answer& answer) {
        if (const auto self = weak.lock()) self->checked(answer);
      });
}

void model::checked(const small_answer& answer) {
  constexpr unsigned success = 2;
  constexpr unsigned of_hundred = 100;
  const bool ready =
      config_.check_path.empty() ? answer.status != 0 : answer.status / of_hundred == success;
  if (ready) return measure();
  if (steady_clock().now() >= load_deadline_) {
    const std::string last = answer.status == 0 ? answer.words : fmt::format("{}", answer.status);
    return load_failed(fmt::format("was not ready within {} s: {} answers {}",
                                   std::chrono::ceil<seconds>(config_.check_timeout).count(),
                                   config_.check_path.empty() ? "it" : config_.check_path, last));
  }
  timer_.expires_after(check_pause_);
  check_pause_ = std::min<duration>(check_pause_ * 3 / 2, milliseconds{500});
  timer_.async_wait([weak = weak_from_this()](error_code failed) {
    const auto self = weak.lock();
    if (!failed && self) self->check();
  });
}

void model::wake() {
  if (applied_.empty()) {
    check_pause_ = milliseconds{20};
    return check();
  }
  if (applied_.back() == sleep_way::routes) return wake_by_routes();
  wake_by_driver();
}

void model::wake_by_routes() {
  const tag_list tags = wanted_tags();
  small_request asked = request_for("POST", "/wake_up" + query_of(tags));
  asked.time_limit = config_.check_timeout;
  cancel_asking_ = ask(
      around_.io, std::move(asked), [weak = weak_from_this(), tags](const small_answer& answer) {
        const auto self = weak.lock();
        if (!self || self->phase_ != phase::waking) return;
        constexpr unsigned ok = 200;
        constexpr unsigned unavailable = 503;
        if (answer.status == ok) return self->woken_by_routes(tags);
        const std::string words =
            fmt::format("/wake_up: {}", answer.status == 0 ? answer.words : answer.body);
        if (answer.status == unavailable) return self->load_put_off(words);
        const bool its_fault = answer.status == 0 || answer.status >= 500;
        if (!tags.empty() && !its_fault) return self->load_put_off(words, answer.status);
        self->load_failed(words);
      });
}

/// Whether all of it is back, the server knows.
void model::woken_by_routes(const tag_list& tags) {
  if (tags.empty()) return woken_whole();
  // Who brings its weights back by their name fills them, too.
  if (std::find(tags.begin(), tags.end(), "weights") != tags.end()) discarded_ = false;
  cancel_asking_ = ask(around_.io, request_for("GET", "/is_sleeping"),
                       [weak = weak_from_this(), tags](const small_answer& answer) {
                         const auto self = weak.lock();
                         if (!self || self->phase_ != phase::waking) return;
                         const auto told = nlohmann::json::parse(answer.body, nullptr, false);
                         const bool sleeps = told.is_object() && told.contains("is_sleeping") &&
                                             told["is_sleeping"] == true;
                         sleeps ? self->woken_partly(tags) : self->woken_whole();
                       });
}

void model::woken_whole() {
  applied_.pop_back();
  discarded_ ? reload_weights() : wake();
}

/// It cannot serve yet. Its memory counts in full from now on, so that nobody else takes what the
/// other parts will need.
void model::woken_partly(const tag_list& tags) {
  partly_ = true;
  depth_ = 0;
  budget_ticket ticket = std::move(*loading_);
  loading_.reset();
  enter(phase::asleep);
  last_used_ = since_;
  say(log_level::info, fmt::format("awake are {}", fmt::join(tags, ", ")));
  ticket.confirm();
  ticket.release();
  const auto is_whole = [](const waiter& each) { return each.only.empty(); };
  const auto first = std::stable_partition(waiters_.begin(), waiters_.end(), is_whole);
  std::vector<waiter> told{std::make_move_iterator(first), std::make_move_iterator(waiters_.end())};
  waiters_.erase(first, waiters_.end());
  for (waiter& each : told) each.done({}, {.words = {}}, each.found);
  around_.changed();
  ask_for_all();
}

/// vLLM wakes with empty weights where they were discarded. Who has no such route needs none.
void model::reload_weights() {
  discarded_ = false;
  small_request asked = request_for("POST", "/collective_rpc");
  asked.body = R"({"method":"reload_weights"})";
  asked.time_limit = config_.check_timeout;
  cancel_asking_ =
      ask(around_.io, std::move(asked), [weak = weak_from_this()](const small_answer& answer) {
        const auto self = weak.lock();
        if (!self || self->phase_ != phase::waking) return;
        constexpr unsigned server_failed = 500;
        if (answer.status == 0 || answer.status >= server_failed) {
          return self->load_failed(
              fmt::format("its weights do not load again: {}{}", answer.words, answer.body));
        }
        self->wake();
      });
}

void model::wake_by_driver() {
  around_.threads.run([self = shared_from_this(), run = run_, child = child_] {
    std::optional<error> failure;
    try {
      child->resume();
    } catch (const error& why) {
      failure = why;
    }
    net::post(self->around_.io, [self, run, failure] {
      if (run != self->run_ || self->phase_ != phase::waking) return;
      if (!failure) {
        self->applied_.pop_back();
        return self->wake();
      }
      const bool as_before = failure->code() == status::out_of_device_memory ||
                             failure->code() == status::timed_out ||
                             failure->code() == status::unsupported;
      if (as_before) return self->load_put_off(failure->what());
      self->load_failed(failure->what());
    });
  });
}

/// It sleeps as before, and can be asked again.
void model::load_put_off(const std::string& words, unsigned status) {
  stop_asking();
  last_error_ = words;
  arrivals_.give_up();
  say(log_level::warning, "is not woken: " + words);
  loading_.reset();
  enter(phase::asleep);
  refuse_all({status, fmt::format("'{}' cannot be woken now: {}", name(), words),
              status == 503 ? std::optional(seconds{5}) : std::nullopt});
}

void model::load_failed(const std::string& words, unsigned status) {
  stop_asking();
  ++run_;  // whatever is still under way is of no interest
  ++failures_;
  arrivals_.give_up();
  not_before_ = steady_clock().now() + pause_after(failures_);
  if (output_) output_->drain();
  if (errors_) errors_->drain();
  const std::string lines = last_lines();
  last_error_ = lines.empty() ? words : words + "\n" + lines;
  say(log_level::warning, "is not loaded: " + words);
  enter(phase::leaving);
  refuse_all({status, fmt::format("'{}' {}", name(), last_error_), {}});
  const auto over = [self = shared_from_this()] {
    // The books count what it had until it is really back.
    self->around_.threads.run([self] {
      settle_options options;
      options.releases = &self->around_.releases;
      static_cast<void>(settle(self->around_.memory->gpus(), options));
      net::post(self->around_.io, [self] {
        self->loading_.reset();
        self->enter(phase::failed);
        self->depth_ = 0;
        self->applied_.clear();
        self->around_.ended(*self, self->exit_);
        if (self->wish_) self->try_wish(steady_clock().now());
        self->ask_for_all();
      });
    });
  };
  if (child_) {
    stop_child(over);
  } else if (spawning_) {
    when_spawned_ = over;
  } else {
    over();
  }
}

/// The server has ended, as it was told or by itself.
void model::exited(std::uint64_t run) {
  exited_run_ = std::max(exited_run_, run);
  if (!child_ || closed_) return;
  if (run != run_ && phase_ != phase::leaving) return;
  if (output_) output_->drain();
  if (errors_) errors_->drain();
  const auto ended = child_->observe().ended;
  const std::string how = ended ? to_string(*ended) : "has ended";
  exit_ = ended;
  const phase was = phase_;
  if (was == phase::starting || was == phase::waking) {
    end_child();
    return load_failed(how);
  }
  if (was == phase::leaving) return;  // whoever stops it knows; one that only sleeps fails to
  ++crashes_;
  ++failures_;
  not_before_ = steady_clock().now() + pause_after(failures_);
  const std::string lines = last_lines();
  last_error_ = lines.empty() ? how : how + "\n" + lines;
  say(log_level::error, how);
  end_child();
  enter(phase::failed);
  around_.books->lost(name());
  for (const auto& tell : std::exchange(want_to_know_, {})) tell();
  around_.ended(*this, exit_);
}

void model::end_child() {
  stop_asking();
  idle_.clear();
  applied_.clear();
  partly_ = false;
  depth_ = 0;
  // Its end may take a moment yet, which is not waited for here.
  if (child_) around_.threads.run([gone = std::move(child_)] {});
  child_ = nullptr;
  output_.reset();
  errors_.reset();
}

}  // namespace lull::serve
