#include <lull/bytes.hpp>
#include <lull/error.hpp>
#include <lull/sleeper.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "commands.hpp"
#include "demo/demo.hpp"
#include "demo/interrupt.hpp"

namespace lull::tool {
namespace {

struct demo_arguments {
  demo::demo_options options;
  std::string size = "1GiB";
  std::vector<std::string> levels;
};

/// Accepts what `parse` does not throw for, so that a wrong value is wrong usage.
template <class Parse>
CLI::Validator valid_for(Parse parse, const std::string& name) {
  return CLI::Validator(
      [parse](const std::string& text) -> std::string {
        try {
          static_cast<void>(parse(text));
          return {};
        } catch (const error& failure) {
          return failure.what();
        }
      },
      name);
}

sleep_level parse_supported_level(std::string_view text) {
  const sleep_level level = parse_sleep_level(text);
  static_cast<void>(plan_for(level));  // says which levels there are
  return level;
}

exit_status run(demo_arguments& arguments) {
  demo::demo_options& options = arguments.options;
  options.model_bytes = parse_bytes(arguments.size);
  options.levels.clear();
  for (const std::string& one : arguments.levels) {
    options.levels.push_back(parse_supported_level(one));
  }
  options.progress = [](const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  };

  const demo::interrupt_watch interrupts;
  const std::vector<std::string> wrong = demo::run_demo(options, interrupts.token());
  for (const std::string& what : wrong) fmt::print(stderr, "lull demo: {}\n", what);
  fmt::print("{}\n",
             wrong.empty() ? "lull demo: all checks passed" : "lull demo: FAILED, see above");
  return wrong.empty() ? exit_ok : exit_failed;
}

}  // namespace

void add_demo_command(CLI::App& app, exit_status& status) {
  auto* command = app.add_subcommand(
      "demo", "Run an inference server through its sleep levels, measure it, and check it");
  const auto arguments = std::make_shared<demo_arguments>();
  demo::demo_options& options = arguments->options;
  options.output = "lull-demo";
  command->add_option("--size", arguments->size, "Size of the model that is made")
      ->capture_default_str()
      ->check(valid_for(parse_bytes, "BYTES"));
  command->add_option("--model", options.model,
                      "The model file: used as it is if it exists, made if not "
                      "[demo-SIZE.gguf in the output directory]");
  command
      ->add_option("--levels", arguments->levels,
                   "Sleep levels, separated by commas [all that the device can do]")
      ->delimiter(',')
      ->check(valid_for(parse_supported_level, "LEVEL"));
  command->add_option("--device", options.device,
                      "Where the weights are [the first GPU, HOST if there is none]");
  command->add_option("--clients", options.clients, "How many clients ask at once")
      ->capture_default_str()
      ->check(CLI::Range(1U, 256U));
  command->add_option("--output", options.output, "Directory for the chart, series and model")
      ->capture_default_str();
  command->add_option("--server", options.server,
                      "The example server's program [looked for beside this one]");
  command->callback([arguments, &status] { status = run(*arguments); });
}

}  // namespace lull::tool
