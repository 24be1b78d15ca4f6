#include "server/engine.hpp"

#include <memory>
#include <thread>
#include <utility>

namespace example {
namespace {

void nothing(const lull::sleep_plan&, lull::transition&) {}
void nothing_deeper(const lull::sleep_plan&, const lull::sleep_plan&, lull::transition&) {}

/// Makes waking slow, so that tests can look at the server meanwhile.
void delay(lull::transition& current, std::chrono::milliseconds span, const std::stop_token& stop) {
  current.step("delay", [&] {
    const auto end = std::chrono::steady_clock::now() + span;
    while (std::chrono::steady_clock::now() < end && !stop.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
  });
}

}  // namespace

engine::engine(lull::device device, engine_options options)
    : options_(std::move(options)),
      device_(std::move(device)),
      memory_({.log = options_.log}),
      graphs_(device_, options_.graphs, options_.log) {
  read_model();
}

void engine::read_model() {
  model_.emplace(memory_, device_, options_.model);
  graphs_.use(*model_);
  const std::lock_guard lock(mutex_);
  facts_ = {model_->path(), model_->tensor_count(), model_->tensor_bytes()};
}

void engine::load(std::stop_token stop) {
  stop_ = std::move(stop);
  model_->load(options_.kv_bytes, stop_);
}

model_facts engine::facts() const {
  const std::lock_guard lock(mutex_);
  return facts_;
}

void engine::join(lull::sleeper& with, bool unloaded) {
  if (unloaded) model_.reset();
  using lull::make_participant;
  using lull::sleep_plan;
  using lull::transition;
  // In this order they wake, and in the reverse one they sleep: the graphs before the memory that
  // they use, and what measures before anything is given up.
  with.add(make_participant(
      "preparation", nothing,
      [this](const sleep_plan& plan, transition& current) { prepare(plan, current); }, {},
      nothing_deeper));
  if (options_.mode == sleep_mode::reload) {
    with.add(make_participant(
        "model", [this](const sleep_plan& plan, transition& current) { unload(plan, current); },
        [this](const sleep_plan& plan, transition& current) { load_again(plan, current); },
        {device_},
        [this](const sleep_plan&, const sleep_plan& to, transition& current) {
          if (model_) unload(to, current);
        },
        // What was unloaded for nothing is needed only where the sleep had kept it.
        [this](const sleep_plan& from, const sleep_plan&, transition& current) {
          const bool kept = from.contents.action_for("weights") == lull::contents_action::keep;
          if (kept) load_again(from, current);
        }));
  } else {
    if (unloaded) {
      with.add(make_participant(
          "model", nothing,
          [this](const sleep_plan& plan, transition& current) { load_again(plan, current); },
          {device_}, nothing_deeper));
    }
    with.manage(memory_);
  }
  with.manage(graphs_.cache());
  with.add(make_participant(
      "measurement", [this](const sleep_plan&, transition&) { free_before_ = free_bytes(); },
      nothing, {}, nothing_deeper));
  if (options_.wake_delay.count() > 0) {
    with.add(make_participant(
        "delay", nothing,
        [this](const sleep_plan&, transition& current) {
          delay(current, options_.wake_delay, stop_);
        },
        {}, nothing_deeper));
  }
}

/// Other files than those that went to sleep would give other answers; and memory that was given up
/// a moment ago may still be on its way back.
void engine::prepare(const lull::sleep_plan& plan, lull::transition& current) {
  const bool reads_files = plan.contents.action_for("weights") == lull::contents_action::discard;
  if (model_ && reads_files && options_.mode == sleep_mode::regions) {
    current.step("check files", [this] { model_->check_files(); });
  }
  current.step("settle", [&] { settle(current.stop()); });
}

void engine::settle(const std::stop_token& stop) {
  // What the host device has is its own book: it is back at once.
  if (device_.type() == lull::device_type::host) return;
  std::uint64_t gone = given_up_;
  for (const lull::region_info& each : memory_.regions()) {
    const bool there =
        each.state == lull::residency::resident || each.state == lull::residency::unfilled;
    if (!there) gone += each.size_bytes;
  }
  lull::settle_options how;
  how.releases = &releases_;
  how.expected = {
      {.device = device_.name(), .gain_bytes = gone, .baseline_free_bytes = free_before_}};
  how.stop = stop;
  // Whatever it says, the load is tried: it knows best whether there is room.
  static_cast<void>(lull::settle({device_}, how));
}

std::optional<std::uint64_t> engine::free_bytes() const {
  try {
    return device_.memory().free_bytes;
  } catch (const lull::error&) {
    return std::nullopt;  // a guess less for settle()
  }
}

void engine::unload(const lull::sleep_plan& plan, lull::transition& current) {
  const lull::contents_action action = plan.contents.action_for("weights");
  if (action == lull::contents_action::keep) return;
  if (action == lull::contents_action::offload) {
    throw lull::error(lull::status::unsupported,
                      "a model that is loaded anew keeps no contents: use discard, or reset");
  }
  current.step("unload", [&] {
    given_up_ = model_->tensor_bytes() + options_.kv_bytes;
    model_.reset();
  });
  current.released(device_, given_up_);
}

/// All or nothing: a load that fails leaves no part of the model behind.
void engine::load_again(const lull::sleep_plan&, lull::transition& current) {
  if (model_) return;
  current.step("load", [this] {
    try {
      read_model();
      model_->load(options_.kv_bytes, stop_);
    } catch (...) {
      model_.reset();
      throw;
    }
  });
  given_up_ = 0;
}

}  // namespace example
