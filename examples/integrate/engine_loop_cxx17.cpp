// The same engine in C++17 without exceptions and run-time types, through the C API only: its model
// lies in regions, its own loop computes and moves it, and a router is told of each transition. It
// is compiled and run with the tests.

#include <lull/lull.h>
#include <lull/once.h>
#include <lull/raii.hpp>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

extern "C" {
#include "task_loop.h"
}

namespace {

constexpr std::size_t weight_count = std::size_t{1} << 20;
constexpr std::size_t cell_count = std::size_t{1} << 16;

/// Ends the program with the words of what failed: an example has nobody to tell.
void check(const lull::raii::result& done, const char* what) {
  if (done) return;
  std::fprintf(stderr, "%s: %s\n", what, done.message());
  std::exit(1);
}

/// The engine's loop (task_loop.h), for callables.
class compute_loop {
 public:
  compute_loop() : loop_(task_loop_start()) {
    if (loop_ == nullptr) std::abort();
  }
  ~compute_loop() {
    end();
    task_loop_destroy(loop_);
  }
  compute_loop(const compute_loop&) = delete;
  compute_loop& operator=(const compute_loop&) = delete;

  /// A task that does not run is destroyed, with what it holds.
  template <class Task>
  void post(Task task) {
    task_loop_post(
        loop_,
        [](void* user) {
          const std::unique_ptr<Task> mine(static_cast<Task*>(user));
          (*mine)();
        },
        [](void* user) { const std::unique_ptr<Task> mine(static_cast<Task*>(user)); },
        new Task(std::move(task)));
  }
  void end() { task_loop_end(loop_); }

 private:
  task_loop* loop_;
};

/// What a router is told, on whatever way it is told.
class router_events {
 public:
  static void tell(void* user, const lull_report* report) {
    lull_report_info info{};
    info.struct_size = sizeof info;
    if (lull_report_describe(report, &info) != LULL_OK) return;
    auto& self = *static_cast<router_events*>(user);
    (std::string(info.what) == "sleep" ? self.sleeps : self.wakes) += info.succeeded;
  }
  std::atomic<int> sleeps{0};
  std::atomic<int> wakes{0};
};

/// Made once in each context of the device: it is gone with the context, and made again after it.
class tables {
 public:
  explicit tables(const lull_generation* context) : context_(context) {}
  bool raise() {
    const auto make = [](void* user) {
      ++*static_cast<int*>(user);
      return LULL_OK;
    };
    return lull_once_call(&made_, context_, make, &times) == LULL_OK;
  }
  int times = 0;

 private:
  const lull_generation* context_;
  lull_once made_{};
};

class engine {
 public:
  explicit engine(router_events& events) {
    check(registry_.open_shared(), "registry");
    check(registry_.find("host", 0, host_), "device");
    check(stop_.create(), "stop");
    check(memory_.create(), "memory");
    weights_ = make_region("weights", weight_count * sizeof(unsigned), write_weights);
    cells_ = make_region("kv", cell_count * sizeof(unsigned), nullptr);
    check(weights_.refill(write_weights, nullptr), "weights");
    tables_ = std::make_unique<tables>(host_.generation_counter());

    lull_sleeper_options options;
    lull_sleeper_options_init(&options);
    options.run_on = [](void* user, lull_transition_work* work) {
      // Between two computations; destroyed unrun, it fails as cancelled, with all as it was.
      static_cast<engine*>(user)->loop_.post(
          [owned = lull::raii::transition_work(work)] { owned.run(); });
    };
    options.run_on_user = this;
    options.on_transition = router_events::tell;
    options.on_transition_user = &events;
    check(sleeper_.create(&options), "sleeper");
    check(sleeper_.manage(memory_), "manage");
    // Added after the memory: what is cached is forgotten before the cache goes.
    lull_participant who;
    lull_participant_init(&who);
    who.name = "cached tokens";
    who.sleep = forget;
    who.wake = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_OK; };
    who.user = this;
    check(sleeper_.add(who), "participant");
  }

  ~engine() {
    check(stop_.request(), "stop");  // whoever waits for a lease is told
    loop_.end();                     // what is queued gives its leases back
    sleeper_.reset();                // before the memory that it manages
  }
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// One request, on a thread of the server's. @return a status as HTTP has it
  int complete(unsigned prompt, unsigned& answer) {
    lull_acquire_options how;
    lull_acquire_options_init(&how);
    how.timeout_ns = 30 * LULL_SECOND;
    how.cancel = stop_.get();
    lull::raii::lease lease;
    if (const auto done = sleeper_.acquire(lease, how); !done) {  // wakes
      std::fprintf(stderr, "no lease: %s\n", done.message());
      return done.status() == LULL_ERROR_TIMED_OUT ? 504 : 503;
    }
    // The computation has a lease of its own: it may go on after this request has given up.
    lull::raii::lease of_task;
    check(lease.share(of_task), "share");
    auto result = std::make_shared<std::promise<unsigned>>();
    auto later = result->get_future();
    loop_.post([this, prompt, result, held = std::move(of_task)]() mutable {
      const unsigned answered = decode(prompt);
      held.release();
      result->set_value(answered);
    });
    result.reset();  // the task's alone: where it is dropped, nobody answers
    answer = later.get();
    return 200;
  }

  /// The tag of the cache is offloaded, or given up.
  bool sleep(lull_contents_action cache) {
    const lull_tag_action by_tag[] = {{"kv", cache}};
    lull_sleep_plan plan;
    if (lull_sleep_plan_init(&plan, LULL_LEVEL_DISCARD) != LULL_OK) return false;
    plan.contents.tags = by_tag;
    plan.contents.tag_count = 1;
    return static_cast<bool>(sleeper_.sleep(&plan));
  }

  [[nodiscard]] std::size_t cached_tokens() const { return cached_; }
  [[nodiscard]] int table_count() const { return tables_->times; }

 private:
  lull::raii::region make_region(const char* tag, std::size_t bytes, lull_refill_fn refill) {
    lull_region_options options;
    lull_region_options_init(&options);
    options.tag = tag;
    options.refill = refill;
    lull::raii::region made;
    check(memory_.allocate(host_, bytes, made, &options), tag);
    return made;
  }

  /// As a file would be read.
  static lull_status write_weights(void* /*user*/, const lull_refill_target* target) {
    const std::vector<unsigned> three(weight_count, 3);
    return lull_refill_target_write(target, 0, three.data(), weight_count * sizeof(unsigned));
  }

  static lull_status forget(void* user, const lull_sleep_plan* plan, lull_transition* /*now*/) {
    auto& self = *static_cast<engine*>(user);
    lull_contents_action action{};
    const lull_status code = lull_eviction_plan_action(&plan->contents, "kv", &action);
    if (code == LULL_OK && action == LULL_CONTENTS_DISCARD) self.cached_ = 0;
    return code;
  }

  /// On the loop.
  unsigned decode(unsigned prompt) {
    lull::raii::region_lease weights;
    check(weights_.acquire(weights), "weights");
    if (!tables_->raise()) std::abort();
    const auto* const each = static_cast<const unsigned*>(weights.address());
    if (cached_ == 0) {
      // The cache's contents may be none after a sleep: writing all of it makes them valid.
      check(cells_.refill(
                [](void* user, const lull_refill_target* target) {
                  const std::vector<unsigned> cells(cell_count, *static_cast<unsigned*>(user));
                  return lull_refill_target_write(target, 0, cells.data(),
                                                  cell_count * sizeof(unsigned));
                },
                &prompt),
            "cells");
      cached_ = cell_count;
    }
    lull::raii::region_lease cells;
    check(cells_.acquire(cells), "cells");
    unsigned sum = static_cast<const unsigned*>(cells.address())[cell_count - 1];
    for (std::size_t i = 0; i < weight_count; ++i) sum += each[i];
    return sum;
  }

  lull::raii::registry registry_;
  lull::raii::device host_;
  lull::raii::cancel stop_;
  lull::raii::memory memory_;
  lull::raii::region weights_;
  lull::raii::region cells_;
  std::unique_ptr<tables> tables_;
  lull::raii::sleeper sleeper_;
  std::size_t cached_ = 0;  ///< touched on the loop only
  compute_loop loop_;
};

/// @return what was wrong; null: nothing
const char* run(engine& server) {
  constexpr unsigned expected = 1 + 3 * weight_count;
  unsigned answer = 0;
  if (server.complete(1, answer) != 200 || answer != expected) return "the first answer";

  if (!server.sleep(LULL_CONTENTS_OFFLOAD)) return "the sleep that keeps the cache";
  if (server.cached_tokens() != cell_count) return "what is cached";
  std::vector<std::thread> crowd;
  std::atomic<int> equal{0};
  for (int i = 0; i < 8; ++i) {
    crowd.emplace_back([&] {
      unsigned mine = 0;
      if (server.complete(1, mine) == 200 && mine == expected) ++equal;
    });
  }
  for (std::thread& each : crowd) each.join();
  if (equal != 8) return "the answers of a crowd";

  if (!server.sleep(LULL_CONTENTS_DISCARD)) return "the sleep that gives the cache up";
  if (server.cached_tokens() != 0) return "what is not cached";
  if (server.complete(1, answer) != 200 || answer != expected) return "the last answer";
  return server.table_count() == 1 ? nullptr : "the tables";
}

}  // namespace

int main() {
  router_events events;
  const char* wrong = nullptr;
  {
    engine server(events);
    wrong = run(server);
  }
  // The router is told after those who waited: when the engine has ended, of everything.
  if (wrong == nullptr && (events.sleeps != 2 || events.wakes != 2))
    wrong = "what the router knows";
  std::printf("%s: %d sleeps, %d wakes\n", wrong != nullptr ? wrong : "all answers are right",
              events.sleeps.load(), events.wakes.load());
  return wrong == nullptr ? 0 : 1;
}
