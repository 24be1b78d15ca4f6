#include <lull/error.hpp>

#include "core/single_copy.hpp"
#include "graphs/core.hpp"
#include "vocabulary/text.hpp"

namespace lull {

using namespace detail;

namespace {

void set_bounds(graph_account& account, std::optional<std::uint64_t> entries,
                std::optional<std::uint64_t> bytes) {
  if (entries == 0 || bytes == 0) {
    throw error(
        status::invalid_argument,
        "graph limits: 0 is no bound; leave it absent for no bound, or call clear() to empty "
        "a cache");
  }
  account.max_entries = entries;
  account.max_bytes = bytes;
}

void set_bounds(graph_core& core, const graph_limits& limits) {
  if (limits.idle_time && *limits.idle_time <= duration::zero()) {
    throw error(status::invalid_argument, "graph limits: the idle time must be above 0");
  }
  set_bounds(*core.ledger.accounts.front(), limits.entries, limits.bytes);
  core.options.limits = limits;
}

}  // namespace

graph_budget::graph_budget(std::optional<std::uint64_t> entries, std::optional<std::uint64_t> bytes)
    : account_(std::make_shared<graph_account>()) {
  set_bounds(*account_, entries, bytes);
}

void graph_budget::set_limits(std::optional<std::uint64_t> entries,
                              std::optional<std::uint64_t> bytes) {
  graph_books& books = graph_books::of_process();
  book_lock lock = lock_books();
  set_bounds(*account_, entries, bytes);
  make_fit(books, *account_, {});
  books.changed.notify_all();
  books.settle(lock);
}

std::uint64_t graph_budget::entries() const {
  const book_lock lock = lock_books();
  return account_->existing().entries;
}

std::uint64_t graph_budget::bytes() const {
  const book_lock lock = lock_books();
  return account_->existing().bytes;
}

any_graph_cache::any_graph_cache(std::shared_ptr<graph_driver> driver, graph_cache_options options,
                                 std::function<void(const graph_entry&)> on_evict) {
  if (driver == nullptr) {
    throw error(status::invalid_argument, "a graph cache needs a driver, not null");
  }
  detail::keep_process_to_this_copy();
  detail::note_use();
  const graph_limits limits = options.limits;
  core_ = std::make_shared<graph_core>(std::move(driver), std::move(options), std::move(on_evict));
  set_bounds(*core_, limits);
  attachment_ = core_->driver->attach(*this);
  const book_lock lock = lock_books();
  core_->books.cores.push_back(core_);
}

any_graph_cache::~any_graph_cache() {
  if (leak_in_forked_child(std::move(core_))) return;
  attachment_.reset();
  std::uint64_t in_use = 0;
  {
    const visit in(*core_);
    core_->retired = true;
    core_->remove_where(graph_eviction::cleared, [](const auto&) { return true; });
    in_use = core_->ledger.own().held.entries;
  }
  if (in_use == 0) return;
  core_->options.log.write(
      log_level::error,
      text("graph cache '{}' was destroyed with {} graphs in use; they go when they are released",
           core_->options.name, in_use));
}

void any_graph_cache::set_limits(const graph_limits& limits) {
  const visit in(*core_);
  set_bounds(*core_, limits);
  core_->make_fit({});
  core_->books.changed.notify_all();
}

graph_limits any_graph_cache::limits() const {
  const book_lock lock = lock_books();
  return core_->options.limits;
}

void any_graph_cache::set_frequency_filter(bool on) {
  const visit in(*core_);
  core_->set_policy(on);
}

std::uint64_t any_graph_cache::sweep(time_point now) {
  const visit in(*core_);
  const auto limit = core_->options.limits.idle_time;
  const duration::rep here = now.time_since_epoch().count();
  core_->last_sweep = now;
  const std::uint64_t idle = core_->remove_where(graph_eviction::idle, [&](graph_entry& each) {
    const std::uint64_t stamp = each.stamp.load(std::memory_order_relaxed);
    if (stamp != each.swept_stamp || is_pinned(each)) {
      each.swept_stamp = stamp;
      each.used_at = here;
    }
    return limit && here - each.used_at >= limit->count();
  });
  core_->graveyard.want_trim(false);
  return in.dropped + idle;
}

std::optional<time_point> any_graph_cache::next_deadline() const {
  constexpr int sweeps_per_idle_time = 8;  // what sweep() promises
  const book_lock lock = lock_books();
  const auto& idle_time = core_->options.limits.idle_time;
  if (!idle_time || core_->ledger.own().live.entries == 0) return std::nullopt;
  return core_->last_sweep + *idle_time / sweeps_per_idle_time;
}

void any_graph_cache::clear(time_point deadline) {
  visit in(*core_);
  core_->remove_where(graph_eviction::cleared, [](const auto&) { return true; });
  core_->graveyard.want_trim();
  const graph_account& own = core_->ledger.own();
  const graph_cache_options& options = core_->options;
  for (;;) {
    core_->books.settle(in.lock);
    if (own.held.entries + own.queued.entries == 0) return;
    const bool holds = graph_books::this_thread_holds();
    if (holds || options.clock->now() >= deadline) {
      fail(
          holds ? status::busy : status::timed_out,
          "graph cache '{}' cannot be cleared{}: {} graphs are in use, {} wait for captures to end",
          options.name, holds ? " inside a capture" : " in time", own.held.entries,
          own.queued.entries);
    }
    options.clock->wait_until(core_->books.changed, in.lock, deadline);
  }
}

void any_graph_cache::clear_within(duration span) {
  clear(core_->options.clock->deadline_in(span));
}

std::uint64_t any_graph_cache::trim() {
  const visit in(*core_);
  core_->graveyard.want_trim();
  return core_->remove_where(graph_eviction::cleared,
                             [](const auto& each) { return !is_pinned(each); });
}

std::uint64_t any_graph_cache::reset_generation() {
  return visit(*core_).dropped;
}

graph_cache_stats any_graph_cache::stats() const {
  const book_lock lock = lock_books();
  graph_cache_stats result = core_->ledger.counted;
  const graph_account& own = core_->ledger.own();
  const graph_tally leaving = own.held + own.queued;
  const auto add_handles = [&result](const graph_entry& entry) {
    result.handles += entry.pins.load() / graph_entry::one_pin;
  };
  core_->index.for_each(add_handles);
  for (const auto* each = core_->left; each != nullptr; each = each->next) add_handles(*each);
  result.name = core_->options.name;
  result.hits += core_->index.hits();
  result.entries = own.live.entries;
  result.bytes = own.live.bytes;
  result.leaving_entries = leaving.entries;
  result.leaving_bytes = leaving.bytes;
  return result;
}

std::size_t any_graph_cache::size() const {
  const book_lock lock = lock_books();
  return core_->ledger.own().live.entries;
}

bool any_graph_cache::holds_nothing() const {
  const book_lock lock = lock_books();
  return core_->ledger.own().existing().entries == 0 && core_->flights == 0;
}

graph_entry* any_graph_cache::find_entry(const graph_key& key) {
  expect_same_process();
  if (graph_entry* const hit = core_->find(key)) return hit;
  const visit in(*core_);
  core_->note_miss(key.hash);
  return nullptr;
}

graph_entry* any_graph_cache::look_at(const graph_key& key) const {
  const book_lock lock = lock_books();
  graph_entry* const found = core_->index.find(key);
  if (found == nullptr || found->flight != nullptr) return nullptr;
  found->pins.fetch_add(graph_entry::one_pin);
  return found;
}

void any_graph_cache::for_each_entry(const std::function<void(const graph_entry&)>& see) const {
  const book_lock lock = lock_books();
  core_->index.for_each(see);
}

bool any_graph_cache::erase_entry(const graph_key& key) {
  const visit in(*core_);
  graph_entry* const found = core_->index.find(key);
  if (found == nullptr || found->counted_as == nullptr) return false;
  core_->remove(*found, graph_eviction::erased);
  return true;
}

}  // namespace lull
