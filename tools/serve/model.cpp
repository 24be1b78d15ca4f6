#include "model.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <future>
#include <utility>

#include <fmt/format.h>

namespace lull::serve {

std::string_view to_string(model::phase is) noexcept {
  switch (is) {
    case model::phase::stopped: return "stopped";
    case model::phase::starting:
    case model::phase::waking: return "starting";
    case model::phase::ready: return "ready";
    case model::phase::asleep: return "asleep";
    case model::phase::leaving: return "leaving";
    case model::phase::failed: return "failed";
  }
  return "unknown";
}

model::model(model_config given, surroundings& around)
    : config_(std::move(given)),
      name_(config_.name),
      around_(around),
      address_(resolve(config_.upstream)),
      host_header_(config_.upstream.text()),
      timer_(around.io.get_executor()),
      broken_(config_.ladder.size(), false),
      left_(config_.ladder.size()) {
  since_ = last_used_ = steady_clock().now();
}

model::~model() = default;

bool model::reconfigure(const model_config& given, bool in_books) {
  model_config next = given;
  next.upstream = config_.upstream;
  if (!in_books) {
    next.memory = config_.memory;
    next.memory_anywhere = config_.memory_anywhere;
    next.priority = config_.priority;
    next.pinned = config_.pinned;
    next.min_resident = config_.min_resident;
    next.ladder = config_.ladder;
  }
  if (next.ladder != config_.ladder) left_.assign(next.ladder.size(), std::nullopt);
  config_ = std::move(next);
  broken_.assign(config_.ladder.size(), false);
  return given.upstream != config_.upstream;
}

void model::pin(bool pinned) {
  config_.pinned = pinned;
  around_.books->pin(name(), pinned);
  around_.changed();
}

std::optional<std::size_t> model::depth_of(const std::string& level) const {
  const std::string named = level == "1" ? "offload" : level == "2" ? "discard" : level;
  const std::size_t rungs = config_.ladder.size();
  for (std::size_t rung = 0; rung < rungs; ++rung) {
    if (config_.ladder[rung].level == named) return rung;
  }
  // vLLM's numbers mean a depth: what this model has instead of it, but not its end.
  if (level == "1" && rungs > 1) return 0;
  if (level == "2" && rungs > 1) return rungs - 2;
  return {};
}

model::view model::look() const {
  view seen;
  seen.is = phase_;
  if (phase_ == phase::asleep) seen.level = level_;
  seen.active = active_;
  seen.waiting = waiters_.size();
  if (!waiters_.empty()) seen.waiting_since = waiters_.front().since;
  seen.pinned = config_.pinned;
  seen.pid = child_ ? child_->id() : 0;
  seen.last_error = last_error_;
  seen.since = since_;
  seen.starts = starts_;
  seen.crashes = crashes_;
  seen.failures = failures_;
  seen.not_before = not_before_;
  seen.depth = depth_;
  seen.load_began = arrivals_.began();
  return seen;
}

void model::enter(phase next) {
  phase_ = next;
  since_ = steady_clock().now();
  if (next == phase::ready) last_used_ = since_;
  around_.changed();
}

void model::tick(time_point now, const budget_model_snapshot& books) {
  expire(now);
  if (closed_) return;
  if (child_ && exited_run_ != run_ && child_->observe().ended) exited(run_);
  const bool settled = books.state == model_state::ready || books.state == model_state::asleep;
  const bool gone = phase_ == phase::stopped || phase_ == phase::failed;
  if (settled && gone && !child_) {
    around_.books->lost(name());
    return;
  }
  try_wish(now);
  constexpr auto steady_time = std::chrono::minutes{1};
  if (phase_ == phase::ready && failures_ > 0 && now - since_ > steady_time) failures_ = 0;
  if (phase_ == phase::asleep && books.state == model_state::asleep && !asleep_measured_) {
    measure_asleep();
  }
  if (wish_ || config_.pinned || active_ > 0 || !waiters_.empty()) return;
  if (phase_ != phase::ready && phase_ != phase::asleep) return;
  for (std::size_t rung = config_.ladder.size(); rung-- > depth_;) {
    const sleep_rung& each = config_.ladder[rung];
    if (!each.after || broken_[rung] || now - last_used_ < *each.after) continue;
    around_.books->put_away(name(), rung);
    return;
  }
}

void model::close(std::function<void()> done) {
  closed_ = true;
  stop_asking();
  refuse_all({503, "the router is ending", std::chrono::seconds{5}});
  if (wish_) end_wish(refusal{503, "the router is ending", {}});
  if (asking_) around_.books->withdraw(name());
  loading_.reset();
  if (!child_) return done();
  stop_child(std::move(done));
}

std::optional<tcp_socket> model::take_connection() {
  while (!idle_.empty()) {
    tcp_socket taken = std::move(idle_.back());
    idle_.pop_back();
    // One that the server has closed meanwhile is readable now.
    if (peek(taken) == readable::nothing) return taken;
  }
  return {};
}

void model::keep_connection(tcp_socket connection, std::uint64_t run) {
  constexpr std::size_t most = 128;
  if (run != run_ || phase_ != phase::ready || idle_.size() >= most) return;
  idle_.push_back(std::move(connection));
}

void model::explain(std::uint64_t run, std::function<void(std::string words)> done) {
  const auto words = [this] { return last_error_; };
  if (run != run_ || !child_ || exited_run_ == run) return done(words());
  // It may be about to end, which is told in a moment.
  const auto told = std::make_shared<bool>(false);
  const auto tell = [told, done = std::move(done)](const std::string& text) {
    if (!std::exchange(*told, true)) done(text);
  };
  want_to_know_.push_back([tell, words] { tell(words()); });
  const auto timer = std::make_shared<steady_timer>(around_.io.get_executor());
  timer->expires_after(std::chrono::milliseconds{500});
  timer->async_wait([timer, tell](error_code) { tell(""); });
}

void model::stop_asking() {
  timer_.cancel();
  if (const auto cancel = std::exchange(cancel_asking_, nullptr)) cancel();
}

std::string model::last_lines() const {
  constexpr std::size_t lines = 8;
  return around_.logs.last_lines(name(), lines);
}

void model::say(log_level level, const std::string& words) const {
  around_.log.write(level, fmt::format("{}: {}", name(), words));
}

small_request model::request_for(std::string method, const std::string& path) const {
  small_request made;
  made.where = address_;
  made.host = host_header_;
  made.method = std::move(method);
  made.target = config_.upstream_path + path;
  return made;
}

}  // namespace lull::serve
