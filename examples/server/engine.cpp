#include "server/engine.hpp"

#include <memory>
#include <thread>
#include <utility>

namespace example {
namespace {

using lull::sleep_plan;
using lull::transition;

void nothing(const sleep_plan&, transition&) {}
void nothing_deeper(const sleep_plan&, const sleep_plan&, transition&) {}

}  // namespace

engine::engine(const std::filesystem::path& file, shared_resources with, engine_options options,
               bool touches_nothing)
    : file_(file),
      with_(std::move(with)),
      options_(std::move(options)),
      memory_({.log = options_.log, .arena = with_.arena}),
      graphs_(with_.device, options_.graphs, options_.log),
      touches_nothing_(touches_nothing) {
  read_model();
  if (options_.mode == sleep_mode::regions && !touches_nothing_) {
    model_->declare(options_.kv_bytes);
  } else {
    model_.reset();
  }
}

void engine::read_model() {
  model_.emplace(memory_, with_.device, file_);
  graphs_.use(*model_);
  const std::lock_guard lock(mutex_);
  facts_ = {model_->path(), model_->tensor_count(), model_->tensor_bytes()};
}

model_facts engine::facts() const {
  const std::lock_guard lock(mutex_);
  return facts_;
}

std::uint64_t engine::held_bytes() const {
  std::uint64_t sum = 0;
  for (const lull::region_info& each : memory_.regions()) {
    const bool there =
        each.state == lull::residency::resident || each.state == lull::residency::unfilled;
    if (there) sum += each.device_bytes;
  }
  return sum;
}

void engine::join(lull::sleeper& with) {
  // In this order they wake, and in the reverse one they sleep: the graphs before the memory that
  // they use.
  with.add(lull::make_participant(
      "preparation", nothing,
      [this](const sleep_plan& plan, transition& current) { prepare(plan, current); }, {},
      nothing_deeper));
  if (options_.mode == sleep_mode::reload) {
    with.add(reloading());
  } else {
    if (touches_nothing_) with.add(declaring());
    with.manage(memory_);
  }
  with.manage(graphs_.cache());
  if (options_.wake_delay.count() == 0) return;
  with.add(lull::make_participant(
      "delay", nothing, [this](const sleep_plan&, transition& current) { delay(current); }, {},
      nothing_deeper));
}

/// Other files than those that went to sleep would give other answers; and memory that somebody
/// gave up a moment ago may still be on its way back.
void engine::prepare(const sleep_plan& plan, transition& current) {
  const bool reads_files = plan.contents.action_for("weights") == lull::contents_action::discard;
  if (model_ && reads_files && options_.mode == sleep_mode::regions) {
    current.step("check files", [this] { model_->check_files(); });
  }
  current.step("settle", [&] {
    lull::settle_options how;
    how.releases = &with_.releases;  // they know how much comes back
    how.stop = current.stop();
    // Whatever it says, the load is tried: it knows best whether there is room.
    static_cast<void>(lull::settle({with_.device}, how));
  });
}

/// Makes the model's regions at the first wake, before the memory that brings them.
std::shared_ptr<lull::participant> engine::declaring() {
  return lull::make_participant(
      "regions", nothing,
      [this](const sleep_plan&, transition&) {
        if (model_) return;
        try {
          read_model();
          model_->declare(options_.kv_bytes);
        } catch (...) {
          model_.reset();
          throw;
        }
      },
      {}, nothing_deeper);
}

/// A participant as an engine has it that knows nothing of regions.
std::shared_ptr<lull::participant> engine::reloading() {
  return lull::make_participant(
      "model", [this](const sleep_plan& plan, transition& current) { unload(plan, current); },
      [this](const sleep_plan&, transition& current) { load_again(current); }, {with_.device},
      [this](const sleep_plan&, const sleep_plan& to, transition& current) { unload(to, current); },
      // What was unloaded for nothing is needed only where the sleep had kept it.
      [this](const sleep_plan& from, const sleep_plan&, transition& current) {
        const bool kept = from.contents.action_for("weights") == lull::contents_action::keep;
        if (kept) load_again(current);
      });
}

void engine::unload(const sleep_plan& plan, transition& current) {
  const lull::contents_action action = plan.contents.action_for("weights");
  if (!model_ || action == lull::contents_action::keep) return;
  if (action == lull::contents_action::offload) {
    throw lull::error(lull::status::unsupported,
                      "a model that is loaded anew keeps no contents: use discard, or reset");
  }
  const std::uint64_t given_up = held_bytes();
  current.step("unload", [&] { model_.reset(); });
  current.released(with_.device, given_up);
}

/// All or nothing: a load that fails leaves no part of the model behind.
void engine::load_again(transition& current) {
  if (model_) return;
  current.step("load", [&] {
    try {
      read_model();
      model_->load(options_.kv_bytes, current.stop());
    } catch (...) {
      model_.reset();
      throw;
    }
  });
}

void engine::delay(transition& current) {
  if (!std::exchange(woken_before_, true)) return;
  current.step("delay", [&] {
    const auto end = std::chrono::steady_clock::now() + options_.wake_delay;
    while (std::chrono::steady_clock::now() < end && !current.stop().stop_requested()) {
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
  });
}

}  // namespace example
