// How a model leaves: it sleeps, by the driver or by its server's own routes, or its server ends.

#include <lull/error.hpp>

#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <future>
#include <utility>

#include <fmt/format.h>

#include "model.hpp"

namespace lull::serve {

using std::chrono::seconds;

namespace {

constexpr unsigned http_ok = 200;

/// What stays of a model that sleeps, until it has been measured.
bytes_by_device guessed_rest(const model_config& config, const sleep_rung& rung,
                             const holdings& memory) {
  if (rung.left) return *rung.left;
  if (rung.way == sleep_way::stop) return {};
  const bool driver =
      rung.way == sleep_way::driver || (rung.way == sleep_way::automatic && memory.can_suspend());
  bytes_by_device rest;
  if (driver) return rest;
  constexpr std::uint64_t part = 10;
  for (const auto& [device, bytes] : config.memory) rest[device] = bytes / part;
  return rest;
}

}  // namespace

budget_model model::for_books(const model_config& config, const holdings& memory) {
  budget_model made;
  made.name = config.name;
  made.need = config.memory;
  made.priority = config.priority;
  made.pinned = config.pinned;
  made.min_residence = config.min_resident;
  made.levels.clear();
  for (std::size_t rung = 0; rung < config.ladder.size(); ++rung) {
    const sleep_rung& each = config.ladder[rung];
    // Levels have names of their own in the books.
    made.levels.push_back(
        {fmt::format("{}:{}", rung, each.level), guessed_rest(config, each, memory)});
  }
  return made;
}

void model::evict(std::size_t depth) {
  std::promise<std::optional<error>> ended;
  net::post(around_.io, [self = shared_from_this(), depth, &ended] {
    self->leave(depth,
                [&ended](std::optional<error> failure) { ended.set_value(std::move(failure)); });
  });
  if (const auto failure = ended.get_future().get()) throw error(*failure);
}

/// The ways of a rung that are worth trying, the best first.
std::vector<sleep_way> model::ways_of(std::size_t depth) const {
  const sleep_rung& rung = config_.ladder[depth];
  if (rung.way != sleep_way::automatic) return {rung.way};
  std::vector<sleep_way> ways;
  if (around_.memory->can_suspend()) ways.push_back(sleep_way::driver);
  ways.push_back(sleep_way::routes);
  return ways;
}

void model::leave(std::size_t depth, left done) {
  if (!child_ || phase_ == phase::leaving) return done({});  // it has ended by itself
  leaving_ = std::move(done);
  idle_.clear();
  enter(phase::leaving);
  if (wish_ && wish_->depth == depth && !wish_->tags.empty()) return leave_by_tags(depth);
  leave_by(depth, 0);
}

/// @param choice of the ways of this rung
void model::leave_by(std::size_t depth, std::size_t choice) {
  const std::vector<sleep_way> ways = ways_of(depth);
  if (choice >= ways.size() || broken_[depth]) {
    broken_[depth] = depth != deepest();
    return leave_by(depth + 1, 0);
  }
  switch (ways[choice]) {
    case sleep_way::driver: return leave_by_driver(depth, choice);
    case sleep_way::routes: return leave_by_routes(depth, choice);
    case sleep_way::automatic:
    case sleep_way::stop: break;
  }
  stop_child([self = shared_from_this()] {
    self->level_.clear();
    self->depth_ = 0;
    self->finish_leaving();
  });
}

/// This way does not work here; the next one may.
void model::cannot(std::size_t depth, std::size_t choice, const std::string& words) {
  say(log_level::warning,
      fmt::format("cannot sleep by '{}': {}", config_.ladder[depth].level, words));
  leave_by(depth, choice + 1);
}

void model::leave_by_routes(std::size_t depth, std::size_t choice) {
  // A process that the driver has stopped answers nothing.
  if (!applied_.empty() && applied_.back() == sleep_way::driver) {
    return cannot(depth, choice, "it is suspended");
  }
  const auto slept = [weak = weak_from_this(), depth, choice](const small_answer& answer) {
    const auto self = weak.lock();
    if (!self || self->phase_ != phase::leaving) return;
    if (answer.status != http_ok) {
      return self->cannot(
          depth, choice,
          answer.status == 0 ? answer.words : fmt::format("/sleep answers {}", answer.status));
    }
    self->fell_asleep(depth, sleep_way::routes);
  };
  const auto sleep = [weak = weak_from_this(), depth, slept] {
    const auto self = weak.lock();
    if (!self) return;
    const bool discard = self->config_.ladder[depth].level == "discard";
    small_request asked = self->request_for("POST", discard ? "/sleep?level=2" : "/sleep?level=1");
    self->discarded_ = discard || (self->partly_ && self->discarded_);
    self->slept_tags_.clear();
    asked.time_limit = std::chrono::minutes{2};
    self->cancel_asking_ = ask(self->around_.io, std::move(asked), slept);
  };
  // A server without such routes is found out by the one that changes nothing.
  cancel_asking_ = ask(around_.io, request_for("GET", "/is_sleeping"),
                       [weak = weak_from_this(), depth, choice, sleep](const small_answer& answer) {
                         const auto self = weak.lock();
                         if (!self || self->phase_ != phase::leaving) return;
                         if (answer.status == http_ok) return sleep();
                         self->cannot(depth, choice,
                                      answer.status == 0
                                          ? answer.words
                                          : fmt::format("/is_sleeping answers {}", answer.status));
                       });
}

/// No other way would do what was asked for, so that it stays awake where this one fails.
void model::leave_by_tags(std::size_t depth) {
  const auto slept = [weak = weak_from_this(), depth,
                      tags = wish_->tags](const small_answer& answer) {
    const auto self = weak.lock();
    if (!self || self->phase_ != phase::leaving) return;
    if (answer.status != http_ok) {
      constexpr unsigned failed = 500;
      const bool its_fault = answer.status == 0 || answer.status >= failed;
      return self->keep_awake(
          its_fault ? 502 : answer.status,
          fmt::format("/sleep: {}", answer.status == 0 ? answer.words : answer.body));
    }
    // Sleeping by tags keeps nothing.
    self->discarded_ |= std::find(tags.begin(), tags.end(), "weights") != tags.end();
    self->slept_tags_ = tags;
    self->fell_asleep(depth, sleep_way::routes);
  };
  const auto sleep = [weak = weak_from_this(), tags = wish_->tags, slept] {
    const auto self = weak.lock();
    if (!self) return;
    small_request asked = self->request_for("POST", "/sleep" + query_of(tags));
    asked.time_limit = std::chrono::minutes{2};
    self->cancel_asking_ = ask(self->around_.io, std::move(asked), slept);
  };
  cancel_asking_ =
      ask(around_.io, request_for("GET", "/is_sleeping"),
          [weak = weak_from_this(), sleep](const small_answer& answer) {
            const auto self = weak.lock();
            if (!self || self->phase_ != phase::leaving) return;
            if (answer.status == http_ok) return sleep();
            self->keep_awake(501,
                             "its server has no routes for sleeping, and only those know "
                             "tags: leave them out");
          });
}

void model::keep_awake(unsigned status, const std::string& words) {
  enter(partly_ ? phase::asleep : phase::ready);
  if (const left tell = std::exchange(leaving_, nullptr)) tell(error(status::unsupported, words));
  for (const auto& tell : std::exchange(want_to_know_, {})) tell();
  if (wish_) end_wish(refusal{status, fmt::format("'{}' stays awake: {}", name(), words), {}});
  ask_for_all();
}

void model::leave_by_driver(std::size_t depth, std::size_t choice) {
  around_.threads.run([self = shared_from_this(), child = child_, run = run_, depth, choice] {
    std::string words;
    try {
      suspend_options options;
      options.tree = true;
      options.directory = self->around_.pid_folder;
      options.log = self->around_.log;
      child->suspend(options);
    } catch (const std::exception& failure) {
      words = failure.what();
    }
    net::post(self->around_.io, [self, run, words, depth, choice] {
      if (run != self->run_ || self->phase_ != phase::leaving) return;
      if (!words.empty()) return self->cannot(depth, choice, words);
      self->was_suspended_ = true;
      self->fell_asleep(depth, sleep_way::driver);
    });
  });
}

void model::fell_asleep(std::size_t depth, sleep_way way) {
  const bool was_partly = std::exchange(partly_, false);
  if (!was_partly || way != sleep_way::routes) applied_.push_back(way);
  depth_ = depth + 1;
  const std::string& named = config_.ladder[depth].level;
  const char* const found = way == sleep_way::driver ? "suspend" : "offload";
  level_ = named == "auto" ? found : named;
  asleep_measured_ = false;
  ++sleeps_;
  say(log_level::info, fmt::format("asleep ({})", level_));
  finish_leaving();
}

/// The end of leaving, whichever way. The child may have ended meanwhile.
void model::finish_leaving(std::optional<error> failure) {
  const bool ended = !child_ || exited_run_ == run_;
  if (ended) {
    end_child();
    enter(phase::stopped);
  } else {
    enter(phase::asleep);
  }
  if (const left tell = std::exchange(leaving_, nullptr)) tell(std::move(failure));
  for (const auto& tell : std::exchange(want_to_know_, {})) tell();
  if (wish_) try_wish(steady_clock().now());
  ask_for_all();
}

/// Its own time to end, and no more than all have.
duration model::time_to_end() const {
  if (around_.stop_by == no_deadline) return config_.stop_timeout;
  const duration rest = around_.stop_by - steady_clock().now();
  return std::clamp(rest, duration::zero(), std::max(config_.stop_timeout, duration::zero()));
}

stop_options model::how_to_stop() const {
  stop_options how;
  how.grace = time_to_end();
  const bool suspended = !applied_.empty() && applied_.back() == sleep_way::driver;
  if (suspended) how.grace = {};  // it could not act on a signal
  if (was_suspended_ && !suspended) {
    for (const device& gpu : around_.memory->gpus()) {
      if (gpu.supports(capability::suspend)) how.before_kill = checkpoint_before_kill(gpu);
    }
  }
  return how;
}

/// Those who stop it already go by the shortest time that is given.
void model::hurry() {
  if (!child_) return;
  around_.threads.run([child = child_, log = around_.log, how = how_to_stop()] {
    try {
      child->stop(how);
    } catch (const std::exception& failure) {
      log.write(log_level::error, failure.what());
    }
  });
}

/// Ends the server: by its own command, by the signal, by force. Then `then`, on the router's
/// thread, when all of it is gone.
void model::stop_child(std::function<void()> then) {
  stop_asking();
  const stop_options how = how_to_stop();
  std::vector<std::string> command = config_.stop_command;
  if (!applied_.empty() && applied_.back() == sleep_way::driver) command.clear();
  constexpr std::string_view mark = "${PID}";
  for (std::string& word : command) {
    for (std::size_t at = word.find(mark); at != std::string::npos; at = word.find(mark)) {
      word.replace(at, mark.size(), std::to_string(child_->id()));
    }
  }
  around_.threads.run(
      [self = shared_from_this(), child = child_, how, command, then = std::move(then)]() mutable {
        try {
          if (!command.empty()) {
            process_options options;
            options.arguments = command;
            options.state_pipe = false;
            lull::process stopper(std::move(options));
            const time_point until = steady_clock().deadline_in(how.grace);
            stopper.wait(until);
            child->wait(until);
          }
        } catch (const std::exception& failure) {
          self->say(log_level::warning, failure.what());
        }
        try {
          const stop_result result = child->stop(how);
          if (result.killed) self->say(log_level::warning, "had to be killed");
        } catch (const std::exception& failure) {
          self->say(log_level::error, failure.what());
        }
        const auto ended = child->observe().ended;
        child.reset();
        net::post(self->around_.io, [self, ended, then = std::move(then)] {
          self->exit_ = ended;
          self->end_child();
          then();
        });
      });
}

}  // namespace lull::serve
