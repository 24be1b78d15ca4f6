#include "fleet/machine.hpp"

#include <numeric>

namespace bench::fleet {
namespace {

double in_seconds(lull::duration span) {
  return std::chrono::duration<double>(span).count();
}

}  // namespace

std::size_t outcome::all_answered() const {
  return std::accumulate(answered.begin(), answered.end(), std::size_t{0});
}

std::size_t outcome::all_refused() const {
  return std::accumulate(refused.begin(), refused.end(), std::size_t{0});
}

void outcome::operator+=(const outcome& other) {
  requests += other.requests;
  for (std::size_t at = 0; at < paths; ++at) answered[at] += other.answered[at];
  for (std::size_t at = 0; at < refusals; ++at) refused[at] += other.refused[at];
  wakes += other.wakes;
  restores += other.restores;
  colds += other.colds;
  ended += other.ended;
  copied_bytes += other.copied_bytes;
  loaded_bytes += other.loaded_bytes;
  resident_seconds += other.resident_seconds;
  seconds += other.seconds;
  room_bytes = std::min(room_bytes, other.room_bytes);
  overfull += other.overfull;
  sleeper_bytes = std::max(sleeper_bytes, other.sleeper_bytes);
  first_token.insert(first_token.end(), other.first_token.begin(), other.first_token.end());
}

double outcome::percentile(double share) {
  if (first_token.empty()) return 0;
  std::sort(first_token.begin(), first_token.end());
  return first_token[static_cast<std::size_t>(share * static_cast<double>(first_token.size() - 1))];
}

books::books(machine& on, const node_load& load)
    : on_(on),
      load_(load),
      sleeps_with_(load.models.size(), 0),
      residents_counted_(load.counted_from) {
  result_.requests = static_cast<std::size_t>(
      std::count_if(load.requests.begin(), load.requests.end(),
                    [&](const fleet_request& each) { return each.at >= load.counted_from; }));
}

void books::resident(int change) {
  const lull::duration now = std::clamp(on_.since_start(), load_.counted_from, load_.end);
  result_.resident_seconds += residents_ * in_seconds(now - residents_counted_);
  residents_counted_ = now;
  residents_ += change;
}

void books::take(std::uint64_t gpu, std::uint64_t host) {
  gpu_ += gpu;
  host_ += host;
  result_.overfull += gpu_ > gpu_bytes || host_ > load_.host_bytes ? 1 : 0;
}

void books::give(std::uint64_t gpu, std::uint64_t host) {
  // More than is held would wrap around, and be noted as more than there is.
  gpu_ -= gpu;
  host_ -= host;
  result_.overfull += gpu_ > gpu_bytes || host_ > load_.host_bytes ? 1 : 0;
}

void books::sleeps(std::size_t model, std::uint64_t gpu) {
  asleep_ += gpu - sleeps_with_[model];
  sleeps_with_[model] = gpu;
  result_.sleeper_bytes = std::max(result_.sleeper_bytes, asleep_);
}

void books::woke(std::size_t model, bool from_checkpoint) {
  if (!counts()) return;
  ++result_.wakes;
  result_.restores += from_checkpoint ? 1 : 0;
  result_.copied_bytes += load_.models[model].weights;
}

void books::started(std::size_t model) {
  if (!counts()) return;
  ++result_.colds;
  result_.loaded_bytes += load_.models[model].weights;
}

void books::put_to_sleep(std::size_t model) {
  if (counts()) result_.copied_bytes += load_.models[model].weights;
}

void books::ended() {
  result_.ended += counts() ? 1 : 0;
}

void books::answered(const fleet_request& what, path how) {
  if (what.at < load_.counted_from) return;
  ++result_.answered[static_cast<std::size_t>(how)];
  const double waited = in_seconds(on_.since_start() - what.at + what.prefill);
  result_.first_token.push_back(static_cast<float>(waited));
}

void books::refused(const fleet_request& what, refusal why) {
  if (what.at < load_.counted_from) return;
  ++result_.refused[static_cast<std::size_t>(why)];
  result_.first_token.push_back(static_cast<float>(in_seconds(patience)));
}

outcome books::close() {
  resident(0);
  result_.seconds = in_seconds(load_.end - load_.counted_from);
  return std::move(result_);
}

}  // namespace bench::fleet
