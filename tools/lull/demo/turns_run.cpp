#include "turns_run.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "interrupt.hpp"
#include "model_file.hpp"

namespace lull::demo {
namespace {

using namespace std::chrono_literals;

// Enough to see, and made in a moment.
constexpr std::uint64_t most_model_bytes = std::uint64_t{256} << 20;
constexpr auto answer_limit = 600s;
constexpr int tokens_per_turn = 8;

/// Files that differ in their contents, named a, b and c.
std::map<std::string, std::filesystem::path> make_models(const turns_options& options,
                                                         std::uint64_t bytes,
                                                         const std::stop_token& stop) {
  std::map<std::string, std::filesystem::path> files;
  std::uint64_t seed = 2;
  for (const char* const name : {"a", "b", "c"}) {
    std::string size = format_bytes(bytes);
    std::erase(size, ' ');
    files[name] = options.models_directory / fmt::format("demo-{}-{}.gguf", name, size);
    ensure_model(
        files[name], bytes, [](const std::string&) {}, stop, seed++);
  }
  return files;
}

struct footprint {
  std::uint64_t model_bytes = 0;
  std::uint64_t server_bytes = 0;  ///< besides: its context on the device
};

/// What one model takes, which is more than its tensors, as devices give memory in whole pieces.
footprint measure(const server_options& how, const std::stop_token& stop) {
  server_process server(how, stop);
  server_client client(server.port(), answer_limit);
  footprint result;
  result.model_bytes = client.models().held_bytes;
  try {
    const auto used =
        static_cast<std::uint64_t>(metric(client.metrics(), "lull_device_used_bytes"));
    result.server_bytes = used - std::min(used, result.model_bytes);
  } catch (const error& failure) {
    if (failure.code() != status::not_found) throw;  // the platform cannot tell: then it is little
  }
  return result;
}

turn take_turn(server_client& client, const std::string& model,
               std::map<std::string, std::string>& answers) {
  const std::size_t displaced_before = client.models().displaced.size();
  const time_point asked_at = steady_clock().now();
  const std::string answer = client.complete("Whose turn is it?", tokens_per_turn, model);
  turn result;
  result.model = model;
  result.answered_after = steady_clock().now() - asked_at;
  const auto [first, is_first] = answers.emplace(model, answer);
  result.is_first = is_first;
  result.answer_equal = first->second == answer;
  models_seen seen = client.models();
  // The server forgets what is long ago, which this is not.
  result.displaced.assign(seen.displaced.begin() + static_cast<std::ptrdiff_t>(displaced_before),
                          seen.displaced.end());
  result.loaded = std::move(seen.loaded);
  result.held_bytes = seen.held_bytes;
  return result;
}

std::string describe(const turn& what) {
  std::vector<std::string> gone;
  for (const displaced_model& each : what.displaced) {
    gone.push_back(fmt::format("{} went to sleep ({})", each.model, each.level));
  }
  return fmt::format("turns: {} answered after {:.2f} s{}{}", what.model,
                     what.answered_after.count(), gone.empty() ? "" : ", for which ",
                     fmt::join(gone, " and "));
}

}  // namespace

std::optional<turns_result> run_turns(const turns_options& options, const device& where,
                                      const std::stop_token& stop) {
  const auto free = where.memory().free_bytes;
  if (!free) return std::nullopt;
  turns_result result;
  result.device = where.name();
  result.model_bytes = std::min(options.most_model_bytes, most_model_bytes);
  const auto files = make_models(options, result.model_bytes, stop);
  server_options how = options.server;
  how.idle_time = 1h;  // nobody sleeps but for another
  how.model = fmt::format("a={}", files.at("a").string());
  how.more_arguments = {"--kv-size", "0"};
  const footprint one = measure(how, stop);
  const std::uint64_t room = one.model_bytes * 5 / 2 + one.server_bytes;
  // What is free of the host's memory changes all the time; so it is given a size instead.
  const bool on_host = where.type() == device_type::host;
  const std::uint64_t margin = on_host ? 0 : *free - std::min(*free, room);
  how.more_arguments.insert(how.more_arguments.end(),
                            {"--models-memory-margin", std::to_string(margin)});
  if (on_host) {
    how.more_arguments.insert(how.more_arguments.end(), {"--host-memory", std::to_string(room)});
  }
  for (const char* const name : {"b", "c"}) {
    how.more_arguments.insert(how.more_arguments.end(),
                              {"--model", fmt::format("{}={}", name, files.at(name).string())});
  }
  options.progress("turns: starting a server with three models where two have room");
  server_process server(how, stop);
  try {
    server_client client(server.port(), answer_limit);
    std::map<std::string, std::string> answers;
    for (const char* const model : {"a", "b", "c", "b", "a", "c"}) {
      throw_if_interrupted(stop);
      result.turns.push_back(take_turn(client, model, answers));
      options.progress(describe(result.turns.back()));
    }
    result.limit_bytes = client.models().limit_bytes;
  } catch (const error& failure) {
    if (stop.stop_requested()) throw error(status::cancelled, "interrupted");
    throw error(failure.code(), failure.what() + server.condition());
  }
  for (const auto& [name, file] : files) result.models.push_back(name);
  return result;
}

std::vector<std::string> judge(const turns_result& what) {
  std::vector<std::string> wrong;
  std::vector<std::string> before;
  for (const turn& each : what.turns) {
    const auto was_loaded = [&](const std::string& name) {
      return std::find(before.begin(), before.end(), name) != before.end();
    };
    const std::size_t expected = was_loaded(each.model) || before.size() < 2 ? 0 : 1;
    if (each.displaced.size() != expected) {
      wrong.push_back(fmt::format("turns: {} models went to sleep for {}, expected {}",
                                  each.displaced.size(), each.model, expected));
    }
    for (const displaced_model& who : each.displaced) {
      if (!was_loaded(who.model)) {
        wrong.push_back(fmt::format("turns: {} went to sleep, and was not there", who.model));
      }
    }
    before = each.loaded;
    if (!each.answer_equal) {
      wrong.push_back(fmt::format("turns: {} answered other than at first", each.model));
    }
    if (each.held_bytes > what.limit_bytes) {
      wrong.push_back(fmt::format("turns: models held {} of {}", format_bytes(each.held_bytes),
                                  format_bytes(what.limit_bytes)));
    }
  }
  return wrong;
}

}  // namespace lull::demo
