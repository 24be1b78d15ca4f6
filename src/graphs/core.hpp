#ifndef LULL_GRAPHS_CORE_HPP
#define LULL_GRAPHS_CORE_HPP

#include <lull/graph_cache.hpp>

#include "graphs/account.hpp"
#include "graphs/destruction.hpp"
#include "graphs/eviction.hpp"
#include "graphs/index.hpp"

namespace lull::detail {

/// A cache without its types: its parts, and how an entry goes from one to the other. All but
/// find() is called with the mutex of the books held.
class graph_core {
 public:
  graph_core(std::shared_ptr<graph_driver> its_driver, graph_cache_options given,
             std::function<void(const graph_entry&)> told);
  static std::shared_ptr<graph_account>& account_of(graph_budget& budget) noexcept {
    return budget.account_;
  }

  /// A hit, or null. Takes no lock but that of a part of the index.
  [[nodiscard]] graph_entry* find(const graph_key& key) {
    return index.pin(key, driver->generation(), [this](graph_entry& it) { ledger.note_use(it); });
  }
  void note_miss(std::uint64_t hash) noexcept {
    policy->note_miss(hash, index.hits() + ++ledger.counted.misses);
  }
  void set_policy(bool filter);
  /// Takes an entry out of the cache. It goes to the graveyard when nobody uses it.
  void remove(graph_entry& entry, graph_eviction cause) noexcept;
  /// The same for an entry that nobody saw yet: not counted as evicted, nor told.
  void discard(graph_entry& entry) noexcept;
  std::uint64_t remove_where(graph_eviction cause,
                             const std::function<bool(graph_entry&)>& wanted) noexcept;
  /// Drops what is of an older generation, if the driver's was raised.
  std::uint64_t drop_stale() noexcept;
  /// Evicts until `more` fits below all bounds. @return false when all that is left is in use
  bool make_fit(const graph_tally& more) noexcept;
  void unpin(graph_entry& entry) noexcept;
  /// Tells of one eviction, with `lock` released meanwhile.
  void tell(book_lock& lock) noexcept;

  graph_books& books = graph_books::of_process();
  const std::shared_ptr<graph_driver> driver;
  graph_cache_options options;
  const std::function<void(const graph_entry&)> on_evict;
  graph_ledger ledger;
  entry_index index;
  std::unique_ptr<eviction_policy> policy;
  graph_graveyard graveyard{*driver, options, ledger};
  graph_entry* left = nullptr;  ///< evicted, and in use or not told
  bool has_untold = false;
  bool retired = false;  ///< its cache is gone
  std::uint64_t swept_generation = driver->generation();
  time_point last_sweep = options.clock->now();
  std::uint64_t flights = 0;         ///< captures under way
  std::uint64_t expected_bytes = 0;  ///< what room is made for when a capture does not say
  /// Whether captures come without any footprint but what can be measured around them.
  std::atomic<bool> measures_captures{true};
};

/// Evicts until `more` fits below the bounds of one account, from all caches that count in it.
bool make_fit(graph_books& books, const graph_account& account, const graph_tally& more) noexcept;

/// A call that may change a cache: sees what a reset has left, and settles at the end.
struct visit {
  explicit visit(graph_core& what) : core(what), lock(lock_books()) {}
  ~visit() { core.books.settle(lock); }
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;

  graph_core& core;
  book_lock lock;
  const std::uint64_t dropped = core.drop_stale();
};

inline bool is_pinned(const graph_entry& entry) noexcept {
  return entry.pins.load() >= graph_entry::one_pin;
}

}  // namespace lull::detail

#endif  // LULL_GRAPHS_CORE_HPP
