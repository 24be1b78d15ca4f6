/// @file
/// Processes whose GPU state the driver moves to their host memory and back, as was measured with
/// driver 580 on an H200: nothing stays on the device, all that lives there is there afterwards,
/// calls of a locked process wait, and so does the management library of a suspended one. A restore
/// that does not find the memory is the end of the process: it stays suspended, and every further
/// attempt fails.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "simgpu/world.hpp"

namespace simgpu {
namespace {

constexpr int running = 0;
constexpr int locked = 1;
constexpr int suspended = 2;
constexpr int failed = 3;

}  // namespace

world::process& world::process_of(int pid) {
  const auto [entry, fresh] = processes_.try_emplace(pid);
  process& found = entry->second;
  found.bytes.resize(gpus_.size());
  if (fresh && !process_folder_.empty() && pid != ::getpid()) {
    found.kind = process_kind::without_gpu;
  }
  if (!process_folder_.empty() && ::kill(pid, 0) != 0 && errno == ESRCH) {
    found.kind = process_kind::ended;
  }
  return found;
}

void world::set_process_folder(const std::filesystem::path& folder) {
  const std::lock_guard lock(mutex_);
  process_folder_ = folder;
  load_processes();
}

void world::load_processes() {
  if (process_folder_.empty()) return;
  for (const auto& file : std::filesystem::directory_iterator(process_folder_)) {
    if (file.path().has_extension()) continue;  // what a program says of itself
    load_process(file.path());
  }
}

void world::load_process(const std::filesystem::path& file) {
  process& which = process_of(std::stoi(file.filename()));
  if (which.kind == process_kind::ended) return;
  which.kind = process_kind::on_gpu;
  std::ifstream in(file);
  in >> which.state >> which.lost;
  for (std::size_t i = 0; i < gpus_.size() && in >> which.bytes[i]; ++i) {
    if (which.state != suspended) gpus_[i].foreign += which.bytes[i];
  }
}

/// Whatever has changed in the folder.
void world::read_processes_again() {
  std::erase_if(processes_, [&](const auto& entry) {
    const auto& [pid, each] = entry;
    if (pid == ::getpid()) return false;
    for (std::size_t i = 0; i < gpus_.size() && each.state != suspended; ++i) {
      gpus_[i].foreign -= each.bytes[i];
    }
    return true;
  });
  load_processes();
}

void world::follow_processes() {
  const std::lock_guard lock(mutex_);
  if (process_folder_.empty()) return;
  if (std::getenv("SIMGPU_PROCESSES_CHANGE") != nullptr) return read_processes_again();
  for (auto& [pid, each] : processes_) {
    if (pid == ::getpid() || each.kind != process_kind::on_gpu) continue;
    if (::kill(pid, 0) == 0 || errno != ESRCH) continue;
    for (std::size_t i = 0; i < gpus_.size(); ++i) {
      if (each.state != suspended) gpus_[i].foreign -= each.bytes[i];
      each.bytes[i] = 0;
    }
    each.kind = process_kind::ended;
  }
  for (const auto& file : std::filesystem::directory_iterator(process_folder_)) {
    const std::string name = file.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto known = processes_.find(std::stoi(name));
    if (known == processes_.end() || known->second.kind == process_kind::without_gpu) {
      load_process(file.path());
    }
  }
}

void world::store_process(int pid) const {
  if (process_folder_.empty() || pid == ::getpid()) return;
  const process& which = processes_.at(pid);
  std::ofstream out(process_folder_ / std::to_string(pid));
  out << which.state << ' ' << which.lost;
  for (const std::uint64_t bytes : which.bytes) out << ' ' << bytes;
  out << '\n';
}

void world::share_own_use() const {
  if (process_folder_.empty()) return;
  const auto file = process_folder_ / (std::to_string(::getpid()) + ".own");
  // As the kernel does it: a reader sees the old or the new figures, never half of them.
  const auto beside = file.string() + ".new";
  {
    std::ofstream out(beside);
    for (const gpu& each : gpus_) out << each.ours << '\n';
  }
  std::filesystem::rename(beside, file);
}

std::map<int, std::uint64_t> world::used_by_programs(int device) const {
  std::map<int, std::uint64_t> held;
  if (process_folder_.empty()) return held;
  for (const auto& file : std::filesystem::directory_iterator(process_folder_)) {
    if (file.path().extension() != ".own") continue;
    const int pid = std::stoi(file.path().stem());
    if (pid == ::getpid() || (::kill(pid, 0) != 0 && errno == ESRCH)) continue;
    std::ifstream in(file.path());
    std::uint64_t bytes = 0;
    for (int i = 0; i <= device && in >> bytes; ++i) {
    }
    if (in && bytes != 0) held[pid] = bytes;
  }
  return held;
}

void world::set_process(int pid, process_kind kind) {
  const std::lock_guard lock(mutex_);
  process& which = process_of(pid);
  which.kind = kind;
  if (kind != process_kind::ended) return;
  for (std::size_t i = 0; i < gpus_.size(); ++i) {
    if (which.state != suspended) gpus_[i].foreign -= which.bytes[i];
    which.bytes[i] = 0;
  }
}

void world::set_process_bytes(int pid, int device, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  auto& held = process_of(pid).bytes[static_cast<std::size_t>(device)];
  gpus_[static_cast<std::size_t>(device)].foreign += bytes - held;
  held = bytes;
}

int world::process_state(int pid) const {
  const std::lock_guard lock(mutex_);
  const auto known = processes_.find(pid);
  return known == processes_.end() ? running : known->second.state;
}

std::uint64_t world::carried_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t carried = 0;
  for (const auto& [pid, each] : processes_) {
    for (const std::uint64_t bytes : each.bytes) carried += each.state == suspended ? bytes : 0;
  }
  return carried;
}

code world::look_at_process(int pid, int* state) {
  follow_processes();
  const std::lock_guard lock(mutex_);
  const process& which = process_of(pid);
  if (which.kind == process_kind::ended) return code::operating_system;
  if (which.kind == process_kind::without_gpu) return code::not_initialized;
  *state = which.state;
  return code::ok;
}

code world::expect_process(int pid, int state) {
  int now = running;
  if (const code seen = look_at_process(pid, &now); seen != code::ok) return seen;
  return now == state ? code::ok : code::illegal_state;
}

void world::enter_state(int pid, int state) {
  process_of(pid).state = state;
  store_process(pid);
  if (pid != ::getpid()) return;
  share_own_use();
  own_state_.store(state);
  own_state_.notify_all();
}

code world::lock_process(int pid) {
  const std::lock_guard lock(mutex_);
  if (const code fit = expect_process(pid, running); fit != code::ok) return fit;
  // What the simulated device works on goes on until a test ends it, which is longer than anybody
  // waits.
  for (const auto& [handle, each] : handles_) {
    if (pid == ::getpid() && each.running) return code::timed_out;
  }
  enter_state(pid, locked);
  return code::ok;
}

code world::save_process(int pid) {
  std::uint64_t moved = 0;
  {
    const std::lock_guard lock(mutex_);
    if (const code fit = expect_process(pid, locked); fit != code::ok) return fit;
    process& which = process_of(pid);
    if (which.refuses) {
      if (which.ruined_by_it) enter_state(pid, failed);
      return code::not_supported;
    }
    for (std::size_t i = 0; i < gpus_.size(); ++i) {
      gpu& on = gpus_[i];
      if (pid == ::getpid()) which.bytes[i] = on.ours;
      (pid == ::getpid() ? on.ours : on.foreign) -= which.bytes[i];
      moved += which.bytes[i];
    }
    enter_state(pid, suspended);
  }
  spend_in_driver(made().speed.save(moved));
  return code::ok;
}

code world::restore_process(int pid) {
  std::uint64_t moved = 0;
  {
    const std::lock_guard lock(mutex_);
    if (const code fit = expect_process(pid, suspended); fit != code::ok) return fit;
    process& which = process_of(pid);
    if (which.lost) return code::operating_system;
    for (std::size_t i = 0; i < gpus_.size(); ++i) {
      const std::uint64_t used = std::min(made_.total_bytes, used_locked(static_cast<int>(i)));
      which.lost = which.lost || which.bytes[i] > made_.total_bytes - used;
    }
    if (which.lost) {
      store_process(pid);
      return code::out_of_memory;
    }
    for (std::size_t i = 0; i < gpus_.size(); ++i) {
      (pid == ::getpid() ? gpus_[i].ours : gpus_[i].foreign) += which.bytes[i];
      moved += which.bytes[i];
    }
    enter_state(pid, locked);
  }
  spend_in_driver(made().speed.restore(moved));
  return code::ok;
}

code world::unlock_process(int pid) {
  const std::lock_guard lock(mutex_);
  if (const code fit = expect_process(pid, locked); fit != code::ok) return fit;
  enter_state(pid, running);
  return code::ok;
}

void world::hold_what_cannot_be_saved(int pid, bool ruins) {
  const std::lock_guard lock(mutex_);
  process& which = process_of(pid);
  which.refuses = true;
  which.ruined_by_it = ruins;
}

void world::wait_until_unlocked() const {
  if (own_state_.load() != running) ++calls_that_waited_;
  for (int state = own_state_.load(); state != running; state = own_state_.load()) {
    own_state_.wait(state);
  }
}

void world::wait_until_restored() const {
  if (own_state_.load() == suspended) ++calls_that_waited_;
  while (own_state_.load() == suspended) own_state_.wait(suspended);
}

}  // namespace simgpu
