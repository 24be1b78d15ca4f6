#include "graphs/destruction.hpp"

#include <algorithm>

#include "core/single_copy.hpp"
#include "graphs/core.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/immortal.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace detail {
namespace {

constinit thread_local std::uint64_t holds_of_this_thread = 0;

}  // namespace

graph_books& graph_books::of_process() {
  static immortal<graph_books> instance;
  return instance.get();
}

bool graph_books::this_thread_holds() noexcept {
  return holds_of_this_thread != 0;
}

void graph_books::settle(book_lock& lock) noexcept {
  const auto next = [this](const auto& is_it) {
    const auto found = std::find_if(cores.begin(), cores.end(), is_it);
    return found == cores.end() ? nullptr : *found;
  };
  while (const auto core = next([](const auto& each) { return each->has_untold; }))
    core->tell(lock);
  for (const auto& core : cores) core->graveyard.retry();
  while (holds == 0) {
    const auto core = next([](const auto& each) { return each->graveyard.has_work(); });
    if (core == nullptr) break;
    ++destroying;
    core->graveyard.run(lock);
    --destroying;
    changed.notify_all();
  }
  // The driver may go with its cache: not under the lock.
  while (auto over = next([](const auto& each) {
           return each->retired && each->ledger.own().existing().entries == 0;
         })) {
    cores.erase(std::find(cores.begin(), cores.end(), over));
    lock.unlock();
    over.reset();
    lock.lock();
  }
}

status attempt(const graph_cache_options& of, const char* what,
               const std::function<void()>& call) noexcept {
  try {
    call();
    return status::ok;
  } catch (...) {
    const error failure = current_error(status::callback);
    if (failure.code() == status::stale || failure.code() == status::busy) return failure.code();
    try {
      of.log.write(log_level::error,
                   text("graph cache '{}': {} failed: {}", of.name, what, failure.what()));
    } catch (const std::bad_alloc&) {
      // It is counted all the same.
    }
    return status::callback;
  }
}

void graph_graveyard::add(graph_entry& entry) noexcept {
  const bool is_stale = entry.generation != driver_.generation();
  if (entry.captured && !is_stale && entry.handle() != nullptr) {
    ledger_.count(entry, &graph_account::queued, entry.bytes);
    return push(queued_, entry);
  }
  if (entry.captured && is_stale) ++ledger_.counted.dropped;
  ledger_.count(entry, nullptr, 0);
  delete &entry;
}

void graph_graveyard::drop_stale() noexcept {
  for (graph_entry* list = std::exchange(queued_, nullptr); list != nullptr;) add(pop(list));
}

void graph_graveyard::run(book_lock& lock) noexcept {
  graph_entry* entries = std::exchange(queued_, nullptr);
  graph_entry* refused = nullptr;
  const bool something_was_left = untrimmed_bytes_ != 0;
  for (auto* each = entries; each != nullptr; each = each->next) untrimmed_bytes_ += each->bytes;
  const bool trims = std::exchange(trim_, false) || untrimmed_bytes_ >= options_.trim_after_bytes;
  if (trims) untrimmed_bytes_ = 0;
  running_ = true;
  lock.unlock();

  const time_point begin = options_.clock->now();
  // Before the trim nothing need have come back, so there is nothing to measure either.
  const auto used_before = trims ? driver_.used_bytes() : std::nullopt;
  if (entries != nullptr) attempt(options_, "synchronizing", [this] { driver_.before_destroy(); });
  std::uint64_t destroyed = 0;
  std::uint64_t dropped = 0;
  graph_tally gone;
  bool all_estimated = true;
  while (entries != nullptr) {
    std::unique_ptr<graph_entry> entry(&pop(entries));
    status came_to = status::stale;
    if (entry->generation == driver_.generation()) {
      came_to = attempt(options_, "destroying",
                        [&] { driver_.destroy(entry->handle(), entry->generation); });
    }
    if (came_to == status::busy) {
      push(refused, *entry.release());
      continue;
    }
    destroyed += came_to == status::ok ? 1 : 0;
    dropped += came_to == status::stale ? 1 : 0;
    gone = gone + graph_tally{1, entry->bytes};
    all_estimated = all_estimated && entry->estimated;
  }
  if (trims) attempt(options_, "trimming", [this] { driver_.trim(); });
  const auto used_after = used_before ? driver_.used_bytes() : std::nullopt;
  const duration elapsed = options_.clock->now() - begin;

  lock.lock();
  running_ = false;
  while (refused != nullptr) push(postponed_, pop(refused));
  ledger_.subtract(&graph_account::queued, gone);
  graph_cache_stats& counted = ledger_.counted;
  counted.destroyed += destroyed;
  counted.dropped += dropped;
  counted.failed_destructions += gone.entries - destroyed - dropped;
  counted.returned_bytes += gone.bytes;
  counted.destroying += elapsed;
  if (!used_after) return;
  const std::uint64_t returned = *used_before - std::min(*used_before, *used_after);
  counted.measured_returned_bytes = counted.measured_returned_bytes.value_or(0) + returned;
  // What earlier batches left in the vendor's pools would be taken for this one's. Other threads
  // allocate meanwhile, so one batch says little: it moves the factor by an eighth of the way,
  // within bounds that no honest estimate is outside of.
  if (!all_estimated || something_was_left || dropped != 0 || gone.bytes == 0) return;
  const double ratio = static_cast<double>(returned) / static_cast<double>(gone.bytes);
  counted.footprint_correction =
      std::clamp(counted.footprint_correction * (7 + ratio) / 8, 0.125, 8.0);
}

}  // namespace detail

graph_hold::graph_hold() : graph_hold(no_deadline) {}

graph_hold::graph_hold(time_point deadline, const clock& time) {
  detail::keep_process_to_this_copy();
  detail::graph_books& books = detail::graph_books::of_process();
  detail::book_lock lock = detail::lock_books();
  while (books.destroying != 0 && detail::holds_of_this_thread == 0) {
    if (time.now() >= deadline) {
      throw error(status::timed_out,
                  "graphs were still being destroyed when the deadline of a capture passed");
    }
    time.wait_until(books.changed, lock, deadline);
  }
  ++books.holds;
  ++detail::holds_of_this_thread;
}

graph_hold::~graph_hold() {
  if (detail::in_forked_child.load(std::memory_order_relaxed)) return;
  detail::graph_books& books = detail::graph_books::of_process();
  detail::book_lock lock(books.mutex);
  --detail::holds_of_this_thread;
  if (--books.holds == 0) books.settle(lock);
}

std::uint64_t graph_hold::count() noexcept {
  if (detail::in_forked_child.load(std::memory_order_relaxed)) return 0;
  detail::graph_books& books = detail::graph_books::of_process();
  const detail::book_lock lock(books.mutex);
  return books.holds;
}

}  // namespace lull
