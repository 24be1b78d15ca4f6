// An inference server for the load run: it holds memory of the simulated GPU, by the file that says
// so, and answers with its name. Starts as slowly and as unreliably as it is told.

#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

namespace {

using json = nlohmann::json;
using std::chrono::milliseconds;

std::map<std::string, std::string> read_options(int count, char** words) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < count; i += 2) options[words[i]] = words[i + 1];
  return options;
}

/// What this process has of the GPU, for all who look (SIMGPU_PROCESSES).
class share {
 public:
  explicit share(std::string folder) : folder_(std::move(folder)) {}
  void hold(std::uint64_t bytes) const {
    const std::string id = std::to_string(::getpid());
    const std::string fresh = folder_ + "/../fresh-" + id;
    std::ofstream(fresh) << "0 0 " << bytes << '\n';
    std::rename(fresh.c_str(), (folder_ + "/" + id).c_str());
  }

 private:
  std::string folder_;
};

struct server {
  std::string name;
  std::uint64_t bytes = 0;
  bool has_sleep = true;
  share gpu;
  std::atomic<bool> asleep{false};
  std::atomic<bool> ready{false};
  httplib::Server http = {};

  void add_sleep() {
    http.Get("/is_sleeping", [this](const httplib::Request&, httplib::Response& answer) {
      answer.set_content(json{{"is_sleeping", asleep.load()}}.dump(), "application/json");
    });
    http.Post("/sleep", [this](const httplib::Request&, httplib::Response& answer) {
      asleep = true;
      gpu.hold(bytes / 16);
      answer.set_content("{}", "application/json");
    });
    http.Post("/wake_up", [this](const httplib::Request&, httplib::Response& answer) {
      gpu.hold(bytes);
      asleep = false;
      answer.set_content("{}", "application/json");
    });
  }

  void stream(httplib::Response& answer) const {
    answer.set_chunked_content_provider(
        "text/event-stream", [this, number = 0](std::size_t, httplib::DataSink& sink) mutable {
          constexpr int last = 5;
          std::this_thread::sleep_for(milliseconds{20});
          const std::string event =
              number < last ? fmt::format("data: {} {}\n\n", name, number) : "data: [DONE]\n\n";
          if (!sink.write(event.data(), event.size())) return false;
          if (number++ == last) sink.done();
          return true;
        });
  }

  void add_completions() {
    http.Get("/health", [this](const httplib::Request&, httplib::Response& answer) {
      answer.status = ready ? 200 : 503;
    });
    http.Post("/v1/completions", [this](const httplib::Request& asked, httplib::Response& answer) {
      if (asleep) {  // which the router must never let happen
        answer.status = 599;
        return;
      }
      const json body = json::parse(asked.body, nullptr, false);
      if (body.is_object() && body.value("stream", false)) return stream(answer);
      std::this_thread::sleep_for(milliseconds{5});
      answer.set_content(json{{"served_by", name}, {"bytes", asked.body.size()}}.dump(),
                         "application/json");
    });
  }
};

/// Beside an example server, whose process tree it is part of: takes memory while a file is there.
int intrude(const std::string& file, std::size_t bytes) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<char> taken;
  while (::getppid() != 1) {
    const bool there = ::access(file.c_str(), F_OK) == 0;
    if (there && taken.empty()) taken.assign(bytes, 'x');
    if (!there && !taken.empty()) std::vector<char>().swap(taken);
    std::this_thread::sleep_for(milliseconds{50});
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  auto options = read_options(count, words);
  if (options.count("--intruder") > 0) {
    return intrude(options["--intruder"], std::strtoull(options["--bytes"].c_str(), nullptr, 10));
  }
  std::minstd_rand chance(static_cast<unsigned>(::getpid()));
  server here{.name = options["--name"],
              .bytes = std::strtoull(options["--bytes"].c_str(), nullptr, 10),
              .has_sleep = options["--sleep"] != "no",
              .gpu = share(options["--processes"])};
  if (static_cast<int>(chance() % 100) < std::atoi(options["--fails-percent"].c_str())) {
    fmt::print(stderr, "{}: could not load the weights\n", here.name);
    return 3;
  }
  here.http.new_task_queue = [] { return new httplib::ThreadPool(64); };
  here.http.set_keep_alive_max_count(1);  // else an idle connection would hold a thread
  if (here.has_sleep) here.add_sleep();
  here.add_completions();
  int socket = -1;
  here.http.set_socket_options([&](int made) {
    socket = made;
    const int yes = 1;  // the server before this one may have died a moment ago
    ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  if (!here.http.bind_to_port("127.0.0.1", std::atoi(options["--port"].c_str()))) return 4;
  // The library lets five wait, and the kernel has the others try again after seconds.
  constexpr int all_clients = 4096;
  ::listen(socket, all_clients);
  std::thread loading([&] {
    here.gpu.hold(here.bytes / 2);
    std::this_thread::sleep_for(milliseconds{std::atoi(options["--start-ms"].c_str())});
    here.gpu.hold(here.bytes);
    here.ready = true;
  });
  loading.detach();
  here.http.listen_after_bind();
  return 0;
}
