#include "soak/trouble.hpp"

#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "soak/proc_files.hpp"

namespace lull::soak {

using std::chrono::milliseconds;

trouble::trouble(const router_process& router, unsigned seed)
    : router_(router), thread_([this, seed] { run(seed); }) {}

trouble::~trouble() {
  stop();
}

void trouble::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void trouble::run(unsigned seed) {
  std::minstd_rand chance(seed + 1);
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, milliseconds{300 + chance() % 1200}, [&] { return ending_; })) {
    lock.unlock();
    if (chance() % 3 == 0) {
      toggle_memory();
    } else {
      kill_one(chance);
    }
    lock.lock();
  }
  if (intruder_ || std::filesystem::exists(router_.intruder_file())) toggle_memory();
}

void trouble::kill_one(std::minstd_rand& chance) {
  std::vector<pid_t> servers;
  for (const seen_process& each : all_processes()) {
    if (each.parent == router_.id() && each.command.starts_with(router_.program())) {
      servers.push_back(each.id);
    }
  }
  if (servers.empty()) return;
  // A server has only just been seen, and is a child of the router, which reaps it.
  if (::kill(servers[chance() % servers.size()], SIGKILL) == 0) ++kills_;
}

void trouble::toggle_memory() {
  if (router_.which() == servers::examples) {
    if (std::filesystem::remove(router_.intruder_file())) return;
    std::ofstream(router_.intruder_file()) << "now";
    ++intrusions_;
    return;
  }
  if (intruder_) {
    std::filesystem::remove(router_.gpu_folder() / std::to_string(intruder_->id()));
    intruder_.reset();
    return;
  }
  process_options how;
  how.arguments = {"sleep", "100000"};
  how.state_pipe = false;
  how.end_with_parent = true;
  intruder_.emplace(how);
  const std::string id = std::to_string(intruder_->id());
  const std::filesystem::path fresh = router_.folder() / ("intruder-" + id);
  std::ofstream(fresh) << "0 0 " << router_.sizes().model << '\n';
  std::filesystem::rename(fresh, router_.gpu_folder() / id);
  ++intrusions_;
}

}  // namespace lull::soak
