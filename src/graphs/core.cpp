#include "graphs/core.hpp"

namespace lull::detail {

graph_core::graph_core(std::shared_ptr<graph_driver> its_driver, graph_cache_options given,
                       std::function<void(const graph_entry&)> told)
    : driver(std::move(its_driver)), options(std::move(given)), on_evict(std::move(told)) {
  ledger.accounts.push_back(std::make_shared<graph_account>());
  if (options.budget) ledger.accounts.push_back(account_of(*options.budget));
  set_policy(options.frequency_filter);
}

void graph_core::set_policy(bool filter) {
  auto next = filter ? make_frequency_filter() : std::make_unique<lru_policy>();
  index.for_each([&](graph_entry& each) { next->add(each, true); });
  policy = std::move(next);
}

void graph_core::remove(graph_entry& entry, graph_eviction cause) noexcept {
  ++ledger.counted.evictions[static_cast<std::size_t>(cause)];
  entry.untold = on_evict && !retired;
  discard(entry);
}

void graph_core::discard(graph_entry& entry) noexcept {
  const bool in_use = index.remove(entry);
  policy->remove(entry);
  if (!in_use && !entry.untold) return graveyard.add(entry);
  ledger.count(entry, in_use ? &graph_account::held : &graph_account::queued, entry.bytes);
  push(left, entry);
  if (!entry.untold) return;
  has_untold = true;
  entry.pins.fetch_add(graph_entry::one_pin);  // until it is told
}

void graph_core::tell(book_lock& lock) noexcept {
  graph_entry* entry = left;
  while (entry != nullptr && !entry->untold) entry = entry->next;
  has_untold = entry != nullptr;
  if (entry == nullptr) return;
  entry->untold = false;
  lock.unlock();
  attempt(options, "telling of an eviction", [&] { on_evict(*entry); });
  lock.lock();
  unpin(*entry);
}

void graph_core::unpin(graph_entry& entry) noexcept {
  const std::uint32_t before = entry.pins.fetch_sub(graph_entry::one_pin);
  if (before >= 2 * graph_entry::one_pin) return;
  entry.pins.fetch_and(~graph_entry::wanted);
  books.changed.notify_all();
  if ((before & graph_entry::leaving) == 0) return;
  graph_entry** link = &left;
  while (*link != &entry) link = &(*link)->next;
  *link = entry.next;
  graveyard.add(entry);
}

std::uint64_t graph_core::remove_where(graph_eviction cause,
                                       const std::function<bool(graph_entry&)>& wanted) noexcept {
  graph_entry* found = nullptr;
  index.for_each([&](graph_entry& each) {
    if (wanted(each)) push(found, each);
  });
  std::uint64_t count = 0;
  for (; found != nullptr; ++count) remove(pop(found), cause);
  return count;
}

std::uint64_t graph_core::drop_stale() noexcept {
  const std::uint64_t generation = driver->generation();
  if (std::exchange(swept_generation, generation) == generation) return 0;
  graveyard.drop_stale();
  return remove_where(graph_eviction::stale, [generation](const graph_entry& each) {
    return each.generation != generation;
  });
}

bool graph_core::make_fit(const graph_tally& more) noexcept {
  return !ledger.any([&](const auto& account) { return !detail::make_fit(books, account, more); });
}

bool make_fit(graph_books& books, const graph_account& account, const graph_tally& more) noexcept {
  const graph_core* last = nullptr;
  while (const auto cause = account.shortage(more)) {
    graph_core* from = nullptr;
    graph_entry* victim = nullptr;
    for (const auto& core : books.cores) {
      if (!core->ledger.any([&](const auto& its) { return &its == &account; })) continue;
      graph_entry* const candidate = core->policy->victim(core.get() == last);
      if (candidate == nullptr || (victim != nullptr && candidate->stamp > victim->stamp)) continue;
      from = core.get();
      victim = candidate;
    }
    if (victim == nullptr) return false;
    from->remove(*victim, *cause);
    last = from;
  }
  return true;
}

}  // namespace lull::detail
