#include "soak/proc_files.hpp"

#include <signal.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

namespace lull::soak {

namespace fs = std::filesystem;

std::size_t descriptors_of(pid_t process) {
  std::error_code failed;
  const fs::directory_iterator open(fmt::format("/proc/{}/fd", process), failed);
  return failed ? 0 : static_cast<std::size_t>(std::distance(begin(open), end(open)));
}

std::size_t resident_kib(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  for (std::string word; status >> word;) {
    std::size_t kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib;
  }
  return 0;
}

std::size_t held_kib(pid_t process) {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  std::size_t sum = 0;
  for (std::string word; status >> word;) {
    std::size_t kib = 0;
    const bool counts = word == "RssAnon:" || word == "RssShmem:" || word == "VmSwap:";
    if (counts && status >> kib) sum += kib;
  }
  return sum;
}

bool is_alive(pid_t process) {
  std::ifstream stat(fmt::format("/proc/{}/stat", process));
  std::string text;
  std::getline(stat, text);
  const std::size_t bracket = text.rfind(')');
  return bracket != std::string::npos && bracket + 2 < text.size() && text[bracket + 2] != 'Z';
}

std::vector<seen_process> all_processes() {
  std::vector<seen_process> all;
  std::error_code failed;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", failed)) {
    const std::string name = entry.path().filename();
    seen_process seen;
    const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), seen.id);
    if (wrong != std::errc{} || end != name.data() + name.size()) continue;
    std::string text;
    std::ifstream stat(entry.path() / "stat");
    std::getline(stat, text);
    const std::size_t bracket = text.rfind(')');
    if (bracket == std::string::npos) continue;
    std::istringstream rest(text.substr(bracket + 1));
    rest >> seen.state >> seen.parent;
    std::ifstream command(entry.path() / "cmdline", std::ios::binary);
    // By getline(), which takes the end of a process as the end of the file.
    for (std::string word; std::getline(command, word, '\0');) seen.command += word + ' ';
    all.push_back(std::move(seen));
  }
  return all;
}

}  // namespace lull::soak
