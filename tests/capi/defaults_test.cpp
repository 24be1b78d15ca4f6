// The defaults of the C API are those of C++. Each struct is taken apart whole, on both sides, so
// that a field that is added on one of them does not compile here before somebody has thought of
// it.

#include <lull/lull.h>
#include <lull/lull.hpp>

#include <cstdint>
#include <cstring>

#include <gtest/gtest.h>

namespace {

/// A struct as its _init function makes it, whatever was there before.
template <class Struct>
Struct prepared(void (*init)(Struct*)) {
  Struct made;
  std::memset(static_cast<void*>(&made), 0xA5, sizeof made);
  init(&made);
  EXPECT_EQ(made.struct_size, sizeof made);
  return made;
}

template <class... Pointers>
void expect_null(Pointers... pointers) {
  EXPECT_TRUE(((pointers == nullptr) && ...));
}

/// That of a sink that is made without one.
constexpr auto threshold = static_cast<lull_log_level>(lull::default_log_threshold);

TEST(CApiDefaults, OfRegistries) {
  const auto [size, paths, path_count, settings, setting_count, search, level, log, user] =
      prepared(lull_registry_options_init);
  const auto [cpp_paths, cpp_search, cpp_settings, cpp_log] = lull::registry_options{};
  expect_null(paths, settings, log, user);
  EXPECT_EQ(path_count, cpp_paths.size());
  EXPECT_EQ(setting_count, cpp_settings.size());
  EXPECT_EQ(search != 0, cpp_search);
  EXPECT_EQ(level, threshold);
  EXPECT_FALSE(cpp_log.wants(lull::log_level::error));
}

TEST(CApiDefaults, OfSettling) {
  const auto [size, max_wait, stale_after, first, longest, releases, released_ago, expected,
              expected_count, cancel, on_sample, user] = prepared(lull_settle_options_init);
  const auto [cpp_max_wait, cpp_stale_after, cpp_first, cpp_longest, cpp_releases, cpp_released_at,
              cpp_expected, cpp_stop, cpp_on_sample, cpp_time] = lull::settle_options{};
  expect_null(releases, expected, cancel, on_sample, user);
  EXPECT_EQ(max_wait, cpp_max_wait.count());
  EXPECT_EQ(stale_after, cpp_stale_after.count());
  EXPECT_EQ(first, cpp_first.count());
  EXPECT_EQ(longest, cpp_longest.count());
  EXPECT_EQ(released_ago, LULL_UNKNOWN_NS);
  EXPECT_EQ(cpp_released_at, std::nullopt);
  EXPECT_EQ(expected_count, cpp_expected.size());
  expect_null(cpp_releases, cpp_time);
  EXPECT_FALSE(cpp_stop.stop_possible() || cpp_on_sample);
}

TEST(CApiDefaults, OfResets) {
  const auto [size, drop, drain, settle, reset, reset_user, releases, level, log, user] =
      prepared(lull_reset_options_init);
  const auto [cpp_drop, cpp_drain, cpp_settle, cpp_reset, cpp_releases, cpp_failed_report,
              cpp_clock, cpp_log] = lull::reset_options{};
  expect_null(reset, reset_user, releases, log, user, cpp_releases, cpp_failed_report);
  EXPECT_EQ(drop != 0, cpp_drop);
  EXPECT_EQ(drain, cpp_drain.count());
  EXPECT_EQ(settle, cpp_settle.count());
  EXPECT_EQ(level, threshold);
  EXPECT_FALSE(cpp_reset || cpp_log.wants(lull::log_level::error));
  EXPECT_EQ(cpp_clock, &lull::steady_clock());
}

TEST(CApiDefaults, OfResetHooks) {
  const auto [size, name, before, after, check, user] = prepared(lull_reset_hook_options_init);
  EXPECT_STREQ(name, "");
  expect_null(before, after, check, user);
}

TEST(CApiDefaults, OfMemory) {
  const auto [size, chunk, poison, threads, level, log, user, arena, handle] =
      prepared(lull_memory_options_init);
  const auto [cpp_chunk, cpp_poison, cpp_clock, cpp_log, cpp_arena, cpp_threads, cpp_handle] =
      lull::memory_options{};
  EXPECT_EQ(handle, cpp_handle);
  expect_null(log, user, arena);
  EXPECT_EQ(chunk, cpp_chunk);
  EXPECT_EQ(poison != 0, cpp_poison);
  EXPECT_EQ(threads, cpp_threads);
  EXPECT_FALSE(cpp_arena) << "one of its own";
  EXPECT_EQ(level, threshold);
  EXPECT_FALSE(cpp_log.wants(lull::log_level::error));
  EXPECT_EQ(cpp_clock, &lull::steady_clock());
}

TEST(CApiDefaults, OfRegions) {
  const auto [size, tag, name, refill, user, alone, absent, peers, peer_count, source, pieces,
              piece_count, checksum, may_move] = prepared(lull_region_options_init);
  const auto [cpp_tag, cpp_name, cpp_refill, cpp_alone, cpp_source, cpp_absent, cpp_peers,
              cpp_checksum, cpp_may_move] = lull::region_options{};
  expect_null(refill, user, peers, source, pieces);
  EXPECT_EQ(piece_count, 0u);
  EXPECT_EQ(peer_count, cpp_peers.size());
  EXPECT_EQ(tag, cpp_tag);
  EXPECT_EQ(name, cpp_name);
  EXPECT_EQ(alone != 0, cpp_alone);
  EXPECT_EQ(absent != 0, cpp_absent);
  EXPECT_EQ(checksum != 0, cpp_checksum);
  EXPECT_EQ(may_move != 0, cpp_may_move);
  EXPECT_FALSE(cpp_refill || cpp_source);
}

TEST(CApiDefaults, OfArenas) {
  const auto [size, budget, slice, level, log, user] = prepared(lull_arena_options_init);
  const auto [cpp_budget, cpp_slice, cpp_clock, cpp_log] = lull::host_arena_options{};
  expect_null(log, user);
  EXPECT_EQ(budget, LULL_NO_LIMIT);
  EXPECT_EQ(cpp_budget, std::nullopt);
  EXPECT_EQ(slice, cpp_slice);
  EXPECT_EQ(level, threshold);
  EXPECT_FALSE(cpp_log.wants(lull::log_level::error));
  EXPECT_EQ(cpp_clock, &lull::steady_clock());
}

TEST(CApiDefaults, OfPreparingAnArena) {
  const auto [size, threads, rate] = prepared(lull_arena_prepare_options_init);
  const auto [cpp_threads, cpp_rate] = lull::prepare_options{};
  EXPECT_EQ(threads, cpp_threads);
  EXPECT_EQ(rate, LULL_NO_LIMIT);
  EXPECT_EQ(cpp_rate, std::nullopt);
}

TEST(CApiDefaults, OfBudgets) {
  const auto [size, devices, device_count, evict, settle, probe, run_on, user, release, max_wait,
              max_overtakes, patience, retry_after, look_every, estimates_file, level, log,
              log_user] = prepared(lull_budget_options_init);
  const auto [cpp_devices, cpp_evict, cpp_settle, cpp_probe, cpp_run_on, cpp_max_wait,
              cpp_max_overtakes, cpp_patience, cpp_retry_after, cpp_look_every, cpp_estimates_file,
              cpp_log, cpp_time] = lull::budget_options{};
  expect_null(devices, evict, settle, probe, run_on, user, release, estimates_file, log, log_user,
              cpp_time);
  EXPECT_EQ(device_count, cpp_devices.size());
  EXPECT_EQ(max_wait, cpp_max_wait.count());
  EXPECT_EQ(max_overtakes, cpp_max_overtakes);
  EXPECT_EQ(patience, cpp_patience.count());
  EXPECT_EQ(retry_after, cpp_retry_after.count());
  EXPECT_EQ(look_every, cpp_look_every.count());
  EXPECT_TRUE(cpp_estimates_file.empty());
  EXPECT_EQ(level, threshold);
  EXPECT_FALSE(cpp_evict || cpp_settle || cpp_probe || cpp_run_on ||
               cpp_log.wants(lull::log_level::error));
}

TEST(CApiDefaults, OfModels) {
  const auto [size, name, need, need_count, levels, level_count, priority, pinned, min_residence,
              wake_time] = prepared(lull_budget_model_init);
  const auto [cpp_name, cpp_need, cpp_levels, cpp_priority, cpp_pinned, cpp_min_residence,
              cpp_wake_time] = lull::budget_model{};
  expect_null(need, levels);
  EXPECT_EQ(name, cpp_name);
  EXPECT_EQ(need_count, cpp_need.size());
  EXPECT_EQ(level_count, 0u) << "which is the one of C++";
  EXPECT_EQ(cpp_levels.size(), 1u);
  EXPECT_EQ(priority, cpp_priority);
  EXPECT_EQ(pinned != 0, cpp_pinned);
  EXPECT_EQ(min_residence, cpp_min_residence.count());
  EXPECT_EQ(wake_time, cpp_wake_time.count());
}

TEST(CApiDefaults, OfAllocators) {
  const auto [size, backend, tag, refill, user] = prepared(lull_allocator_options_init);
  EXPECT_STREQ(backend, "cuda") << "there is none in C++";
  EXPECT_EQ(tag, lull::region_options{}.tag);
  expect_null(refill, user);
}

TEST(CApiDefaults, OfTransfers) {
  const auto [size, backing, path, progress, user, cancel] = prepared(lull_transfer_options_init);
  const auto [cpp_backing, cpp_progress, cpp_stop, cpp_failed_report] = lull::transfer_options{};
  expect_null(path, progress, user, cancel, cpp_failed_report);
  EXPECT_EQ(backing, static_cast<lull_backing_kind>(cpp_backing.type()));
  EXPECT_FALSE(cpp_progress || cpp_stop.stop_possible());
}

TEST(CApiDefaults, OfSleepers) {
  const auto [size, idle_time, plan, drain, reset, watch, run_on, run_on_user, on_transition,
              transition_user, releases, level, log, user, ladder, ladder_count, suspend, rebirth] =
      prepared(lull_sleeper_options_init);
  const auto [cpp_idle_time, cpp_plan, cpp_ladder, cpp_drain, cpp_reset, cpp_suspend, cpp_rebirth,
              cpp_watch, cpp_run_on, cpp_on_transition, cpp_releases, cpp_clock, cpp_log] =
      lull::sleeper_options{};
  expect_null(plan, reset, run_on, run_on_user, on_transition, transition_user, releases, log, user,
              cpp_releases, ladder, suspend, rebirth);
  EXPECT_FALSE(cpp_suspend.free_bytes || cpp_rebirth.hand_over);
  EXPECT_EQ(ladder_count, cpp_ladder.size());
  EXPECT_EQ(idle_time, LULL_FOREVER);
  EXPECT_EQ(cpp_idle_time, std::nullopt);
  EXPECT_EQ(cpp_plan.name, "discard") << "which lull.h says that no plan means";
  EXPECT_EQ(drain, cpp_drain.count());
  EXPECT_EQ(watch != 0, cpp_watch);
  EXPECT_EQ(level, threshold);
  EXPECT_FALSE(cpp_reset.drop || cpp_run_on || cpp_on_transition ||
               cpp_log.wants(lull::log_level::error));
  EXPECT_EQ(cpp_clock, &lull::steady_clock());
}

TEST(CApiDefaults, OfTheResetsOfSleepers) {
  const auto [size, drop, drain, settle, reset, user] = prepared(lull_sleeper_reset_options_init);
  const auto [cpp_drop, cpp_drain, cpp_settle, cpp_reset] = lull::sleeper_reset_options{};
  expect_null(reset, user);
  EXPECT_EQ(drop != 0, cpp_drop);
  EXPECT_EQ(drain, LULL_UNKNOWN_NS);
  EXPECT_EQ(cpp_drain, std::nullopt);
  EXPECT_EQ(settle, cpp_settle.count());
  EXPECT_FALSE(cpp_reset);
}

TEST(CApiDefaults, OfTheSuspensionsOfSleepers) {
  const auto [size, free_bytes, user, observer, observer_count, lock, host_margin, device_margin,
              driver] = prepared(lull_sleeper_suspend_options_init);
  const auto [cpp_free_bytes, cpp_observer, cpp_lock, cpp_host_margin, cpp_device_margin,
              cpp_driver] = lull::sleeper_suspend_options{};
  EXPECT_EQ(driver, cpp_driver.count());
  expect_null(free_bytes, user, observer);
  EXPECT_EQ(observer_count, 0u);
  EXPECT_EQ(cpp_observer, (std::vector<std::string>{"lull", "observe"})) << "as the header says";
  EXPECT_EQ(lock, LULL_UNKNOWN_NS);
  EXPECT_EQ(cpp_lock, std::nullopt);
  EXPECT_EQ(host_margin, cpp_host_margin);
  EXPECT_EQ(device_margin, cpp_device_margin);
  EXPECT_FALSE(cpp_free_bytes);
}

TEST(CApiDefaults, OfTheRebirthsOfSleepers) {
  const auto [size, hand_over, called_off, user, how] = prepared(lull_sleeper_rebirth_options_init);
  const auto [cpp_hand_over, cpp_called_off, cpp_how] = lull::sleeper_rebirth_options{};
  expect_null(hand_over, called_off, user, how);
  EXPECT_FALSE(cpp_hand_over || cpp_called_off);
  EXPECT_TRUE(cpp_how.program.empty());
}

TEST(CApiDefaults, OfRebirths) {
  const auto [size, program, arguments, argument_count, environment, environment_count] =
      prepared(lull_rebirth_options_init);
  const auto [cpp_program, cpp_arguments, cpp_environment] = lull::rebirth_options{};
  expect_null(program, arguments, environment);
  EXPECT_EQ(argument_count, cpp_arguments.size());
  EXPECT_EQ(environment_count, cpp_environment.size());
  EXPECT_EQ(program, nullptr);
  EXPECT_TRUE(cpp_program.empty());
}

TEST(CApiDefaults, OfWaitsForLeases) {
  const auto [size, timeout, cancel, keep_waiting, user, check_every] =
      prepared(lull_acquire_options_init);
  const auto [cpp_deadline, cpp_stop, cpp_keep_waiting, cpp_check_every] = lull::acquire_options{};
  expect_null(cancel, keep_waiting, user);
  EXPECT_EQ(timeout, LULL_FOREVER);
  EXPECT_EQ(cpp_deadline, lull::no_deadline);
  EXPECT_EQ(check_every, cpp_check_every.count());
  EXPECT_FALSE(cpp_stop.stop_possible() || cpp_keep_waiting);
}

TEST(CApiDefaults, OfPlansAreThoseOfTheirLevel) {
  for (const lull::sleep_level level : lull::supported_levels()) {
    lull_sleep_plan made;
    ASSERT_EQ(lull_sleep_plan_init(&made, static_cast<lull_sleep_level>(level)), LULL_OK);
    const auto [size, name, contents, context, backing, path, fallback, max_residue] = made;
    const auto [cpp_name, cpp_contents, cpp_context, cpp_backing, cpp_fallback, cpp_max_residue] =
        lull::plan_for(level);
    EXPECT_EQ(fallback != 0, cpp_fallback);
    EXPECT_EQ(max_residue, LULL_NO_LIMIT);
    EXPECT_EQ(cpp_max_residue, std::nullopt);
    EXPECT_EQ(size, sizeof made);
    EXPECT_EQ(name, cpp_name);
    EXPECT_EQ(contents.otherwise, static_cast<lull_contents_action>(cpp_contents.otherwise));
    EXPECT_EQ(contents.tag_count, cpp_contents.by_tag.size());
    EXPECT_EQ(context, static_cast<lull_context_action>(cpp_context));
    EXPECT_EQ(backing, static_cast<lull_backing_kind>(cpp_backing.type()));
    expect_null(contents.tags, path);
  }
}

TEST(CApiDefaults, OfParticipants) {
  const auto [size, name, sleep, wake, user, release, devices, device_count, next_upkeep, upkeep,
              deepen, undo_deepen, deepened] = prepared(lull_participant_init);
  EXPECT_STREQ(name, "");
  expect_null(sleep, wake, devices, next_upkeep, upkeep, user, release, deepen, undo_deepen,
              deepened);
  EXPECT_EQ(device_count, 0u);
}

TEST(CApiDefaults, OfStopping) {
  const auto [size, signal, grace, kill_wait, before_kill, user, before_kill_timeout] =
      prepared(lull_stop_options_init);
  const auto [cpp_signal, cpp_grace, cpp_kill_wait, cpp_before_kill, cpp_before_kill_timeout] =
      lull::stop_options{};
  expect_null(before_kill, user);
  EXPECT_EQ(signal, cpp_signal);
  EXPECT_EQ(grace, cpp_grace.count());
  EXPECT_EQ(kill_wait, cpp_kill_wait.count());
  EXPECT_EQ(before_kill_timeout, cpp_before_kill_timeout.count());
  EXPECT_FALSE(cpp_before_kill);
}

TEST(CApiDefaults, OfProcesses) {
  const auto [size, arguments, argument_count, environment, environment_count, inherit, directory,
              input, output, errors, state_pipe, on_event, event_user, on_rejected, rejected_user,
              stopping, pid_directory, end_with_parent, releases, devices, device_count, level, log,
              user] = prepared(lull_process_options_init);
  const auto [cpp_arguments, cpp_environment, cpp_inherit, cpp_directory, cpp_input, cpp_output,
              cpp_errors, cpp_state_pipe, cpp_on_event, cpp_on_rejected, cpp_on_release,
              cpp_releases, cpp_devices, cpp_stopping, cpp_pid_directory, cpp_end_with_parent,
              cpp_clock, cpp_log] = lull::process_options{};
  expect_null(arguments, environment, directory, on_event, event_user, on_rejected, rejected_user,
              stopping, pid_directory, releases, devices, log, user, cpp_releases);
  EXPECT_EQ(argument_count, cpp_arguments.size());
  EXPECT_EQ(environment_count, cpp_environment.size());
  EXPECT_EQ(device_count, cpp_devices.size());
  EXPECT_EQ(inherit != 0, cpp_inherit);
  EXPECT_EQ(input, static_cast<lull_stdio>(cpp_input));
  EXPECT_EQ(output, static_cast<lull_stdio>(cpp_output));
  EXPECT_EQ(errors, static_cast<lull_stdio>(cpp_errors));
  EXPECT_EQ(state_pipe != 0, cpp_state_pipe);
  EXPECT_EQ(end_with_parent != 0, cpp_end_with_parent);
  EXPECT_EQ(level, threshold);
  EXPECT_TRUE(cpp_directory.empty() && cpp_pid_directory.empty());
  EXPECT_FALSE(cpp_on_event || cpp_on_rejected || cpp_on_release);
  EXPECT_EQ(cpp_stopping.grace, lull::stop_options{}.grace);
  EXPECT_FALSE(cpp_log.wants(lull::log_level::error));
  EXPECT_EQ(cpp_clock, &lull::steady_clock());
}

TEST(CApiDefaults, OfSuspendingAndResuming) {
  const auto [size, tree, timeout, directory, device_bytes, host_margin, progress, progress_user] =
      prepared(lull_suspend_options_init);
  const auto [cpp_tree, cpp_timeout, cpp_directory, cpp_device_bytes, cpp_host_margin, cpp_progress,
              cpp_stop, cpp_log] = lull::suspend_options{};
  expect_null(directory, progress, progress_user);
  EXPECT_EQ(tree != 0, cpp_tree);
  EXPECT_EQ(timeout, cpp_timeout.count());
  EXPECT_EQ(device_bytes, cpp_device_bytes.value_or(LULL_UNKNOWN));
  EXPECT_EQ(host_margin, cpp_host_margin);
  EXPECT_TRUE(cpp_directory.empty());
  EXPECT_FALSE(cpp_progress || cpp_stop.stop_possible() || cpp_log.wants(lull::log_level::error));

  const auto [back_size, back_tree, back_timeout, back_directory, back_bytes, margin, back_progress,
              back_user] = prepared(lull_resume_options_init);
  const auto [cpp_back_timeout, cpp_back_bytes, cpp_margin, cpp_back_progress, cpp_back_log] =
      lull::resume_options{};
  expect_null(back_directory, back_progress, back_user);
  EXPECT_EQ(back_tree, 0);
  EXPECT_EQ(back_timeout, cpp_back_timeout.count());
  EXPECT_EQ(back_bytes, cpp_back_bytes.value_or(LULL_UNKNOWN));
  EXPECT_EQ(margin, cpp_margin);
  EXPECT_FALSE(cpp_back_progress || cpp_back_log.wants(lull::log_level::error));
}

TEST(CApiDefaults, OfGraphCaches) {
  const auto [size, driver, device, node_bytes, clear_timeout, limits, budget, filter, trim_after,
              name, level, log, user, evicted, evicted_user] =
      prepared(lull_graph_cache_options_init);
  const auto [cpp_limits, cpp_budget, cpp_filter, cpp_trim_after, cpp_name, cpp_clock, cpp_log] =
      lull::graph_cache_options{};
  const auto [cpp_node_bytes, cpp_clear_timeout] = lull::device_graph_options{};
  expect_null(driver, device, budget, log, user, evicted, evicted_user);
  EXPECT_EQ(node_bytes, cpp_node_bytes.value_or(LULL_UNKNOWN));
  EXPECT_EQ(clear_timeout, cpp_clear_timeout.count());
  EXPECT_EQ(limits.entries, cpp_limits.entries.value_or(LULL_NO_LIMIT));
  EXPECT_EQ(limits.bytes, cpp_limits.bytes.value_or(LULL_NO_LIMIT));
  EXPECT_EQ(limits.idle_time_ns, LULL_FOREVER);
  EXPECT_EQ(cpp_limits.idle_time, std::nullopt);
  EXPECT_EQ(filter != 0, cpp_filter);
  EXPECT_EQ(trim_after, cpp_trim_after);
  EXPECT_EQ(name, cpp_name);
  EXPECT_EQ(level, threshold);
  EXPECT_FALSE(cpp_budget || cpp_log.wants(lull::log_level::error));
  EXPECT_EQ(cpp_clock, &lull::steady_clock());
}

TEST(CApiDefaults, OfGraphCaptures) {
  const auto [size, bytes, timeout, room_timeout] = prepared(lull_graph_capture_options_init);
  const auto [cpp_bytes, cpp_deadline, cpp_room_deadline] = lull::graph_capture_options{};
  EXPECT_EQ(bytes, cpp_bytes.value_or(LULL_UNKNOWN));
  EXPECT_EQ(timeout, LULL_FOREVER);
  EXPECT_EQ(cpp_deadline, lull::no_deadline);
  EXPECT_EQ(room_timeout, 0) << "which is a deadline that has passed";
  EXPECT_LT(cpp_room_deadline, lull::steady_clock().now());
}

}  // namespace
