#include "graphs/readers.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <new>

namespace lull::detail {

constinit thread_local known_readers readers_of_this_thread{};

namespace {

/// Which caches exist, so that a thread that ends gives its readers back to living ones only.
struct living_cores {
  std::mutex mutex;
  std::vector<std::uint64_t> ids;
};

living_cores& living() {
  // Never destroyed: threads may end after main's statics are gone.
  static living_cores& instance = *new living_cores;
  return instance;
}

bool is_living(const living_cores& cores, std::uint64_t id) {
  return std::find(cores.ids.begin(), cores.ids.end(), id) != cores.ids.end();
}

constinit thread_local bool this_thread_is_ending = false;

/// All readers of a thread; gives them back when it ends.
struct owned_readers {
  std::vector<known_reader> list;

  ~owned_readers() {
    this_thread_is_ending = true;
    readers_of_this_thread = {};
    living_cores& cores = living();
    const std::lock_guard lock(cores.mutex);
    for (const known_reader& each : list) {
      if (is_living(cores, each.core_id)) {
        each.reader->taken.store(false, std::memory_order_release);
      }
    }
  }

  graph_reader* find(std::uint64_t core_id) const noexcept {
    for (const known_reader& each : list) {
      if (each.core_id == core_id) return each.reader;
    }
    return nullptr;
  }

  void forget_the_dead() {
    living_cores& cores = living();
    const std::lock_guard lock(cores.mutex);
    list.erase(
        std::remove_if(list.begin(), list.end(),
                       [&](const known_reader& each) { return !is_living(cores, each.core_id); }),
        list.end());
  }
};

thread_local owned_readers owned;

int membarrier(int command) noexcept {
  return static_cast<int>(::syscall(SYS_membarrier, command, 0, 0));
}

}  // namespace

bool has_remote_fence() noexcept {
  static const bool registered = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
  return registered;
}

void remote_fence() noexcept {
  if (has_remote_fence()) membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

graph_readers::graph_readers(std::uint64_t core_id) : core_id_(core_id) {
  living_cores& cores = living();
  const std::lock_guard lock(cores.mutex);
  cores.ids.push_back(core_id);
}

graph_readers::~graph_readers() {
  living_cores& cores = living();
  const std::lock_guard lock(cores.mutex);
  cores.ids.erase(std::find(cores.ids.begin(), cores.ids.end(), core_id_));
}

bool graph_core_base::recall_older_reader() const noexcept {
  if (this_thread_is_ending) return false;
  graph_reader* const reader = owned.find(id_);
  if (reader == nullptr) return false;
  readers_of_this_thread.last = readers_of_this_thread.recent_of(id_) = {id_, reader};
  return true;
}

graph_reader* graph_readers::of_this_thread() noexcept {
  if (this_thread_is_ending || !has_remote_fence()) return nullptr;
  known_reader& known = readers_of_this_thread.recent_of(core_id_);
  if (known.core_id == core_id_) return known.reader;
  if (graph_reader* const reader = owned.find(core_id_)) {
    known = {core_id_, reader};
    return reader;
  }
  try {
    owned.forget_the_dead();
    owned.list.reserve(owned.list.size() + 1);
    graph_reader* reader = nullptr;
    for (const auto& each : list_) {
      if (!each->taken.load(std::memory_order_acquire)) reader = each.get();
    }
    if (reader == nullptr) {
      list_.push_back(std::make_unique<graph_reader>());
      reader = list_.back().get();
    }
    reader->taken.store(true, std::memory_order_relaxed);
    known = {core_id_, reader};
    owned.list.push_back(known);
    return reader;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

bool graph_readers::pins(const graph_node& node) const noexcept {
  for (const auto& reader : list_) {
    for (const auto& pin : reader->pins) {
      if (pin.load(std::memory_order_seq_cst) == &node) return true;
    }
  }
  return false;
}

std::uint64_t graph_readers::pin_count() const noexcept {
  std::uint64_t count = 0;
  for (const auto& reader : list_) {
    for (const auto& pin : reader->pins) {
      if (pin.load(std::memory_order_relaxed) != nullptr) ++count;
    }
  }
  return count;
}

std::uint64_t graph_readers::hits() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& reader : list_) {
    // In this order, because the clock is written last: it may lag, never lead.
    const std::uint64_t clock = reader->clock.load(std::memory_order_acquire);
    sum += clock - std::min(clock, reader->skipped.load(std::memory_order_relaxed));
  }
  return sum;
}

std::uint64_t graph_readers::newest_stamp() const noexcept {
  std::uint64_t newest = 0;
  for (const auto& reader : list_) {
    newest = std::max(newest, reader->clock.load(std::memory_order_relaxed));
  }
  return newest;
}

void graph_readers::set_floors(std::uint64_t floor) noexcept {
  for (const auto& reader : list_) reader->floor.store(floor, std::memory_order_relaxed);
}

bool graph_readers::only_this_thread() const noexcept {
  if (list_.empty()) return true;
  return list_.size() == 1 && owned.find(core_id_) == list_.front().get();
}

}  // namespace lull::detail
