// Many clients of more models than fit, over a budget: real regions of memory on simulated GPUs,
// through the module that ships, in virtual time.

#include <lull/budget.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "vendor/transfer_fixture.hpp"

namespace lull::test {
namespace {

using namespace std::chrono_literals;

#ifdef LULL_TEST_CUDA

constexpr std::uint64_t model_bytes = 4_MiB;
constexpr std::uint64_t margin_bytes = 2_MiB;
constexpr unsigned model_count = 12;

vendor_case cuda() {
  for (const vendor_case& each : vendor_cases()) {
    if (each.name == "cuda") return each;
  }
  throw std::logic_error("no CUDA");
}

/// GPUs that have room for three models each beside their context and the margin.
simgpu::scenario small_gpus() {
  simgpu::scenario made;
  made.context_bytes = 16_MiB;
  made.total_bytes = made.context_bytes + 3 * model_bytes + margin_bytes;
  made.other_processes = 0;
  return made;
}

/// What is served: a region on each of its devices, asleep in host memory, or not there.
class served_model {
 public:
  served_model(unsigned number, std::vector<device> devices, const host_arena& arena)
      : contents_(pattern(model_bytes, number)), devices_(std::move(devices)), arena_(arena) {}

  [[nodiscard]] bytes_by_device need() const {
    bytes_by_device bytes;
    for (const device& each : devices_) bytes[each.name()] = model_bytes / devices_.size();
    return bytes;
  }

  void load() {
    if (memory_) {
      memory_->restore();
      ++wakes;
    } else {
      memory_.emplace(in_small_steps(arena_));
      for (const device& each : devices_) {
        regions_.push_back(memory_->allocate(each, model_bytes / devices_.size()));
        each.copy_from_host(regions_.back().address(), contents_.data(),
                            regions_.back().size_bytes());
      }
      ++loads;
    }
    ready = true;
  }

  void put_away(bool altogether) {
    ready = false;
    if (!altogether) {
      memory_->evict({.otherwise = contents_action::offload});
      return;
    }
    regions_.clear();
    memory_.reset();
  }

  /// Whether what is on the devices is the model, looked at in each 64 KiB of it.
  [[nodiscard]] bool is_itself() const {
    for (const region& each : regions_) {
      const auto lease = each.acquire();
      for (std::uint64_t at = 0; at < each.size_bytes(); at += 64_KiB) {
        std::uint64_t seen = 0;
        each.device().copy_to_host(&seen, static_cast<std::byte*>(lease.address()) + at,
                                   sizeof seen);
        if (std::memcmp(&seen, contents_.data() + at, sizeof seen) != 0) return false;
      }
    }
    return true;
  }

  bool ready = false;
  int loads = 0;
  int wakes = 0;

 private:
  std::vector<std::byte> contents_;
  std::vector<device> devices_;
  host_arena arena_;
  std::optional<memory> memory_;
  std::vector<region> regions_;
};

class service {
 public:
  explicit service(machine& here) : here_(here), arena_(arena_of()) {
    for (int ordinal = 0; ordinal < 2; ++ordinal) {
      here.device(ordinal).context_create();
      devices_.push_back(here.device(ordinal));
    }
    budget_options options;
    for (const device& each : devices_) {
      options.devices.push_back({each.name(), *each.memory().total_bytes, margin_bytes});
    }
    options.devices.push_back({"HOST", 4 * model_bytes, 0});
    options.time = &time;
    options.evict = [this](const budget_eviction& what) {
      served_model& leaver = *models_.at(what.model);
      EXPECT_TRUE(leaver.ready || what.depth > 0);
      leaver.put_away(what.depth > 0);
      check();
    };
    options.settle = [this](const std::vector<settle_expectation>& expected) {
      settle_options how;
      std::copy_if(expected.begin(), expected.end(), std::back_inserter(how.expected),
                   [](const auto& each) { return each.device != "HOST"; });
      how.released_at = steady_clock().now();
      if (how.expected.empty()) return;
      EXPECT_EQ(settle(devices_, how).status, settle_status::settled);
    };
    options.probe = [this] {
      std::vector<budget_reading> readings;
      for (const device& each : devices_) {
        const memory_info memory = each.memory();
        readings.push_back({each.name(), *memory.total_bytes - *memory.free_bytes});
      }
      return readings;
    };
    options.run_on = [this](std::function<void()> job) { in(1s, std::move(job)); };
    budget_.emplace(std::move(options));
    for (unsigned number = 0; number < model_count; ++number) add(number);
  }

  /// An event that is due at some time.
  void in(duration span, std::function<void()> what) {
    events_.emplace(time.now() + span, std::move(what));
  }

  void pass(duration span) {
    const time_point end = time.now() + span;
    while (true) {
      const time_point tick = budget_->next_tick();
      const time_point event = events_.empty() ? no_deadline : events_.begin()->first;
      if (std::min(tick, event) > end) break;
      time.advance(std::max(std::min(tick, event) - time.now(), duration::zero()));
      if (event > tick) {
        budget_->tick();
        continue;
      }
      const auto what = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      what();
    }
    time.advance(end - time.now());
  }

  void ask(unsigned number, duration work, time_point deadline) {
    ++asked;
    const std::string name = name_of(number);
    budget_->admit_async(name, deadline, [this, name, work](budget::admission result) {
      if (!result.failure) return begin(name, std::move(result.ticket), work);
      ++refused;
      EXPECT_EQ(result.failure->code(), status::timed_out);
      EXPECT_THAT(result.failure->what(), testing::HasSubstr("no room for model '" + name));
    });
  }

  void let_others_take(std::uint64_t bytes) {
    others_ = bytes;
    here_.gpu().set_foreign_bytes(0, bytes);
    budget_->refresh();
    undisturbed_since_ = time.now();
  }

  [[nodiscard]] budget_snapshot look() const { return budget_->snapshot(); }
  [[nodiscard]] int wakes() const {
    int sum = 0;
    for (const auto& [name, each] : models_) sum += each->wakes;
    return sum;
  }

  manual_clock time;
  unsigned asked = 0;
  unsigned answered = 0;
  unsigned refused = 0;
  std::uint64_t most_used = 0;

 private:
  using ticket_ptr = std::shared_ptr<budget_ticket>;

  static std::string name_of(unsigned number) { return "model " + std::to_string(number); }

  /// Every third is on both devices.
  void add(unsigned number) {
    std::vector<device> where{devices_[number % 2]};
    if (number % 3 == 0) where = devices_;
    const std::string name = name_of(number);
    models_[name] = std::make_unique<served_model>(number, where, arena_);
    const bytes_by_device need = models_[name]->need();
    budget_->add({name, need, {{"offload", {{"HOST", model_bytes}}}, {"unload"}}});
  }

  void begin(const std::string& name, budget_ticket given, duration work) {
    const auto ticket = std::make_shared<budget_ticket>(std::move(given));
    served_model& model = *models_.at(name);
    if (!ticket->must_load()) return answer(name, ticket, work);
    EXPECT_FALSE(model.ready);
    model.load();  // the GPU has no byte more than there is: it would fail
    check();
    in(2s, [this, name, ticket, work] {
      EXPECT_TRUE(models_.at(name)->is_itself());
      ticket->confirm(models_.at(name)->need());
      answer(name, ticket, work);
    });
  }

  void answer(const std::string& name, const ticket_ptr& ticket, duration work) {
    EXPECT_TRUE(models_.at(name)->ready) << name << " was promised and is not in";
    ++answered;
    in(work, [ticket] { ticket->release(); });
  }

  /// The simulator's own books. Other programs take what is free, and that is the margin: when they
  /// have just come, models need a moment to leave.
  void check() {
    const bool disturbed = others_ > 0 && time.now() - undisturbed_since_ < 30s;
    for (int ordinal = 0; ordinal < 2; ++ordinal) {
      const auto figures = here_.gpu().observe(ordinal);
      most_used = std::max(most_used, figures.used_bytes);
      const std::uint64_t limit = figures.total_bytes - (disturbed ? 0 : margin_bytes);
      EXPECT_LE(figures.used_bytes, limit) << "CUDA" << ordinal;
    }
  }

  machine& here_;
  host_arena arena_;
  std::vector<device> devices_;
  std::map<std::string, std::unique_ptr<served_model>> models_;
  std::multimap<time_point, std::function<void()>> events_;
  std::uint64_t others_ = 0;
  time_point undisturbed_since_{};
  std::optional<budget> budget_;
};

TEST(BudgetOnGpus, FiveHundredClientsOfTwelveModelsOnDevicesThatHoldThree) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto between = [&](int from, int to) {
    return std::chrono::milliseconds(from + static_cast<int>(random() % unsigned(to - from + 1)));
  };
  machine here(cuda(), small_gpus());
  {
    service served(here);
    const time_point end = served.time.now() + 10min;
    std::function<void()> visit = [&] {
      // Some models are wanted more than others.
      const auto which = static_cast<unsigned>(std::min(random() % 12, random() % 12));
      const bool impatient = random() % 4 == 0;
      served.ask(which, between(100, 2000), impatient ? served.time.now() + 20s : no_deadline);
      if (served.time.now() < end) served.in(between(10'000, 120'000), visit);
    };
    for (int client = 0; client < 500; ++client) served.in(between(0, 60'000), visit);
    served.in(4min, [&] { served.let_others_take(margin_bytes); });
    served.in(6min, [&] { served.let_others_take(0); });
    served.pass(10min);
    served.pass(30min);

    EXPECT_GT(served.asked, 3000U);
    EXPECT_EQ(served.asked, served.answered + served.refused) << "somebody waits for ever";
    EXPECT_GT(served.answered, 2000U);
    EXPECT_GT(served.wakes(), 20) << "from sleep";
    const budget_snapshot seen = served.look();
    EXPECT_GT(seen.counters.evictions, 50U);
    EXPECT_EQ(seen.counters.given_up, 0U);
    EXPECT_EQ(seen.counters.failed_evictions, 0U);
    for (const budget_model_snapshot& each : seen.models) EXPECT_EQ(each.leases, 0U);
    for (int ordinal = 0; ordinal < 2; ++ordinal) {
      const auto& books = seen.devices[static_cast<std::size_t>(ordinal)];
      EXPECT_EQ(books.foreign_bytes + books.held_bytes, here.gpu().observe(ordinal).used_bytes)
          << "what the budget believes is what the GPU has";
    }
    EXPECT_GT(served.most_used, small_gpus().total_bytes - margin_bytes - model_bytes)
        << "the room is used";
  }
  EXPECT_THAT(here.gpu().misuse(), testing::IsEmpty());
}

#endif

}  // namespace
}  // namespace lull::test
