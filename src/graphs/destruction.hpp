#ifndef LULL_GRAPHS_DESTRUCTION_HPP
#define LULL_GRAPHS_DESTRUCTION_HPP

#include <lull/error.hpp>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>

#include "graphs/account.hpp"
#include "vocabulary/fork.hpp"

namespace lull::detail {

using book_lock = std::unique_lock<std::mutex>;

/// What all caches of the process share, because vendors fail a capture when anything is destroyed
/// meanwhile: captures and destructions exclude each other, several of one kind at a time. Who
/// wants to destroy never waits, but leaves it to whoever ends the last hold; so a capture can wait
/// for anything without a deadlock.
struct graph_books {
  /// Never destroyed: threads that outlive main's statics may still release graphs.
  static graph_books& of_process();
  [[nodiscard]] static bool this_thread_holds() noexcept;

  /// Guards everything of all caches but what a hit reads. Held for moments: never while a driver,
  /// a capture or a callback runs.
  std::mutex mutex;
  std::condition_variable changed;  ///< something was destroyed or released, or a capture ended
  std::uint64_t holds = 0;
  std::uint64_t destroying = 0;                    ///< caches that are at it
  std::vector<std::shared_ptr<graph_core>> cores;  ///< until nothing is left of them

  /// Tells of what was evicted, destroys what is queued unless there is a hold, forgets caches that
  /// are gone; with `lock` released meanwhile. Due whenever something may have left a cache.
  void settle(book_lock& lock) noexcept;
};

/// @throws error (unsupported) in a forked child
[[nodiscard]] inline book_lock lock_books() {
  expect_same_process();
  return book_lock(graph_books::of_process().mutex);
}

// Lists of entries through graph_entry::next: an entry is on one at most, which needs no memory.
inline void push(graph_entry*& list, graph_entry& entry) noexcept {
  entry.next = std::exchange(list, &entry);
}
inline graph_entry& pop(graph_entry*& list) noexcept {
  graph_entry& entry = *list;
  list = std::exchange(entry.next, nullptr);
  return entry;
}

/// Calls something of the caller's; what it throws is logged, but for stale and busy.
status attempt(const graph_cache_options& of, const char* what,
               const std::function<void()>& call) noexcept;

/// Where the entries of a cache end that nobody uses any more.
class graph_graveyard {
 public:
  graph_graveyard(graph_driver& driver, const graph_cache_options& options, graph_ledger& ledger)
      : driver_(driver), options_(options), ledger_(ledger) {}

  /// Has it destroyed by the next settling, or drops it when there is nothing to destroy.
  void add(graph_entry& entry) noexcept;
  void drop_stale() noexcept;
  void want_trim(bool even_if_nothing_is_left = true) noexcept {
    trim_ = trim_ || even_if_nothing_is_left || queued_ != nullptr || untrimmed_bytes_ != 0;
  }
  /// What the driver refused for the moment is tried again.
  void retry() noexcept {
    while (postponed_ != nullptr) push(queued_, pop(postponed_));
  }
  [[nodiscard]] bool has_work() const noexcept {
    return !running_ && (queued_ != nullptr || trim_);
  }
  /// Destroys what is queued, with `lock` released meanwhile.
  void run(book_lock& lock) noexcept;

 private:
  graph_driver& driver_;
  const graph_cache_options& options_;
  graph_ledger& ledger_;
  graph_entry* queued_ = nullptr;
  graph_entry* postponed_ = nullptr;
  std::uint64_t untrimmed_bytes_ = 0;
  bool trim_ = false;
  bool running_ = false;  ///< one thread at a time
};

}  // namespace lull::detail

#endif  // LULL_GRAPHS_DESTRUCTION_HPP
