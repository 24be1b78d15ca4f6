#ifndef TOOLS_SERVE_ROUTE_TABLE_HPP
#define TOOLS_SERVE_ROUTE_TABLE_HPP

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "access.hpp"
#include "answer.hpp"
#include "model.hpp"

namespace lull::serve {

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

/// The header of a request, as routes see it.
struct request_head {
  const header_fields& fields;
  std::string_view method;  ///< GET for HEAD too
  std::string_view target;
  std::string path;  ///< of the target (plain_path)
  bool upgrade = false;
};

/// Who may take a route.
enum class guard : std::uint8_t {
  none,   ///< it only looks
  token,  ///< it changes something, or shows what people asked: with the token, where one is set
};

/// The routes that the router answers itself. Groups of them are entered one after the other.
class route_table {
 public:
  using handler = std::function<void(const local_request&, const reply&)>;
  using opener = std::function<void(const std::shared_ptr<stream>&)>;
  /// @param rest what is after the prefix
  using chooser = std::function<decision(const request_head&, std::string_view rest)>;
  using model_handler =
      std::function<void(const std::shared_ptr<model>&, const local_request&, const reply&)>;

  /// GET of a path, answered at once.
  void look(const std::string& path, std::function<answer()> made);
  void add(const std::string& method, const std::string& path, guard needs, handler handle);
  /// GET of a path, answered until one of both sides ends it.
  void open(const std::string& path, guard needs, std::string type, opener begin);
  /// All paths that begin with `prefix`; the first that was entered counts, after whole paths.
  /// @param method empty: any
  void add_prefix(std::string method, std::string prefix, guard needs, chooser choose);
  /// What the router answers for each model, whatever its server has: `/upstream/NAME` and `path`,
  /// and a look at `path?model=NAME`.
  void add_of_model(const std::string& method, const std::string& path, guard needs,
                    model_handler handle);

  [[nodiscard]] std::optional<decision> find(const request_head& asked,
                                             const access_rules& rules) const;
  /// @param path after `/upstream/NAME`
  [[nodiscard]] std::optional<decision> find_of_model(const std::shared_ptr<model>& which,
                                                      const request_head& asked,
                                                      std::string_view path,
                                                      const access_rules& rules) const;

 private:
  template <class Entry>
  using by_path = std::map<std::string, Entry, std::less<>>;
  template <class Entry>
  using by_method = std::map<std::string, by_path<Entry>, std::less<>>;
  struct entry {
    guard needs = guard::none;
    handler handle = {};
    opener begin = {};
    std::string type = {};
  };
  struct prefix_entry {
    std::string method;
    std::string prefix;
    guard needs = guard::none;
    chooser choose;
  };
  struct model_entry {
    guard needs = guard::none;
    model_handler handle;
  };

  by_method<entry> paths_;
  std::vector<prefix_entry> prefixes_;
  by_method<model_entry> of_model_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_ROUTE_TABLE_HPP
