#include <lull/error.hpp>
#include <lull/memory.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/half_asleep.hpp"
#include "policy/participants.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// Has a transfer report to `current`, also when it fails.
template <class Transfer>
void report_transfer(transition& current, transfer_options options, Transfer&& run) {
  transfer_report done;
  options.progress = current.progress();
  options.stop = current.stop();
  options.failed_report = &done;
  try {
    done = run(options);
  } catch (...) {
    const bool half = !done.rolled_back;
    current.add(std::move(done));
    if (half) throw half_asleep(current_error(status::internal));
    throw;
  }
  current.add(std::move(done));
}

class memory_participant final : public participant {
 public:
  explicit memory_participant(memory& what) : memory_(what) {}

  [[nodiscard]] std::string_view name() const noexcept override { return "memory"; }
  [[nodiscard]] std::vector<device> devices() const override { return memory_.devices(); }

  void sleep(const sleep_plan& plan, transition& current) override {
    // First, because it cannot be taken back, and need not be.
    for (const device& each : memory_.devices()) {
      if (each.supports(capability::pools)) trim_pools(each, current);
    }
    report_transfer(current, {.backing = plan.backing}, [&](const transfer_options& options) {
      return memory_.evict(plan.contents, options);
    });
  }

  void wake(const sleep_plan&, transition& current) override {
    report_transfer(current, {},
                    [&](const transfer_options& options) { return memory_.restore({}, options); });
  }

  void deepen(const sleep_plan&, const sleep_plan& to, transition& current) override {
    report_transfer(current, {.backing = to.backing}, [&](const transfer_options& options) {
      return memory_.evict(to.contents, options);
    });
  }

  void undo_deepen(const sleep_plan& from, const sleep_plan& to, transition& current) override {
    const std::vector<std::string> tags = tags_that_left(from.contents, to.contents);
    if (tags.empty()) return;
    report_transfer(current, {}, [&](const transfer_options& options) {
      return memory_.restore(tags, options);
    });
  }

  void deepened(const sleep_plan& to, transition& current) override {
    current.step("drop backups", [&] { memory_.drop_backups(to.contents); });
  }

 private:
  [[nodiscard]] std::vector<std::string> tags_that_left(const eviction_plan& from,
                                                        const eviction_plan& to) const {
    std::vector<std::string> tags;
    for (const region_info& each : memory_.regions()) {
      const bool left = from.action_for(each.tag) == contents_action::keep &&
                        to.action_for(each.tag) != contents_action::keep;
      if (left && std::find(tags.begin(), tags.end(), each.tag) == tags.end()) {
        tags.push_back(each.tag);
      }
    }
    return tags;
  }

  /// What a failed trim leaves is no reason to keep the rest.
  static void trim_pools(const device& of, transition& current) {
    try {
      current.step(text("{}: trim pools", of.name()), [&of] { of.pool_trim(); });
    } catch (...) {
      current.add_problem(current_error(status::internal, "trimming pools failed").what());
    }
  }

  memory& memory_;
};

}  // namespace

std::shared_ptr<participant> make_participant(memory& what) {
  return std::make_shared<memory_participant>(what);
}

}  // namespace lull::detail
