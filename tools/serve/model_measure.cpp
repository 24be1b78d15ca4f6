// What a model was seen to hold, for the books: when it is ready, while it serves, and asleep.

#include <algorithm>
#include <boost/asio/post.hpp>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "listeners.hpp"
#include "model.hpp"

namespace lull::serve {

std::optional<budget_model_snapshot> model::booked(const budget_snapshot& books) const {
  const auto is_own = [this](const budget_model_snapshot& each) { return each.name == name(); };
  const auto found = std::find_if(books.models.begin(), books.models.end(), is_own);
  if (found == books.models.end()) return {};
  return *found;
}

void model::measure() {
  // Where the router itself reaches it through the network, that is what somebody wanted.
  const bool may_be_open =
      config_.allow_remote || phase_ != phase::starting || !address_.address().is_loopback();
  around_.threads.run([self = shared_from_this(), run = run_, id = child_->id(), may_be_open] {
    bytes_by_device held = self->around_.memory->of(id);
    std::string open_at = may_be_open ? std::string() : open_to_others(self->address_.port());
    net::post(self->around_.io, [self, run, held = std::move(held), open_at = std::move(open_at)] {
      self->measured(run, held, open_at);
    });
  });
}

void model::measured(std::uint64_t run, const bytes_by_device& held, const std::string& open_at) {
  if (run != run_ || !loading_ || !child_) return;
  if (!open_at.empty()) {
    return load_failed(fmt::format(
        "listens on {}, where others reach it past the router: its command needs something like "
        "'--host 127.0.0.1'; or the model 'allow_remote: true'",
        open_at));
  }
  bytes_by_device holds;
  if (const auto known = booked(around_.books->snapshot())) holds = known->estimate;
  seen_ = held;
  for (const auto& [device, bytes] : held) {
    if (bytes > 0) holds[device] = std::max(bytes, at_work_[device]);
  }
  depth_ = 0;
  not_before_ = {};
  last_error_.clear();
  level_.clear();
  slept_tags_.clear();
  partly_ = false;
  if (const auto took = arrivals_.end(steady_clock().now())) {
    around_.arrived(name(), arrivals_.from(), *took, true);
  }
  budget_ticket ticket = std::move(*loading_);
  loading_.reset();
  enter(phase::ready);
  say(log_level::info, "ready");
  ticket.confirm(holds);
  if (!waiters_.empty() && !wish_) {
    serve(std::move(ticket));
  } else {
    ticket.release();
  }
  ask_for_all();
}

void model::seen_at_work(int server, const bytes_by_device& held, const budget_snapshot& books) {
  if (closed_ || phase_ != phase::ready || !child_ || child_->id() != server) return;
  bool is_more = false;
  for (const budget_device_snapshot& each : books.devices) {
    const auto found = held.find(each.name);
    if (found == held.end()) continue;
    // A server that leaks must not become one that can never fit.
    const std::uint64_t margin = std::min(each.margin_bytes, each.capacity_bytes);
    const std::uint64_t bytes = std::min(found->second, each.capacity_bytes - margin);
    std::uint64_t& most = at_work_[each.name];
    is_more = is_more || bytes > most;
    most = std::max(most, bytes);
  }
  const auto known = is_more ? booked(books) : std::nullopt;
  if (!known) return;
  bytes_by_device holds = known->holds;
  for (const auto& [device, bytes] : at_work_) holds[device] = std::max(holds[device], bytes);
  if (holds != known->holds) around_.books->correct(name(), holds);
}

/// What it holds asleep, for the books.
void model::measure_asleep() {
  asleep_measured_ = true;
  around_.threads.run([self = shared_from_this(), id = child_->id(), sleeps = sleeps_] {
    const bytes_by_device held = self->around_.memory->of(id);
    net::post(self->around_.io, [self, sleeps, held] {
      if (sleeps != self->sleeps_ || self->phase_ != phase::asleep) return;
      if (const auto known = self->booked(self->around_.books->snapshot())) {
        bytes_by_device holds = known->holds;
        // Where it was never seen, it is not known that nothing is left.
        for (const auto& [device, bytes] : held) {
          if (self->seen_[device] > 0) holds[device] = bytes;
        }
        self->left_[self->depth_ - 1] = holds;
        self->around_.books->correct(self->name(), holds);
      }
      self->around_.changed();
    });
  });
}

}  // namespace lull::serve
