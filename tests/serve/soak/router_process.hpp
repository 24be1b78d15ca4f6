#ifndef TESTS_SERVE_SOAK_ROUTER_PROCESS_HPP
#define TESTS_SERVE_SOAK_ROUTER_PROCESS_HPP

#include <lull/process.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace lull::soak {

/// The GPU that models share here, and what they need of it: three fit, with a little to spare.
inline constexpr std::uint64_t gib = std::uint64_t{1} << 30;
inline constexpr std::uint64_t gpu_bytes = 14 * gib;
inline constexpr std::uint64_t margin_bytes = gib / 2;
inline constexpr std::uint64_t model_bytes = 4 * gib;

/// `lull serve` in front of servers of the load run.
class router_process {
 public:
  router_process(std::filesystem::path folder, int models);
  ~router_process();
  router_process(const router_process&) = delete;
  router_process& operator=(const router_process&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] pid_t id() const { return process_->id(); }
  [[nodiscard]] const std::vector<std::string>& models() const noexcept { return models_; }
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// Where each process that uses the GPU has a file.
  [[nodiscard]] std::filesystem::path gpu_folder() const { return folder_ / "gpu"; }
  /// The state as the page has it; null when there is no answer.
  [[nodiscard]] nlohmann::json state() const;
  /// The page of metrics; empty when there is no answer.
  [[nodiscard]] std::string metrics() const;
  void unload_all() const;
  /// Tells it to end, as a service manager does.
  stop_result stop();
  [[nodiscard]] std::string last_log_lines() const;

 private:
  void write_config(int models);
  void start();

  std::filesystem::path folder_;
  std::vector<std::string> models_;
  std::unique_ptr<process> process_;
  int port_ = 0;
};

}  // namespace lull::soak

#endif  // TESTS_SERVE_SOAK_ROUTER_PROCESS_HPP
