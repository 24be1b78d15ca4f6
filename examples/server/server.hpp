#ifndef EXAMPLES_SERVER_SERVER_HPP
#define EXAMPLES_SERVER_SERVER_HPP

#include <lull/lull.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "http/access.hpp"
#include "http/front_door.hpp"
#include "server/completion.hpp"
#include "server/compute_loop.hpp"
#include "server/engine.hpp"
#include "server/rebirth.hpp"
#include "server/sleep_plans.hpp"

namespace example {

struct server_options : engine_options {
  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: any that is free
  /// Demanded of what changes anything; empty: nothing is, and then only loopback is listened on.
  std::string token;
  std::optional<std::chrono::milliseconds> sleep_idle;  ///< 0: as soon as there is no work
  lull::sleep_level sleep_level = lull::sleep_level::discard;
  /// Instead of both: deeper and deeper sleeps, as time passes without work.
  std::vector<ladder_step> sleep_ladder;
  std::optional<std::filesystem::path> offload_directory;  ///< see plan_for()
  int parallel = 2;                                        ///< completions computed at once
  int most_waiting = 256;  ///< completions that wait or are computed; more are turned away
  std::chrono::milliseconds request_timeout = std::chrono::minutes{2};
  /// For tests: makes every word take this much longer.
  std::chrono::milliseconds word_delay{0};
  /// What the image before this one left: the server begins asleep, with nothing loaded.
  std::optional<lull::reborn> before;
};

/// An inference server in the style of llama.cpp's, over a stand-in for inference.
///
/// | thread | what it does |
/// |---|---|
/// | that of run() | reads requests and sends answers; waits for nobody |
/// | the compute loop's | everything that touches the model: completions, loading, sleeping, waking
/// | | the sleeper's | decides when to sleep and wake, and has the compute loop do it | | a few
/// helpers | what blocks: asking a device for its memory, POST /sleep |
///
/// What only observes (/health, /props, /models, /metrics, /is_sleeping) takes no lease: it never
/// wakes the model and never postpones its sleep. A wake that fails is an error for those who
/// waited; the server lives on, and the next request tries again.
class server {
 public:
  /// Reads the model's header and binds the port.
  /// @throws gguf::format_error, gguf::model_error, std::system_error; lull::error: also
  ///         invalid_argument when others than this machine could connect and there is no token
  server(lull::device device, server_options options);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  [[nodiscard]] int port() const noexcept { return door_.port(); }

  /// Loads the model, and answers until stop() is called from another thread; while it loads,
  /// observers are answered, and others told to come back. Once.
  /// @param on_ready called on another thread when completions are answered
  /// @throws what loading the model threw, unless stop() ended it
  void run(const std::function<void()>& on_ready = {});
  /// Ends run(), now or as soon as it is called: also a load, in the middle of a tensor. Who waits
  /// for anything gets an error, streams end. Harmless when repeated; thread-safe.
  void stop() noexcept { stopping_.request_stop(); }
  /// What stop() stops, for those who may outlive the server.
  [[nodiscard]] std::stop_source stopping() const noexcept { return stopping_; }

  [[nodiscard]] lull::sleeper& sleeper() noexcept { return sleeper_; }
  [[nodiscard]] const lull::any_graph_cache& graphs() const noexcept { return engine_.graphs(); }
  [[nodiscard]] const lull::memory& memory() const noexcept { return engine_.memory(); }

 private:
  struct route {
    std::string method;
    std::function<void(const http::request&, http::reply&&)> handle;
    bool takes_json = false;  ///< and nothing else: a web page's form must not do
  };

  /// Threads for what blocks, each for one request, and not too many of them.
  struct helpers {
    std::size_t most;
    std::vector<std::future<void>> running = {};
  };

  void add_routes();
  void add_observers();
  void handle(const http::request& asked, http::reply&& to);
  [[nodiscard]] const route& route_for(const http::request& asked) const;
  void load(const std::function<void()>& on_ready);
  [[nodiscard]] lull::sleeper_options sleeper_options_from();
  [[nodiscard]] lull::sleep_plan plan_of(lull::sleep_level level) const;
  // rebirth.cpp
  void begin_reborn();
  [[nodiscard]] lull::rebirth_handover hand_over(const lull::sleep_counters& then);
  [[nodiscard]] http::front_door_options door_options() const;

  [[nodiscard]] nlohmann::json props() const;
  [[nodiscard]] nlohmann::json models() const;

  void complete(const http::request& asked, http::reply&& to);
  void sleep(const http::request& asked, http::reply&& to);
  void wake(const http::request& asked, http::reply&& to);
  void run_on(helpers& who, http::reply&& to, std::function<http::answer()> work);
  [[nodiscard]] static bool run_beside(helpers& who, std::function<void()> work);

  const server_options options_;
  std::stop_source stopping_;
  std::atomic<bool> ready_{false};
  completion_counters counters_;
  earlier_counts earlier_;  ///< of images before this one
  std::map<std::string, route, std::less<>> routes_;
  // In the order in which they need each other: the last one ends first.
  engine engine_;
  http::front_door door_;
  http::access_rules rules_;
  compute_loop loop_;
  lull::sleeper sleeper_;
  std::optional<lull::sleeper::lease> loading_;  ///< until the model is there nobody sleeps
  helpers observers_{16};  ///< a look at a device may take its time during a reset
  helpers sleepers_{16};
};

}  // namespace example

#endif  // EXAMPLES_SERVER_SERVER_HPP
