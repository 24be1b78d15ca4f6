#ifndef TOOLS_SERVE_MODEL_HPP
#define TOOLS_SERVE_MODEL_HPP

#include <lull/budget.hpp>
#include <lull/process.hpp>
#include <lull/settle.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "arrivals.hpp"
#include "child_output.hpp"
#include "client.hpp"
#include "config/config.hpp"
#include "helpers.hpp"
#include "holdings.hpp"
#include "log_book.hpp"
#include "net.hpp"

namespace lull::serve {

class model;

/// @param from what the model was before: "hot", "cold", or the level that it slept at
/// @param load of a load or a wake by itself; else of a request, from when it asked for the model
using arrival_told = std::function<void(const std::string& model, const std::string& from,
                                        duration waited, bool load)>;

/// What all models share. Outlives them.
struct surroundings {
  net::io_context& io;
  helpers& threads;
  log_book& logs;
  log_sink log = {};
  release_clock& releases;
  holdings* memory = nullptr;
  lull::budget* books = nullptr;
  std::filesystem::path pid_folder = {};
  std::stop_source ending = {};  ///< nobody waits for servers to end any more
  bool refusing = false;         ///< new requests
  /// When servers that have not ended are killed, whatever their own time is.
  time_point stop_by = no_deadline;
  /// Something that is shown has changed.
  std::function<void()> changed = [] {};
  /// Calls `then` when the models that must not be there beside this one have left.
  std::function<void(model& comer, std::function<void()> then)> make_way = {};
  /// A model's server has ended without having been told to, or has not become ready.
  /// @param how absent where no process was started
  std::function<void(model& which, const std::optional<exit_status>& how)> ended =
      [](model&, const std::optional<exit_status>&) {};
  arrival_told arrived = [](const std::string&, const std::string&, duration, bool) {};
};

/// Why a request is not served, as an HTTP answer.
struct refusal {
  unsigned status = 503;
  std::string words = {};
  std::optional<std::chrono::seconds> retry_after = {};
};

/// Leave to send one request to a model, which stays as it is until this is gone.
class lease {
 public:
  lease() noexcept = default;
  lease(std::shared_ptr<model> of, budget_ticket ticket);
  lease(lease&&) noexcept = default;
  lease& operator=(lease&& other) noexcept;
  ~lease() { release(); }

  explicit operator bool() const noexcept { return model_ != nullptr; }
  void release() noexcept;

 private:
  std::shared_ptr<model> model_;
  budget_ticket ticket_;
};

/// A model, its server, and who waits for it. All on the router's thread, except where a function
/// says otherwise. Nobody outside decides by its state: one asks for a lease, or for it to be put
/// away, and is told what came of it.
class model : public std::enable_shared_from_this<model> {
 public:
  enum class phase : std::uint8_t { stopped, starting, waking, ready, asleep, leaving, failed };

  /// For those who look.
  struct view {
    phase is = phase::stopped;
    std::string level = {};  ///< that it sleeps at
    std::size_t active = 0;
    std::size_t waiting = 0;
    time_point waiting_since{};
    bool pinned = false;
    int pid = 0;
    std::string last_error = {};
    time_point since{};  ///< it is so
    std::uint64_t starts = 0;
    std::uint64_t crashes = 0;
    unsigned failures = 0;    ///< loads that failed, one after the other
    time_point not_before{};  ///< it is not started again
    std::size_t depth = 0;    ///< how far down it is: 0 ready, else its rung + 1
    time_point load_began{};  ///< while it loads or wakes
  };

  /// A depth that it can be put away to.
  struct depth_view {
    std::size_t depth = 0;
    std::string level = {};
    bytes_by_device left = {};
    bool measured = false;              ///< what is left
    std::optional<duration> back = {};  ///< how long it took to come back from there, on average
  };

  /// @throws error (not_found) where the server's address cannot be looked up
  model(model_config given, surroundings& around);
  ~model();

  [[nodiscard]] const model_config& config() const noexcept { return config_; }
  /// Any thread.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Another configuration, from its next start on where it is about that.
  /// @param in_books whether the books have changed theirs; otherwise what they know is kept
  /// @return whether its server's address, which cannot change, is another one
  bool reconfigure(const model_config& given, bool in_books);
  /// What the books are told of a model.
  [[nodiscard]] static budget_model for_books(const model_config& config, const holdings& memory);

  /// @param lease empty where it was refused
  /// @param found how the model was found: "hot", "cold", or the level it slept at
  using acquired = std::function<void(lease, const refusal& why, const std::string& found)>;
  using tag_list = std::vector<std::string>;
  /// Leave to use it, as soon as it may be had; starts or wakes its server for that.
  /// @param only if not empty, no more than these parts are wanted, and no leave to use it
  /// @return for cancel(); 0 when `done` was called already
  std::uint64_t acquire(acquired done, tag_list only = {});
  void cancel(std::uint64_t wait);

  using outcome = std::function<void(const std::optional<refusal>&)>;
  /// Puts it to sleep, or stops it, when its requests are over.
  /// @param force where they do not end in time, break them off
  void put_away(std::size_t depth, bool force, outcome done) { put_away(depth, force, {}, done); }
  /// Stops it now, and breaks off what is under way.
  void stop_now(const outcome& done) { put_away(deepest(), true, {}, done, duration{}); }
  /// Nobody gets it any more, those who wait for it neither.
  void refuse_from_now(refusal why);
  /// Puts parts of it to sleep by its server's routes; it serves nothing until all are back.
  void sleep_tags(const tag_list& tags, const outcome& done);
  /// Wakes parts of one that sleeps by its server's routes.
  void wake_tags(const tag_list& tags, const outcome& done);
  void pin(bool pinned);
  /// The depth of sleep that vLLM's number or a level's name means; absent: there is none.
  [[nodiscard]] std::optional<std::size_t> depth_of(const std::string& level) const;
  [[nodiscard]] std::size_t deepest() const noexcept { return config_.ladder.size() - 1; }

  /// For budget_options::evict: any thread, blocks.
  void evict(std::size_t depth);
  /// What its server was seen to hold while it serves: many take more with their first requests
  /// than they had when they were ready, and need it again the next time.
  void seen_at_work(int server, const bytes_by_device& held, const budget_snapshot& books);
  /// What is due. @param books what the budget thinks of it
  void tick(time_point now, const budget_model_snapshot& books);
  /// Stops its server, whatever it does; then `done`. Nothing else happens with it afterwards.
  void close(std::function<void()> done);
  /// The time that close() gives has become shorter.
  void hurry();

  [[nodiscard]] view look() const;
  /// The depths that its server has, shallow first.
  [[nodiscard]] std::vector<depth_view> depths() const;
  /// How long a start took, on average; absent: none was seen.
  [[nodiscard]] std::optional<duration> start_time() const { return arrivals_.expected("cold"); }
  /// How long until it could serve, were it asked for now and had the room; absent: not known.
  [[nodiscard]] std::optional<duration> time_to_come() const;
  /// Whether a request that must not wake it could be sent to it.
  [[nodiscard]] bool answers() const noexcept { return phase_ == phase::ready; }

  // Connections to its server.
  [[nodiscard]] const tcp::endpoint& address() const noexcept { return address_; }
  [[nodiscard]] const std::string& host_header() const noexcept { return host_header_; }
  [[nodiscard]] std::optional<tcp_socket> take_connection();
  /// @param run of when it was connected
  void keep_connection(tcp_socket connection, std::uint64_t run);
  [[nodiscard]] std::uint64_t run() const noexcept { return run_; }
  /// Why a request that was sent to it failed: calls `done` when it is known whether the server has
  /// ended, or soon.
  void explain(std::uint64_t run, std::function<void(std::string words)> done);

 private:
  friend class lease;
  struct waiter {
    std::uint64_t number;
    acquired done;
    std::string found;
    time_point since;
    time_point deadline;
    tag_list only;
  };
  struct wish {
    std::size_t depth;
    bool force;
    time_point until;
    std::vector<outcome> told;
    tag_list tags;
  };
  using left = std::function<void(std::optional<error>)>;

  // model_queue.cpp
  void ask_books();
  void admitted(budget::admission result);
  void serve(budget_ticket ticket);
  void ask_for_all();
  void end_use() noexcept;
  void refuse_all(const refusal& why);
  void expire(time_point now);
  [[nodiscard]] std::string found_as() const;
  /// @param patience before requests are broken off; absent: as configured
  void put_away(std::size_t depth, bool force, const tag_list& tags, const outcome& done,
                std::optional<duration> patience = {});
  [[nodiscard]] tag_list wanted_tags() const;
  void try_wish(time_point now);
  void end_wish(const std::optional<refusal>& how);

  // model_load.cpp
  void load(budget_ticket ticket);
  void spawn();
  void spawned(std::uint64_t run, std::shared_ptr<lull::process> made, int output, int errors,
               const std::string& words);
  void heard(std::uint64_t run, const process_event& event);
  void check();
  void checked(const small_answer& answer);
  void wake();
  void wake_by_routes();
  void woken_by_routes(const tag_list& tags);
  void woken_whole();
  void woken_partly(const tag_list& tags);
  void reload_weights();
  void wake_by_driver();
  void load_failed(const std::string& words, unsigned status = 502);
  void load_put_off(const std::string& words, unsigned status = 503);
  void exited(std::uint64_t run);

  // model_measure.cpp
  [[nodiscard]] std::optional<budget_model_snapshot> booked(const budget_snapshot& books) const;
  void measure();
  void measured(std::uint64_t run, const bytes_by_device& held, const std::string& open_at);
  void measure_asleep();

  // model_leave.cpp
  void leave(std::size_t depth, left done);
  void leave_by(std::size_t depth, std::size_t choice);
  void leave_by_routes(std::size_t depth, std::size_t choice);
  void leave_by_tags(std::size_t depth);
  void keep_awake(unsigned status, const std::string& words);
  void leave_by_driver(std::size_t depth, std::size_t choice);
  void fell_asleep(std::size_t depth, sleep_way way);
  void cannot(std::size_t depth, std::size_t choice, const std::string& words);
  void finish_leaving(std::optional<error> failure = {});
  void stop_child(std::function<void()> then);
  [[nodiscard]] duration time_to_end() const;
  [[nodiscard]] stop_options how_to_stop() const;
  [[nodiscard]] std::vector<sleep_way> ways_of(std::size_t depth) const;

  void enter(phase next);
  void end_child();
  void stop_asking();
  [[nodiscard]] std::string last_lines() const;
  void say(log_level level, const std::string& words) const;
  [[nodiscard]] small_request request_for(std::string method, const std::string& path) const;

  model_config config_;
  const std::string name_;
  surroundings& around_;
  const tcp::endpoint address_;
  const std::string host_header_;

  phase phase_ = phase::stopped;
  time_point since_{};
  std::string last_error_;
  bool closed_ = false;
  std::uint64_t starts_ = 0;
  std::uint64_t crashes_ = 0;

  std::optional<refusal> refused_;  ///< to everybody, for ever
  std::deque<waiter> waiters_;
  std::uint64_t next_number_ = 1;
  bool asking_ = false;  ///< the books, which have not answered yet
  bool asking_all_ = false;
  std::size_t active_ = 0;
  time_point last_used_{};
  std::optional<wish> wish_;

  std::uint64_t run_ = 0;  ///< which start of the server this is
  std::uint64_t exited_run_ = 0;
  bool spawning_ = false;
  std::function<void()> when_spawned_;  ///< the start was given up, and is waited for
  std::shared_ptr<lull::process> child_;
  std::optional<exit_status> exit_;  ///< of the last child
  std::unique_ptr<child_output> output_;
  std::unique_ptr<child_output> errors_;
  std::vector<tcp_socket> idle_;
  std::vector<std::function<void()>> want_to_know_;  ///< of the end of the server

  std::optional<budget_ticket> loading_;  ///< the leave to load
  steady_timer timer_;
  cancel_function cancel_asking_;
  time_point load_deadline_{};
  duration check_pause_{};
  unsigned failures_ = 0;  ///< one after the other
  time_point not_before_{};
  arrivals arrivals_;

  std::vector<sleep_way> applied_;  ///< what a wake has to undo, the last first
  std::string level_;
  std::size_t depth_ = 0;     ///< how far down it is: 0 ready, else its rung + 1
  std::vector<bool> broken_;  ///< rungs that this server does not have
  std::vector<std::optional<bytes_by_device>> left_;  ///< at each rung, as it was measured
  bool was_suspended_ = false;                        ///< since it was started
  bool asleep_measured_ = false;                      ///< since it fell asleep
  std::uint64_t sleeps_ = 0;
  left leaving_;
  bytes_by_device seen_;     ///< what it held when it was ready, as devices list it
  bytes_by_device at_work_;  ///< the most that was seen since, and not above what one may hold
  bool discarded_ = false;   ///< by the routes: the weights have to be loaded again
  tag_list slept_tags_;      ///< by the routes; empty: all
  bool partly_ = false;      ///< awake: the books have it as ready, and it cannot serve
};

[[nodiscard]] std::string_view to_string(model::phase is) noexcept;

}  // namespace lull::serve

#endif  // TOOLS_SERVE_MODEL_HPP
