#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "failure.hpp"
#include "space.hpp"

namespace lull_torch {
namespace {

lull_status nothing_of_its_own(void* /*user*/, const lull_sleep_plan* /*plan*/,
                               lull_transition* /*now*/) {
  return LULL_OK;
}

/// As the caller's version of the header has it.
lull_sleep_plan read(const lull_sleep_plan* given) {
  lull_sleep_plan plan{};
  expect_ok(lull_sleep_plan_init(&plan, LULL_LEVEL_OFFLOAD));
  if (given != nullptr) {
    const std::size_t known = plan.struct_size;
    std::memcpy(static_cast<void*>(&plan), given, std::min(given->struct_size, known));
    plan.struct_size = known;
  }
  if (plan.context != LULL_CONTEXT_KEEP && plan.context != LULL_CONTEXT_SUSPEND) {
    throw lull::error(lull::status::unsupported,
                      "this plan ends the contexts of the devices, and with them everything of "
                      "PyTorch's own; the nearest that works is suspend");
  }
  return plan;
}

bool is_there(const lull_region_info& region) {
  return region.residency == LULL_RESIDENCY_RESIDENT || region.residency == LULL_RESIDENCY_UNFILLED;
}

class moving_mark {
 public:
  explicit moving_mark(std::atomic<bool>& flag) : flag_(flag) { flag_ = true; }
  ~moving_mark() { flag_ = false; }
  moving_mark(const moving_mark&) = delete;
  moving_mark& operator=(const moving_mark&) = delete;

 private:
  std::atomic<bool>& flag_;
};

/// Handles of devices, given back at the end.
class device_list {
 public:
  explicit device_list(std::vector<lull_device*> devices) : devices_(std::move(devices)) {}
  ~device_list() {
    for (lull_device* const each : devices_) lull_device_destroy(each);
  }
  device_list(const device_list&) = delete;
  device_list& operator=(const device_list&) = delete;
  [[nodiscard]] const std::vector<lull_device*>& get() const { return devices_; }

 private:
  std::vector<lull_device*> devices_;
};

}  // namespace

/// The tags of what the plan takes off now.
std::vector<std::string> space::tags_on_devices(const lull_eviction_plan& plan) {
  std::vector<std::string> found;
  for (const lull_region_info& each : regions()) {
    lull_contents_action action{};
    expect_ok(lull_eviction_plan_action(&plan, each.tag, &action));
    if (is_there(each) && action != LULL_CONTENTS_KEEP) found.emplace_back(each.tag);
  }
  return found;
}

/// Handles of those that regions live on; of the first one where there are none.
std::vector<lull_device*> space::devices_in_use() {
  std::vector<std::string> names;
  for (const lull_region_info& each : regions()) names.emplace_back(each.device);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::vector<lull_device*> devices;
  devices.reserve(names.size() + 1);
  for (const std::string& each : names) {
    lull_device* found = nullptr;
    if (lull_registry_find(registry_, each.c_str(), &found) == LULL_OK) devices.push_back(found);
  }
  if (devices.empty()) {
    lull_device* first = nullptr;
    expect_ok(lull_registry_find_ordinal(registry_, backend_, 0, &first));
    devices.push_back(first);
  }
  return devices;
}

/// @param plan null: of a transfer that brings things back
lull_transfer_options space::transfer_options(const lull_sleep_plan* plan) {
  lull_transfer_options options{};
  lull_transfer_options_init(&options);
  if (plan != nullptr) {
    options.backing = plan->backing;
    options.backing_path = plan->backing_path;
  }
  options.progress_user = this;
  options.progress = [](void* self, const char*, std::uint64_t done, std::uint64_t total) {
    static_cast<space*>(self)->done_bytes_ = done;
    static_cast<space*>(self)->total_bytes_ = total;
    return LULL_OK;
  };
  return options;
}

/// @param tags empty: all
void space::restore(const std::vector<std::string>& tags, lull_report** report) {
  const lull_transfer_options options = transfer_options(nullptr);
  std::vector<const char*> names;
  names.reserve(tags.size());
  for (const std::string& each : tags) names.push_back(each.c_str());
  expect_ok(lull_memory_restore(memory_, names.data(), names.size(), &options, report));
}

/// Known before anything is moved.
void space::expect_suspendable() {
  const device_list devices(devices_in_use());
  std::int32_t supported = 0;
  expect_ok(lull_sleep_level_supported(LULL_LEVEL_SUSPEND, devices.get().data(),
                                       devices.get().size(), &supported));
  if (supported != 0) return;
  throw lull::error(lull::status::unsupported,
                    "level suspend takes devices whose driver can suspend a process, which those "
                    "of backend '" +
                        std::string(backend_) + "' here lack; the nearest that works is offload");
}

/// Contents have moved; what is left of the process goes.
void space::suspend(bool fallback, lull_report** report) {
  lull_sleep_plan plan{};
  expect_ok(lull_sleep_plan_init(&plan, LULL_LEVEL_SUSPEND));
  plan.contents = {LULL_CONTENTS_KEEP, nullptr, 0};
  plan.fallback = fallback ? 1 : 0;
  const device_list devices(devices_in_use());
  lull_participant process{};
  lull_participant_init(&process);
  process.name = "PyTorch";
  process.sleep = nothing_of_its_own;
  process.wake = nothing_of_its_own;
  process.devices = devices.get().data();
  process.device_count = devices.get().size();
  lull_sleeper* by = nullptr;
  expect_ok(lull_sleeper_create(nullptr, &by));
  try {
    expect_ok(lull_sleeper_add(by, &process));
    expect_ok(lull_sleeper_sleep(by, &plan, report));
    lull_report_info what{};
    what.struct_size = sizeof what;
    expect_ok(lull_report_describe(*report, &what));
    if (what.fell_back_from[0] != '\0') {  // the contents alone have gone
      expect_ok(lull_sleeper_wake(by, LULL_FOREVER, nullptr));
      lull_sleeper_destroy(by);
      return;
    }
  } catch (...) {
    lull_sleeper_destroy(by);
    throw;
  }
  const std::lock_guard closing(gate_);
  suspended_by_ = by;
}

void space::resume(lull_report** report) {
  lull_sleeper* const by = suspended_by_;
  expect_ok(lull_sleeper_wake(by, LULL_FOREVER, nullptr));
  static_cast<void>(lull_sleeper_last_report(by, report));
  {
    const std::lock_guard opening(gate_);
    suspended_by_ = nullptr;
  }
  lull_sleeper_destroy(by);
  free_late();
}

void space::sleep(const lull_sleep_plan* plan, reports& done) {
  const lull_sleep_plan given = read(plan);
  make();
  const std::lock_guard turn(transition_);
  const moving_mark mark(moving_);
  const bool suspends = given.context == LULL_CONTEXT_SUSPEND && suspended_by_ == nullptr;
  if (suspends && given.fallback == 0) expect_suspendable();
  sleeping_tags before;
  {
    const std::lock_guard closing(gate_);
    before = asleep_;
    asleep_.add(given.contents);
  }
  try {
    const std::vector<std::string> taken = tags_on_devices(given.contents);
    const lull_transfer_options options = transfer_options(&given);
    expect_ok(lull_memory_evict(memory_, &given.contents, &options, &done.contents));
    if (suspends) {
      try {
        suspend(given.fallback != 0, &done.context);
      } catch (...) {
        if (!taken.empty()) restore(taken, nullptr);
        throw;
      }
    }
  } catch (...) {
    const std::vector<lull_region_info> all = regions();
    const std::lock_guard opening(gate_);
    asleep_ = std::move(before);
    for (const lull_region_info& each : all) {
      if (!is_there(each)) asleep_.add(each.tag);  // it could not be brought back
    }
    throw;
  }
  // Of what slept before, by a plan that kept more. Nothing is lost if it stays.
  static_cast<void>(lull_memory_drop_backups(memory_, &given.contents, nullptr));
}

void space::wake(const std::vector<std::string>& tags, reports& done) {
  make();
  const std::lock_guard turn(transition_);
  const moving_mark mark(moving_);
  const bool was_suspended = suspended_by_ != nullptr;
  if (was_suspended) resume(&done.context);
  try {
    std::vector<std::string> wanted;
    const std::vector<lull_torch_tag> known = this->tags();
    std::copy_if(tags.begin(), tags.end(), std::back_inserter(wanted), [&](const auto& each) {
      return std::any_of(known.begin(), known.end(),
                         [&](const auto& one) { return one.tag == each; });
    });
    if (tags.empty() || !wanted.empty()) restore(wanted, &done.contents);
  } catch (...) {
    if (was_suspended) {
      lull_report* again = nullptr;
      try {
        suspend(true, &again);
      } catch (...) {  // NOLINT(bugprone-empty-catch): its context stays then, without contents
      }
      lull_report_destroy(again);
    }
    throw;
  }
  const std::vector<lull_region_info> all = regions();
  const bool all_there = std::all_of(all.begin(), all.end(), is_there);
  const std::lock_guard opening(gate_);
  if (tags.empty() || all_there) {
    asleep_.clear();
  } else {
    asleep_.remove(tags);
  }
}

lull_torch_snapshot space::observe() const {
  lull_torch_snapshot seen{};
  seen.struct_size = sizeof seen;
  seen.moving = moving_ ? 1 : 0;
  seen.done_bytes = done_bytes_;
  seen.total_bytes = total_bytes_;
  {
    const std::shared_lock passing(gate_);
    seen.suspended = suspended_by_ != nullptr ? 1 : 0;
  }
  const std::lock_guard lock(plain_mutex_);
  for (const auto& [address, each] : plain_) seen.plain_bytes += each.bytes;
  return seen;
}

bool space::is_asleep(std::string_view tag) const {
  const std::shared_lock passing(gate_);
  return suspended_by_ != nullptr || asleep_.contains(tag.empty() ? default_tag : tag);
}

}  // namespace lull_torch
