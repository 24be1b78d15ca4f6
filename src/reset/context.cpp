#include <lull/context.hpp>

#include <algorithm>

namespace lull {

void once_per_context::call_erased(const device& where, const std::function<void()>& setup) {
  const std::lock_guard lock(mutex_);
  const auto known = std::find_if(done_.begin(), done_.end(),
                                  [&where](const done& each) { return each.where == where; });
  // Read before the setup: should a reset come in between, it has to run again.
  const std::uint64_t generation = where.generation();
  if (known != done_.end() && known->generation == generation) return;
  setup();
  if (known != done_.end()) {
    known->generation = generation;
  } else {
    done_.push_back({where, generation});
  }
}

}  // namespace lull
