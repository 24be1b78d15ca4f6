#include "memory/departure.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace lull::detail {
namespace {

struct departures {
  std::mutex mutex;
  std::vector<std::weak_ptr<departure>> under_way;
};

departures& all() {
  // Never destroyed: threads that outlive main's statics may still transfer.
  static departures& instance = *new departures;
  return instance;
}

}  // namespace

std::shared_ptr<departure> departure::begin(std::vector<device> from) {
  auto begun = std::make_shared<departure>(std::move(from));
  const std::lock_guard lock(all().mutex);
  std::erase_if(all().under_way, [](const auto& each) { return each.expired(); });
  all().under_way.push_back(begun);
  return begun;
}

std::shared_ptr<departure> departure::find(const device& from) {
  const std::lock_guard lock(all().mutex);
  for (const auto& each : all().under_way) {
    auto found = each.lock();
    if (!found) continue;
    const std::lock_guard inner(found->mutex_);
    const bool leaves =
        std::find(found->from_.begin(), found->from_.end(), from) != found->from_.end();
    if (leaves && !found->ended_) return found;
  }
  return nullptr;
}

void departure::end() noexcept {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void departure::add_leaving(const void* who) {
  const std::lock_guard lock(mutex_);
  leaving_.push_back(who);
}

bool departure::is_leaving(const void* who) const {
  const std::lock_guard lock(mutex_);
  return std::find(leaving_.begin(), leaving_.end(), who) != leaving_.end();
}

void departure::tell_freed() noexcept {
  const std::lock_guard lock(mutex_);
  ++freed_;
  changed_.notify_all();
}

void departure::call_off() noexcept {
  std::unique_lock lock(mutex_);
  called_off_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return arrivals_ == 0; });
}

departure::arrival::arrival(std::shared_ptr<departure> during) : during_(std::move(during)) {
  if (!during_) return;
  const std::lock_guard lock(during_->mutex_);
  ++during_->arrivals_;
}

departure::arrival::~arrival() {
  if (!during_) return;
  const std::lock_guard lock(during_->mutex_);
  --during_->arrivals_;
  during_->changed_.notify_all();
}

bool departure::is_called_off() const {
  const std::lock_guard lock(mutex_);
  return called_off_;
}

std::uint64_t departure::freed_so_far() const {
  const std::lock_guard lock(mutex_);
  return freed_;
}

template <class Until>
void departure::wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& give_up,
                     Until until) {
  constexpr std::chrono::milliseconds between_questions{10};
  while (!until() && !ended_ && !called_off_) {
    changed_.wait_for(lock, between_questions);
    lock.unlock();
    const bool over = give_up();
    lock.lock();
    if (over) return;
  }
}

bool departure::wait_for_more(std::uint64_t since, const std::function<bool()>& give_up) {
  std::unique_lock lock(mutex_);
  wait(lock, give_up, [&] { return freed_ != since; });
  return freed_ != since && !called_off_;
}

bool departure::wait_for_end(const std::function<bool()>& give_up) {
  std::unique_lock lock(mutex_);
  wait(lock, give_up, [] { return false; });
  return ended_ && !called_off_;
}

}  // namespace lull::detail
