#ifndef TOOLS_SERVE_METRICS_HPP
#define TOOLS_SERVE_METRICS_HPP

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "fleet.hpp"

namespace lull::serve {

/// What is counted, and the page for Prometheus. On the router's thread.
class metrics {
 public:
  /// A request to a model was answered, or failed.
  void answered(const std::string& model, unsigned status) { ++requests_[{model, status}]; }
  /// Its first byte came. @param found as model::acquired says
  void first_byte(const std::string& model, const std::string& found,
                  std::chrono::duration<double> after);
  /// A model could be used. @param from, load as arrival_told says
  void arrived(const std::string& model, const std::string& from,
               std::chrono::duration<double> after, bool load);
  /// A client went before it had its answer.
  void client_left(const std::string& model) { ++clients_left_[model]; }

  /// The exposition format, 0.0.4.
  [[nodiscard]] std::string page(fleet& models) const;

  std::size_t connections = 0;

 private:
  static constexpr std::array bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,   0.25, 0.5,
                                     1.0,   2.5,    5.0,   10.0, 30.0,  60.0, 120.0, 300.0};
  struct histogram {
    std::array<std::uint64_t, bounds.size() + 1> counts{};
    double sum = 0;

    void add(double value);
  };
  /// By model, and how it was found.
  using histograms = std::map<std::pair<std::string, std::string>, histogram>;
  static std::string text_of(const char* name, const char* help, const histograms& all);

  std::map<std::pair<std::string, unsigned>, std::uint64_t> requests_;
  histograms first_bytes_;
  histograms actuations_;
  histograms loads_;
  std::map<std::string, std::uint64_t> clients_left_;
};

}  // namespace lull::serve

#endif  // TOOLS_SERVE_METRICS_HPP
