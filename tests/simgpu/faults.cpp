#include "simgpu/faults.hpp"

#include <charconv>
#include <stdexcept>
#include <thread>

namespace simgpu {

void faults::fail(std::string function, std::uint64_t n, int code) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t at = n == 0 ? 0 : calls_[function] + n;
  rules_.push_back({std::move(function), at, code, false, {}});
}

void faults::fail_nth(std::uint64_t n, int code) {
  const std::lock_guard lock(mutex_);
  all_calls_ = 0;
  nth_ = n;
  nth_code_ = code;
  failed_.clear();
}

void faults::hang(std::string function) {
  const std::lock_guard lock(mutex_);
  rules_.push_back({std::move(function), 0, 0, true, {}});
}

void faults::slow_down(std::string function, std::chrono::milliseconds by) {
  const std::lock_guard lock(mutex_);
  rules_.push_back({std::move(function), 0, 0, false, by});
}

void faults::clear() {
  const std::lock_guard lock(mutex_);
  rules_.clear();
  calls_.clear();
  all_calls_ = nth_ = 0;
  failed_.clear();
  ++epoch_;
  released_.notify_all();
}

int faults::enter(std::string_view function) {
  std::unique_lock lock(mutex_);
  const std::uint64_t call = ++calls_[std::string{function}];
  ++all_calls_;
  if (nth_ != 0 && all_calls_ == nth_) {
    failed_ = function;
    return nth_code_;
  }
  for (const rule& each : rules_) {
    if (each.function != function) continue;
    if (each.hangs) {
      const std::uint64_t epoch = epoch_;
      ++hanging_;
      released_.wait(lock, [&] { return epoch_ != epoch; });
      --hanging_;
      return 0;
    }
    if (each.delay.count() != 0) {
      const auto delay = each.delay;
      lock.unlock();
      std::this_thread::sleep_for(delay);
      return 0;
    }
    if (each.n == 0 || each.n == call) return each.code;
  }
  return 0;
}

std::uint64_t faults::calls(std::string_view function) const {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(function);
  return found == calls_.end() ? 0 : found->second;
}

std::uint64_t faults::all_calls() const {
  const std::lock_guard lock(mutex_);
  return all_calls_;
}

std::string faults::failed_function() const {
  const std::lock_guard lock(mutex_);
  return failed_;
}

int faults::hanging() const {
  const std::lock_guard lock(mutex_);
  return hanging_;
}

void faults::read_script(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(';'), text.size());
    const std::string_view entry = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos) {
      throw std::invalid_argument("SIMGPU_FAULTS: no '=' in " + std::string{entry});
    }
    std::string function{entry.substr(0, entry.find_first_of("@="))};
    const std::string what{entry.substr(equals + 1)};
    const std::size_t at = entry.find('@');
    const std::uint64_t n =
        at < equals ? std::stoull(std::string{entry.substr(at + 1, equals - at - 1)}) : 0;
    if (what == "hang") {
      hang(std::move(function));
    } else if (what.starts_with("slow:")) {
      slow_down(std::move(function), std::chrono::milliseconds{std::stoll(what.substr(5))});
    } else {
      fail(std::move(function), n, std::stoi(what));
    }
  }
}

}  // namespace simgpu
