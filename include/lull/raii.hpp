#ifndef LULL_RAII_HPP
#define LULL_RAII_HPP

/// @file
/// The C API with owners: for C++17 and later, with or without exceptions and run-time types.
/// Everything is in this header, so that of the library nothing but its C API is used.
///
/// An owner is empty or has one object, which it gives back when it goes; it can be moved, not
/// copied, and is false when empty. `get()` is for the functions of <lull/lull.h> that have no
/// member here, `out()` for those that make an object. What can fail returns a `result`: true when
/// it went well, else a status and a message. What a member does, whether it blocks, and who may
/// call it when is said at the function of the C API that it is named after.
///
///     lull::raii::sleeper sleeper;
///     lull::raii::lease work;
///     if (auto done = sleeper.create(); !done) return fail(done.message());
///     if (auto done = sleeper.acquire(work, 10 * LULL_SECOND); !done) return fail(done.message());

#include <lull/detail/requires_cxx17.hpp>
#include <lull/lull.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace lull::raii {

/// How a call ended. Knows its message for good, on any thread.
class [[nodiscard]] result {
 public:
  result() noexcept = default;
  /// Of a call of the C API that this thread has just made.
  result(lull_status status) noexcept : status_(status) {  // NOLINT(google-explicit-constructor)
    if (status == LULL_OK || lull_last_error_status() != status) return;
    const char* const words = lull_last_error_message();
    const std::size_t size = std::strlen(words) + 1;
    message_.reset(new (std::nothrow) char[size]);
    if (message_) std::memcpy(message_.get(), words, size);
  }

  explicit operator bool() const noexcept { return status_ == LULL_OK; }
  [[nodiscard]] lull_status status() const noexcept { return status_; }
  /// A sentence for people; never null. Valid as long as the result.
  [[nodiscard]] const char* message() const noexcept {
    return message_ ? message_.get() : lull_status_text(status_);
  }

 private:
  lull_status status_ = LULL_OK;
  std::unique_ptr<char[]> message_;
};

/// Owns an object of the C API, or none.
template <class Object, void (*Destroy)(Object*)>
class owner {
 public:
  owner() noexcept = default;
  explicit owner(Object* object) noexcept : object_(object) {}
  owner(owner&& other) noexcept : object_(other.release()) {}
  owner& operator=(owner&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~owner() { Destroy(object_); }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard]] Object* get() const noexcept { return object_; }
  /// The caller owns it from now on.
  [[nodiscard]] Object* release() noexcept { return std::exchange(object_, nullptr); }
  void reset(Object* object = nullptr) noexcept { Destroy(std::exchange(object_, object)); }
  /// Gives back what there is. Where a function of the C API puts the new one.
  [[nodiscard]] Object** out() noexcept {
    reset();
    return &object_;
  }

 private:
  Object* object_ = nullptr;
};

using report = owner<lull_report, lull_report_destroy>;

class device : public owner<lull_device, lull_device_destroy> {
 public:
  using owner::owner;

  result describe(lull_device_info& info) const noexcept {
    info.struct_size = sizeof info;
    return lull_device_describe(get(), &info);
  }
  result memory(lull_memory_info& info,
                std::int64_t timeout_ns = LULL_PROBE_TIMEOUT) const noexcept {
    info.struct_size = sizeof info;
    return lull_device_memory(get(), timeout_ns, &info);
  }
  /// For lull_once_call; null when empty.
  [[nodiscard]] const lull_generation* generation_counter() const noexcept {
    return lull_device_generation_counter(get());
  }
};

class registry : public owner<lull_registry, lull_registry_destroy> {
 public:
  using owner::owner;

  result create(const lull_registry_options* options = nullptr) noexcept {
    return lull_registry_create(options, out());
  }
  /// The registry of the process.
  result open_shared() noexcept { return lull_registry_shared(out()); }

  result find(const char* name, device& found) const noexcept {
    return lull_registry_find(get(), name, found.out());
  }
  result find(const char* backend, std::uint32_t ordinal, device& found) const noexcept {
    return lull_registry_find_ordinal(get(), backend, ordinal, found.out());
  }
};

class cancel : public owner<lull_cancel, lull_cancel_destroy> {
 public:
  using owner::owner;

  result create() noexcept { return lull_cancel_create(out()); }
  result request() const noexcept { return lull_cancel_request(get()); }
};

class release_clock : public owner<lull_release_clock, lull_release_clock_destroy> {
 public:
  using owner::owner;

  result create() noexcept { return lull_release_clock_create(out()); }
  result mark(const char* of_device = nullptr, const lull_release_gain* gain = nullptr,
              std::int64_t ago_ns = 0) const noexcept {
    return lull_release_clock_mark(get(), of_device, ago_ns, gain);
  }
  result last(std::int64_t& ago_ns, const char* of_device = nullptr) const noexcept {
    return lull_release_clock_last(get(), of_device, &ago_ns);
  }
};

/// Something held for a while: `Held` is a struct of the C API in which zeros hold nothing.
template <class Held, void (*GiveBack)(Held*)>
class held {
 public:
  held() noexcept = default;
  explicit held(Held what) noexcept : held_(what) {}
  held(held&& other) noexcept : held_(std::exchange(other.held_, Held{})) {}
  held& operator=(held&& other) noexcept {
    if (this != &other) {
      GiveBack(&held_);
      held_ = std::exchange(other.held_, Held{});
    }
    return *this;
  }
  ~held() { GiveBack(&held_); }

  [[nodiscard]] const Held& get() const noexcept { return held_; }
  /// Gives it back early. Harmless when it holds nothing.
  void release() noexcept { GiveBack(&held_); }
  /// Gives back what there is. Where a function of the C API puts the new one.
  [[nodiscard]] Held* out() noexcept {
    GiveBack(&held_);
    return &held_;
  }
  /// Hands it over to whoever uses the C API.
  [[nodiscard]] Held detach() noexcept { return std::exchange(held_, Held{}); }

 private:
  Held held_{};
};

class region_lease : public held<lull_region_lease, lull_region_lease_release> {
 public:
  using held::held;

  explicit operator bool() const noexcept { return get().address != nullptr; }
  [[nodiscard]] void* address() const noexcept { return get().address; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return get().size_bytes; }
};

class region : public owner<lull_region, lull_region_destroy> {
 public:
  using owner::owner;

  [[nodiscard]] void* address() const noexcept { return lull_region_address(get()); }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return lull_region_size(get()); }
  result describe(lull_region_info& info) const noexcept {
    info.struct_size = sizeof info;
    return lull_region_describe(get(), &info);
  }
  result acquire(region_lease& lease) const noexcept {
    return lull_region_acquire(get(), lease.out());
  }
  result refill(lull_refill_fn write, void* user) const noexcept {
    return lull_region_refill(get(), write, user);
  }
  result set_refill(lull_refill_fn write, void* user) const noexcept {
    return lull_region_set_refill(get(), write, user);
  }
};

class memory : public owner<lull_memory, lull_memory_destroy> {
 public:
  using owner::owner;

  result create(const lull_memory_options* options = nullptr) noexcept {
    return lull_memory_create(options, out());
  }
  result allocate(const device& where, std::uint64_t bytes, region& made,
                  const lull_region_options* options = nullptr) const noexcept {
    return lull_memory_allocate(get(), where.get(), bytes, options, made.out());
  }
  result evict(const lull_eviction_plan& plan, const lull_transfer_options* options = nullptr,
               report* done = nullptr) const noexcept {
    return lull_memory_evict(get(), &plan, options, done != nullptr ? done->out() : nullptr);
  }
  /// All that is off its device.
  result restore(const lull_transfer_options* options = nullptr,
                 report* done = nullptr) const noexcept {
    return lull_memory_restore(get(), nullptr, 0, options, done != nullptr ? done->out() : nullptr);
  }
};

class allocator : public owner<lull_allocator, lull_allocator_destroy> {
 public:
  using owner::owner;

  result create(const memory& in, const registry& devices,
                const lull_allocator_options* options = nullptr) noexcept {
    return lull_allocator_create(in.get(), devices.get(), options, out());
  }
};

/// Work in flight. Must be back before the sleeper goes.
class lease : public held<lull_lease, lull_lease_release> {
 public:
  using held::held;

  explicit operator bool() const noexcept { return get().sleeper != nullptr; }
  /// @param more another one, for work that outlives the request that asked for this
  result share(lease& more) const noexcept { return lull_lease_share(&get(), more.out()); }
};

/// What lull_sleeper_options::run_on is handed: `transition_work(work).run()` where it is to run.
class transition_work : public owner<lull_transition_work, lull_transition_work_destroy> {
 public:
  using owner::owner;

  void run() const noexcept { lull_transition_work_run(get()); }
};

class sleeper : public owner<lull_sleeper, lull_sleeper_destroy> {
 public:
  using owner::owner;

  result create(const lull_sleeper_options* options = nullptr) noexcept {
    return lull_sleeper_create(options, out());
  }
  result add(const lull_participant& who) const noexcept { return lull_sleeper_add(get(), &who); }
  result manage(const memory& what) const noexcept {
    return lull_sleeper_manage_memory(get(), what.get());
  }

  result acquire(lease& work, std::int64_t timeout_ns = LULL_FOREVER) const noexcept {
    return lull_sleeper_acquire(get(), timeout_ns, nullptr, work.out());
  }
  result acquire(lease& work, std::int64_t timeout_ns, const cancel& stop) const noexcept {
    return lull_sleeper_acquire(get(), timeout_ns, stop.get(), work.out());
  }
  result acquire(lease& work, const lull_acquire_options& how) const noexcept {
    return lull_sleeper_acquire_with(get(), &how, work.out());
  }
  /// @return whether it is awake, and `work` holds a lease
  bool try_acquire(lease& work, lull_lease_use use = LULL_USE_WORK) const noexcept {
    return lull_sleeper_try_acquire(get(), use, work.out()) == LULL_OK;
  }
  result sleep(const lull_sleep_plan* plan = nullptr, report* done = nullptr) const noexcept {
    return lull_sleeper_sleep(get(), plan, done != nullptr ? done->out() : nullptr);
  }
  result deepen(const lull_sleep_plan* plan = nullptr, report* done = nullptr) const noexcept {
    return lull_sleeper_deepen(get(), plan, done != nullptr ? done->out() : nullptr);
  }
  result wake(std::int64_t timeout_ns = LULL_FOREVER) const noexcept {
    return lull_sleeper_wake(get(), timeout_ns, nullptr);
  }
  result wake(std::int64_t timeout_ns, const cancel& stop) const noexcept {
    return lull_sleeper_wake(get(), timeout_ns, stop.get());
  }
  result observe(lull_sleeper_snapshot& seen) const noexcept {
    seen.struct_size = sizeof seen;
    return lull_sleeper_observe(get(), &seen);
  }
  result set_idle_time(std::int64_t idle_time_ns) const noexcept {
    return lull_sleeper_set_idle_time(get(), idle_time_ns);
  }
  result last_report(report& last) const noexcept {
    return lull_sleeper_last_report(get(), last.out());
  }
};

}  // namespace lull::raii

#endif  // LULL_RAII_HPP
