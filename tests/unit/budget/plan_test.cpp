#include <lull/budget_plan.hpp>
#include <lull/bytes.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <random>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"

namespace {

using namespace std::chrono_literals;
using namespace lull::literals;
using lull::device_bytes;
using lull::model_state;
using lull::plan_books;
using lull::plan_model;
using lull::plan_outcome;
using lull::plan_request;
using lull::plan_result;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const lull::time_point now{10h};

/// A ready model on device 0 that can go altogether.
plan_model ready(std::string name, std::uint64_t bytes, lull::duration idle = 1min) {
  plan_model model;
  model.name = std::move(name);
  model.state = model_state::ready;
  model.holds = {{0, bytes}};
  model.levels = {{"unload", {}, static_cast<double>(bytes) / (1 << 30)}};
  model.last_used = now - idle;
  model.uses_per_second = 0.1;
  return model;
}

plan_books one_device(std::uint64_t capacity, std::vector<plan_model> models) {
  plan_books books{{{"GPU0", capacity, 1_GiB}}, std::move(models)};
  books.add_up();
  return books;
}

plan_request want(std::uint64_t bytes) {
  return {{}, {{0, bytes}}, now};
}

std::vector<std::string> names_in(const plan_result& result, const plan_books& books) {
  std::vector<std::string> list;
  for (const auto& victim : result.victims) {
    const plan_model& model = books.models[victim.model];
    list.push_back(model.name + " " + model.levels[victim.level].name);
  }
  return list;
}

TEST(Plan, NobodyLeavesForWhatFits) {
  const auto books = one_device(10_GiB, {ready("a", 4_GiB)});
  const auto result = plan_admission(books, want(5_GiB));
  EXPECT_EQ(result.outcome, plan_outcome::planned);
  EXPECT_THAT(result.victims, IsEmpty());
  EXPECT_EQ(plan_admission(books, want(5_GiB + 1)).victims.size(), 1U);
}

TEST(Plan, TheMarginAndOtherProgramsCountAsUsed) {
  auto books = one_device(10_GiB, {});
  EXPECT_EQ(plan_admission(books, want(9_GiB)).outcome, plan_outcome::planned);
  EXPECT_EQ(plan_admission(books, want(9_GiB + 1)).outcome, plan_outcome::impossible);
  books.devices[0].foreign_bytes = 2_GiB;
  EXPECT_EQ(plan_admission(books, want(7_GiB)).outcome, plan_outcome::planned);
  EXPECT_EQ(plan_admission(books, want(7_GiB + 1)).outcome, plan_outcome::impossible);
}

TEST(Plan, NobodyLeavesForWhatCannotFitEvenAlone) {
  auto pinned = ready("pinned", 4_GiB);
  pinned.pinned = true;
  const auto books = one_device(10_GiB, {ready("idle", 4_GiB), pinned});
  const auto result = plan_admission(books, want(6_GiB));
  EXPECT_EQ(result.outcome, plan_outcome::impossible);
  EXPECT_THAT(result.victims, IsEmpty());
  EXPECT_THAT(describe(result, books), HasSubstr("GPU0 lacks 5 GiB: 6 GiB asked for, 8 GiB held"));
}

TEST(Plan, WhoWorksLoadsLeavesOrIsNewIsWaitedFor) {
  for (int kind = 0; kind < 4; ++kind) {
    auto other = ready("other", 8_GiB);
    if (kind == 0) other.leases = 1;
    if (kind == 1) other.state = model_state::loading;
    if (kind == 1) other.depth = 1;  // from nothing
    if (kind == 2) other.state = model_state::leaving;
    if (kind == 3) other.keep_until = now + 1s;
    const auto books = one_device(10_GiB, {other});
    EXPECT_EQ(plan_admission(books, want(2_GiB)).outcome, plan_outcome::busy) << kind;
    auto patient = want(2_GiB);
    patient.take_busy = true;
    const bool can_be_asked = kind == 0 || kind == 3;
    EXPECT_EQ(plan_admission(books, patient).victims.size(), can_be_asked ? 1U : 0U) << kind;
  }
}

TEST(Plan, AtTheSameCostPerByteTheLeastRecentlyUsedLeaves) {
  const auto books = one_device(
      13_GiB, {ready("new", 4_GiB, 1s), ready("old", 4_GiB, 1h), ready("middle", 4_GiB, 1min)});
  EXPECT_THAT(names_in(plan_admission(books, want(4_GiB)), books), ElementsAre("old unload"));
  EXPECT_THAT(names_in(plan_admission(books, want(5_GiB)), books),
              ElementsAre("old unload", "middle unload"));
}

TEST(Plan, WhatWakesFastOrIsUsedRarelyLeavesFirst) {
  auto slow = ready("slow to wake", 4_GiB, 1h);
  slow.levels[0].wake_seconds = 600;
  auto rare = ready("rare", 4_GiB, 1s);
  rare.uses_per_second = 0.001;
  const auto books = one_device(13_GiB, {slow, ready("plain", 4_GiB, 1min), rare});
  EXPECT_THAT(names_in(plan_admission(books, want(8_GiB)), books),
              ElementsAre("rare unload", "plain unload"));
}

TEST(Plan, OfUsesHalfCountAfterAHalfLife) {
  // Four times as slow to wake, so that it goes first after two half-lives and not before.
  auto slow = ready("slow", 4_GiB, 2 * lull::use_half_life + 1min);
  slow.levels[0].wake_seconds *= 4;
  auto books = one_device(9_GiB, {ready("quick", 4_GiB, 1min + 1s), slow});
  EXPECT_THAT(names_in(plan_admission(books, want(4_GiB)), books), ElementsAre("quick unload"));
  books.models[1].last_used -= 2s;
  EXPECT_THAT(names_in(plan_admission(books, want(4_GiB)), books), ElementsAre("slow unload"));
}

TEST(Plan, WhoIsNoLongerNeededStays) {
  // The small one comes first in the order; once the large one goes, it does not have to.
  const auto books = one_device(13_GiB, {ready("small", 2_GiB, 1h), ready("large", 8_GiB, 1min)});
  EXPECT_THAT(names_in(plan_admission(books, want(8_GiB)), books), ElementsAre("large unload"));
}

TEST(Plan, TheShallowestLevelThatFreesEnoughIsTaken) {
  auto model = ready("a", 8_GiB);
  model.levels = {{"offload", {{0, 1_GiB}, {1, 7_GiB}}}, {"suspend", {{1, 8_GiB}}}, {"unload"}};
  plan_books books{{{"GPU0", 10_GiB, 1_GiB}, {"HOST", 16_GiB, 1_GiB}}, {model}};
  books.add_up();
  EXPECT_THAT(names_in(plan_admission(books, want(8_GiB)), books), ElementsAre("a offload"));
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books), ElementsAre("a suspend"));
  books.devices[1].foreign_bytes = 8_GiB;  // no room for what is kept in host memory
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books), ElementsAre("a unload"));
  EXPECT_THAT(names_in(plan_admission(books, want(8_GiB)), books), ElementsAre("a offload"));
}

TEST(Plan, ASleeperInHostMemoryMakesRoomThere) {
  auto sleeper = ready("asleep", 0);
  sleeper.state = model_state::asleep;
  sleeper.depth = 1;
  sleeper.holds = {{1, 8_GiB}};
  sleeper.levels = {{"offload", {{1, 8_GiB}}}, {"unload"}};
  plan_books books{{{"GPU0", 10_GiB, 1_GiB}, {"HOST", 10_GiB, 1_GiB}}, {sleeper}};
  books.add_up();
  EXPECT_THAT(names_in(plan_admission(books, {{}, {{1, 4_GiB}}, now}), books),
              ElementsAre("asleep unload"));
  EXPECT_THAT(plan_admission(books, want(9_GiB)).victims, IsEmpty());
}

/// Two devices: a ready model that sleeps in the second one's memory, and sleepers that fill it.
plan_books full_house(std::vector<plan_model> sleepers) {
  plan_model leaver = ready("leaver", 4_GiB);
  leaver.levels = {{"offload", {{1, 4_GiB}}, 1}, {"unload", {}, 9}};
  for (plan_model& sleeper : sleepers) {
    sleeper.state = model_state::asleep;
    sleeper.depth = 1;
    sleeper.levels = {{"offload", {{1, sleeper.holds[0].bytes}}, 1}, {"unload", {}, 9}};
    sleeper.holds = {{1, sleeper.holds[0].bytes}};
  }
  plan_books books{{{"GPU0", 10_GiB, 1_GiB}, {"HOST", 9_GiB, 1_GiB}}, {leaver}};
  books.models.insert(books.models.end(), sleepers.begin(), sleepers.end());
  books.add_up();
  return books;
}

TEST(Plan, SleepersThatAreMissedLessMakeRoomForContents) {
  const auto books = full_house({ready("old", 4_GiB, 1h), ready("older", 4_GiB, 2h)});
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books),
              ElementsAre("older unload", "leaver offload"));
}

TEST(Plan, SleepersThatAreMissedMoreDoNot) {
  const auto books = full_house({ready("new", 4_GiB, 1s), ready("newer", 4_GiB, 0s)});
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books), ElementsAre("leaver unload"));
}

TEST(Plan, NoSleeperGoesWhereAllOfThemAreNotEnough) {
  auto popular = ready("popular", 7_GiB, 1s);
  popular.uses_per_second = 1;
  const auto books = full_house({ready("old", 1_GiB, 1h), popular});
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books), ElementsAre("leaver unload"));
}

TEST(Plan, OfSleepersOnlyThoseGoThatAreNeeded) {
  // The small one is missed least, but once the large one goes, it does not have to.
  const auto books = full_house({ready("small", 1_GiB, 3h), ready("large", 7_GiB, 2h)});
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books),
              ElementsAre("large unload", "leaver offload"));
}

TEST(Plan, WhatGoingDeeperCostsASleeperIsWhatItTakesLongerThanFromThere) {
  // From nothing both take 9 seconds.
  auto books = full_house({ready("other", 8_GiB, 1min)});
  plan_model& leaver = books.models[0];
  plan_model& other = books.models[1];
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books),
              ElementsAre("other unload", "leaver offload"));
  leaver.levels[0].wake_seconds = 8;
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books), ElementsAre("leaver unload"));
  other.levels[0].wake_seconds = 8;
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books),
              ElementsAre("other unload", "leaver offload"));
  other.uses_per_second *= 3;
  EXPECT_THAT(names_in(plan_admission(books, want(9_GiB)), books), ElementsAre("leaver unload"));
}

TEST(Plan, WhatOneLeavesOnADeviceIsNoRoomForAnother) {
  // Host memory is full. What goes there fits only if the other one gives up all that it has there.
  auto there = ready("there already", 4_GiB, 1h);
  there.holds.push_back({1, 3_GiB});
  there.levels = {{"offload", {{1, 2_GiB}}, 1}, {"unload", {}, 2}};
  auto going = ready("going there", 4_GiB);
  going.levels = {{"offload", {{1, 3_GiB}}, 1}, {"unload", {}, 2}};
  plan_books books{{{"GPU0", 9_GiB, 1_GiB}, {"HOST", 4_GiB, 1_GiB}}, {there, going}};
  books.add_up();
  EXPECT_THAT(names_in(plan_admission(books, want(8_GiB)), books),
              ElementsAre("there already unload", "going there offload"));
}

TEST(Plan, WhoComesInIsNoVictimOfItself) {
  auto waking = ready("waking", 4_GiB);
  waking.state = model_state::asleep;
  const auto books = one_device(9_GiB, {waking});
  EXPECT_EQ(plan_admission(books, {0, {{0, 5_GiB}}, now}).outcome, plan_outcome::impossible);
  EXPECT_EQ(plan_admission(books, want(5_GiB)).outcome, plan_outcome::planned);
}

TEST(Plan, RoomIsMadeForOtherProgramsByTheSamePlan) {
  auto books = one_device(13_GiB, {ready("old", 4_GiB, 1h), ready("new", 4_GiB, 1s)});
  EXPECT_THAT(plan_admission(books, want(0)).victims, IsEmpty());
  books.devices[0].foreign_bytes = 6_GiB;
  EXPECT_THAT(names_in(plan_admission(books, want(0)), books), ElementsAre("old unload"));
  books.devices[0].foreign_bytes = 100_GiB;
  EXPECT_EQ(plan_admission(books, want(0)).victims.size(), 2U);
}

TEST(Plan, RefusesWhatTheBooksDoNotHave) {
  auto books = one_device(10_GiB, {ready("a", 8_GiB)});
  EXPECT_EQ(lull::test::error_of([&] {
              (void)plan_admission(books, {{}, {{1, 1}}, now});
            }).code(),
            lull::status::invalid_argument);
  EXPECT_EQ(lull::test::error_of([&] {
              (void)plan_admission(books, {1, {}, now});
            }).code(),
            lull::status::invalid_argument);
  books.models[0].holds = {{7, 1}};
  EXPECT_EQ(lull::test::error_of([&] { books.add_up(); }).code(), lull::status::invalid_argument);
}

// Against a reference that tries everything, on instances that are small enough.

std::int64_t on(const std::vector<device_bytes>& list, std::uint32_t device) {
  for (const auto& entry : list) {
    if (entry.device == device) return static_cast<std::int64_t>(entry.bytes);
  }
  return 0;
}

/// Which level each model is put away to; absent: stays.
using choice = std::vector<std::optional<std::size_t>>;

struct reference {
  const plan_books& books;
  const plan_request& request;

  std::int64_t held(std::size_t model, const choice& chosen, std::uint32_t device) const {
    const auto& who = books.models[model];
    if (!chosen[model]) return on(who.holds, device);
    const auto& level = who.levels[*chosen[model]];
    const auto left = on(level.left, device);
    return *chosen[model] + 1 == who.levels.size() ? std::min(left, on(who.holds, device)) : left;
  }

  bool asked(std::uint32_t device) const {
    return std::any_of(request.extra.begin(), request.extra.end(),
                       [&](const auto& wish) { return wish.device == device; });
  }

  std::int64_t limit(std::uint32_t device) const {
    const auto& where = books.devices[device];
    return std::max<std::int64_t>(
        0, static_cast<std::int64_t>(where.capacity_bytes) -
               static_cast<std::int64_t>(where.margin_bytes + where.foreign_bytes));
  }

  bool fits(const choice& chosen) const {
    for (std::uint32_t device = 0; device < books.devices.size(); ++device) {
      std::int64_t total = on(request.extra, device);
      bool grows = false;
      for (std::size_t model = 0; model < books.models.size(); ++model) {
        total += held(model, chosen, device);
        grows |= held(model, chosen, device) > on(books.models[model].holds, device);
      }
      if ((asked(device) || grows) && total > limit(device)) return false;
    }
    return true;
  }

  bool idle(std::size_t index) const {
    const auto& model = books.models[index];
    return index != request.model && !model.pinned && model.depth < model.levels.size() &&
           (model.state == model_state::ready || model.state == model_state::asleep) &&
           (request.take_busy || (model.leases == 0 && model.keep_until <= request.now));
  }

  bool movable(std::size_t index) const {
    const auto& model = books.models[index];
    const bool up = model.state == model_state::loading || model.depth < model.levels.size();
    return index != request.model && !model.pinned && !model.levels.empty() && up;
  }

  choice with_all_gone(bool (reference::*which)(std::size_t) const) const {
    choice chosen(books.models.size());
    for (std::size_t model = 0; model < books.models.size(); ++model) {
      if ((this->*which)(model)) chosen[model] = books.models[model].levels.size() - 1;
    }
    return chosen;
  }

  /// Freed on the devices that are short.
  std::int64_t freed(std::size_t model) const {
    const choice nobody(books.models.size());
    auto gone = nobody;
    gone[model] = books.models[model].levels.size() - 1;
    std::int64_t sum = 0;
    for (const auto& wish : request.extra) {
      plan_request alone = request;
      alone.extra = {wish};
      if (reference{books, alone}.fits(nobody)) continue;
      sum += held(model, nobody, wish.device) - held(model, gone, wish.device);
    }
    return sum;
  }

  /// Seconds in a second and GiB: that it comes back from a level instead of from where it is.
  double cost(std::size_t model, std::size_t level, std::int64_t bytes) const {
    const auto& who = books.models[model];
    const double here = who.depth > 0 ? who.levels[who.depth - 1].wake_seconds : 0;
    return cost_of_seconds(model, who.levels[level].wake_seconds - here, bytes);
  }
  double cost_of_seconds(std::size_t model, double longer, std::int64_t bytes) const {
    const auto& who = books.models[model];
    const double idle = std::chrono::duration<double>(request.now - who.last_used).count();
    const double half_life = std::chrono::duration<double>(lull::use_half_life).count();
    const double gib = static_cast<double>(bytes) / (1 << 30);
    return who.uses_per_second * std::exp2(-idle / half_life) * std::max(longer, 0.0) / gib;
  }

  /// Least missed first.
  std::vector<std::size_t> order() const {
    std::vector<std::tuple<double, lull::time_point, std::size_t>> keys;
    for (std::size_t model = 0; model < books.models.size(); ++model) {
      if (!idle(model) || freed(model) == 0) continue;
      const auto& who = books.models[model];
      keys.emplace_back(cost(model, who.depth, freed(model)), who.last_used, model);
    }
    std::sort(keys.begin(), keys.end());
    std::vector<std::size_t> list;
    for (const auto& key : keys) list.push_back(std::get<2>(key));
    return list;
  }

  /// Of all sets that make it fit, the one without the most missed model, then without the next.
  choice victims() const {
    const auto candidates = order();
    for (std::uint32_t set = 0; set < 1U << candidates.size(); ++set) {
      choice chosen(books.models.size());
      for (std::size_t place = 0; place < candidates.size(); ++place) {
        const auto model = candidates[place];
        if ((set >> place & 1U) != 0) chosen[model] = books.models[model].levels.size() - 1;
      }
      if (fits(chosen)) return with_levels(chosen, candidates);
    }
    ADD_FAILURE() << "no set fits";
    return {};
  }

  /// From the most missed on, each as shallow as it goes, sleepers going deeper for it or not.
  choice with_levels(choice chosen, std::vector<std::size_t> candidates) const {
    std::erase_if(candidates, [&](std::size_t model) { return !chosen[model]; });
    std::vector<std::size_t> pushed;
    for (std::size_t place = candidates.size(); place-- > 0;) {
      const auto model = candidates[place];
      const auto last = books.models[model].levels.size() - 1;
      for (auto level = books.models[model].depth; level <= last; ++level) {
        chosen[model] = level;
        if (fits(chosen)) break;
        const auto before = chosen;
        if (level < last && push(chosen, model, level, pushed)) break;
        chosen = before;
      }
    }
    for (const auto model : pushed) {
      chosen[model] = books.models[model].depth;
      while (!fits(chosen)) ++*chosen[model];
    }
    return chosen;
  }

  /// Of all sets of sleepers that are missed less and make it fit, the one without the most missed.
  bool push(choice& chosen, std::size_t victim, std::size_t level,
            std::vector<std::size_t>& pushed) const {
    const auto short_there = [&](std::uint32_t device) {
      choice deeper = chosen;
      deeper[victim] = books.models[victim].levels.size() - 1;
      std::int64_t room = 0;
      for (std::size_t model = 0; model < books.models.size(); ++model) {
        room -= held(model, deeper, device);
      }
      room += limit(device) - on(request.extra, device);
      const auto kept = held(victim, chosen, device) - held(victim, deeper, device);
      const bool grows = held(victim, chosen, device) > on(books.models[victim].holds, device);
      return kept > std::max<std::int64_t>(room, 0) && (asked(device) || grows);
    };
    const auto freed = [&](std::size_t model) {
      choice gone(books.models.size());
      const choice stays = gone;
      gone[model] = books.models[model].levels.size() - 1;
      std::int64_t sum = 0;
      for (std::uint32_t device = 0; device < books.devices.size(); ++device) {
        if (!short_there(device)) continue;
        sum += std::max<std::int64_t>(held(model, stays, device) - held(model, gone, device), 0);
      }
      return sum;
    };
    choice next = chosen;
    next[victim] = level + 1;
    std::int64_t saved = 0;
    for (std::uint32_t device = 0; device < books.devices.size(); ++device) {
      if (short_there(device)) saved += held(victim, chosen, device) - held(victim, next, device);
    }
    if (saved <= 0) return false;
    const auto& levels = books.models[victim].levels;
    using key = std::tuple<double, lull::time_point, std::size_t>;
    const key most{
        cost_of_seconds(victim, levels[level + 1].wake_seconds - levels[level].wake_seconds, saved),
        books.models[victim].last_used, victim};
    std::vector<key> sleepers;
    for (std::size_t model = 0; model < books.models.size(); ++model) {
      const bool sleeps = idle(model) && books.models[model].state == model_state::asleep;
      if (!sleeps || chosen[model] || freed(model) <= 0) continue;
      const key each{cost(model, books.models[model].levels.size() - 1, freed(model)),
                     books.models[model].last_used, model};
      if (each < most) sleepers.push_back(each);
    }
    std::sort(sleepers.begin(), sleepers.end());
    for (std::uint32_t set = 1; set < 1U << sleepers.size(); ++set) {
      auto with = chosen;
      for (std::size_t place = 0; place < sleepers.size(); ++place) {
        const auto model = std::get<2>(sleepers[place]);
        if ((set >> place & 1U) != 0) with[model] = books.models[model].levels.size() - 1;
      }
      if (!fits(with)) continue;
      for (std::size_t place = sleepers.size(); place-- > 0;) {
        if ((set >> place & 1U) != 0) pushed.push_back(std::get<2>(sleepers[place]));
      }
      chosen = with;
      return true;
    }
    return false;
  }
};

class instances {
 public:
  explicit instances(std::uint32_t seed) : random_(seed) {}

  std::uint64_t upto(std::uint64_t most) { return random_() % (most + 1); }

  std::vector<device_bytes> bytes(std::uint32_t devices, std::uint64_t most) {
    std::vector<device_bytes> list;
    for (std::uint32_t device = 0; device < devices; ++device) {
      if (upto(2) != 0) list.push_back({device, upto(most)});
    }
    return list;
  }

  plan_model model(std::uint32_t devices) {
    plan_model made;
    made.name = "m";
    made.holds = bytes(devices, 12);
    made.state = static_cast<model_state>(upto(9) < 4 ? upto(4) : upto(2) == 0 ? 1 : 3);
    made.leases = upto(4) == 0 ? 1 : 0;
    made.pinned = upto(9) == 0;
    made.keep_until = upto(6) == 0 ? now + 1s : now;
    made.last_used = now - std::chrono::seconds(upto(3));
    made.uses_per_second = static_cast<double>(upto(3));
    // From the deepest up, each leaving at least what the one below it leaves, on the last device
    // (the host) perhaps more than there was.
    std::vector<std::uint64_t> left(devices, 0);
    for (auto count = upto(9) == 0 ? 0 : 1 + upto(2); count > 0; --count) {
      lull::plan_level level{"l", {}, static_cast<double>(upto(3))};
      for (std::uint32_t device = 0; device < devices; ++device) {
        const auto held = static_cast<std::uint64_t>(on(made.holds, device));
        const auto most = device + 1 == devices ? held + 6 : held;
        left[device] = std::min(most, left[device] + upto(4));
        if (left[device] != 0) level.left.push_back({device, left[device]});
      }
      made.levels.insert(made.levels.begin(), level);
    }
    made.depth = upto(made.levels.size());
    if (made.state != model_state::asleep && upto(5) != 0) made.depth = 0;
    return made;
  }

  /// A device that is full of ready models, and one that is full of what others left there.
  plan_books full_house() {
    plan_books made{{{"d", 0, upto(4)}, {"h", 0, upto(4)}}, {}};
    for (auto count = 3 + upto(4); count > 0; --count) {
      plan_model each{"m", upto(1) == 0 ? model_state::asleep : model_state::ready};
      const auto size = 1 + upto(9);
      const auto wake = static_cast<double>(upto(3));
      each.levels = {{"offload", {{1, size}}, wake},
                     {"unload", {}, wake + static_cast<double>(upto(3))}};
      each.depth = each.state == model_state::asleep ? 1 : 0;
      each.holds = {{static_cast<std::uint32_t>(each.depth), size}};
      each.uses_per_second = static_cast<double>(upto(3));
      each.last_used = now - std::chrono::seconds(upto(3));
      made.models.push_back(each);
    }
    made.add_up();
    for (lull::plan_device& device : made.devices) {
      device.capacity_bytes = device.held_bytes + device.margin_bytes + upto(4);
    }
    return made;
  }

  plan_books books() {
    if (upto(3) == 0) return full_house();
    plan_books made;
    const auto devices = static_cast<std::uint32_t>(1 + upto(2));
    for (std::uint32_t device = 0; device < devices; ++device) {
      made.devices.push_back({"d", 10 + upto(50), upto(4), upto(8) == 0 ? upto(70) : upto(6)});
    }
    for (auto count = 2 + upto(6); count > 0; --count) made.models.push_back(model(devices));
    made.add_up();
    for (lull::plan_device& device : made.devices) {
      const auto held = device.held_bytes + device.margin_bytes + device.foreign_bytes;
      if (upto(1) == 0) device.capacity_bytes = held + upto(4);
    }
    return made;
  }

  plan_request request(const plan_books& from) {
    plan_request made;
    made.now = now;
    const auto devices = static_cast<std::uint32_t>(from.devices.size());
    made.extra = bytes(devices > 1 && upto(1) == 0 ? devices - 1 : devices, 20);
    made.take_busy = upto(4) == 0;
    if (!from.models.empty() && upto(1) == 0) made.model = upto(from.models.size() - 1);
    return made;
  }

 private:
  std::mt19937 random_;
};

TEST(Plan, IsWhatTryingEverythingFinds) {
  const auto first_seed = std::random_device{}();
  std::array<int, 3> outcomes{};
  int victims = 0;
  int for_others = 0;  // sleepers that make room for what others leave
  for (std::uint32_t round = 0; round < 8000 && !testing::Test::HasFailure(); ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << first_seed + round);
    instances make(first_seed + round);
    const auto books = make.books();
    const auto request = make.request(books);
    const auto result = plan_admission(books, request);
    const reference all{books, request};
    ++outcomes[static_cast<std::size_t>(result.outcome)];
    if (!all.fits(all.with_all_gone(&reference::movable))) {
      EXPECT_EQ(result.outcome, plan_outcome::impossible);
      EXPECT_THAT(result.victims, IsEmpty());
      continue;
    }
    if (!all.fits(all.with_all_gone(&reference::idle))) {
      EXPECT_EQ(result.outcome, plan_outcome::busy);
      EXPECT_THAT(result.victims, IsEmpty());
      continue;
    }
    ASSERT_EQ(result.outcome, plan_outcome::planned);
    choice chosen(books.models.size());
    for (const auto& victim : result.victims) chosen[victim.model] = victim.level;
    EXPECT_EQ(chosen, all.victims());
    victims += static_cast<int>(result.victims.size());
    for (const auto& victim : result.victims) {
      for_others += all.freed(victim.model) == 0 ? 1 : 0;
    }
  }
  if (testing::Test::HasFailure()) return;
  EXPECT_GT(*std::min_element(outcomes.begin(), outcomes.end()), 100) << "seed " << first_seed;
  EXPECT_GT(victims, 500) << "seed " << first_seed;
  EXPECT_GT(for_others, 10) << "seed " << first_seed;
}

}  // namespace
