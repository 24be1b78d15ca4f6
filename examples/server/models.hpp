#ifndef EXAMPLES_SERVER_MODELS_HPP
#define EXAMPLES_SERVER_MODELS_HPP

#include <lull/lull.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "server/completion.hpp"
#include "server/served_model.hpp"

namespace example {

struct models_options : serving_options {
  std::vector<model_file> files;
  /// What models leave free of the device. Absent: 1 GiB, and nothing where there is one model.
  std::optional<std::uint64_t> memory_margin;
  std::optional<std::uint64_t> most_loaded;  ///< models at once, whatever they hold
};

/// A model that was put to sleep so that another one has room.
struct put_away {
  lull::budget_eviction what;
  std::chrono::system_clock::time_point when;
  std::string failure;  ///< empty: it sleeps
};

/// The models of a server on one device, which a budget divides: a model is loaded when its bytes
/// are its own, and others that have no work are put to sleep for it. A model that sleeps because
/// it is idle keeps its place until somebody needs it. Thread-safe.
class models {
 public:
  /// @throws as engine; lull::error (invalid_argument)
  models(const lull::device& device, const models_options& options);
  ~models();
  models(const models&) = delete;
  models& operator=(const models&) = delete;

  using list = std::vector<std::unique_ptr<served_model>>;
  [[nodiscard]] const list& all() const noexcept { return all_; }
  /// @param name empty: the first. The only one answers to any name: whoever stands before the
  ///        server may call it otherwise
  /// @throws http::refusal 404 with the names that there are
  [[nodiscard]] served_model& named(std::string_view name) const;

  /// What asking for a model ended with.
  using outcome = std::variant<permit, lull::error>;
  /// Asks for a model that is there and awake: for its bytes first, then for its sleeper's lease.
  /// Waits for nothing; calls `done` once, on any thread, where it must not block.
  void acquire(served_model& which, const lull::acquire_options& how,
               std::function<void(outcome)> done);

  /// Ends what is computed and waited for. Nobody may call acquire() afterwards.
  void close();

  /// @name Observers
  /// @{
  [[nodiscard]] const lull::device& device() const noexcept { return shared_.device; }
  [[nodiscard]] lull::budget_snapshot budget() const { return budget_->snapshot(); }
  /// All models, as GET /models tells of them; the device; and who was put to sleep for whom.
  [[nodiscard]] nlohmann::json describe() const;
  /// @}

 private:
  [[nodiscard]] lull::budget_options budget_options_from(const models_options& options);
  [[nodiscard]] lull::budget_model place_of(const served_model& which,
                                            const models_options& options) const;
  [[nodiscard]] std::uint64_t on_device(const lull::bytes_by_device& all) const;
  void evict(const lull::budget_eviction& what);
  void ring(bool look);
  void keep_time(const std::stop_token& stop);

  lull::release_clock releases_;
  const shared_resources shared_;
  list all_;
  std::optional<lull::budget> budget_;
  mutable std::mutex mutex_;
  std::condition_variable_any bell_;
  // Under the mutex:
  bool rung_ = false;
  bool look_ = false;
  std::deque<put_away> put_away_;

  std::jthread keeper_;
};

}  // namespace example

#endif  // EXAMPLES_SERVER_MODELS_HPP
