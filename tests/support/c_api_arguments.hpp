#ifndef LULL_TESTS_SUPPORT_C_API_ARGUMENTS_HPP
#define LULL_TESTS_SUPPORT_C_API_ARGUMENTS_HPP

/// @file
/// Arguments that are in order for every function of the C API, for tests that call all of them.

#include <lull/lull.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace lull::test::c_api {

inline lull_status keep_graph(void*, void*) {
  return LULL_OK;
}

/// One of every kind of object, alive.
class objects {
 public:
  /// On the host.
  objects() {
    ok(lull_registry_shared(&registry_));
    ok(lull_registry_find(registry_, "HOST", &device_));
    make_others();
  }
  /// On another device; it takes both over.
  objects(lull_registry* registry, lull_device* device) : registry_(registry), device_(device) {
    make_others();
  }
  ~objects() {
    lull_handover_destroy(handover_);
    lull_file_source_destroy(source_);
    lull_arena_destroy(arena_);
    lull_budget_view_destroy(view_);
    lull_budget_plan_destroy(plan_);
    lull_budget_ticket_destroy(ticket_);
    lull_budget_destroy(models_);
    lull_graph_hold_destroy(hold_);
    lull_graph_budget_destroy(budget_);
    lull_graph_cache_destroy(cache_);
    lull_process_destroy(process_);
    lull_report_destroy(report_);
    lull_settlement_destroy(settlement_);
    lull_reset_hook_destroy(hook_);
    lull_release_clock_destroy(releases_);
    lull_cancel_destroy(cancel_);
    lull_sleeper_destroy(sleeper_);
    lull_allocator_destroy(allocator_);
    lull_region_destroy(region_);
    lull_memory_destroy(memory_);
    lull_device_destroy(device_);
    lull_registry_destroy(registry_);
  }
  objects(const objects&) = delete;
  objects& operator=(const objects&) = delete;

  /// Has the functions of sleepers called with another one, which it takes over.
  void use(lull_sleeper* sleeper) { lull_sleeper_destroy(std::exchange(sleeper_, sleeper)); }

  /// Runs `work` where there is what exists during a call only: a refill target, a call of a
  /// budget, and a transition.
  void with_all(std::function<void()> work) {
    work_ = std::move(work);
    const auto refill = [](void* user, const lull_refill_target* target) -> lull_status {
      auto& self = *static_cast<objects*>(user);
      self.target_ = const_cast<lull_refill_target*>(target);
      self.with_budget_call();
      return LULL_OK;
    };
    ok(lull_region_refill(region_, refill, this));
  }

  // What a kind of object that is not here does not compile with.
  lull_registry* get(lull_registry*) const { return registry_; }
  lull_device* get(lull_device*) const { return device_; }
  lull_memory* get(lull_memory*) const { return memory_; }
  lull_region* get(lull_region*) const { return region_; }
  lull_allocator* get(lull_allocator*) const { return allocator_; }
  lull_refill_target* get(lull_refill_target*) const { return target_; }
  lull_sleeper* get(lull_sleeper*) const { return sleeper_; }
  lull_cancel* get(lull_cancel*) const { return cancel_; }
  lull_release_clock* get(lull_release_clock*) const { return releases_; }
  lull_reset_hook* get(lull_reset_hook*) const { return hook_; }
  lull_settlement* get(lull_settlement*) const { return settlement_; }
  lull_report* get(lull_report*) const { return report_; }
  lull_process* get(lull_process*) const { return process_; }
  lull_graph_cache* get(lull_graph_cache*) const { return cache_; }
  lull_graph_budget* get(lull_graph_budget*) const { return budget_; }
  lull_graph_hold* get(lull_graph_hold*) const { return hold_; }
  lull_budget* get(lull_budget*) const { return models_; }
  lull_budget_ticket* get(lull_budget_ticket*) const { return ticket_; }
  lull_budget_plan* get(lull_budget_plan*) const { return plan_; }
  lull_budget_view* get(lull_budget_view*) const { return view_; }
  lull_budget_call* get(lull_budget_call*) const { return call_; }
  lull_budget_work* get(lull_budget_work*) const { return leaving_; }
  lull_arena* get(lull_arena*) const { return arena_; }
  lull_file_source* get(lull_file_source*) const { return source_; }
  lull_handover* get(lull_handover*) const { return handover_; }
  /// Exists during a callback only; nothing but whether it is null is looked at here.
  lull_free_bytes* get(lull_free_bytes*) const {
    return reinterpret_cast<lull_free_bytes*>(handover_);
  }
  lull_transition* get(lull_transition*) const { return transition_; }
  lull_transition_work* get(lull_transition_work*) const { return handed_; }

 private:
  void make_others() {
    lull_device_info info{};
    info.struct_size = sizeof info;
    ok(lull_device_describe(device_, &info));
    ok(lull_memory_create(nullptr, &memory_));
    ok(lull_memory_allocate(memory_, device_, 1, nullptr, &region_));
    lull_allocator_options allocator;
    lull_allocator_options_init(&allocator);
    allocator.backend = info.backend;
    ok(lull_allocator_create(memory_, registry_, &allocator, &allocator_));
    ok(lull_sleeper_create(nullptr, &sleeper_));
    ok(lull_cancel_create(&cancel_));
    ok(lull_release_clock_create(&releases_));
    lull_reset_hook_options hook;
    lull_reset_hook_options_init(&hook);
    ok(lull_reset_hook_create(device_, &hook, &hook_));
    ok(lull_devices_settle(nullptr, 0, nullptr, &settlement_));
    const lull_eviction_plan keep_all{};
    ok(lull_memory_evict(memory_, &keep_all, nullptr, &report_));
    const char* const words[] = {"true"};
    lull_process_options process;
    lull_process_options_init(&process);
    process.arguments = words;
    process.argument_count = 1;
    ok(lull_process_start(&process, &process_));
    lull_graph_driver driver{};
    driver.struct_size = sizeof driver;
    driver.destroy = keep_graph;
    lull_graph_cache_options cache;
    lull_graph_cache_options_init(&cache);
    cache.driver = &driver;
    ok(lull_graph_cache_create(&cache, &cache_));
    ok(lull_graph_budget_create(1, 1, &budget_));
    ok(lull_graph_hold_create(0, &hold_));
    models_ = make_budget();
    ok(lull_budget_preview(models_, "model", &plan_));
    ok(lull_budget_observe(models_, &view_));
    ok(lull_budget_admit(models_, "model", 0, nullptr, &ticket_));
    ok(lull_arena_create(nullptr, &arena_));
    ok(lull_file_source_open("/proc/self/exe", &source_));
    ok(lull_handover_create(&handover_));
  }

  /// With one model, which may come in.
  lull_budget* make_budget() {
    const lull_budget_device room{"HOST", 1, 0, 0};
    lull_budget_options options;
    lull_budget_options_init(&options);
    options.devices = &room;
    options.device_count = 1;
    options.user = this;
    options.evict = [](void* user, const lull_budget_eviction*, lull_budget_call* call) {
      static_cast<objects*>(user)->call_ = call;
      static_cast<objects*>(user)->with_transition();
      return LULL_OK;
    };
    options.run_on = [](void* user, lull_budget_work* work) {
      static_cast<objects*>(user)->leaving_ = work;
      lull_budget_work_destroy(work);
    };
    lull_budget* made = nullptr;
    ok(lull_budget_create(&options, &made));
    const lull_device_bytes need{"HOST", 1};
    lull_budget_model model;
    lull_budget_model_init(&model);
    model.name = "model";
    model.need = &need;
    model.need_count = 1;
    ok(lull_budget_add(made, &model));
    return made;
  }

  void with_budget_call() {
    lull_budget* const other = make_budget();
    lull_budget_ticket* ticket = nullptr;
    ok(lull_budget_admit(other, "model", 0, nullptr, &ticket));
    ok(lull_budget_ticket_confirm(ticket, nullptr, 0));
    lull_budget_ticket_destroy(ticket);
    ok(lull_budget_put_away(other, "model", 0, nullptr));
    lull_budget_destroy(other);
  }

  void with_transition() {
    lull_sleeper_options options;
    lull_sleeper_options_init(&options);
    options.run_on_user = this;
    options.run_on = [](void* user, lull_transition_work* work) {
      static_cast<objects*>(user)->handed_ = work;
      lull_transition_work_run(work);
      lull_transition_work_destroy(work);
    };
    lull_sleeper* sleeper = nullptr;
    ok(lull_sleeper_create(&options, &sleeper));
    lull_participant who;
    lull_participant_init(&who);
    who.name = "checks";
    who.user = this;
    who.sleep = [](void* user, const lull_sleep_plan*, lull_transition* now) {
      auto& self = *static_cast<objects*>(user);
      self.transition_ = now;
      self.work_();
      return LULL_OK;
    };
    who.wake = [](void*, const lull_sleep_plan*, lull_transition*) { return LULL_OK; };
    ok(lull_sleeper_add(sleeper, &who));
    ok(lull_sleeper_sleep(sleeper, nullptr, nullptr));
    lull_sleeper_destroy(sleeper);
  }

  static void ok(lull_status code) { EXPECT_EQ(code, LULL_OK) << lull_last_error_message(); }

  lull_registry* registry_ = nullptr;
  lull_device* device_ = nullptr;
  lull_memory* memory_ = nullptr;
  lull_region* region_ = nullptr;
  lull_allocator* allocator_ = nullptr;
  lull_refill_target* target_ = nullptr;
  lull_sleeper* sleeper_ = nullptr;
  lull_cancel* cancel_ = nullptr;
  lull_release_clock* releases_ = nullptr;
  lull_reset_hook* hook_ = nullptr;
  lull_settlement* settlement_ = nullptr;
  lull_report* report_ = nullptr;
  lull_process* process_ = nullptr;
  lull_graph_cache* cache_ = nullptr;
  lull_graph_budget* budget_ = nullptr;
  lull_graph_hold* hold_ = nullptr;
  lull_budget* models_ = nullptr;
  lull_budget_ticket* ticket_ = nullptr;
  lull_budget_plan* plan_ = nullptr;
  lull_budget_view* view_ = nullptr;
  lull_budget_call* call_ = nullptr;
  lull_budget_work* leaving_ = nullptr;
  lull_arena* arena_ = nullptr;
  lull_file_source* source_ = nullptr;
  lull_handover* handover_ = nullptr;
  lull_transition* transition_ = nullptr;
  lull_transition_work* handed_ = nullptr;
  std::function<void()> work_;
};

template <class T>
concept is_complete = requires {
  sizeof(T);
};

// What a call has handed out is given back.
inline void give_back(lull_registry* it) {
  lull_registry_destroy(it);
}
inline void give_back(lull_device* it) {
  lull_device_destroy(it);
}
inline void give_back(lull_memory* it) {
  lull_memory_destroy(it);
}
inline void give_back(lull_region* it) {
  lull_region_destroy(it);
}
inline void give_back(lull_allocator* it) {
  lull_allocator_destroy(it);
}
inline void give_back(lull_sleeper* it) {
  lull_sleeper_destroy(it);
}
inline void give_back(lull_cancel* it) {
  lull_cancel_destroy(it);
}
inline void give_back(lull_release_clock* it) {
  lull_release_clock_destroy(it);
}
inline void give_back(lull_reset_hook* it) {
  lull_reset_hook_destroy(it);
}
inline void give_back(lull_settlement* it) {
  lull_settlement_destroy(it);
}
inline void give_back(lull_report* it) {
  lull_report_destroy(it);
}
inline void give_back(lull_process* it) {
  lull_process_destroy(it);
}
inline void give_back(lull_graph_cache* it) {
  lull_graph_cache_destroy(it);
}
inline void give_back(lull_graph_budget* it) {
  lull_graph_budget_destroy(it);
}
inline void give_back(lull_graph_hold* it) {
  lull_graph_hold_destroy(it);
}
inline void give_back(lull_budget* it) {
  lull_budget_destroy(it);
}
inline void give_back(lull_budget_ticket* it) {
  lull_budget_ticket_destroy(it);
}
inline void give_back(lull_budget_plan* it) {
  lull_budget_plan_destroy(it);
}
inline void give_back(lull_budget_view* it) {
  lull_budget_view_destroy(it);
}
inline void give_back(lull_arena* it) {
  lull_arena_destroy(it);
}
inline void give_back(lull_file_source* it) {
  lull_file_source_destroy(it);
}
inline void give_back(lull_handover* it) {
  lull_handover_destroy(it);
}

/// Arguments that are in order: objects that live, structs with a size, room, one element a list.
class arguments {
 public:
  explicit arguments(const objects& all) : all_(all) {}
  ~arguments() {
    for (const auto& each : outs_) each();
  }
  arguments(const arguments&) = delete;
  arguments& operator=(const arguments&) = delete;

  template <class T>
  T make() {
    if constexpr (std::is_pointer_v<T>) {
      return make_pointer<std::remove_pointer_t<T>>();
    } else {
      static_assert(std::is_trivial_v<T>);
      if constexpr (std::is_arithmetic_v<T>) return 1;
      return T{};
    }
  }

 private:
  template <class To>
  To* make_pointer() {
    using value = std::remove_const_t<To>;
    if constexpr (std::is_function_v<To>) {
      return function(static_cast<To*>(nullptr));
    } else if constexpr (std::is_same_v<To, const char>) {
      return "HOST";
    } else if constexpr (std::is_void_v<To> || std::is_same_v<value, char>) {
      return keep(std::make_shared<std::array<char, 64>>())->data();
    } else if constexpr (!is_complete<value>) {
      return all_.get(static_cast<value*>(nullptr));
    } else {
      value* const made = keep(std::make_shared<value>());
      if constexpr (std::is_pointer_v<value> && std::is_const_v<To>) *made = make<value>();
      if constexpr (requires { made->struct_size; }) made->struct_size = sizeof(value);
      if constexpr (!std::is_const_v<To>) give_back_later(made);
      return made;
    }
  }

  template <class Value>
  void give_back_later(Value* made) {
    if constexpr (requires { give_back(*made); }) {
      outs_.push_back([made] { give_back(*made); });
    } else if constexpr (std::is_same_v<Value, lull_lease>) {
      outs_.push_back([made] { lull_lease_release(made); });
    } else if constexpr (std::is_same_v<Value, lull_region_lease>) {
      outs_.push_back([made] { lull_region_lease_release(made); });
    } else if constexpr (std::is_same_v<Value, lull_graph_pin>) {
      outs_.push_back([made] { lull_graph_pin_release(made); });
    }
  }

  template <class Result, class... Arguments>
  static auto function(Result (*)(Arguments...)) {
    return +[](Arguments...) -> Result { return Result(); };
  }

  template <class T>
  T* keep(std::shared_ptr<T> made) {
    kept_.push_back(made);
    return made.get();
  }

  const objects& all_;
  std::vector<std::shared_ptr<void>> kept_;
  std::vector<std::function<void()>> outs_;
};

/// As the headers say it (generate_checks.cmake).
struct parameter {
  const char* name;
  bool may_be_null;
};

}  // namespace lull::test::c_api

#endif  // LULL_TESTS_SUPPORT_C_API_ARGUMENTS_HPP
