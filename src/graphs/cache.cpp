#include <lull/error.hpp>

#include "graphs/core.hpp"
#include "vocabulary/text.hpp"

namespace lull {

using detail::book_lock;
using detail::graph_books;
using detail::graph_core;
using detail::visit;

namespace {

void set_bounds(detail::graph_account& account, std::optional<std::uint64_t> entries,
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

book_lock lock_books() {
  return book_lock(graph_books::of_process().mutex);
}

}  // namespace

graph_budget::graph_budget(std::optional<std::uint64_t> entries, std::optional<std::uint64_t> bytes)
    : account_(std::make_shared<detail::graph_account>()) {
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
                                 on_evict told) {
  if (driver == nullptr) {
    throw error(status::invalid_argument, "a graph cache needs a driver, not null");
  }
  const graph_limits limits = options.limits;
  core_ = std::make_shared<graph_core>(std::move(driver), std::move(options), std::move(told));
  set_bounds(*core_, limits);
  attachment_ = core_->driver->attach(*this);
  const book_lock lock = lock_books();
  core_->books.cores.push_back(core_);
}

any_graph_cache::~any_graph_cache() {
  attachment_.reset();
  {
    const visit in(*core_);
    core_->retired = true;
    core_->remove_all(true);
  }
  book_lock lock = lock_books();
  const std::uint64_t in_use = core_->ledger.own().held.entries;
  lock.unlock();
  if (in_use == 0) return;
  core_->options.log.write(
      log_level::error,
      detail::text("graph cache '{}' was destroyed with {} graphs in use; they go when they are "
                   "released",
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
  const std::uint64_t evicted = in.dropped + core_->evict_idle(now);
  core_->graveyard.want_trim(false);
  return evicted;
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
  core_->remove_all(true);
  core_->graveyard.want_trim();
  wait_until_cleared(in, deadline);
}

void any_graph_cache::clear_within(duration span) {
  clear(core_->options.clock->deadline_in(span));
}

std::uint64_t any_graph_cache::trim() {
  const visit in(*core_);
  core_->graveyard.want_trim();
  return core_->remove_all(false);
}

std::uint64_t any_graph_cache::reset_generation() {
  return visit(*core_).dropped;
}

graph_cache_stats any_graph_cache::stats() const {
  const book_lock lock = lock_books();
  return core_->stats();
}

std::size_t any_graph_cache::size() const {
  const book_lock lock = lock_books();
  return core_->ledger.own().live.entries;
}

bool any_graph_cache::holds_nothing() const {
  const book_lock lock = lock_books();
  return core_->ledger.own().existing().entries == 0 && core_->flights == 0;
}

detail::graph_entry* any_graph_cache::find_entry(const detail::graph_key& key) {
  if (detail::graph_entry* const hit = core_->find(key)) return hit;
  const visit in(*core_);
  core_->note_miss(key.hash);
  return nullptr;
}

detail::graph_entry* any_graph_cache::get_entry(const detail::graph_key& key,
                                                const detail::graph_maker* how,
                                                const graph_capture_options& wishes) {
  return detail::get_entry(*core_, key, how, wishes);
}

detail::graph_entry* any_graph_cache::look_at(const detail::graph_key& key) const {
  const book_lock lock = lock_books();
  detail::graph_entry* const found = core_->index.find(key);
  if (found == nullptr || found->flight != nullptr) return nullptr;
  found->pins.fetch_add(detail::graph_entry::one_pin);
  return found;
}

void any_graph_cache::for_each_entry(
    const std::function<void(const detail::graph_entry&)>& see) const {
  const book_lock lock = lock_books();
  core_->index.for_each(see);
}

bool any_graph_cache::erase_entry(const detail::graph_key& key) {
  const visit in(*core_);
  detail::graph_entry* const found = core_->index.find(key);
  if (found == nullptr || found->counted_as == nullptr) return false;
  core_->remove(*found, graph_eviction::erased);
  return true;
}

}  // namespace lull
