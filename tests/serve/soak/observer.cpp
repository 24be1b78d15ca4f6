#include "soak/observer.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "soak/proc_files.hpp"

namespace lull::soak {

using std::chrono::steady_clock;

std::uint64_t held_by_servers(const router_process& router) {
  std::set<pid_t> found;
  for (const seen_process& each : all_processes()) {
    if (each.state != 'Z' && each.parent == router.id() &&
        each.command.starts_with(router.program())) {
      found.insert(each.id);
    }
  }
  std::uint64_t sum = 0;
  for (const pid_t each : found) {
    if (router.which() == servers::examples) {
      sum += held_kib(each) << 10;
      continue;
    }
    std::ifstream in(router.gpu_folder() / std::to_string(each));
    constexpr int suspended = 2;
    int state = 0;
    int lost = 0;
    std::uint64_t bytes = 0;
    if (in >> state >> lost >> bytes && state != suspended) sum += bytes;
  }
  return sum;
}

observer::observer(const router_process& router) : router_(router), thread_([this] { run(); }) {}

observer::~observer() {
  stop();
}

void observer::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

sightings observer::seen() {
  const std::lock_guard lock(mutex_);
  return seen_;
}

void observer::run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, std::chrono::milliseconds{100}, [&] { return ending_; })) {
    sightings next = seen_;
    lock.unlock();
    ++next.samples;
    look_at_gpu(next);
    look_at_router(next);
    look_at_children(next);
    lock.lock();
    seen_ = next;
  }
}

void observer::look_at_gpu(sightings& into) const {
  const std::uint64_t held = held_by_servers(router_);
  into.most_held_bytes = std::max(into.most_held_bytes, held);
  // A simulated GPU is exact; what a process of this machine takes besides its model the margin is
  // for.
  const sizes& of = router_.sizes();
  const std::uint64_t most =
      router_.which() == servers::examples ? of.device : of.device - of.margin;
  if (held > most) ++into.over_budget;
}

void observer::look_at_router(sightings& into) const {
  const auto begun = steady_clock::now();
  const nlohmann::json state = router_.state();
  const std::chrono::duration<double> took = steady_clock::now() - begun;
  into.slowest_look_seconds = std::max(into.slowest_look_seconds, took.count());
  if (!state.is_object()) {
    ++into.unanswered;
    return;
  }
  std::uint64_t booked = 0;
  for (const auto& [model, bytes] : state["devices"][0]["by_model"].items()) {
    booked += bytes.get<std::uint64_t>();
  }
  into.most_booked_bytes = std::max(into.most_booked_bytes, booked);
  if (booked > router_.sizes().device - router_.sizes().margin) ++into.over_budget;
}

void observer::look_at_children(sightings& into) const {
  into.most_resident_kib = std::max(into.most_resident_kib, resident_kib(router_.id()));
  into.most_descriptors = std::max(into.most_descriptors, descriptors_of(router_.id()));
  std::map<pid_t, int> zombies;
  for (const seen_process& each : all_processes()) {
    if (each.parent != router_.id() || each.state != 'Z') continue;
    zombies[each.id] = into.zombies[each.id] + 1;
    into.longest_zombie = std::max(into.longest_zombie, zombies[each.id]);
  }
  into.zombies = std::move(zombies);
}

}  // namespace lull::soak
