#ifndef TESTS_SERVE_UI_STAND_IN_ROUTER_HPP
#define TESTS_SERVE_UI_STAND_IN_ROUTER_HPP

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

namespace httplib {
class Server;
}

namespace lull::serve {

/// Serves the page and the routes that it asks, from a state that the test gives.
class stand_in_router {
 public:
  explicit stand_in_router(nlohmann::json state);
  ~stand_in_router();
  stand_in_router(const stand_in_router&) = delete;
  stand_in_router& operator=(const stand_in_router&) = delete;

  [[nodiscard]] std::string url() const;
  /// What POSTs must bring; empty: nothing.
  void need_token(std::string token);
  /// Ends all streams of events, and answers new ones with 503 until told otherwise.
  void refuse_events(bool refuse);
  void set(nlohmann::json state);
  [[nodiscard]] nlohmann::json state();
  /// "POST /ui/models/a/sleep", in the order in which they came.
  [[nodiscard]] std::vector<std::string> posts();
  /// Paths that were asked for and are none of the page's.
  [[nodiscard]] std::vector<std::string> strays();

 private:
  void serve_page();
  void serve_state();
  void serve_actions();
  void act(nlohmann::json& model, const std::string& action);

  std::mutex mutex_;
  std::condition_variable changed_;
  nlohmann::json state_;
  int version_ = 0;
  std::string token_;
  bool refuses_events_ = false;
  bool is_ending_ = false;
  std::vector<std::string> posts_;
  std::vector<std::string> strays_;
  std::unique_ptr<httplib::Server> server_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace lull::serve

#endif  // TESTS_SERVE_UI_STAND_IN_ROUTER_HPP
