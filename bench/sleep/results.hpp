#ifndef BENCH_SLEEP_RESULTS_HPP
#define BENCH_SLEEP_RESULTS_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "reference.hpp"
#include "timing.hpp"

namespace sleep_bench {

/// Which way contents go.
enum class way : std::uint8_t { out, in, both };

/// What all rounds took: cases, each with its share of the machine's limit, and levels beside each
/// other.
class results {
 public:
  /// @param bytes that each case moves
  explicit results(std::uint64_t bytes) : bytes_(bytes) {}

  /// What the machine can do, taken just before the cases that are added next.
  void set_limit(const reference& taken);
  /// @param target share of the limit
  void add(const std::string& name, way which, const timing& took, std::optional<double> target);
  /// Down and up again by a level, and what it left on the device meanwhile, where that is known.
  void add_cycle(const std::string& level, const timing& out, std::optional<std::uint64_t> left,
                 const timing& in);

  /// The medians. Adds to `facts`, which stand at the head.
  /// @param limit how the machine's limit is called
  [[nodiscard]] nlohmann::json to_json(nlohmann::json facts, const std::string& limit) const;

 private:
  struct sample {
    timing took;
    double share = 0;
  };
  struct row {
    std::string name;
    std::optional<double> target;
    double link = 1;
    std::vector<sample> samples;
  };
  [[nodiscard]] nlohmann::json row_of(const row& of) const;

  std::uint64_t bytes_;
  reference limit_;
  std::vector<reference> limits_;
  std::vector<row> rows_;
  nlohmann::json levels_ = nlohmann::json::object();
};

void print_table(const nlohmann::json& result);

}  // namespace sleep_bench

#endif  // BENCH_SLEEP_RESULTS_HPP
