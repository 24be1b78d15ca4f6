// `lull serve` under load: many clients over more models than fit, while servers are killed, start
// slowly or not at all, and another program takes memory. Every request must be answered or refused
// with a reason; no model may hold what the budget has not; and nothing may be left at the end.

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "soak/clients.hpp"
#include "soak/observer.hpp"
#include "soak/proc_files.hpp"
#include "soak/router_process.hpp"
#include "soak/trouble.hpp"

namespace {

using namespace lull::soak;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

struct arguments {
  int seconds = 600;
  int clients = 500;
  int models = 12;
  unsigned seed = 1;
  bool quiet = false;  ///< nothing goes wrong
  servers which = servers::stand_ins;
  std::string folder;
};

bool eventually(const std::function<bool()>& holds) {
  const auto deadline = steady_clock::now() + seconds{60};
  while (!holds()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds{50});
  }
  return true;
}

/// Counts what does not hold.
class verdict {
 public:
  void check(bool holds, const std::string& what, const std::string& figures) {
    fmt::print("{} {:<58} {}\n", holds ? "ok  " : "FAIL", what, figures);
    if (!holds) ++failures_;
  }
  [[nodiscard]] int failures() const noexcept { return failures_; }

 private:
  int failures_ = 0;
};

int servers_alive(const router_process& router) {
  int count = 0;
  const std::string ours = router.folder().string();
  for (const seen_process& each : all_processes()) {
    const bool is_server = each.command.starts_with(LULL_SOAK_SERVER) ||
                           each.command.starts_with(LULL_EXAMPLE_SERVER) ||
                           each.command.starts_with("sh -c");
    if (is_server && each.command.find(ours) != std::string::npos) ++count;
  }
  return count;
}

void judge_answers(verdict& into, const tally& seen) {
  std::uint64_t refused = 0;
  for (const auto& [status, count] : seen.refused) refused += count;
  std::uint64_t wrong = 0;
  for (const auto& [words, count] : seen.wrong) wrong += count;
  for (const auto& [words, count] : seen.wrong) fmt::print("     {} times: {}\n", count, words);
  for (const auto& [words, count] : seen.reasons) fmt::print("     {} times: {}\n", count, words);
  const std::uint64_t known = seen.answered + seen.left + seen.cut + seen.closed + refused + wrong;
  into.check(known == seen.asked && wrong == 0 && seen.answered > 0 && seen.closed == 0,
             "every request was answered, or refused with a reason",
             fmt::format("{} asked, {} answered, {} refused, {} cut by a kill, {} closed "
                         "without one, {} left, {} wrong; "
                         "the longest took {:.1f} s",
                         seen.asked, seen.answered, refused, seen.cut, seen.closed, seen.left,
                         wrong, seen.longest_seconds));
}

void judge_sightings(verdict& into, const sightings& seen, const sizes& of) {
  into.check(seen.over_budget == 0 && seen.samples > 0, "nothing over the budget at any sample",
             fmt::format("{} samples; at most {} MiB held and {} booked, of {} and a margin of {}",
                         seen.samples, seen.most_held_bytes / mib, seen.most_booked_bytes / mib,
                         (of.device - of.margin) / mib, of.margin / mib));
  if (!seen.first_over.empty()) {
    fmt::print("     {} samples were over it, first when {}\n", seen.over_budget, seen.first_over);
  }
  into.check(seen.unanswered == 0, "the router was never too busy to say how it is",
             fmt::format("the slowest look took {:.3f} s", seen.slowest_look_seconds));
  constexpr int two_seconds = 20;
  into.check(seen.longest_zombie < two_seconds, "no zombie stayed",
             fmt::format("the longest was seen {} times in a row", seen.longest_zombie));
  fmt::print("     at most {} MiB resident, {} descriptors\n", seen.most_resident_kib >> 10,
             seen.most_descriptors);
}

/// With all servers stopped, the router is as it was before.
void judge_rest(verdict& into, const router_process& router, std::size_t descriptors_before) {
  router.unload_all();
  constexpr std::size_t tolerated = 2;  // a look that has not quite ended
  std::size_t after = 0;
  const bool is_back = eventually([&] {
    after = descriptors_of(router.id());
    return servers_alive(router) == 0 && after <= descriptors_before + tolerated;
  });
  into.check(is_back, "no descriptor and no server is left",
             fmt::format("{} descriptors before, {} after, {} servers", descriptors_before, after,
                         servers_alive(router)));
}

int run(const arguments& given) {
  const std::filesystem::path folder = given.folder;
  router_process router(folder, given.which, given.models);
  const std::size_t descriptors_before = descriptors_of(router.id());
  verdict result;
  std::optional<trouble> disturbances;
  observer eye(router);
  clients crowd(router.port(), given.which, router.models(), given.clients, given.seed);
  if (!given.quiet) disturbances.emplace(router, given.seed);
  const auto end = steady_clock::now() + seconds{given.seconds};
  while (steady_clock::now() < end && is_alive(router.id())) {
    std::this_thread::sleep_for(milliseconds{100});
  }
  result.check(is_alive(router.id()), "the router lives", fmt::format("{} s", given.seconds));
  if (disturbances) disturbances->stop();
  crowd.stop();
  eye.stop();
  if (disturbances) {
    result.check(true, "what went wrong meanwhile",
                 fmt::format("{} kills, {} times memory taken", disturbances->kills(),
                             disturbances->intrusions()));
  }
  judge_answers(result, crowd.counts());
  judge_sightings(result, eye.seen(), router.sizes());
  judge_rest(result, router, descriptors_before);
  const lull::stop_result ended = router.stop();
  result.check(ended.status.success() && !ended.killed, "it ends when it is told to",
               to_string(ended.status));
  result.check(servers_alive(router) == 0, "no orphan", "");
  const std::string reports = router.sanitizer_reports();
  result.check(reports.empty(), "no process was reported by a sanitizer", "");
  fmt::print("{}", reports.substr(0, 20000));
  if (result.failures() > 0)
    fmt::print("\nthe router's last words:\n{}\n", router.last_log_lines());
  return result.failures();
}

/// Each client has a connection, or two.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("lull serve under load, with everything that may go wrong", "lull-serve-soak");
  arguments given;
  app.add_option("--seconds", given.seconds)->check(CLI::Range(1, 86400))->capture_default_str();
  app.add_option("--clients", given.clients)->check(CLI::Range(1, 5000))->capture_default_str();
  app.add_option("--models", given.models)->check(CLI::Range(1, 25))->capture_default_str();
  app.add_option("--seed", given.seed, "Of what happens at random")->capture_default_str();
  const std::map<std::string, servers> kinds{{"stand-ins", servers::stand_ins},
                                             {"examples", servers::examples}};
  app.add_option("--servers", given.which,
                 "stand-ins, on a simulated GPU, or examples, on the host")
      ->transform(CLI::CheckedTransformer(kinds));
  app.add_flag("--quiet", given.quiet, "Nobody is killed and nothing is taken");
  CLI11_PARSE(app, argc, argv);
  raise_descriptor_limit();
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::string pattern = std::filesystem::temp_directory_path() / "lull-soak-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return 1;
  given.folder = pattern;
  int failures = 1;
  try {
    failures = run(given);
  } catch (const std::exception& failure) {
    fmt::print("{}\n", failure.what());
  }
  if (failures == 0) {
    std::filesystem::remove_all(pattern);
    fmt::print("soak: all checks passed\n");
  } else {
    fmt::print("soak: {} checks failed; what there was is in {}\n", failures, pattern);
  }
  return failures == 0 ? 0 : 1;
}
