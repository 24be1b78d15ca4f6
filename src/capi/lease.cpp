#include <lull/c/lease.h>

#include <utility>

#include "capi/sleeper.hpp"
#include "capi/values.hpp"

namespace lull::detail {

/// A lease that C holds is a C++ lease taken apart and put together again.
struct lease_access {
  static lull_lease let_go(sleeper::lease from, lull_sleeper* of) noexcept {
    from.owner_ = nullptr;
    return {of, static_cast<lull_lease_use>(from.use_)};
  }
  static sleeper::lease adopt(const lull_lease& held) noexcept {
    return sleeper::lease(held.sleeper->value,
                          held.use == LULL_USE_OBSERVE ? lease_use::observe : lease_use::work);
  }
};

}  // namespace lull::detail

using lull::capi::checked_duration;
using lull::capi::deadline_in;
using lull::capi::enum_from;
using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::token_of;
using lull::detail::lease_access;

namespace {

lull_acquire_options default_acquire_options() noexcept {
  const lull::acquire_options from;
  lull_acquire_options options{};
  options.struct_size = sizeof options;
  options.timeout_ns = lull::capi::nanoseconds_until(from.deadline);
  options.check_every_ns = from.check_every.count();
  return options;
}

lull::acquire_options convert(const lull_acquire_options* options) {
  const auto given = read_versioned(options, default_acquire_options(), "options");
  lull::acquire_options how;
  how.deadline = deadline_in(given.timeout_ns, "options->timeout_ns");
  how.stop = token_of(given.cancel);
  if (given.keep_waiting != nullptr) {
    how.keep_waiting = [ask = given.keep_waiting, user = given.keep_waiting_user] {
      return ask(user) != 0;
    };
  }
  how.check_every = checked_duration(given.check_every_ns, 1, "options->check_every_ns");
  return how;
}

/// Tells who asked how their wait ended. On a failure this runs on the thread of such waits, whose
/// last error is nobody else's.
void hand_over(lull_sleeper* sleeper, lull::sleeper::acquire_result result, lull_acquired_fn done,
               void* user) {
  if (const auto* failure = std::get_if<lull::error>(&result)) {
    return done(user, lull::capi::remember(*failure), lull_lease{});
  }
  done(user, LULL_OK,
       lease_access::let_go(std::get<lull::sleeper::lease>(std::move(result)), sleeper));
}

}  // namespace

void lull_acquire_options_init(lull_acquire_options* options) {
  if (options != nullptr) *options = default_acquire_options();
}

namespace {

/// With all that has to be said where there is no lease to be had at once.
[[gnu::noinline]] lull_status acquire_slowly(lull_sleeper* sleeper, int64_t timeout_ns,
                                             const lull_cancel* cancel, lull_lease* lease) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    auto& result = required(lease, "lease");
    checked_duration(timeout_ns, 0, "timeout_ns");
    result = lease_access::let_go(
        of.acquire(deadline_in(timeout_ns, "timeout_ns"), token_of(cancel)), sleeper);
  });
}

}  // namespace

lull_status lull_sleeper_acquire(lull_sleeper* sleeper, int64_t timeout_ns,
                                 const lull_cancel* cancel, lull_lease* lease) {
  // While awake nobody needs to know the time.
  if (sleeper != nullptr && lease != nullptr && timeout_ns >= 0) {
    if (auto taken = sleeper->value.try_acquire()) {
      *lease = lease_access::let_go(std::move(*taken), sleeper);
      return LULL_OK;
    }
  }
  return acquire_slowly(sleeper, timeout_ns, cancel, lease);
}

lull_status lull_sleeper_acquire_with(lull_sleeper* sleeper, const lull_acquire_options* options,
                                      lull_lease* lease) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    auto& result = required(lease, "lease");
    result = lease_access::let_go(of.acquire(convert(options)), sleeper);
  });
}

lull_status lull_sleeper_acquire_async(lull_sleeper* sleeper, const lull_acquire_options* options,
                                       lull_acquired_fn done, void* user) {
  return guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    required(done, "done");
    of.acquire_async(convert(options), [sleeper, done, user](lull::sleeper::acquire_result result) {
      hand_over(sleeper, std::move(result), done, user);
    });
  });
}

lull_status lull_sleeper_try_acquire(lull_sleeper* sleeper, lull_lease_use use, lull_lease* lease) {
  bool awake = false;
  const lull_status code = guard([&] {
    lull::sleeper& of = required(sleeper, "sleeper").value;
    auto& result = required(lease, "lease");
    auto taken = of.try_acquire(enum_from<lull::lease_use>(use, "use"));
    if (!taken) return;
    result = lease_access::let_go(std::move(*taken), sleeper);
    awake = true;
  });
  return code == LULL_OK && !awake ? LULL_ERROR_BUSY : code;
}

lull_status lull_lease_share(const lull_lease* held, lull_lease* lease) {
  return guard([&] {
    const lull_lease from = required(held, "held");
    auto& result = required(lease, "lease");
    if (held == lease) {
      throw lull::error(lull::status::invalid_argument, "held and lease are the same struct");
    }
    if (from.sleeper == nullptr) {
      throw lull::error(lull::status::invalid_argument, "held holds no lease");
    }
    auto whole = lease_access::adopt(from);
    auto more = from.sleeper->value.share(whole);  // throws nothing: it is this sleeper's, and held
    static_cast<void>(lease_access::let_go(std::move(whole), nullptr));
    result = lease_access::let_go(std::move(more), from.sleeper);
  });
}

void lull_lease_release(lull_lease* lease) {
  if (lease == nullptr || lease->sleeper == nullptr) return;
  const auto given_back = lease_access::adopt(*lease);
  *lease = {};
}
