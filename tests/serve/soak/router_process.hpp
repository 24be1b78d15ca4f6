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

inline constexpr std::uint64_t mib = std::uint64_t{1} << 20;

/// What models share here, and what they need of it: three fit, with a little to spare.
struct sizes {
  std::uint64_t device = 14336 * mib;
  std::uint64_t margin = 512 * mib;
  std::uint64_t model = 4096 * mib;
};

/// Which servers the router starts.
enum class servers {
  stand_ins,  ///< of the load run, on a simulated GPU
  examples,   ///< the example server, on the memory of this machine
};

/// `lull serve` in front of servers.
class router_process {
 public:
  router_process(std::filesystem::path folder, servers which, int models);
  ~router_process();
  router_process(const router_process&) = delete;
  router_process& operator=(const router_process&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] pid_t id() const { return process_->id(); }
  [[nodiscard]] servers which() const noexcept { return which_; }
  [[nodiscard]] const soak::sizes& sizes() const noexcept { return sizes_; }
  /// What the servers are seen to run.
  [[nodiscard]] std::string program() const;
  /// A file: while it is there, some servers have a child that holds as much as a model.
  [[nodiscard]] std::filesystem::path intruder_file() const { return folder_ / "intrude"; }
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
  /// What sanitizers had to say, of the router and of its servers.
  [[nodiscard]] std::string sanitizer_reports() const;

 private:
  void write_config(int models);
  [[nodiscard]] std::string stand_in(int index) const;
  [[nodiscard]] std::string example(int index) const;
  void start();

  std::filesystem::path folder_;
  const servers which_;
  const soak::sizes sizes_;
  std::vector<std::string> models_;
  std::unique_ptr<process> process_;
  int port_ = 0;
};

}  // namespace lull::soak

#endif  // TESTS_SERVE_SOAK_ROUTER_PROCESS_HPP
