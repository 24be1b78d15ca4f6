// Who waits for a model, and who uses it.

#include <lull/error.hpp>

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <utility>

#include <fmt/format.h>

#include "model.hpp"

namespace lull::serve {

using std::chrono::seconds;

lease::lease(std::shared_ptr<model> of, budget_ticket ticket)
    : model_(std::move(of)), ticket_(std::move(ticket)) {
  ++model_->active_;
}

lease& lease::operator=(lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  model_ = std::move(other.model_);
  ticket_ = std::move(other.ticket_);
  return *this;
}

void lease::release() noexcept {
  if (!model_) return;
  ticket_.release();
  const auto was = std::exchange(model_, nullptr);
  was->end_use();
}

void model::end_use() noexcept {
  --active_;
  last_used_ = steady_clock().now();
  if (wish_) try_wish(last_used_);
}

std::string model::found_as() const {
  switch (phase_) {
    case phase::ready: return "hot";
    case phase::asleep:
    case phase::waking: return level_;
    default: return "cold";
  }
}

std::uint64_t model::acquire(acquired done, tag_list only) {
  const time_point now = steady_clock().now();
  if (closed_ || around_.refusing) {
    done({}, {503, "the router is ending", seconds{5}}, {});
    return 0;
  }
  if (config_.concurrency_limit > 0 && active_ + waiters_.size() >= config_.concurrency_limit) {
    done({},
         {429, fmt::format("'{}' has {} requests already", name(), config_.concurrency_limit),
          seconds{1}},
         {});
    return 0;
  }
  if (now < not_before_) {
    const auto rest = std::chrono::ceil<seconds>(not_before_ - now);
    done({},
         {503,
          fmt::format("'{}' is not started again for {} s: {}", name(), rest.count(), last_error_),
          rest},
         {});
    return 0;
  }
  const std::uint64_t number = next_number_++;
  const time_point deadline =
      config_.max_wait ? steady_clock().deadline_in(*config_.max_wait) : no_deadline;
  waiters_.push_back({number, std::move(done), found_as(), now, deadline, std::move(only)});
  ask_for_all();
  if (waiters_.empty() || waiters_.back().number != number) return 0;
  around_.changed();
  return number;
}

void model::cancel(std::uint64_t wait) {
  const auto found = std::find_if(waiters_.begin(), waiters_.end(),
                                  [&](const waiter& each) { return each.number == wait; });
  if (found == waiters_.end()) return;
  waiters_.erase(found);
  around_.changed();
  // What is being loaded is loaded to the end: the next one may want it. But nobody leaves for a
  // model that nobody wants any more.
  if (waiters_.empty() && asking_) around_.books->withdraw(name());
}

void model::ask_for_all() {
  if (asking_all_) return;  // an answer that came at once: the loop below goes on
  asking_all_ = true;
  while (!waiters_.empty() && !asking_ && !loading_ && !wish_ && !closed_) ask_books();
  asking_all_ = false;
}

/// The answer comes at once where the model is ready, and later on a thread of the budget's.
void model::ask_books() {
  asking_ = true;
  around_.books->admit_async(name(), no_deadline,
                             [weak = weak_from_this(), &io = around_.io](budget::admission result) {
                               net::dispatch(io, [weak, result = std::move(result)]() mutable {
                                 if (const auto self = weak.lock())
                                   self->admitted(std::move(result));
                               });
                             });
}

void model::admitted(budget::admission result) {
  asking_ = false;
  if (result.failure) {
    const error& why = *result.failure;
    if (why.code() == status::out_of_device_memory &&
        is_too_large(around_.books->snapshot(), name())) {
      refuse_all({507, why.what(), {}});
    } else if (why.code() != status::cancelled) {
      refuse_all({503, why.what(), seconds{5}});
    }
    return ask_for_all();
  }
  if (waiters_.empty()) return;  // nobody wants it any more, and the ticket goes back
  if (result.ticket.must_load()) {
    load(std::move(result.ticket));
  } else if (phase_ == phase::ready) {
    serve(std::move(result.ticket));
  } else if (phase_ == phase::asleep && partly_) {
    load(std::move(result.ticket));
  } else {
    // Its server has ended just now, which the books do not know yet.
    result.ticket.release();
    around_.books->lost(name());
  }
  ask_for_all();
}

void model::serve(budget_ticket ticket) {
  waiter first = std::move(waiters_.front());
  waiters_.pop_front();
  last_used_ = steady_clock().now();
  around_.arrived(name(), first.found, last_used_ - first.since, false);
  first.done(lease(shared_from_this(), std::move(ticket)), {}, first.found);
}

void model::refuse_all(const refusal& why) {
  for (waiter& each : std::exchange(waiters_, {})) each.done({}, why, each.found);
  around_.changed();
}

void model::expire(time_point now) {
  std::vector<waiter> late;
  for (auto each = waiters_.begin(); each != waiters_.end();) {
    if (each->deadline > now) {
      ++each;
      continue;
    }
    late.push_back(std::move(*each));
    each = waiters_.erase(each);
  }
  if (late.empty()) return;
  std::string why = asking_ ? around_.books->preview(name()).words : std::string();
  if (why.empty()) why = fmt::format("it is {}", to_string(phase_));
  if (waiters_.empty() && asking_) around_.books->withdraw(name());
  for (waiter& each : late) {
    each.done({}, {503, fmt::format("'{}' was not ready in time: {}", name(), why), seconds{5}},
              each.found);
  }
  around_.changed();
}

void model::sleep_tags(const tag_list& tags, const outcome& done) {
  if (phase_ == phase::asleep && !partly_) {
    const bool all_do = std::all_of(tags.begin(), tags.end(), [this](const std::string& each) {
      return slept_tags_.empty() ||
             std::find(slept_tags_.begin(), slept_tags_.end(), each) != slept_tags_.end();
    });
    if (all_do) return done({});
    return done(
        refusal{409, fmt::format("other parts of '{}' sleep already: wake it first", name()), {}});
  }
  const auto& ladder = config_.ladder;
  for (const sleep_way way : {sleep_way::routes, sleep_way::automatic}) {
    const auto rung = std::find_if(ladder.begin(), ladder.end(),
                                   [&](const sleep_rung& each) { return each.way == way; });
    if (rung == ladder.end()) continue;
    return put_away(static_cast<std::size_t>(rung - ladder.begin()), false, tags, done);
  }
  done(refusal{501,
               fmt::format("'{}' has no level that its server's own routes carry out, and only "
                           "those know tags: leave them out, or give it 'sleep: routes'",
                           name()),
               {}});
}

void model::wake_tags(const tag_list& tags, const outcome& done) {
  if (phase_ == phase::ready) return done({});
  if (phase_ != phase::asleep) {
    return done(refusal{409,
                        fmt::format("'{}' is {}, and only one that sleeps has parts to wake: "
                                    "leave out the tags",
                                    name(), to_string(phase_)),
                        seconds{1}});
  }
  if (applied_.empty() || applied_.back() != sleep_way::routes) {
    return done(refusal{501,
                        fmt::format("'{}' was suspended by the driver, which knows no tags: leave "
                                    "them out",
                                    name()),
                        {}});
  }
  acquire([done](const lease&, const refusal& why,
                 const std::string&) { done(why.words.empty() ? std::optional<refusal>() : why); },
          tags);
}

/// Of all who wait together; empty: somebody wants the whole.
model::tag_list model::wanted_tags() const {
  tag_list all;
  for (const waiter& each : waiters_) {
    if (each.only.empty()) return {};
    for (const std::string& tag : each.only) {
      if (std::find(all.begin(), all.end(), tag) == all.end()) all.push_back(tag);
    }
  }
  return all;
}

void model::put_away(std::size_t depth, bool force, const tag_list& tags, const outcome& done) {
  const bool stop = depth == deepest();
  if (phase_ == phase::stopped || phase_ == phase::failed || depth_ > depth) return done({});
  if (phase_ == phase::starting || phase_ == phase::waking) {
    if (!stop || !loading_) {
      return done(refusal{409, fmt::format("'{}' is {}", name(), to_string(phase_)), seconds{1}});
    }
    load_failed("stopped while it was loading", 503);
    failures_ = 0;
    not_before_ = {};
  }
  if (wish_ && (wish_->depth != depth || wish_->tags != tags)) {
    return done(refusal{409, fmt::format("'{}' is being put away already", name()), seconds{1}});
  }
  if (phase_ == phase::leaving && !wish_ && !stop) {
    return done(refusal{409, fmt::format("'{}' is leaving", name()), seconds{1}});
  }
  const time_point now = steady_clock().now();
  if (!wish_) wish_ = wish{depth, force, now + config_.stop_timeout, {}, tags};
  wish_->told.push_back(done);
  try_wish(now);
}

void model::try_wish(time_point now) {
  if (!wish_ || phase_ == phase::leaving) return;
  if (phase_ == phase::stopped || phase_ == phase::failed || depth_ > wish_->depth) {
    return end_wish({});
  }
  if (active_ == 0 && around_.books->put_away(name(), wish_->depth)) return;
  if (now < wish_->until) return;
  if (wish_->force) {
    around_.books->lost(name());
  } else {
    end_wish(
        refusal{409, fmt::format("'{}' has {} requests under way", name(), active_), seconds{1}});
  }
}

void model::end_wish(const std::optional<refusal>& how) {
  const std::optional<wish> over = std::exchange(wish_, std::nullopt);
  for (const outcome& tell : over->told) tell(how);
  ask_for_all();
}

}  // namespace lull::serve
