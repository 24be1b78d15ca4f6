#ifndef TOOLS_SERVE_FLEET_HPP
#define TOOLS_SERVE_FLEET_HPP

#include <lull/budget.hpp>
#include <lull/registry.hpp>
#include <lull/settle.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "helpers.hpp"
#include "holdings.hpp"
#include "log_book.hpp"
#include "model.hpp"

namespace lull::serve {

/// All models, and the budget that they share. On the router's thread.
class fleet {
 public:
  /// Ends what a router that was killed has left behind, and asks the devices. Blocks for that.
  /// @throws error
  fleet(net::io_context& io, const config& given, std::filesystem::path state_folder,
        log_book& logs, log_sink log);
  ~fleet();
  fleet(const fleet&) = delete;
  fleet& operator=(const fleet&) = delete;

  /// Begins to look after the models, and loads those that are to be there from the start.
  void start();
  /// @return what could not be applied, in words
  std::vector<std::string> reconfigure(const config& given);
  /// It says that it is not ready, and serves on.
  void begin_to_drain() { draining_ = true; }
  [[nodiscard]] bool is_draining() const noexcept { return draining_; }
  /// Whoever asks for a model from now on does not get it; who waits already does.
  void refuse_new() { around_.refusing = true; }
  /// Stops all servers, then `done`, on the router's thread.
  /// @param by when those that have not ended are killed, if their own time is not over before
  void close(time_point by, std::function<void()> done);
  /// Less time for what close() has begun.
  void hurry(time_point by);

  /// By name or alias; null: there is none.
  [[nodiscard]] std::shared_ptr<model> find(const std::string& name) const;
  /// In the order of the configuration.
  [[nodiscard]] const std::vector<std::shared_ptr<model>>& models() const noexcept {
    return models_;
  }
  [[nodiscard]] const holdings& memory() const noexcept { return memory_; }
  [[nodiscard]] lull::budget& books() noexcept { return *books_; }
  /// Whether the models that are to be there from the start have come, or failed to.
  [[nodiscard]] bool is_started() const noexcept { return preloads_left_ == 0; }
  /// Told of each model that could be used, of what it was before, and how long that took: from
  /// when it was asked for, and, where it was loaded or woken, of that alone.
  void on_arrival(arrival_told told) { around_.arrived = std::move(told); }
  [[nodiscard]] log_book& logs() noexcept { return around_.logs; }
  [[nodiscard]] helpers& threads() noexcept { return threads_; }

  /// A model that is in no configuration, until remove(). Reading the file again leaves it there.
  /// @param devices where it will hold memory; empty: on the first. What is said of it counts for
  ///        each of them
  /// @throws error invalid_argument: there is one of this name; busy: what such a one held is not
  ///         given back yet
  std::shared_ptr<model> add(model_config given, const std::vector<std::string>& devices);
  /// Takes away what was added so. `gone` is called when it has ended and nothing of it counts.
  /// @param forget what it was measured at too
  void remove(const std::shared_ptr<model>& which, bool forget, std::function<void()> gone);
  /// Told when a model's server ends by itself or does not become ready.
  void on_end(std::function<void(model&, const std::optional<exit_status>&)> told) {
    around_.ended = std::move(told);
  }

  /// Called after something that is shown has changed. Several changes may be told as one.
  void on_change(std::function<void()> told) { changed_ = std::move(told); }
  /// What devices were last seen to use, without asking them.
  [[nodiscard]] std::map<std::string, std::uint64_t> used() const;

 private:
  void end_orphans();
  void add(const model_config& given, const config& all);
  [[nodiscard]] budget_model booked(const model_config& which, const config& all) const;
  [[nodiscard]] std::shared_ptr<model> reconfigured(const model_config& given,
                                                    std::vector<std::string>& kept);
  void retire(std::vector<std::shared_ptr<model>> left);
  void forget_retired();
  void collect_retired();
  void forget_measured(budget_model which);
  void make_way(model& comer, const std::function<void()>& then);
  void tick();
  void refresh();
  [[nodiscard]] std::vector<int> children() const;
  std::vector<budget_reading> read_devices();
  void set_names(const config& given);

  net::io_context& io_;
  config config_;
  const std::filesystem::path pid_folder_;
  helpers threads_;
  release_clock releases_;
  holdings memory_;
  surroundings around_;
  std::unique_ptr<lull::budget> books_;
  std::vector<std::shared_ptr<model>> models_;
  std::map<std::string, std::shared_ptr<model>> by_name_;
  std::vector<std::shared_ptr<model>> retired_;
  std::vector<std::shared_ptr<model>> added_;  ///< those of `models_` that no configuration has
  /// Of those that were removed.
  struct removal {
    bool forget = false;
    std::function<void()> gone;
  };
  std::map<const model*, removal> removals_;
  steady_timer timer_;
  time_point refreshed_{};
  bool refreshing_ = false;
  bool change_told_ = false;
  bool closed_ = false;
  bool draining_ = false;
  std::size_t preloads_left_ = 0;
  std::function<void()> changed_;

  mutable std::mutex mutex_;  ///< for what helpers ask
  std::vector<int> children_;
  std::map<std::string, std::uint64_t> used_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_FLEET_HPP
