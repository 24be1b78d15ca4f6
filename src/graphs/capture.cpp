#include <lull/bytes.hpp>

#include <thread>

#include "graphs/core.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace detail {

/// A capture under way. Those who wait for it keep it alive.
struct graph_flight {
  std::thread::id leader = std::this_thread::get_id();
  /// A thread with a hold waits for this: then its hold must not be waited for.
  bool wanted_by_holder = false;
  bool done = false;
  std::optional<error> failure;
};

namespace {

bool is_leaving(const graph_entry& entry) noexcept {
  return (entry.pins.load() & graph_entry::leaving) != 0;
}

/// Waits for something to change. @throws error with `code` and `words` after the deadline
void wait(visit& in, time_point deadline, status code, const char* words) {
  const graph_cache_options& options = in.core.options;
  if (options.clock->now() >= deadline) fail(code, "graph cache '{}': {}", options.name, words);
  options.clock->wait_until(in.core.books.changed, in.lock, deadline);
}

/// Waits for another thread's capture.
void join(visit& in, const std::shared_ptr<graph_flight>& flight, time_point deadline) {
  if (flight->leader == std::this_thread::get_id()) {
    fail(status::invalid_argument,
         "graph cache '{}': a capture asks for the key that it is called for",
         in.core.options.name);
  }
  if (graph_books::this_thread_holds()) {
    flight->wanted_by_holder = true;
    in.core.books.changed.notify_all();
  }
  while (!flight->done) {
    wait(in, deadline, status::timed_out,
         "another thread was still capturing the same key when the deadline passed");
  }
  if (!flight->failure) return;
  ++in.core.ledger.counted.misses;
  throw flight->failure->with_context("the capture that this call waited for failed");
}

/// One capture, by the thread that leads it.
class capture_run {
 public:
  capture_run(visit& in, graph_entry& entry, const graph_capture_options& wishes)
      : in_(in), core_(in.core), entry_(entry), wishes_(wishes) {
    entry_.flight = flight_;
    ++core_.flights;
    for (const auto& each : core_.ledger.accounts) {
      if (each->max_bytes) byte_bound_ = std::min(byte_bound_, *each->max_bytes);
    }
  }
  ~capture_run() {
    core_.ledger.subtract(&graph_account::reserved, reserved_);
    flight_->done = true;
    entry_.flight = nullptr;
    --core_.flights;
    core_.books.changed.notify_all();
  }
  capture_run(const capture_run&) = delete;
  capture_run& operator=(const capture_run&) = delete;

  /// @param how null: makes room for the entry alone
  void run(const graph_maker* how) {
    try {
      make_room(how != nullptr);
      if (how == nullptr) return core_.ledger.count(entry_, &graph_account::live, 0);
      wait_for_destructions();
      in_.lock.unlock();
      capture(*how);
      in_.lock.lock();
      keep();
    } catch (...) {
      if (!in_.lock.owns_lock()) {
        in_.lock.lock();
        ++core_.ledger.counted.failed_captures;
      }
      flight_->failure = current_error(status::callback);
      throw;
    }
  }

 private:
  void reject_if_too_large(std::uint64_t bytes) {
    if (bytes <= byte_bound_) return;
    ++core_.ledger.counted.rejected;
    fail(status::out_of_device_memory,
         "graph cache '{}': a graph of {} can never fit, the bound is {}; raise it or run this "
         "shape without a graph",
         core_.options.name, format_bytes(bytes), format_bytes(byte_bound_));
  }

  /// What counts already has its room already.
  void make_room(bool with_graph) {
    if (wishes_.bytes) reject_if_too_large(*wishes_.bytes);
    const std::uint64_t recent = entry_.captured ? entry_.bytes : core_.expected_bytes;
    const std::uint64_t bytes = std::min(wishes_.bytes.value_or(recent), byte_bound_);
    const graph_tally room{entry_.counted_as == nullptr ? 1U : 0U,
                           with_graph ? bytes - std::min(bytes, entry_.bytes) : 0U};
    while (!core_.make_fit(room)) {
      wait(in_, wishes_.room_deadline, status::busy,
           "there is no room for another graph, and all that could go are in use");
    }
    if (with_graph) core_.ledger.add(&graph_account::reserved, reserved_ = room);
  }

  void wait_for_destructions() {
    core_.books.settle(in_.lock);
    while (core_.ledger.any([](const graph_account& its) {
      return its.queued.entries != 0 && its.bound_below(its.reserved + its.existing());
    })) {
      // What waits for this thread must not be waited for: rather be above the bounds for a while.
      if (graph_books::this_thread_holds() || flight_->wanted_by_holder) return;
      wait(in_, wishes_.deadline, status::timed_out,
           "captures elsewhere still held off the destruction of what has to make room when the "
           "deadline passed");
      core_.books.settle(in_.lock);
    }
  }

  /// Under no lock.
  void capture(const graph_maker& how) {
    const graph_hold hold(wishes_.deadline, *core_.options.clock);
    graph_driver& driver = *core_.driver;
    old_ = entry_.make_empty();
    void* const present = entry_.captured ? entry_.handle() : nullptr;
    generation_ = driver.generation();
    // Asking the platform may take milliseconds: not while the footprints come without it.
    const bool measures = !wishes_.bytes && core_.measures_captures.load(std::memory_order_relaxed);
    constexpr std::uint64_t unknown = UINT64_MAX;
    const std::uint64_t used_before = measures ? driver.used_bytes().value_or(unknown) : unknown;
    const time_point begin = core_.options.clock->now();
    const graph_size said = how(entry_, *old_);
    elapsed_ = core_.options.clock->now() - begin;
    updated_ = present != nullptr && present == entry_.handle();
    bytes_ = said.bytes ? said.bytes : wishes_.bytes;
    if (!bytes_) {
      bytes_ = driver.footprint(entry_.handle(), said.nodes);
      estimated_ = bytes_.has_value();
      core_.measures_captures.store(!estimated_, std::memory_order_relaxed);
    }
    const bool asks_again = used_before != unknown && !bytes_;
    const std::uint64_t used_after = asks_again ? driver.used_bytes().value_or(0) : 0;
    // With another capture under way the difference would be the sum of both.
    if (used_after > used_before && graph_hold::count() == 1) {
      bytes_ = used_after - used_before + (updated_ ? entry_.bytes : 0);
    }
    try {
      if (!updated_) driver.adopt(entry_.handle());
      // Should a reset have come in between, the graph died with it and is nobody's.
      if (generation_ != driver.generation()) driver.disown(entry_.handle());
    } catch (...) {
      refusal_ = current_error(status::callback);
    }
  }

  /// Makes what was captured the entry's graph.
  void keep() {
    core_.ledger.subtract(&graph_account::reserved, std::exchange(reserved_, {}));
    graph_cache_stats& counted = core_.ledger.counted;
    ++counted.captures;
    counted.updated += updated_ ? 1 : 0;
    counted.unknown_footprints += bytes_ || updated_ ? 0 : 1;
    counted.capturing += elapsed_;
    if (entry_.captured && !updated_) {
      old_->captured = true;
      old_->estimated = entry_.estimated;
      old_->generation = entry_.generation;
      old_->bytes = entry_.bytes;
      core_.graveyard.add(*old_.release());
    }
    std::uint64_t bytes = bytes_.value_or(updated_ ? entry_.bytes : 0);
    if (estimated_) {
      bytes = static_cast<std::uint64_t>(static_cast<double>(bytes) * counted.footprint_correction);
    }
    core_.ledger.count(entry_, entry_.counted_as, bytes);
    entry_.captured = true;
    entry_.estimated = estimated_;
    entry_.generation = generation_;
    const bool evicted = is_leaving(entry_);
    try {
      if (generation_ != core_.driver->generation()) {
        fail(status::stale,
             "graph cache '{}': the device was reset during a capture; capture again",
             core_.options.name);
      }
      core_.expected_bytes = std::max(bytes, core_.expected_bytes - core_.expected_bytes / 8);
      if (refusal_) throw error(*refusal_);
      reject_if_too_large(bytes);
    } catch (...) {
      if (!evicted) core_.discard(entry_);
      throw;
    }
    if (evicted) return;
    core_.ledger.count(entry_, &graph_account::live, bytes);
    core_.ledger.note_use(entry_);
    entry_.swept_stamp = entry_.stamp.load(std::memory_order_relaxed);
    entry_.used_at = core_.options.clock->now().time_since_epoch().count();
    core_.index.set_findable(entry_, true);
    // What finds no room beside what is in use stays as long as it is in use itself.
    if (!core_.make_fit({})) core_.remove(entry_, graph_eviction::bytes);
  }

  visit& in_;
  graph_core& core_;
  graph_entry& entry_;
  const graph_capture_options& wishes_;
  const std::shared_ptr<graph_flight> flight_ = std::make_shared<graph_flight>();
  std::uint64_t byte_bound_ = UINT64_MAX;
  graph_tally reserved_;

  // What came of it.
  std::unique_ptr<graph_entry> old_;
  std::optional<std::uint64_t> bytes_;
  std::optional<error> refusal_;  ///< why the driver does not take it
  std::uint64_t generation_ = 0;
  bool updated_ = false;
  bool estimated_ = false;
  duration elapsed_{};
};

/// In the cache, and not to be found before it has a graph.
graph_entry& make_entry(graph_core& core, const graph_key& key) {
  std::unique_ptr<graph_entry> made = key.make(key.key);
  made->core = &core;
  made->hash = key.hash;
  made->generation = core.driver->generation();
  made->used_at = core.options.clock->now().time_since_epoch().count();
  core.ledger.note_use(*made);
  const graph_tally two{2, 2 * core.expected_bytes};
  const bool has_room = !core.ledger.any([&](const auto& its) { return its.shortage(two); });
  core.index.insert(*made);
  try {
    core.policy->add(*made, has_room);
  } catch (...) {
    core.index.remove(*made);
    throw;
  }
  return *made.release();
}

}  // namespace

graph_entry::~graph_entry() = default;

void graph_entry::unpin() noexcept {
  std::uint32_t seen = pins.load(std::memory_order_relaxed);
  while ((seen & (leaving | wanted)) == 0) {
    if (pins.compare_exchange_weak(seen, seen - one_pin, std::memory_order_release,
                                   std::memory_order_relaxed)) {
      return;
    }
  }
  if (in_forked_child.load(std::memory_order_relaxed)) return;
  // The core is there as long as the pin is, so the pin goes under the lock.
  graph_books& books = graph_books::of_process();
  book_lock lock(books.mutex);
  core->unpin(*this);
  books.settle(lock);
}

void graph_entry::recapture(const graph_maker& how, const graph_capture_options& wishes) {
  visit in(*core);
  if (flight != nullptr || !core->index.set_findable(*this, false)) {
    fail(status::busy, "graph cache '{}': others use the graph that is to be captured anew",
         core->options.name);
  }
  try {
    capture_run(in, *this, wishes).run(&how);
  } catch (...) {
    if (captured && !is_leaving(*this)) core->index.set_findable(*this, true);
    throw;
  }
}

}  // namespace detail

detail::graph_entry* any_graph_cache::get_entry(const detail::graph_key& key,
                                                const detail::graph_maker* how,
                                                const graph_capture_options& wishes) {
  using namespace detail;
  expect_same_process();
  if (graph_entry* const hit = core_->find(key)) return hit;
  visit in(*core_);
  graph_entry* entry = nullptr;
  for (;;) {
    core_->drop_stale();
    if (graph_entry* const hit = core_->find(key)) return hit;
    entry = core_->index.find(key);
    if (entry == nullptr || entry->flight == nullptr) break;
    join(in, std::shared_ptr<graph_flight>(entry->flight), wishes.deadline);
  }
  if (how != nullptr && entry != nullptr && is_pinned(*entry)) {
    fail(status::busy,
         "graph cache '{}': another has the entry, and has not captured its graph yet",
         core_->options.name);
  }
  const bool is_new = entry == nullptr;
  if (is_new || how != nullptr) core_->note_miss(key.hash);
  if (is_new) entry = &make_entry(*core_, key);
  entry->pins.fetch_add(graph_entry::one_pin);
  try {
    if (is_new || how != nullptr) capture_run(in, *entry, wishes).run(how);
  } catch (...) {
    if (is_new && !is_leaving(*entry)) core_->discard(*entry);
    core_->unpin(*entry);
    throw;
  }
  return entry;
}

}  // namespace lull
