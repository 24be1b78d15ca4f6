#include "soak/observer.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "soak/proc_files.hpp"

namespace lull::soak {

using std::chrono::steady_clock;

namespace {

std::uint64_t held_by(pid_t server, const router_process& router) {
  if (router.which() == servers::examples) return held_kib(server) << 10;
  std::ifstream in(router.gpu_folder() / std::to_string(server));
  constexpr int suspended = 2;
  int state = 0;
  int lost = 0;
  std::uint64_t bytes = 0;
  return in >> state >> lost >> bytes && state != suspended ? bytes : 0;
}

std::map<pid_t, std::uint64_t> held_by_each(const router_process& router) {
  std::map<pid_t, std::uint64_t> held;
  for (const seen_process& each : all_processes()) {
    if (each.state != 'Z' && each.parent == router.id() &&
        each.command.starts_with(router.program())) {
      held[each.id] = held_by(each.id, router);
    }
  }
  return held;
}

std::uint64_t sum_of(const std::map<pid_t, std::uint64_t>& held) {
  std::uint64_t sum = 0;
  for (const auto& [server, bytes] : held) sum += bytes;
  return sum;
}

/// In MiB.
std::string words_of(const std::map<pid_t, std::uint64_t>& held, const nlohmann::json& state) {
  std::string words = "servers hold";
  for (const auto& [server, bytes] : held) words += fmt::format(" {}:{}", server, bytes >> 20);
  words += "; the router's books";
  for (const nlohmann::json& each : state["models"]) {
    words += fmt::format(" {} {} {}", each["name"].get<std::string>(),
                         each["state"].get<std::string>(), each["pid"].dump());
  }
  for (const auto& [model, bytes] : state["devices"][0]["by_model"].items()) {
    words += fmt::format(" {}:{}", model, bytes.get<std::uint64_t>() >> 20);
  }
  return words;
}

}  // namespace

std::uint64_t held_by_servers(const router_process& router) {
  return sum_of(held_by_each(router));
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
  const auto each = held_by_each(router_);
  const std::uint64_t held = sum_of(each);
  into.most_held_bytes = std::max(into.most_held_bytes, held);
  // A simulated GPU is exact; what a process of this machine takes besides its model the margin is
  // for.
  const sizes& of = router_.sizes();
  const std::uint64_t most =
      router_.which() == servers::examples ? of.device : of.device - of.margin;
  if (held <= most) return;
  ++into.over_budget;
  if (into.first_over.empty()) into.first_over = words_of(each, router_.state());
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
  // Servers that take more with their first requests are booked with it as soon as it is seen, so
  // that nobody else comes in: there what they hold is looked at alone.
  if (router_.which() == servers::examples) return;
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
