#ifndef TOOLS_SERVE_ROUTES_HPP
#define TOOLS_SERVE_ROUTES_HPP

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "access.hpp"
#include "fleet.hpp"
#include "metrics.hpp"
#include "model.hpp"

namespace lull::serve {

/// What the router itself answers.
struct answer {
  unsigned status = 200;
  std::string body = {};
  std::string type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
};
[[nodiscard]] answer answer_of(const refusal& why);

/// A request for the router itself.
struct local_request {
  std::string method;
  std::string path;    ///< without the query
  std::string target;  ///< with it
  std::string body;
};

/// A response that goes on until one of both sides ends it.
class stream {
 public:
  virtual ~stream() = default;
  /// @return false when the client has gone, or does not read
  virtual bool send(std::string_view text) = 0;
  /// Called when it has ended.
  virtual void on_end(std::function<void()> told) = 0;
};

using reply = std::function<void(answer)>;

/// What is to be done with a request, as far as its header tells.
namespace to_do {
struct local {
  std::function<void(local_request, reply)> handle;
};
struct streaming {
  std::string type;
  std::function<void(const std::shared_ptr<stream>&)> open;
};
struct send_to {
  std::shared_ptr<model> to;
  std::string target;
  bool observes = false;  ///< neither wakes nor keeps awake
};
struct find_in_body {};
}  // namespace to_do
using decision =
    std::variant<answer, to_do::local, to_do::streaming, to_do::send_to, to_do::find_in_body>;

/// Which request is for whom.
class routes {
 public:
  routes(fleet& models, metrics& counts, access_rules rules);

  [[nodiscard]] decision decide(const header_fields& fields, std::string_view method,
                                std::string_view target, bool upgrade);
  /// For a request that names its model in its body.
  [[nodiscard]] decision for_model(const std::optional<std::string>& name,
                                   const std::string& target) const;
  void set_rules(access_rules rules) { rules_ = std::move(rules); }
  /// Asked before anything else that is not about who asks; absent: it goes on as usual.
  using earlier = std::function<std::optional<decision>(
      const header_fields& fields, std::string_view method, std::string_view target)>;
  void ask_first(earlier whom) { first_ = std::move(whom); }
  /// Tells those who look at /ui/events and /api/events.
  void tell_change();
  void tell_time();
  /// Whether somebody watches.
  [[nodiscard]] bool watched() const noexcept { return !watchers_.empty(); }

 private:
  struct entry {
    bool changes = false;  ///< needs the token
    std::function<void(local_request, reply)> handle = {};
    std::function<void(const std::shared_ptr<stream>&)> open = {};
    std::string type = {};
  };
  using table = std::map<std::string, entry, std::less<>>;
  struct watcher {
    std::shared_ptr<stream> to;
    bool swap_events = false;  ///< as llama-swap has them
  };

  void add_observers();
  void add_changes();
  void add_streams();
  [[nodiscard]] decision of_entry(const entry& found, const header_fields& fields) const;
  [[nodiscard]] decision upstream(const header_fields& fields, std::string_view method,
                                  std::string_view target, bool upgrade);
  [[nodiscard]] std::optional<decision> model_route(const std::shared_ptr<model>& which,
                                                    const header_fields& fields,
                                                    std::string_view method,
                                                    const std::string& path);
  [[nodiscard]] decision ui(const header_fields& fields, std::string_view method,
                            const std::string& path);
  [[nodiscard]] std::optional<decision> by_prefix(const header_fields& fields,
                                                  std::string_view method, const std::string& path);
  decision change(const header_fields& fields,
                  std::function<void(local_request, reply)> handle) const;

  [[nodiscard]] std::shared_ptr<model> named_in(const local_request& asked, const reply& to) const;
  void load(const std::shared_ptr<model>& which, const reply& to, bool wait);
  void put_away(const std::shared_ptr<model>& which, std::size_t depth, bool force,
                const reply& to);
  void sleep(const std::shared_ptr<model>& which, const local_request& asked, const reply& to);
  void unload_all(const reply& to);
  void open_logs(const std::shared_ptr<stream>& to, const std::string& source);
  void watch(const std::shared_ptr<stream>& to, bool swap_events);

  fleet& fleet_;
  metrics& metrics_;
  access_rules rules_;
  earlier first_;
  std::map<std::string, table, std::less<>> by_method_;
  std::map<std::uint64_t, watcher> watchers_;
  std::uint64_t next_watcher_ = 1;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_ROUTES_HPP
