#include <lull/budget_plan.hpp>
#include <lull/bytes.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "vocabulary/text.hpp"

namespace lull {
namespace {

using detail::fail;
using detail::text;

std::int64_t signed_bytes(std::uint64_t bytes) noexcept {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 4);
  return static_cast<std::int64_t>(std::min(bytes, most));
}

std::int64_t bytes_on(const std::vector<device_bytes>& list, std::uint32_t device) noexcept {
  for (const device_bytes& entry : list) {
    if (entry.device == device) return signed_bytes(entry.bytes);
  }
  return 0;
}

std::uint64_t limit_of(const plan_device& device) noexcept {
  const std::int64_t limit = signed_bytes(device.capacity_bytes) -
                             signed_bytes(device.margin_bytes) - signed_bytes(device.foreign_bytes);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(limit, 0));
}

struct candidate {
  double key;
  time_point last_used;
  std::size_t model;

  bool operator<(const candidate& other) const noexcept {
    return std::tie(key, last_used, model) < std::tie(other.key, other.last_used, other.model);
  }
};

class planner {
 public:
  planner(const plan_books& books, const plan_request& request) : books_(books), request_(request) {
    if (request.model && *request.model >= books.models.size()) {
      fail(status::invalid_argument, "a plan for model {} of {}", *request.model,
           books.models.size());
    }
    balance_.reserve(books.devices.size());
    for (const plan_device& device : books.devices) {
      balance_.push_back(signed_bytes(limit_of(device)) - signed_bytes(device.held_bytes));
    }
    asked_.assign(books.devices.size(), false);
    filled_.assign(books.devices.size(), false);
    for (const device_bytes& wish : request.extra) {
      check(wish.device);
      asked_[wish.device] = true;
      balance_[wish.device] -= signed_bytes(wish.bytes);
      if (balance_[wish.device] < 0) short_.push_back(wish.device);
    }
  }

  plan_result run() {
    plan_result result;
    write_sums(result);
    if (short_.empty()) return result;
    collect(result);
    result.outcome = outcome_of(result);
    if (result.outcome != plan_outcome::planned) return result;
    take();
    drop_unneeded();
    choose_levels(result);
    return result;
  }

 private:
  void check(std::uint32_t device) const {
    if (device >= books_.devices.size()) {
      fail(status::invalid_argument, "a plan for device {} of {}", device, books_.devices.size());
    }
  }

  void write_sums(plan_result& result) const {
    result.sums.reserve(request_.extra.size());
    for (const device_bytes& wish : request_.extra) {
      const plan_device& device = books_.devices[wish.device];
      plan_sum sum;
      sum.device = wish.device;
      sum.extra_bytes = wish.bytes;
      sum.limit_bytes = limit_of(device);
      sum.held_bytes = device.held_bytes;
      sum.missing_bytes =
          static_cast<std::uint64_t>(std::max<std::int64_t>(-balance_[wish.device], 0));
      result.sums.push_back(sum);
    }
  }

  /// What a model that is put away as far as it goes gives back there.
  static std::int64_t gain_on(const plan_model& model, const device_bytes& held) noexcept {
    return std::max<std::int64_t>(
        signed_bytes(held.bytes) - bytes_on(model.levels.back().left, held.device), 0);
  }

  [[nodiscard]] bool may_ever_go(std::size_t index) const noexcept {
    const plan_model& model = books_.models[index];
    const bool deepest = model.state != model_state::loading && model.depth >= model.levels.size();
    return index != request_.model && !model.pinned && !model.levels.empty() && !deepest;
  }

  [[nodiscard]] bool may_go(const plan_model& model) const noexcept {
    const bool at_rest = model.state == model_state::ready || model.state == model_state::asleep;
    if (!at_rest) return false;
    return request_.take_busy || (model.leases == 0 && model.keep_until <= request_.now);
  }

  void collect(plan_result& result) {
    std::vector<plan_sum*> sum_of(books_.devices.size(), nullptr);
    for (plan_sum& sum : result.sums) {
      if (sum.missing_bytes > 0) sum_of[sum.device] = &sum;
    }
    for (std::size_t index = 0; index < books_.models.size(); ++index) {
      if (!may_ever_go(index)) continue;
      const plan_model& model = books_.models[index];
      const bool goes = may_go(model);
      if (goes && model.state == model_state::asleep) sleepers_.push_back(index);
      std::int64_t freed = 0;
      for (const device_bytes& held : model.holds) {
        check(held.device);
        plan_sum* const sum = sum_of[held.device];
        if (sum == nullptr) continue;
        const std::int64_t gain = gain_on(model, held);
        (goes ? sum->idle_bytes : sum->busy_bytes) += static_cast<std::uint64_t>(gain);
        freed += gain;
      }
      if (!goes || freed <= 0) continue;
      const double cost = cost_of(model, longer_from(model, model.depth), freed);
      candidates_.push_back({cost, model.last_used, index});
    }
  }

  /// What it costs that a model gives up so many bytes, and then takes so much longer to come back.
  [[nodiscard]] double cost_of(const plan_model& model, double longer_seconds,
                               std::int64_t freed) const noexcept {
    constexpr double gib = 1 << 30;
    const auto half_lives = [](duration span) {
      return std::chrono::duration<double>(span) / std::chrono::duration<double>(use_half_life);
    };
    const duration idle = std::max(request_.now - model.last_used, duration::zero());
    const double uses_per_second = model.uses_per_second * std::exp2(-half_lives(idle));
    return uses_per_second * std::max(longer_seconds, 0.0) / (static_cast<double>(freed) / gib);
  }

  /// How much longer it takes to come back from a level than from where it is.
  static double longer_from(const plan_model& model, std::size_t level) noexcept {
    const double from_here = model.depth == 0 ? 0 : model.levels[model.depth - 1].wake_seconds;
    return model.levels[level].wake_seconds - from_here;
  }

  static plan_outcome outcome_of(const plan_result& result) noexcept {
    auto outcome = plan_outcome::planned;
    for (const plan_sum& sum : result.sums) {
      if (sum.missing_bytes > sum.idle_bytes + sum.busy_bytes) return plan_outcome::impossible;
      if (sum.missing_bytes > sum.idle_bytes) outcome = plan_outcome::busy;
    }
    return outcome;
  }

  void give(const plan_model& model, std::int64_t sign) noexcept {
    for (const device_bytes& held : model.holds) {
      balance_[held.device] += sign * gain_on(model, held);
    }
  }

  /// A heap instead of a sort: mostly few are taken of many.
  void take() {
    const auto later = [](const candidate& a, const candidate& b) { return b < a; };
    std::make_heap(candidates_.begin(), candidates_.end(), later);
    const auto still_short = [this] {
      return std::any_of(short_.begin(), short_.end(),
                         [this](std::uint32_t device) { return balance_[device] < 0; });
    };
    while (still_short()) {
      std::pop_heap(candidates_.begin(), candidates_.end(), later);
      const candidate least = candidates_.back();
      candidates_.pop_back();
      const plan_model& model = books_.models[least.model];
      give(model, 1);
      taken_.push_back(least);
    }
  }

  void drop_unneeded() {
    std::vector<candidate> kept;
    for (std::size_t place = taken_.size(); place-- > 0;) {
      const plan_model& model = books_.models[taken_[place].model];
      const bool needed =
          std::any_of(model.holds.begin(), model.holds.end(), [&](const device_bytes& held) {
            return asked_[held.device] && balance_[held.device] < gain_on(model, held);
          });
      if (needed) {
        kept.push_back(taken_[place]);
      } else {
        give(model, -1);
      }
    }
    taken_.assign(kept.rbegin(), kept.rend());
  }

  /// What a level leaves on a device besides what is counted on: what the last one leaves.
  static std::int64_t kept_at(const plan_model& model, std::size_t level,
                              std::uint32_t device) noexcept {
    if (level + 1 == model.levels.size()) return 0;
    const std::int64_t least =
        std::min(bytes_on(model.levels.back().left, device), bytes_on(model.holds, device));
    return std::max<std::int64_t>(bytes_on(model.levels[level].left, device) - least, 0);
  }

  /// Whether a model takes more of a device by leaving.
  static bool fills(const plan_model& model, const device_bytes& rest) noexcept {
    return signed_bytes(rest.bytes) > bytes_on(model.holds, rest.device);
  }

  /// What is lacking so that all fits with this level instead of the last one.
  [[nodiscard]] std::vector<device_bytes> lacking(const plan_model& model,
                                                  std::size_t level) const {
    std::vector<device_bytes> list;
    for (const device_bytes& rest : model.levels[level].left) {
      // A device that nobody asked for may stay above its limit, but is not filled.
      if (!asked_[rest.device] && !filled_[rest.device] && !fills(model, rest)) continue;
      const std::int64_t lacks =
          kept_at(model, level, rest.device) - std::max<std::int64_t>(balance_[rest.device], 0);
      if (lacks > 0) list.push_back({rest.device, static_cast<std::uint64_t>(lacks)});
    }
    return list;
  }

  void settle_for(const plan_model& model, std::size_t level) {
    for (const device_bytes& rest : model.levels[level].left) {
      balance_[rest.device] -= kept_at(model, level, rest.device);
      filled_[rest.device] = filled_[rest.device] || fills(model, rest);
    }
  }

  void choose_levels(plan_result& result) {
    goes_.assign(books_.models.size(), false);
    for (const candidate& who : taken_) goes_[who.model] = true;
    for (std::size_t place = taken_.size(); place-- > 0;) {
      result.victims.push_back(at_its_level(taken_[place], true));
    }
    for (const candidate& who : deeper_) result.victims.push_back(at_its_level(who, false));
    std::reverse(result.victims.begin(), result.victims.end());
  }

  /// @param at_the_cost_of_others whether sleepers may go deeper for it
  plan_victim at_its_level(const candidate& who, bool at_the_cost_of_others) {
    const plan_model& model = books_.models[who.model];
    for (const plan_level& level : model.levels) {
      for (const device_bytes& rest : level.left) check(rest.device);
    }
    std::size_t level = model.depth;
    for (; level + 1 < model.levels.size(); ++level) {
      const std::vector<device_bytes> lacks = lacking(model, level);
      if (lacks.empty() || (at_the_cost_of_others && make_room(who, level, lacks))) break;
    }
    if (level + 1 < model.levels.size()) settle_for(model, level);
    return {who.model, level, who.key};
  }

  /// Lets sleepers go deeper so that a victim need not, if all of them are missed less.
  bool make_room(const candidate& victim, std::size_t level,
                 const std::vector<device_bytes>& lacks) {
    const plan_model& model = books_.models[victim.model];
    std::int64_t kept = 0;
    for (const device_bytes& lack : lacks) {
      kept += kept_at(model, level, lack.device) - kept_at(model, level + 1, lack.device);
    }
    if (kept <= 0) return false;
    const double longer = model.levels[level + 1].wake_seconds - model.levels[level].wake_seconds;
    const candidate most{cost_of(model, longer, kept), victim.last_used, victim.model};
    const std::vector<candidate> sleepers = missed_less(most, lacks);
    std::vector<candidate> chosen;
    const auto still_lacks = [&] { return !lacking(model, level).empty(); };
    for (std::size_t next = 0; still_lacks() && next < sleepers.size(); ++next) {
      chosen.push_back(sleepers[next]);
      give(books_.models[sleepers[next].model], 1);
    }
    const bool enough = !still_lacks();
    for (std::size_t place = chosen.size(); place-- > 0;) {
      give(books_.models[chosen[place].model], -1);
      if (enough && still_lacks()) {
        give(books_.models[chosen[place].model], 1);
        goes_[chosen[place].model] = true;
        deeper_.push_back(chosen[place]);
      }
    }
    return enough;
  }

  /// The sleepers that free something of what is lacking, least missed first.
  [[nodiscard]] std::vector<candidate> missed_less(const candidate& most,
                                                   const std::vector<device_bytes>& lacks) const {
    std::vector<candidate> list;
    for (const std::size_t index : sleepers_) {
      if (goes_[index]) continue;
      const plan_model& model = books_.models[index];
      std::int64_t freed = 0;
      for (const device_bytes& held : model.holds) {
        if (bytes_on(lacks, held.device) > 0) freed += gain_on(model, held);
      }
      if (freed <= 0) continue;
      const double longer = longer_from(model, model.levels.size() - 1);
      const candidate sleeper{cost_of(model, longer, freed), model.last_used, index};
      if (sleeper < most) list.push_back(sleeper);
    }
    std::sort(list.begin(), list.end());
    return list;
  }

  const plan_books& books_;
  const plan_request& request_;
  std::vector<std::int64_t> balance_;  ///< what would be free with the request let in
  std::vector<bool> asked_;
  std::vector<bool> filled_;  ///< with what victims leave there
  std::vector<std::uint32_t> short_;
  std::vector<candidate> candidates_;
  std::vector<std::size_t> sleepers_;
  std::vector<candidate> taken_;
  std::vector<candidate> deeper_;  ///< sleepers that go deeper for what the taken leave
  std::vector<bool> goes_;         ///< of each model
};

}  // namespace

std::string_view to_string(model_state state) noexcept {
  switch (state) {
    case model_state::unloaded: return "unloaded";
    case model_state::asleep: return "asleep";
    case model_state::loading: return "loading";
    case model_state::ready: return "ready";
    case model_state::leaving: return "leaving";
  }
  return "?";
}

std::string_view to_string(plan_outcome outcome) noexcept {
  switch (outcome) {
    case plan_outcome::planned: return "planned";
    case plan_outcome::busy: return "busy";
    case plan_outcome::impossible: return "impossible";
  }
  return "?";
}

void plan_books::add_up() {
  for (plan_device& device : devices) device.held_bytes = 0;
  for (const plan_model& model : models) {
    for (const device_bytes& held : model.holds) {
      if (held.device >= devices.size()) {
        fail(status::invalid_argument, "model '{}' holds memory of device {} of {}", model.name,
             held.device, devices.size());
      }
      devices[held.device].held_bytes += held.bytes;
    }
  }
}

plan_result plan_admission(const plan_books& books, const plan_request& request) {
  return planner(books, request).run();
}

std::string describe(const plan_result& result, const plan_books& books) {
  std::string words;
  for (const plan_sum& sum : result.sums) {
    if (sum.missing_bytes == 0) continue;
    const plan_device& device = books.devices.at(sum.device);
    if (!words.empty()) words += "; ";
    words += text(
        "{} lacks {}: {} asked for, {} held of {} that models may hold (capacity {}, margin {}, "
        "other programs {}); {} can go now, {} later",
        device.name, format_bytes(sum.missing_bytes), format_bytes(sum.extra_bytes),
        format_bytes(sum.held_bytes), format_bytes(sum.limit_bytes),
        format_bytes(device.capacity_bytes), format_bytes(device.margin_bytes),
        format_bytes(device.foreign_bytes), format_bytes(sum.idle_bytes),
        format_bytes(sum.busy_bytes));
  }
  return words;
}

}  // namespace lull
