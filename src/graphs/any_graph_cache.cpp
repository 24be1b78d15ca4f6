#include <lull/any_graph_cache.hpp>
#include <lull/error.hpp>

#include <algorithm>

#include "graphs/pool.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

void check_bound(const std::optional<std::uint64_t>& bound, std::string_view what) {
  if (bound && *bound == 0) {
    detail::fail(status::invalid_argument,
                 "graph limits: 0 {} is no bound; leave it absent for no bound, or call "
                 "clear() to empty a cache",
                 what);
  }
}

void check(const graph_limits& limits) {
  check_bound(limits.entries, "entries");
  check_bound(limits.bytes, "bytes");
  if (limits.idle_time && *limits.idle_time <= duration::zero()) {
    throw error(status::invalid_argument, "graph limits: the idle time must be above 0");
  }
}

std::shared_ptr<detail::graph_pool> pool_of(const graph_cache_options& options) {
  if (options.budget) return detail::graph_pool_access::of(*options.budget);
  return std::make_shared<detail::graph_pool>();
}

/// Idle times are known to this part of themselves; see any_graph_cache::sweep.
constexpr int sweeps_per_idle_time = 8;

}  // namespace

graph_budget::graph_budget(std::optional<std::uint64_t> entries, std::optional<std::uint64_t> bytes)
    : pool_(std::make_shared<detail::graph_pool>()) {
  check_bound(entries, "entries");
  check_bound(bytes, "bytes");
  pool_->bounds = {entries, bytes};
}

void graph_budget::set_limits(std::optional<std::uint64_t> entries,
                              std::optional<std::uint64_t> bytes) {
  check_bound(entries, "entries");
  check_bound(bytes, "bytes");
  std::unique_lock lock(pool_->mutex);
  pool_->bounds = {entries, bytes};
  pool_->enforce_bounds();
  pool_->drain(lock);
  pool_->changed.notify_all();
}

std::uint64_t graph_budget::entries() const {
  const std::lock_guard lock(pool_->mutex);
  return pool_->account.existing().entries;
}

std::uint64_t graph_budget::bytes() const {
  const std::lock_guard lock(pool_->mutex);
  return pool_->account.existing().bytes;
}

any_graph_cache::any_graph_cache(std::shared_ptr<graph_driver> driver,
                                 graph_cache_options options) {
  if (driver == nullptr) {
    throw error(status::invalid_argument, "a graph cache needs a driver, not null");
  }
  check(options.limits);
  const auto pool = pool_of(options);
  auto core = std::make_shared<detail::graph_core>(std::move(driver), std::move(options), pool);
  quick_ = core.get();
  {
    const std::lock_guard lock(pool->mutex);
    pool->cores.push_back(core);
  }
  try {
    attachment_ = core->driver->attach(*this);
  } catch (...) {
    core->retire();
    throw;
  }
}

any_graph_cache::~any_graph_cache() {
  attachment_.reset();
  core().retire();
}

detail::graph_core& any_graph_cache::core() const noexcept {
  return static_cast<detail::graph_core&>(*quick_);
}

void any_graph_cache::set_limits(const graph_limits& limits) {
  check(limits);
  std::unique_lock lock(core().pool->mutex);
  core().options.limits = limits;
  core().enforce_limits();
  core().pool->drain(lock);
  core().pool->changed.notify_all();
}

graph_limits any_graph_cache::limits() const {
  const std::lock_guard lock(core().pool->mutex);
  return core().options.limits;
}

void any_graph_cache::set_frequency_filter(bool on) {
  const std::lock_guard lock(core().pool->mutex);
  core().set_filter(on);
}

std::uint64_t any_graph_cache::sweep(time_point now) {
  std::unique_lock lock(core().pool->mutex);
  std::uint64_t evicted = core().drop_stale();
  evicted += core().evict_idle(now);
  core().trim_wanted =
      core().trim_wanted || core().queued_nodes != nullptr || core().untrimmed_bytes != 0;
  core().pool->drain(lock);
  return evicted;
}

std::optional<time_point> any_graph_cache::next_deadline() const {
  const std::lock_guard lock(core().pool->mutex);
  const auto& limits = core().options.limits;
  if (!limits.idle_time || core().account.live.entries == 0) return std::nullopt;
  return core().last_sweep + *limits.idle_time / sweeps_per_idle_time;
}

void any_graph_cache::clear(time_point deadline) {
  std::unique_lock lock(core().pool->mutex);
  core().drop_stale();
  ++core().clearings;
  core().remove_all(graph_eviction::cleared, true);
  core().trim_wanted = true;
  core().wait_until_cleared(lock, deadline);
}

void any_graph_cache::clear_within(duration span) {
  clear(core().options.clock->deadline_in(span));
}

std::uint64_t any_graph_cache::trim() {
  std::unique_lock lock(core().pool->mutex);
  core().drop_stale();
  const std::uint64_t evicted = core().remove_all(graph_eviction::cleared, false);
  core().trim_wanted = true;
  core().pool->drain(lock);
  return evicted;
}

std::uint64_t any_graph_cache::reset_generation() {
  const std::lock_guard lock(core().pool->mutex);
  return core().drop_stale();
}

graph_cache_stats any_graph_cache::stats() const {
  const std::lock_guard lock(core().pool->mutex);
  return core().stats();
}

std::size_t any_graph_cache::size() const {
  const std::lock_guard lock(core().pool->mutex);
  return core().account.live.entries;
}

bool any_graph_cache::holds_nothing() const {
  const std::lock_guard lock(core().pool->mutex);
  return core().account.existing().entries == 0 && core().flights.empty();
}

void any_graph_cache::disown(detail::graph_node& node) noexcept {
  core().driver->disown(node.handle());
}

detail::graph_pin any_graph_cache::find_locked(const detail::graph_key& key) {
  const std::lock_guard lock(core().pool->mutex);
  core().drop_stale();
  detail::graph_node* const node = core().find(key);
  if (node != nullptr) return core().pin(*node);
  core().note_miss(key.hash);
  return {};
}

detail::graph_pin any_graph_cache::make_or_wait(const detail::graph_key& key,
                                                detail::graph_maker& how,
                                                const graph_capture_options& options) {
  std::unique_lock lock(core().pool->mutex);
  return core().find_or_make(lock, key, how, options);
}

detail::graph_node* any_graph_cache::take_nearest(const distance_from& how_far) {
  const std::lock_guard lock(core().pool->mutex);
  core().drop_stale();
  return core().take_nearest([&](const detail::graph_node& node) { return how_far(node); });
}

void any_graph_cache::put_away(detail::graph_node* node, bool has_graph) noexcept {
  std::unique_lock lock(core().pool->mutex);
  core().put_away(*node, has_graph);
  core().pool->drain(lock);
  core().pool->changed.notify_all();
}

bool any_graph_cache::erase_key(const detail::graph_key& key) {
  std::unique_lock lock(core().pool->mutex);
  core().drop_stale();
  detail::graph_node* const node = core().find(key);
  if (node == nullptr) return false;
  core().remove(*node, graph_eviction::erased);
  core().settle_removed();
  core().pool->drain(lock);
  return true;
}

}  // namespace lull
