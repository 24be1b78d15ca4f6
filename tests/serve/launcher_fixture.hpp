#ifndef TESTS_SERVE_LAUNCHER_FIXTURE_HPP
#define TESTS_SERVE_LAUNCHER_FIXTURE_HPP

#include <algorithm>
#include <atomic>

#include "serve/router_fixture.hpp"

namespace lull::test {

/// The router as a launcher of instances that are upstream.py.
class launcher_test : public router_test {
 protected:
  static constexpr const char* all = "/v2/vllm/instances";
  static std::string one(const std::string& id) { return std::string(all) + "/" + id; }

  /// @param keys of `launcher` besides, "name: value" parted by commas
  void launch(const std::string& keys = "ladder: [offload, stop]",
              std::vector<std::string> options = {}) {
    set(fmt::format("startPort: {}", free_port()));
    set(
        fmt::format("launcher: {{cmd: 'python3 -S -E {} --journal {} --port ${{PORT}} ${{options}}'"
                    "{}{}}}",
                    LULL_UPSTREAM, journal_.string(), keys.empty() ? "" : ", ", keys));
    start(std::move(options));
  }
  static json body(const std::string& options, const json& more = json::object()) {
    json made{{"options", options}};
    made.update(more);
    return made;
  }
  /// Options of upstream.py, for an instance at a port.
  static std::string at(int port, const std::string& name, const std::string& more = "") {
    return fmt::format("--name {} {} --port {}", name, more, port);
  }
  [[nodiscard]] answered put(const std::string& id, const json& what) const {
    httplib::Client client = connect();
    return of(client.Put(one(id), what.dump(), "application/json"));
  }
  [[nodiscard]] answered remove(const std::string& path) const {
    httplib::Client client = connect();
    return of(client.Delete(path));
  }
  [[nodiscard]] static answered at_door(int port, const std::string& method,
                                        const std::string& path, const std::string& body = "") {
    httplib::Client client("127.0.0.1", port);
    client.set_read_timeout(std::chrono::seconds{60});
    return of(method == "GET" ? client.Get(path) : client.Post(path, body, "application/json"));
  }
  static bool is_awake(int port) {
    const answered seen = at_door(port, "GET", "/is_sleeping");
    return seen.status == 200 && seen.body.at("is_sleeping") == false;
  }
  static bool wakes(int port) {
    return eventually([&] { return is_awake(port); });
  }
  [[nodiscard]] std::size_t count() const {
    return get(all).body.at("total_instances").get<std::size_t>();
  }

  /// Reads events on a thread of its own.
  class watcher {
   public:
    explicit watcher(int router, const std::string& query = "") : client_("127.0.0.1", router) {
      client_.set_read_timeout(std::chrono::hours{1});
      reader_ = std::thread([this, query] {
        client_.Get(
            std::string(all) + "/watch" + query,
            [this](const httplib::Response& head) {
              const std::lock_guard lock(mutex_);
              type_ = head.get_header_value("Content-Type");
              return true;
            },
            [this](const char* text, std::size_t size) {
              const std::lock_guard lock(mutex_);
              text_.append(text, size);
              return true;
            });
        ended_ = true;
      });
    }
    watcher(const watcher&) = delete;
    watcher& operator=(const watcher&) = delete;
    ~watcher() {
      // Which does nothing where it has not begun yet.
      eventually([this] {
        client_.stop();
        return ended_.load();
      });
      reader_.join();
    }
    [[nodiscard]] std::string type() const {
      eventually([this] {
        const std::lock_guard lock(mutex_);
        return !type_.empty();
      });
      const std::lock_guard lock(mutex_);
      return type_;
    }
    [[nodiscard]] std::vector<json> events() const {
      const std::lock_guard lock(mutex_);
      std::vector<json> found;
      std::istringstream lines(text_);
      for (std::string line; std::getline(lines, line);) {
        if (lines.eof()) break;  // the rest of it is to come
        found.push_back(json::parse(line));
      }
      return found;
    }
    /// How many there are, which takes no time where they are long.
    [[nodiscard]] std::size_t lines() const {
      const std::lock_guard lock(mutex_);
      return static_cast<std::size_t>(std::count(text_.begin(), text_.end(), '\n'));
    }
    /// The first event of this kind about an instance, when it is there.
    [[nodiscard]] std::optional<json> hears(const std::string& type, const std::string& id) const {
      std::optional<json> found;
      eventually([&] {
        for (const json& each : events()) {
          if (each.at("type") == type && each.at("object").at("instance_id") == id) {
            found = each.at("object");
            return true;
          }
        }
        return false;
      });
      return found;
    }
    [[nodiscard]] std::string text() const {
      const std::lock_guard lock(mutex_);
      return text_;
    }

   private:
    httplib::Client client_;
    mutable std::mutex mutex_;
    std::string type_;
    std::string text_;
    std::atomic<bool> ended_ = false;
    std::thread reader_;
  };
};

}  // namespace lull::test

#endif  // TESTS_SERVE_LAUNCHER_FIXTURE_HPP
