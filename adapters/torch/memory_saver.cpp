#include <lull/torch.h>
#include <lull/torch_memory_saver.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "failure.hpp"
#include "space.hpp"

namespace lull_torch {
namespace {

// What a pause does with an allocation is part of its tag: plans speak about tags.
constexpr std::string_view dropped = "#drop";
constexpr std::string_view on_disk = "#disk";
constexpr std::size_t longest_tag = sizeof(lull_region_info::tag) - 1 - dropped.size();

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  if (value == nullptr) return false;
  const std::string_view text = value;
  return text == "1" || text == "true" || text == "True" || text == "TRUE" || text == "yes";
}

/// Nothing of it is destroyed: what is allocated while a thread ends still finds it.
struct thread_settings {
  std::array<char, 128> tag{"default"};
  bool interesting = is_set("TMS_INIT_ENABLE");
  bool cpu_backup = is_set("TMS_INIT_ENABLE_CPU_BACKUP");
  bool disk_backup = is_set("TMS_INIT_ENABLE_DISK_BACKUP");
  bool wants_mmap = [] {
    const char* const wanted = std::getenv("TMS_INIT_CPU_BACKUP_BACKEND");
    return wanted != nullptr && std::string_view(wanted) == "mmap";
  }();
};

thread_settings& settings() {
  thread_local thread_settings of_this_thread;
  return of_this_thread;
}

struct process_settings {
  std::atomic<std::uint64_t> margin_bytes = 0;
  std::atomic<bool> retain = is_set("TMS_RETAIN_CPU_BACKUP");
  std::mutex mutex;
  std::string folder = [] {
    const char* const given = std::getenv("TMS_DISK_BACKUP_DIR");
    return std::string(given != nullptr && *given != '\0' ? given : "/tmp");
  }();
};

process_settings& of_the_process() {
  static process_settings& one = *new process_settings;
  return one;
}

/// The tag that lull knows it by.
std::string inner_tag(const thread_settings& of) {
  std::string tag = of.tag.data();
  if (tag.size() > longest_tag) {
    throw lull::error(
        lull::status::invalid_argument,
        "the tag '" + tag + "' is too long: it may have " + std::to_string(longest_tag) + " bytes");
  }
  if (of.cpu_backup && of.disk_backup) {
    throw lull::error(lull::status::invalid_argument,
                      "a backup in host memory and one on disk are wanted of the same allocation");
  }
  if (!of.cpu_backup) tag += of.disk_backup ? on_disk : dropped;
  return tag;
}

/// Gives the thread a tag, and sleeping memory or none, for one allocation.
class thread_state {
 public:
  thread_state(const std::string& tag, bool enabled)
      : tag_(lull_thread_tag()), enabled_(space::shared().set_enabled(enabled)) {
    expect_ok(lull_thread_set_tag(tag.c_str()));
  }
  ~thread_state() {
    static_cast<void>(lull_thread_set_tag(tag_.c_str()));
    space::shared().set_enabled(enabled_);
  }
  thread_state(const thread_state&) = delete;
  thread_state& operator=(const thread_state&) = delete;

 private:
  std::string tag_;
  bool enabled_;
};

bool leaves_too_little(std::uint64_t bytes, int device) {
  const std::uint64_t margin = of_the_process().margin_bytes;
  if (margin == 0) return false;
  const std::uint64_t free = space::shared().free_bytes(device);
  return free != LULL_UNKNOWN && (free < margin || free - margin < bytes);
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// The tag as the program knows it.
std::string_view outer_tag(std::string_view inner) {
  for (const std::string_view each : {dropped, on_disk}) {
    if (ends_with(inner, each)) return inner.substr(0, inner.size() - each.size());
  }
  return inner;
}

/// What is known by a tag of the program's.
std::vector<std::string> inner_tags(const char* tag) {
  const bool all = tag == nullptr || *tag == '\0';
  std::vector<std::string> wanted;
  for (const lull_torch_tag& each : space::shared().tags()) {
    if (all || outer_tag(each.tag) == tag) wanted.emplace_back(each.tag);
  }
  return wanted;
}

void take_off(const std::vector<lull_tag_action>& actions, const char* folder) {
  if (actions.empty()) return;
  lull_sleep_plan plan{};
  expect_ok(lull_sleep_plan_init(&plan, LULL_LEVEL_OFFLOAD));
  plan.contents = {LULL_CONTENTS_KEEP, actions.data(), actions.size()};
  if (folder != nullptr) {
    plan.backing = LULL_BACKING_FILE;
    plan.backing_path = folder;
  }
  reports done;
  space::shared().sleep(&plan, done);
}

void bring_back(const std::vector<std::string>& tags) {
  if (tags.empty()) return;
  reports done;
  space::shared().wake(tags, done);
}

void pause(const char* tag) {
  const std::vector<std::string> tags = inner_tags(tag);
  std::vector<lull_tag_action> to_memory;
  std::vector<lull_tag_action> to_disk;
  std::vector<std::string> paused_now;
  for (const std::string& each : tags) {
    if (ends_with(each, on_disk)) {
      to_disk.push_back({each.c_str(), LULL_CONTENTS_OFFLOAD});
      continue;
    }
    const bool drops = ends_with(each, dropped);
    to_memory.push_back({each.c_str(), drops ? LULL_CONTENTS_DISCARD : LULL_CONTENTS_OFFLOAD});
    if (!space::shared().is_asleep(each)) paused_now.push_back(each);
  }
  take_off(to_memory, nullptr);
  std::string folder;
  {
    const std::lock_guard lock(of_the_process().mutex);
    folder = of_the_process().folder;
  }
  try {
    take_off(to_disk, folder.c_str());
  } catch (...) {
    bring_back(paused_now);
    throw;
  }
}

/// Those who call it do not look at what it returns, so it says it too.
template <class Work>
int told(const char* what, const char* tag, Work&& work) noexcept {
  const lull_status result = guarded(work);
  if (result != LULL_OK) {
    std::fprintf(stderr, "lull: %s of '%s' failed: %s\n", what, tag != nullptr ? tag : "",
                 last_words());
  }
  return result;
}

}  // namespace
}  // namespace lull_torch

using namespace lull_torch;

void* tms_torch_malloc(ssize_t bytes, int device, void* stream) {
  const thread_settings& wanted = settings();
  const thread_state with(wanted.interesting ? inner_tag(wanted) : std::string(),
                          wanted.interesting);
  if (bytes > 0 && leaves_too_little(static_cast<std::uint64_t>(bytes), device)) return nullptr;
  return lull_torch_pool_alloc(bytes, device, stream);
}

void tms_torch_free(void* address, ssize_t bytes, int device, void* stream) {
  lull_torch_free(address, bytes, device, stream);
}

void tms_set_interesting_region(bool is_interesting_region) {
  settings().interesting = is_interesting_region;
}

bool tms_get_interesting_region(void) {
  return settings().interesting;
}

void tms_set_current_tag(const char* tag) {
  auto& field = settings().tag;
  std::snprintf(field.data(), field.size(), "%s", tag != nullptr ? tag : "default");
}

const char* tms_get_current_tag(void) {
  return settings().tag.data();
}

void tms_set_enable_cpu_backup(bool enable_cpu_backup) {
  settings().cpu_backup = enable_cpu_backup;
}

bool tms_get_enable_cpu_backup(void) {
  return settings().cpu_backup;
}

void tms_set_cpu_backup_backend(const char* backend) {
  settings().wants_mmap = backend != nullptr && std::string_view(backend) == "mmap";
}

const char* tms_get_cpu_backup_backend(void) {
  return settings().wants_mmap ? "mmap" : "pinned";
}

void tms_set_enable_disk_backup(bool enable_disk_backup) {
  settings().disk_backup = enable_disk_backup;
}

bool tms_get_enable_disk_backup(void) {
  return settings().disk_backup;
}

void tms_set_disk_backup_dir(const char* dir) {
  if (dir == nullptr) return;
  const std::lock_guard lock(of_the_process().mutex);
  of_the_process().folder = dir;
}

int tms_pause(const char* tag) {
  return told("pause", tag, [tag] { pause(tag); });
}

int tms_resume(const char* tag) {
  return told("resume", tag, [tag] { bring_back(inner_tags(tag)); });
}

uint8_t* tms_get_cpu_backup_pointer(const uint8_t* /*gpu_address*/, uint64_t /*bytes*/) {
  return nullptr;
}

void tms_set_retain_cpu_backup(bool retain_cpu_backup) {
  of_the_process().retain = retain_cpu_backup;
}

bool tms_get_retain_cpu_backup(void) {
  return of_the_process().retain;
}

void set_memory_margin_bytes(uint64_t bytes) {
  of_the_process().margin_bytes = bytes;
}
