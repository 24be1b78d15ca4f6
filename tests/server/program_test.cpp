// The example server as a program: its options, what it prints, and how it ends.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "file_text.hpp"
#include "gguf/types.hpp"
#include "gguf/writer.hpp"
#include "support/eventually.hpp"
#include "support/run_shell.hpp"
#include "support/scratch_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

/// The server as a child.
class child {
 public:
  /// @param deaf its standard error is a pipe that is full from the start, and read by nobody
  explicit child(const std::vector<std::string>& arguments, bool deaf = false) {
    EXPECT_EQ(::pipe2(output_.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(errors_.data(), O_CLOEXEC), 0);
    if (deaf) fill(errors_[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, output_[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, errors_[1], STDERR_FILENO);
    std::vector<char*> words;
    std::string program = LULL_SERVER;
    words.push_back(program.data());
    std::vector<std::string> copies = arguments;
    for (std::string& each : copies) words.push_back(each.data());
    words.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&id_, LULL_SERVER, &actions, nullptr, words.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(output_[1]);
  }
  ~child() {
    if (!reaped_) {
      ::kill(id_, SIGKILL);
      ::waitpid(id_, nullptr, 0);
    }
    ::close(output_[0]);
    ::close(errors_[0]);
    ::close(errors_[1]);
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  /// The next line of its standard output; empty when there is none any more.
  std::string line() const { return line_of(output_[0]); }
  std::string error_line() const { return line_of(errors_[0]); }
  void tell(int number) const { ::kill(id_, number); }
  [[nodiscard]] pid_t id() const { return id_; }
  std::size_t descriptors() const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& each :
         fs::directory_iterator("/proc/" + std::to_string(id_) + "/fd")) {
      ++count;
    }
    return count;
  }
  /// The second number of its statm (proc(5)).
  std::uint64_t resident_pages() const {
    std::uint64_t all = 0;
    std::uint64_t resident = 0;
    std::ifstream("/proc/" + std::to_string(id_) + "/statm") >> all >> resident;
    return resident;
  }
  /// How long it takes to end; and its exit status, -1 by a signal or not at all within a minute.
  int wait(std::chrono::milliseconds& took) {
    const auto begun = std::chrono::steady_clock::now();
    int status = 0;
    while (::waitpid(id_, &status, WNOHANG) == 0) {
      took = std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::steady_clock::now() - begun);
      if (took > 1min) return -1;
      std::this_thread::sleep_for(2ms);
    }
    reaped_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static std::string line_of(int descriptor) {
    std::string text;
    for (char c = 0; ::read(descriptor, &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  static void fill(int pipe) {
    ::fcntl(pipe, F_SETPIPE_SZ, 4096);
    const std::string full(static_cast<std::size_t>(::fcntl(pipe, F_GETPIPE_SZ)), 'x');
    EXPECT_EQ(::write(pipe, full.data(), full.size()), static_cast<ssize_t>(full.size()));
  }

  std::array<int, 2> output_{};
  std::array<int, 2> errors_{};
  pid_t id_ = 0;
  bool reaped_ = false;
};

class Program : public testing::Test {
 protected:
  static lull::test::shell_result run(const std::string& arguments) {
    return lull::test::run_shell(fmt::format("timeout 60 {} {} 2>&1", LULL_SERVER, arguments));
  }
  std::string model() {
    const fs::path path = folder_ / "m.gguf";
    gguf::write_model(path, {.total_bytes = std::uint64_t{8} << 20, .blocks = 2});
    return path.string();
  }

  lull::test::scratch_folder scratch_;
  const fs::path& folder_ = scratch_.path();
};

TEST_F(Program, NumbersThatAreNoneAreWrongUsage) {
  for (const char* option : {"--request-timeout nan",
                             "--request-timeout inf",
                             "--request-timeout -1",
                             "--request-timeout 0",
                             "--request-timeout 1e300",
                             "--request-timeout 1e999",
                             "--request-timeout 5s",
                             "--request-timeout ''",
                             "--graph-cache-idle nan",
                             "--graph-cache-idle -inf",
                             "--graph-cache-idle -1",
                             "--graph-cache-entries -1",
                             "--graph-cache-entries nan",
                             "--graph-cache-entries 99999999999999999999",
                             "--graph-cache-bytes -1",
                             "--graph-cache-bytes nan",
                             "--kv-size inf",
                             "--kv-size 1e30",
                             "--kv-size 99999999999EiB",
                             "--sleep-idle-seconds nan",
                             "--sleep-idle-seconds -2",
                             "--sleep-idle-seconds -0.5",
                             "--sleep-idle-seconds 1e10",
                             "--parallel 0",
                             "--parallel 99999999999",
                             "--parallel nan",
                             "--port 65536",
                             "--port -1",
                             "--port 0.5",
                             "--wake-delay-ms -1",
                             "--sleep-ladder offload",
                             "--sleep-ladder rebirth:30s,offload:10m",
                             "--sleep-ladder discard:30s,offload:10m",
                             "--sleep-ladder offload:30s,discard:30s",
                             "--sleep-ladder offload:30s --sleep-idle-seconds 30",
                             "--sleep-ladder discard:30s --sleep-level discard",
                             "--sleep-ladder offload:30s --reload",
                             "--sleep-level ''",
                             "--model x",
                             "--model y/x.gguf",
                             "--model a=y --model a=z",
                             "--model a=y --sleep-level reset",
                             "--models-max 0",
                             "--models-max nan",
                             "--host-memory much",
                             "--models-memory-margin -1",
                             "--models-memory-margin much"}) {
    const auto [code, output] = run(std::string("--model x ") + option);
    EXPECT_EQ(code, 2) << option << ": " << output;
  }
  const auto [code, output] = run("--model x --reload --sleep-level offload");
  EXPECT_EQ(code, 2) << output;
}

TEST_F(Program, NumbersThatAreSomeAreTaken) {
  for (const char* option : {"--sleep-idle-seconds 0", "--sleep-idle-seconds -1",
                             "--sleep-idle-seconds 0.5", "--request-timeout 1e3"}) {
    const auto [code, output] = run(std::string("--model /nonexistent ") + option);
    EXPECT_EQ(code, 1) << option << ": " << output;
    EXPECT_THAT(output, HasSubstr("/nonexistent: No such file"));
  }
}

TEST_F(Program, LevelsThatTheDeviceLacksAreRefusedByName) {
  const auto [code, output] = run("--model x --sleep-ladder offload:30s,reset:10m");
  EXPECT_EQ(code, 1) << output;
  EXPECT_THAT(output, HasSubstr("HOST cannot sleep by level 'reset'; it can by trim, offload"));
}

TEST_F(Program, ModelsThatAreNoneAreRefused) {
  std::ofstream(folder_ / "bad.gguf") << "no model";
  EXPECT_THAT(run("--model " + (folder_ / "bad.gguf").string()).output,
              HasSubstr("not a GGUF file"));
  std::ofstream(folder_ / "empty.gguf") << file_text{}.start(0, 0).bytes;
  const auto [code, output] = run("--model " + (folder_ / "empty.gguf").string());
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("no tensors"));
}

TEST_F(Program, SeveralModelsAreNamed) {
  const std::string file = model();
  const fs::path with_equals = folder_ / "x=y.gguf";
  fs::copy(file, with_equals);
  child server({"--model", file, "--model", "other=" + file, "--model", with_equals.string(),
                "--port", "0", "--kv-size", "0"});
  const std::string line = server.line();
  ASSERT_THAT(line, StartsWith("listening on http://127.0.0.1:"));
  httplib::Client client("127.0.0.1", std::stoi(line.substr(line.rfind(':') + 1)));
  client.set_read_timeout(60s);
  const std::string models = client.Get("/models")->body;
  for (const char* const name : {"m", "other", "x=y"}) {
    EXPECT_THAT(models, HasSubstr(fmt::format("\"id\":\"{}\"", name)));
  }
  EXPECT_EQ(
      client.Post("/completion", R"({"prompt":"x","model":"other"})", "application/json")->status,
      200);
}

TEST_F(Program, BeyondThisMachineATokenIsRequired) {
  const auto [code, output] = run("--host 0.0.0.0 --port 0 --model " + model());
  EXPECT_EQ(code, 1);
  EXPECT_THAT(output, HasSubstr("token"));
  EXPECT_THAT(output, testing::Not(HasSubstr("listening")));
}

TEST_F(Program, AnErrorOutputThatIsNotOpenIsNoReasonToDie) {
  EXPECT_EQ(
      lull::test::run_shell(std::string(LULL_SERVER) + " --model /nonexistent 2>&-").exit_code, 1);
}

TEST_F(Program, AnErrorOutputThatNobodyReadsStopsNothing) {
  child server({"--model", model(), "--port", "0", "--kv-size", "0"}, true);
  const std::string line = server.line();
  ASSERT_THAT(line, StartsWith("listening on http://127.0.0.1:"));
  httplib::Client client("127.0.0.1", std::stoi(line.substr(line.rfind(':') + 1)));
  client.set_read_timeout(60s);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.Post("/sleep")->status, 200);
    EXPECT_EQ(client.Post("/completion", R"({"prompt":"x"})", "application/json")->status, 200);
  }
  server.tell(SIGTERM);
  std::chrono::milliseconds took{};
  EXPECT_EQ(server.wait(took), 0);
  EXPECT_LT(took, 5s);
}

/// A server that is told, or waits, to be replaced by its next image.
class reborn_server {
 public:
  explicit reborn_server(const std::vector<std::string>& arguments) : child_(arguments) {
    const std::string line = child_.line();
    EXPECT_THAT(line, StartsWith("listening on http://127.0.0.1:"));
    port_ = std::stoi(line.substr(line.rfind(':') + 1));
    client_.emplace("127.0.0.1", port_);
    client_->set_read_timeout(60s);
    expected_ = answer();
  }

  /// Asks the one image and the next, each of which answers everybody.
  void await_rebirth() {
    EXPECT_TRUE(lull::test::eventually([&] {
      const std::string seen = get("/props");
      return seen.find(R"("is_sleeping":true)") != seen.npos &&
             seen.find(R"("sleep_level":"rebirth")") != seen.npos;
    }));
  }
  /// How many of its sockets listen on its port (proc(5), net/tcp: state 0A).
  int listening_sockets() const {
    std::ifstream table(fmt::format("/proc/{}/net/tcp", child_.id()));
    const std::string wanted = fmt::format(":{:04X} 00000000:0000 0A", port_);
    int count = 0;
    for (std::string row; std::getline(table, row);) count += row.find(wanted) != row.npos ? 1 : 0;
    return count;
  }
  std::string get(const std::string& path) {
    const auto result = client_->Get(path);
    EXPECT_TRUE(result && result->status == 200) << path << ": " << to_string(result.error());
    return result ? result->body : "";
  }
  std::string answer(const std::string& model = "") {
    const std::string body = model.empty() ? R"({"prompt":"x"})"
                                           : fmt::format(R"({{"prompt":"x","model":"{}"}})", model);
    const auto result = client_->Post("/completion", body, "application/json");
    EXPECT_TRUE(result && result->status == 200);
    return result ? result->body : "";
  }
  int sleep() {
    const std::string body = with_level_ ? R"({"level":"rebirth"})" : "{}";
    with_level_ = !with_level_;  // which says the same where it is the server's level
    return client_->Post("/sleep", body, "application/json")->status;
  }
  /// Without connections that are about to end.
  std::size_t fewest_descriptors() const {
    std::size_t fewest = child_.descriptors();
    for (int i = 0; i < 50; ++i) {
      std::this_thread::sleep_for(2ms);
      fewest = std::min(fewest, child_.descriptors());
    }
    return fewest;
  }
  child& program() { return child_; }
  const std::string& expected() const { return expected_; }

 private:
  child child_;
  int port_ = 0;
  std::optional<httplib::Client> client_;
  std::string expected_;
  bool with_level_ = true;
};

TEST_F(Program, IsReplacedByItselfAsleepAndItsCountersGoOn) {
  for (const bool reload : {false, true}) {
    std::vector<std::string> arguments{"--model", model(),         "--port",
                                       "0",       "--sleep-level", "rebirth"};
    if (reload) arguments.emplace_back("--reload");
    reborn_server server(arguments);
    std::size_t descriptors = 0;  // asleep, without those that the first image had from here
    for (int round = 1; round <= 3; ++round) {
      ASSERT_EQ(server.sleep(), 202);
      server.await_rebirth();
      if (round == 1) descriptors = server.fewest_descriptors();
      EXPECT_TRUE(lull::test::eventually([&] {
        return server.program().descriptors() <= descriptors;
      })) << "in round "
          << round;
      const std::string metrics = server.get("/metrics");
      for (const auto& [name, value] :
           {std::pair("lull_sleeps_total{model=\"m\"}", round + 1),  // it began with one
            {"lull_wakes_total{model=\"m\"}", round},
            {"server_completions_total{model=\"m\"}", round},
            {"lull_graph_cache_captures_total{model=\"m\",cache=\"graphs\"}", round}}) {
        EXPECT_THAT(metrics, HasSubstr(fmt::format("\n{} {}\n", name, value))) << reload;
      }
      EXPECT_THAT(metrics, HasSubstr("lull_last_transition_seconds"));
      EXPECT_EQ(server.answer(), server.expected());
    }
    server.program().tell(SIGTERM);
    std::chrono::milliseconds took{};
    EXPECT_EQ(server.program().wait(took), 0);
  }
}

TEST_F(Program, WithSeveralModelsIsReplacedOnceForAllAndEachGoesOnCounting) {
  const std::string file = model();
  reborn_server server({"--model", "a=" + file, "--model", "b=" + file, "--port", "0",
                        "--models-memory-margin", "0", "--sleep-level", "rebirth"});
  const auto is_reborn = [&](const std::string& name) {
    return server.get("/props?model=" + name).find(R"("sleep_level":"rebirth")") !=
           std::string::npos;
  };
  std::size_t descriptors = 0;
  for (int round = 1; round <= 3; ++round) {
    EXPECT_EQ(server.answer("a"), server.expected());
    EXPECT_EQ(server.answer("b"), server.expected());
    ASSERT_EQ(server.sleep(), 202);
    EXPECT_TRUE(lull::test::eventually([&] {
      // In the image before the first of them sleeps by another level, or works.
      return is_reborn("a") && is_reborn("b");
    }));
    if (round == 1) descriptors = server.fewest_descriptors();
    EXPECT_TRUE(lull::test::eventually([&] {
      return server.program().descriptors() <= descriptors;
    })) << round;
    EXPECT_EQ(server.listening_sockets(), 1);
    const std::string metrics = server.get("/metrics");
    for (const char* const name : {"a", "b"}) {
      const int completions = name[0] == 'a' ? round + 1 : round;  // one when it began
      EXPECT_THAT(metrics, HasSubstr(fmt::format("\nserver_completions_total{{model=\"{}\"}} {}\n",
                                                 name, completions)));
    }
  }
}

TEST_F(Program, GoesDownALadderToItsNextImage) {
  reborn_server server(
      {"--model", model(), "--port", "0", "--sleep-ladder", "offload:20ms,rebirth:60ms"});
  for (int round = 0; round < 2; ++round) {
    server.await_rebirth();
    EXPECT_EQ(server.answer(), server.expected());
  }
  EXPECT_THAT(server.get("/metrics"), HasSubstr("\nlull_wakes_total{model=\"m\"} "));
}

#ifdef LULL_SIMULATED_GPU
TEST_F(Program, OnAGpuTheNextImageMakesNoContextBeforeItWakes) {
  reborn_server server(
      {"--model", model(), "--port", "0", "--device", "CUDA0", "--sleep-level", "rebirth"});
  const auto bytes = [&](const std::string& what) {
    const std::string metrics = server.get("/metrics");
    const std::string name = "\nlull_device_" + what + "_bytes{device=\"CUDA0\"} ";
    const std::size_t at = metrics.find(name);
    return at == metrics.npos ? 0 : std::stoull(metrics.substr(at + name.size()));
  };
  ASSERT_GT(bytes("used"), 0u);
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(server.sleep(), 202);
    server.await_rebirth();
    EXPECT_GT(bytes("total"), 0u);
    EXPECT_EQ(bytes("free"), bytes("total"));
    EXPECT_EQ(server.answer(), server.expected());
  }
}

#ifdef LULL_CLI_FOLDER
TEST_F(Program, OnAGpuASuspendedServerIsReplacedAndItsGpuIsFree) {
  // Whoever is asked what is free.
  const std::string path = std::string(LULL_CLI_FOLDER) + ":" + std::getenv("PATH");
  ::setenv("PATH", path.c_str(), 1);
  ::setenv("SIMGPU_PROCESSES", folder_.c_str(), 1);
  {
    reborn_server server({"--model", model(), "--port", "0", "--device", "CUDA0", "--sleep-ladder",
                          "suspend:20ms,rebirth:60ms"});
    for (int round = 1; round <= 2; ++round) {
      server.await_rebirth();
      std::ifstream own(folder_ / fmt::format("{}.own", server.program().id()));
      std::uint64_t bytes = 1;
      EXPECT_TRUE(own >> bytes);
      EXPECT_EQ(bytes, 0u) << "of the GPU, as others see it";
      EXPECT_THAT(server.get("/metrics"),
                  HasSubstr(fmt::format("\nlull_deepenings_total{{model=\"m\"}} {}\n", round)))
          << "it was suspended before";
      EXPECT_EQ(server.answer(), server.expected());
    }
  }
  ::unsetenv("SIMGPU_PROCESSES");
}
#endif

TEST_F(Program, OnAGpuAReloadTakesTheContextTooAndWaitsForItsMemory) {
  child server({"--model", model(), "--port", "0", "--device", "CUDA0", "--reload", "--sleep-level",
                "reset"});
  const std::string line = server.line();
  ASSERT_THAT(line, StartsWith("listening on http://127.0.0.1:"));
  httplib::Client client("127.0.0.1", std::stoi(line.substr(line.rfind(':') + 1)));
  client.set_read_timeout(60s);
  const auto answer = [&] {
    return client.Post("/completion", R"({"prompt":"x"})", "application/json")->body;
  };
  const std::string expected = answer();
  const auto slept = client.Post("/sleep");
  ASSERT_EQ(slept->status, 200) << slept->body;
  EXPECT_THAT(slept->body, HasSubstr("\"used_after_bytes\":0"));
  EXPECT_THAT(slept->body, HasSubstr("\"unload\""));
  EXPECT_EQ(answer(), expected);
  EXPECT_THAT(client.Get("/props")->body, HasSubstr("\"settle\""));
}
#endif

TEST_F(Program, ASignalDuringTheFirstLoadEndsItInTheMiddleOfATensor) {
  // Nothing is written for it, and it takes seconds to read.
  const fs::path path = folder_ / "large.gguf";
  constexpr std::uint64_t elements = std::uint64_t{2} << 30;
  std::ofstream(path)
      << file_text{}.start(1, 0).tensor("a", {elements}, gguf::type_f16, 0).data(0).bytes;
  fs::resize_file(path, fs::file_size(path) + elements * 2);
  child server({"--model", path.string(), "--port", "0"});
  std::string said = server.error_line();
  while (!said.empty() && said.find("loading") == std::string::npos) said = server.error_line();
  ASSERT_THAT(said, HasSubstr("loading"));
  constexpr std::uint64_t some_pages = 16384;
  ASSERT_TRUE(lull::test::eventually([&] { return server.resident_pages() > some_pages; }));
  server.tell(SIGTERM);
  std::chrono::milliseconds took{};
  EXPECT_EQ(server.wait(took), 0);
  EXPECT_LT(took, 1500ms);
  EXPECT_EQ(server.line(), "") << "it never listened";
}

}  // namespace
