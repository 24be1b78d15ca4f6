#ifndef LULL_SLEEPER_HPP
#define LULL_SLEEPER_HPP

/// @file
/// Sleeping when idle and waking when work arrives: the gate, the idle timer, and the transitions.

#include <lull/clock.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/error.hpp>
#include <lull/export.h>
#include <lull/log.hpp>
#include <lull/memory.hpp>
#include <lull/participant.hpp>
#include <lull/rebirth.hpp>
#include <lull/report.hpp>
#include <lull/reset.hpp>
#include <lull/sleep_plan.hpp>
#include <lull/stop.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace lull {

class any_graph_cache;  // lull/graph_cache.hpp
class release_clock;    // lull/settle.hpp

namespace detail {
struct lease_access;
struct sleeper_access;
class handed_work;
}  // namespace detail

enum class sleep_state : std::uint8_t {
  awake,     ///< leases are given out at once
  draining,  ///< waiting for the leases that are out; new ones wait
  sleeping,  ///< going to sleep
  asleep,
  waking,
};
LULL_API std::string_view to_string(sleep_state state) noexcept;

/// Event counts since construction.
struct sleep_counters {
  std::uint64_t sleeps = 0;
  std::uint64_t wakes = 0;
  std::uint64_t failed_sleeps = 0;
  std::uint64_t failed_wakes = 0;
  std::uint64_t deepenings = 0;  ///< from one sleep to a deeper one
  std::uint64_t failed_deepenings = 0;
};

/// The sleeper as seen at one moment.
struct sleeper_snapshot {
  sleep_state state = sleep_state::awake;
  std::string plan;              ///< of the sleep now, or of the next one
  std::uint32_t leases = 0;      ///< out now
  std::uint32_t waiting = 0;     ///< callers that wait for a lease
  duration in_state{};           ///< for how long it has been in this state
  duration idle{};               ///< since the last lease came back; 0 while one is out
  std::uint64_t done_bytes = 0;  ///< of the transfer under way
  std::uint64_t total_bytes = 0;
  bool deepening = false;  ///< asleep, and going to a deeper sleep
  sleep_counters counters;
  std::optional<transition_report> last;
};

/// Work of the sleeper's participants, handed to sleeper_options::run_on. Move-only. Run it exactly
/// once, on any thread; destroying it unrun is a refusal, and fails what it belongs to with
/// `cancelled`. May be run or destroyed after the sleeper is gone: then it does nothing.
class LULL_API transition_work {
 public:
  transition_work(transition_work&& other) noexcept = default;
  transition_work& operator=(transition_work&& other) noexcept;
  ~transition_work();

  /// Runs it. Never throws: what participants throw becomes the failure of their transition. Blocks
  /// for as long as they do. Harmless when it has run already or is no longer wanted.
  void operator()() noexcept;

 private:
  friend class detail::handed_work;
  explicit transition_work(std::shared_ptr<detail::handed_work> work) noexcept;
  std::shared_ptr<detail::handed_work> work_;
};

/// How a sleep whose plan resets contexts does that. Clock, log and release clock are the
/// sleeper's.
struct sleeper_reset_options {
  /// Give up what still lives on the devices, as reset_options::drop says, instead of failing.
  bool drop = false;
  /// For operations and submitted work to finish. Absent: the sleeper's drain_timeout. Above 0.
  std::optional<duration> drain_timeout = {};
  /// As reset_options::settle_timeout.
  duration settle_timeout = reset_options{}.settle_timeout;
  /// As reset_options::reset.
  std::function<void(const device&)> reset = {};
};

/// How a sleep whose plan suspends the process does that, and how it is restored.
///
/// A driver does not move everything: NVIDIA's neither managed memory nor memory that is shared
/// with other processes (exported, imported, CUDA IPC before driver 610). lull has none; nobody can
/// list what others in the process have made, so it shows when the driver refuses: the sleep fails
/// with `unsupported` and all is as before; or, where the driver has left the process in a state
/// that nothing brings it back from, it says that the process is lost.
struct sleeper_suspend_options {
  /// What is free on the devices in this moment, by name, as somebody says who is not suspended: a
  /// router, or a program that is asked over a pipe. Called before the process is suspended, and
  /// while it is, when nothing in the process may ask the driver or its management library, since
  /// that would not return. What a process had must be free on every device before it is restored:
  /// one that does not fit is lost for good. Called on the sleeper's thread; what it throws fails
  /// the transition. Empty: `observer` is asked.
  std::function<std::map<std::string, std::uint64_t>()> free_bytes = {};
  /// The program that is asked where free_bytes is empty, and its arguments; looked for in PATH,
  /// and kept running from the first sleep of this kind on. It writes a line for each line that it
  /// reads: the devices and what is free on them, "CUDA0 1048576 CUDA1 2097152". Must see the same
  /// devices by the same names, and holds nothing of them.
  std::vector<std::string> observer = {"lull", "observe"};
  /// For work that was submitted to end. Absent: the sleeper's drain_timeout. Above 0.
  std::optional<duration> lock_timeout = {};
  /// Host memory that must be left beside what the driver carries. 1 GiB: enough for what goes on.
  std::uint64_t host_margin_bytes = std::uint64_t{1} << 30;
  /// What must be free on each device beside what the process needs to be restored. 256 MiB: others
  /// may take some in the moment between the look and the restore.
  std::uint64_t device_margin_bytes = std::uint64_t{256} << 20;
  /// How long the driver may take to save or to restore the process before the transition fails and
  /// says so. Above 0. 5 min: what it carries moves at 1.4 GB/s at least (docs/hardware-notes.md).
  /// What it does goes on, since nobody can end it: the sleeper counts as asleep, and the next wake
  /// goes on from what has come of it.
  duration driver_timeout = std::chrono::minutes{5};
};

/// How a sleep whose plan replaces the image of the process does that (lull/rebirth.hpp). The new
/// image makes its sleeper anew, and says that it sleeps: sleeper::begin_asleep().
struct sleeper_rebirth_options {
  /// What goes over to the next image. Called at the last moment, where participants run: this is
  /// where no more work is taken in, and connections that were accepted are waited for. Those
  /// that come after it wait in the queue of a listening socket that is handed over. What it throws
  /// calls the sleep off. Empty: this program cannot be replaced.
  /// @param then the sleeper's counters, with this sleep among them
  std::function<rebirth_handover(const sleep_counters& then)> hand_over = {};
  /// Called when there is no next image after hand_over() has returned: take work in again. Also
  /// when somebody waits for a lease by then, who goes first. Must not throw.
  std::function<void()> called_off = {};
  rebirth_options how = {};
};

struct sleeper_options {
  /// Sleep after this long without a lease, to within 10 ms. 0: as soon as the last lease comes
  /// back. Absent: only when told to. After an idle sleep that failed it is tried again after the
  /// idle time, at least 1 s, and then after twice as long each time, up to an hour (or the idle
  /// time, if that is longer), until a sleep succeeds or set_idle_time() is called. Not below 0.
  std::optional<duration> idle_time = {};
  /// What a sleep does.
  sleep_plan plan = plan_for(sleep_level::discard);
  /// Instead of one idle time and one plan: deeper and deeper sleeps, each after a longer time
  /// without a lease, for example offload after 30 s, suspend after 10 min, reset after an hour.
  /// The first is what a sleep does; from there it goes down without waking, rung by rung, as far
  /// as the time, or the plan's max_residue_bytes, takes it. A lease wakes it from any depth. A
  /// rung that fails is tried again as an idle sleep is, until the next is due; one that the
  /// devices or a participant cannot do is left out until the next sleep. Also those who called
  /// sleep() are taken deeper. Empty: one rung, of `idle_time` and `plan`.
  std::vector<sleep_rung> ladder = {};
  /// How long sleep() waits for leases to come back. Above 0.
  duration drain_timeout = std::chrono::seconds{10};
  /// What resets contexts, at level `reset`.
  sleeper_reset_options reset = {};
  /// What suspends the process, at level `suspend`. It is suspended when all sleepers of the
  /// process that have participants sleep by such a plan, and restored by the first that wakes.
  sleeper_suspend_options suspend = {};
  /// What replaces the image of the process, at level `rebirth`, when all other sleepers of the
  /// process that have participants sleep. Participants are not called: nothing of theirs outlives
  /// the image, and a failure leaves all as it was, awake or asleep.
  sleeper_rebirth_options rebirth = {};
  /// Watch the idle time, and what participants have to do from time to time, on the sleeper's own
  /// thread. Off: call poll().
  bool watch_idle = false;
  /// Where participants sleep, wake and do their upkeep; empty: on the sleeper's own thread. Gets
  /// one piece of work a transition, and has to see that it is run, for example by posting it to
  /// the engine's own loop, so that no participant runs beside a computation of that loop. Called
  /// on the sleeper's thread; what it throws fails the transition. A loop that ends must destroy
  /// what it has not run. Nothing else of the sleeper waits for the loop but the transition itself:
  /// callers give up at their deadlines, and the sleeper's destructor takes back work that has not
  /// begun.
  std::function<void(transition_work)> run_on = {};
  /// Called after every transition, on the sleeper's thread, when those who waited for the
  /// transition have been told. No further transition begins, and no upkeep, until it returns: be
  /// quick. What it throws is swallowed and logged.
  std::function<void(const transition_report&)> on_transition = {};
  /// Gets a mark for every device on which a sleep has freed memory, before sleep() returns and
  /// before on_transition is called. A custom participant must mark memory that it frees without
  /// recording it in the transition. Must outlive the sleeper. Null: nobody is told.
  release_clock* releases = nullptr;
  const lull::clock* clock = &lull::steady_clock();
  log_sink log = {};
};

/// What a lease is for.
enum class lease_use : std::uint8_t {
  work,     ///< counts as activity: the idle time starts when it comes back
  observe,  ///< holds everything awake just the same, and leaves the idle time alone: for metrics
};

/// How to wait for a lease.
struct acquire_options {
  time_point deadline = no_deadline;  ///< on the sleeper's clock
  stop_view stop = {};
  /// Asked from time to time while waiting, for servers that can only ask whether the client is
  /// still there: false gives up (`cancelled`). Called under no lock, on the waiting thread; for
  /// acquire_async on the thread that serves all such waits, so be quick. What it throws ends the
  /// wait too. Empty: not asked.
  std::function<bool()> keep_waiting = {};
  /// How often. Above 0.
  duration check_every = std::chrono::milliseconds{250};
};

/// Lets an inference process sleep when idle, and wakes it once however many callers want it.
///
/// Work runs under a lease. A lease belongs to the work and not to the request that asked for it: a
/// request that gives up while its computation goes on must leave a lease with the computation
/// (share()), or the model sleeps under it. While awake, acquiring and releasing one is one atomic
/// operation each. While asleep, the first acquire starts a wake, all callers wait for it, and each
/// gets its lease, the wake's error, or its own deadline. Leases asked for during a transition wait
/// for its end.
///
/// Transitions run on one thread that the sleeper starts at the first of them, so that every caller
/// can give up at its deadline. Participants go to sleep in the reverse order of being added and
/// wake in the forward order; if one fails, those before it are taken back.
///
/// A sleep that fails leaves the sleeper awake, and the idle time starts again. A wake that fails
/// leaves it asleep, gives its error to all who wait, and the next acquire tries again.
///
/// A sleep can become deeper without a wake, by the ladder or by deepen(). The state is `asleep`
/// all the while. If that fails, it sleeps on as it did before. It never becomes shallower.
///
/// Thread-safe. Leases must come back before the sleeper is destroyed. In a child made by fork()
/// every function throws `unsupported` at once, or returns nothing if it does not throw.
class LULL_API sleeper {
 public:
  /// Work in flight. Move-only; gives itself back when destroyed. Must not outlive the sleeper.
  class LULL_API lease {
   public:
    lease(lease&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), use_(other.use_) {}
    lease& operator=(lease&& other) noexcept;
    ~lease() {
      if (owner_ != nullptr) release();
    }
    /// Gives the lease back early. Harmless when it is back already.
    void release() noexcept;

   private:
    friend class sleeper;
    friend struct detail::lease_access;
    explicit lease(sleeper& owner, lease_use use = lease_use::work) noexcept
        : owner_(&owner), use_(use) {}
    sleeper* owner_;
    lease_use use_;
  };

  /// @throws error invalid_argument: an option outside its range, a ladder with a rung that is not
  ///         deeper and later than the one before, or a ladder and an idle_time; unsupported: a
  ///         plan's context action is not available; out_of_host_memory: with watch_idle, its
  ///         thread cannot be started
  explicit sleeper(sleeper_options options = {});
  /// Ends the thread; a transition under way is cancelled and rolled back first. What is asleep
  /// stays asleep; a process that is suspended, and has no other sleeper, is restored where it
  /// fits.
  ~sleeper();
  sleeper(const sleeper&) = delete;
  sleeper& operator=(const sleeper&) = delete;

  /// Adds a participant, which then sleeps and wakes with this sleeper.
  /// @throws error (busy) when not awake
  void add(std::shared_ptr<participant> who);
  /// Adds memory: its regions sleep as the plan says. `what` must outlive the sleeper.
  void manage(memory& what);
  /// Adds a graph cache: it is cleared at every sleep, because graphs refer to memory that goes;
  /// after a wake they are captured again as they are asked for. A sleep that gives nothing else up
  /// (sleep_level::trim) evicts what is not in use, and waits for nothing. Add it after the memory
  /// that its graphs use: what is added last sleeps first. While awake it is swept when that is
  /// due, so that it shrinks without lookups; an idle time that is set or shortened later counts
  /// from up to a minute later on. `what` must outlive the sleeper, and have its clock.
  /// @param clear_timeout how long a sleep waits for graphs in use and captures under way, on the
  ///        cache's clock; when it is over the sleep fails, and says what it waited for
  /// @throws error (busy) when not awake; (invalid_argument) when the timeout is below 0
  void manage(any_graph_cache& what, duration clear_timeout = std::chrono::seconds{10});

  /// A lease; wakes first when asleep.
  /// @param deadline on the sleeper's clock
  /// @throws error timed_out; cancelled; out_of_host_memory: the sleeper's thread cannot be
  ///         started; or why the wake failed. The next caller tries again.
  [[nodiscard]] lease acquire(time_point deadline = no_deadline, const stop_view& stop = {});

  /// The same with more to say about the wait.
  /// @throws error also invalid_argument: check_every is not above 0; callback: keep_waiting threw
  [[nodiscard]] lease acquire(const acquire_options& how);

  /// How an acquire_async ended: a lease, or why there is none.
  using acquire_result = std::variant<lease, error>;

  /// Asks for a lease without waiting for it: for event loops. `done` is called exactly once:
  /// within this call if awake, else on a thread that serves all such waits of this sleeper and is
  /// started at the first of them, under no lock. It must not block, as it holds up the other
  /// waits, but not transitions; it must not throw (what it throws is logged). The sleeper's
  /// destructor ends the waits that are left with `cancelled`.
  /// @throws error invalid_argument: `done` is empty, or check_every is not above 0;
  ///         out_of_host_memory: the thread cannot be started. Then `done` is not called.
  void acquire_async(acquire_options how, std::function<void(acquire_result)> done);

  /// A lease if awake, else nothing. Never waits, never wakes.
  [[nodiscard]] std::optional<lease> try_acquire(lease_use use = lease_use::work) noexcept;

  /// One more lease beside one that is held, also while a sleep waits for leases to come back.
  /// Never waits, never wakes. For work that outlives the request that asked for it.
  /// @throws error (invalid_argument) when `held` was given back already or is another sleeper's
  [[nodiscard]] lease share(const lease& held);

  /// Everything about the sleeper. Never waits for a transition, never wakes, leaves the idle time
  /// alone.
  [[nodiscard]] sleeper_snapshot observe() const;

  /// Sleeps now: waits for leases to come back, at most drain_timeout, then carries out the plan.
  /// When asleep already it returns the report of that sleep; when a sleep is under way it joins
  /// it. Where there is no memory for the report, its texts and lists are empty.
  /// @param plan instead of the one in the options
  /// @throws error timed_out: leases did not come back, with their number (awake again);
  ///         unsupported: no participant's device can do what the plan says about the context, and
  ///         the plan has no fallback; with the nearest level that would do, and before anything is
  ///         touched; out_of_host_memory: the sleeper's thread cannot be started; or why the sleep
  ///         failed
  transition_report sleep(const std::optional<sleep_plan>& plan = std::nullopt);

  /// Goes to a deeper sleep without waking: what the sleep does already stays, and what the plan
  /// says beyond that is done. For a budget that needs more of a device. All or nothing: after a
  /// failure it sleeps as before. Waits for a transition under way, and lets those who wait for a
  /// lease go first. From a process that is suspended it restores that first, for which there must
  /// be room on its devices, and suspends it again if what comes after fails.
  /// @param plan absent: that of the next rung of the ladder
  /// @return with no step, where the sleep does all of that already
  /// @throws error busy: it is not asleep, or only in part, since a sleep or a wake failed;
  ///         not_found: the ladder has no further rung; unsupported: as sleep(), or a participant
  ///         cannot go deeper; out_of_host_memory; or why it failed
  transition_report deepen(const std::optional<sleep_plan>& plan = std::nullopt);

  /// Wakes now, without taking a lease. When awake already it does nothing.
  /// @throws as acquire
  void wake(time_point deadline = no_deadline, const stop_view& stop = {});

  /// For callers that run their own loop: starts what is due: a sleep, a deeper one, or
  /// participants' upkeep. Never blocks.
  /// @return whether a sleep, or a deeper one, was started
  /// @throws error (out_of_host_memory) when the sleeper's thread cannot be started; what was due
  ///        still is
  bool poll(time_point now);

  /// When poll() should be called next; absent while there is nothing to wait for (in a transition,
  /// asleep on the last rung, or no idle time and no upkeep). While awake it moves later, and
  /// earlier only when a participant has new things to do.
  [[nodiscard]] std::optional<time_point> next_deadline() const;

  /// Says that all participants sleep already, though nobody put them to sleep: how the image of a
  /// process begins that has been replaced, with nothing loaded yet. Then it is as after a sleep:
  /// the first lease wakes, and calls each participant's wake() with this plan; the ladder goes on
  /// from it.
  /// @param counters that go on counting from there
  /// @param last what observe() tells of the last transition; none where it has no plan
  /// @throws error (busy) when not awake, or leases are out
  void begin_asleep(sleep_plan plan, const sleep_counters& counters = {},
                    transition_report last = {});

  /// Changes the idle time, now and for later, and forgets sleeps that failed. With a ladder it is
  /// that of the first rung. Absent: sleep, and go deeper, only when told to.
  /// @throws error (invalid_argument) below 0, or not before the second rung
  void set_idle_time(std::optional<duration> idle_time);

 private:
  friend struct detail::sleeper_access;
  struct impl;
  std::unique_ptr<impl> impl_;
};

/// What became of two sleepers that swapped places.
struct swap_report {
  transition_report slept;  ///< of the one that left
  transition_report woke;   ///< of the one that came
};

/// Puts one sleeper to sleep while another wakes, so that both directions of the link are at work
/// at once; also where their devices cannot hold both: parts of what leaves make room for parts of
/// what comes. Leases of the leaving one are waited for first, as sleep() does. One that sleeps, or
/// is awake, already is left as it is. What others of this process bring to those devices meanwhile
/// waits for the end of it too. Blocks for both.
/// @param plan of the sleep; absent: the leaving sleeper's own
/// @param stop, deadline of the wake, on the coming sleeper's clock
/// @throws error invalid_argument: both are the same; or why the sleep or the wake failed. Then
///         both are put back to what they were; where that fails too the message says so.
LULL_API swap_report swap(sleeper& leaving, sleeper& coming,
                          const std::optional<sleep_plan>& plan = std::nullopt,
                          time_point deadline = no_deadline, const stop_view& stop = {});

}  // namespace lull

#endif  // LULL_SLEEPER_HPP
