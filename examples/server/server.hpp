#ifndef EXAMPLES_SERVER_SERVER_HPP
#define EXAMPLES_SERVER_SERVER_HPP

#include <lull/lull.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "http/access.hpp"
#include "http/front_door.hpp"
#include "server/models.hpp"

namespace example {

struct server_options : models_options {
  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: any that is free
  /// Demanded of what changes anything; empty: nothing is, and then only loopback is listened on.
  std::string token;
  int most_waiting = 256;  ///< completions of a model that wait or are computed
  std::chrono::milliseconds request_timeout = std::chrono::minutes{2};
  /// What the image before this one left: the server begins with everything asleep.
  std::optional<lull::reborn> left;
};

/// An inference server in the style of llama.cpp's, over a stand-in for inference.
///
/// | thread | what it does |
/// |---|---|
/// | that of run() | reads requests and sends answers; waits for nobody |
/// | a compute loop for each model | all that touches it: words, loading, sleeping, waking |
/// | its sleeper's | decides when it sleeps and wakes, and has the compute loop do it |
/// | the budget's keeper | tells the budget that time passes; a thread for each eviction |
/// | a few helpers | what blocks: asking a device for its memory, POST /sleep |
///
/// What only observes (/health, /props, /models, /metrics, /is_sleeping) takes no lease: it never
/// wakes the model and never postpones its sleep. A wake that fails is an error for those who
/// waited; the server lives on, and the next request tries again.
class server {
 public:
  /// Reads the models' headers and binds the port.
  /// @throws gguf::format_error, gguf::model_error, std::system_error; lull::error: also
  ///         invalid_argument when others than this machine could connect and there is no token
  server(const lull::device& device, server_options options);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  [[nodiscard]] int port() const noexcept { return door_.port(); }

  /// Loads the first model, and answers until stop() is called from another thread; while it loads,
  /// observers are answered, and others told to come back. Once.
  /// @param on_ready called on another thread when completions are answered
  /// @throws what loading the model threw, unless stop() ended it
  void run(const std::function<void()>& on_ready = {});
  /// Ends run(), now or as soon as it is called. Who waits for anything gets an error, streams end;
  /// a load ends in the middle of a tensor when the server is destroyed. Harmless when repeated;
  /// thread-safe.
  void stop() noexcept { stopping_.request_stop(); }
  /// What stop() stops, for those who may outlive the server.
  [[nodiscard]] std::stop_source stopping() const noexcept { return stopping_; }

  /// @param name empty: the first
  [[nodiscard]] served_model& model(std::string_view name = {}) { return models_.named(name); }

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

  // rebirth.cpp
  [[nodiscard]] server_options prepared(server_options options);
  [[nodiscard]] http::front_door_options door_options() const;
  [[nodiscard]] lull::rebirth_handover hand_over(const served_model& which,
                                                 const lull::sleep_counters& then);
  void sleep_by_rebirth(const std::vector<served_model*>& which, http::reply&& to);

  void add_routes();
  void add_observers();
  void handle(const http::request& asked, http::reply&& to);
  [[nodiscard]] const route& route_for(const http::request& asked) const;
  [[nodiscard]] std::vector<served_model*> addressed(const std::string& name) const;

  void complete(const http::request& asked, http::reply&& to);
  void sleep(const http::request& asked, http::reply&& to);
  void wake(const http::request& asked, http::reply&& to);
  void run_on(helpers& who, http::reply&& to, std::function<http::answer()> work);
  [[nodiscard]] static bool run_beside(helpers& who, std::function<void()> work);

  const server_options options_;
  std::stop_source stopping_;
  std::atomic<bool> ready_{false};
  std::map<std::string, route, std::less<>> routes_;
  // In the order in which they need each other: the last one ends first.
  models models_;
  http::front_door door_;
  http::access_rules rules_;
  helpers observers_{16};  ///< a look at a device may take its time during a reset
  helpers sleepers_{16};
};

}  // namespace example

#endif  // EXAMPLES_SERVER_SERVER_HPP
