#include <lull/clock.hpp>
#include <lull/error.hpp>
#include <lull/registry.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <system_error>

#include "core/device_match.hpp"
#include "core/module.hpp"
#include "core/module_search.hpp"
#include "core/single_copy.hpp"
#include "host/host.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/fork.hpp"
#include "vocabulary/text.hpp"

namespace lull {

std::string_view to_string(module_state state) noexcept {
  switch (state) {
    case module_state::active: return "active";
    case module_state::unusable: return "unusable";
    case module_state::superseded: return "superseded";
    case module_state::refused: return "refused";
  }
  return "?";
}

using detail::module_entry;

struct registry::impl {
  explicit impl(registry_options given) : options(std::move(given)) {}

  const registry_options options;

  /// One load or unload at a time. Taken before `mutex`.
  std::mutex loading;
  /// Guards `entries`; held for moments only, never while a module's code runs.
  mutable std::mutex mutex;
  std::vector<module_entry> entries;
  /// Something was not loaded for want of descriptors or memory; when it is tried again.
  std::atomic<bool> incomplete{false};
  time_point no_look_before{};  ///< under `loading`

  void add_host();
  void load_all();
  void look_again() noexcept;
  [[nodiscard]] bool is_settled(const std::filesystem::path& file) const;
  module_info admit(module_entry entry);
  void activate(module_entry& entry);
  void remember(module_entry entry);

  [[nodiscard]] const module_entry* active(std::string_view backend) const;
  [[nodiscard]] std::vector<std::string> device_names() const;
  void log(const module_info& info) const;
};

void registry::impl::add_host() {
  module_entry host = detail::wrap_static(backends::host_ops());
  detail::open_module(host, options.settings);
  remember(std::move(host));
}

/// All modules are loaded up to their score first, so that the best of each backend is opened.
/// Called with `loading` held.
void registry::impl::load_all() {
  incomplete.store(false, std::memory_order_relaxed);
  auto files = detail::find_module_files(options.module_paths, options.search);
  for (auto& [path, reason] : files.problems) {
    admit(detail::refused_module(std::move(path), std::move(reason)));
  }
  std::vector<module_entry> candidates;
  candidates.reserve(files.found.size());
  for (const auto& file : files.found) {
    if (!is_settled(file)) candidates.push_back(detail::load_module(file));
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.info.score > b.info.score; });
  for (module_entry& candidate : candidates) admit(std::move(candidate));
}

/// Whether it was looked at, with all the means that it takes.
bool registry::impl::is_settled(const std::filesystem::path& file) const {
  return std::any_of(entries.begin(), entries.end(), [&](const module_entry& each) {
    return each.info.path == file && !detail::is_for_want_of_means(each.info.reason);
  });
}

/// Loads what could not be loaded for want of descriptors or memory, if there is such.
void registry::impl::look_again() noexcept {
  constexpr duration pause = std::chrono::seconds{1};
  if (!incomplete.load(std::memory_order_relaxed)) return;
  const std::unique_lock one_at_a_time(loading, std::try_to_lock);
  if (!one_at_a_time) return;
  const time_point now = steady_clock().now();
  if (now < no_look_before) return;
  no_look_before = now + pause;
  try {
    {
      // Directories that could not be read. Files get another entry in their place.
      const std::lock_guard lock(mutex);
      std::erase_if(entries, [](const module_entry& each) {
        return !each.file && detail::is_for_want_of_means(each.info.reason);
      });
    }
    load_all();
  } catch (...) {  // still no memory: all that is there stays
    incomplete.store(true, std::memory_order_relaxed);
  }
}

/// Opens a loaded module unless its backend is there already, and lists it.
module_info registry::impl::admit(module_entry entry) {
  if (entry.can_open()) {
    if (const module_entry* const other = active(entry.info.backend)) {
      detail::set_aside(entry, module_state::superseded,
                        detail::text("backend '{}' is provided by {}", entry.info.backend,
                                     other->info.path.empty() ? "the program itself"
                                                              : other->info.path.string()));
    } else {
      activate(entry);
    }
  }
  module_info info = entry.info;
  if (detail::is_for_want_of_means(info.reason)) incomplete.store(true, std::memory_order_relaxed);
  log(info);
  remember(std::move(entry));
  return info;
}

void registry::impl::activate(module_entry& entry) {
  try {
    detail::open_module(entry, options.settings);
    const std::vector<std::string> taken = device_names();
    for (const auto& device : entry.devices) {
      if (std::find(taken.begin(), taken.end(), device->name) != taken.end()) {
        detail::fail(status::bad_module,
                     "its device '{}' has the name of a device of another backend", device->name);
      }
    }
  } catch (...) {
    detail::set_aside(entry, module_state::refused, detail::current_error(status::internal).what());
  }
}

/// Lists an entry, in the place of an earlier one of the same file.
void registry::impl::remember(module_entry entry) {
  const std::lock_guard lock(mutex);
  const auto same = std::find_if(entries.begin(), entries.end(), [&](const module_entry& other) {
    const bool same_path = !entry.info.path.empty() && other.info.path == entry.info.path;
    return entry.file ? other.file == entry.file : same_path;
  });
  if (same != entries.end()) {
    *same = std::move(entry);
  } else {
    entries.push_back(std::move(entry));
  }
}

// Entries change under both mutexes, so whoever holds `loading` may look without the other.
const module_entry* registry::impl::active(std::string_view backend) const {
  for (const module_entry& entry : entries) {
    if (entry.info.state == module_state::active && entry.info.backend == backend) return &entry;
  }
  return nullptr;
}

std::vector<std::string> registry::impl::device_names() const {
  std::vector<std::string> names;
  for (const module_entry& entry : entries) {
    for (const auto& device : entry.devices) names.push_back(device->name);
  }
  return names;
}

void registry::impl::log(const module_info& info) const {
  const auto level = info.state == module_state::refused ? log_level::warning : log_level::info;
  if (!options.log.wants(level)) return;
  options.log.write(
      level, detail::text("module {} {}{}{}", info.path.empty() ? info.backend : info.path.string(),
                          to_string(info.state), info.reason.empty() ? "" : ": ", info.reason));
}

registry::registry(registry_options options) : impl_(std::make_unique<impl>(std::move(options))) {
  detail::keep_process_to_this_copy();
  detail::note_use();
  impl_->add_host();
  const std::lock_guard one_at_a_time(impl_->loading);
  impl_->load_all();
}

registry::~registry() = default;

registry& registry::shared() {
  // Never destroyed: devices and their vendor libraries may be in use until the process ends.
  static registry& instance = *new registry;
  instance.impl_->look_again();
  return instance;
}

std::vector<device> registry::devices() const {
  detail::expect_same_process();
  const std::lock_guard lock(impl_->mutex);
  std::vector<device> all;
  for (const module_entry& entry : impl_->entries) {
    for (const auto& state : entry.devices) all.push_back(device(state));
  }
  return all;
}

device registry::find(std::string_view name) const {
  const std::vector<device> all = devices();
  const auto found = std::find_if(all.begin(), all.end(), [name](const device& candidate) {
    return detail::matches(candidate, name);
  });
  if (found != all.end()) return *found;
  std::vector<std::string> names;
  names.reserve(all.size());
  for (const device& candidate : all) names.push_back(candidate.name());
  detail::fail(status::not_found, "there is no device '{}'; available: {}", name,
               detail::join(names, ", "));
}

device registry::find(std::string_view backend, std::uint32_t ordinal) const {
  detail::expect_same_process();
  const std::lock_guard lock(impl_->mutex);
  const module_entry* const entry = impl_->active(backend);
  if (entry == nullptr) detail::fail(status::not_found, "no backend '{}' is loaded", backend);
  for (const auto& state : entry->devices) {
    if (state->index == ordinal) return device(state);
  }
  detail::fail(status::not_found, "backend '{}' has no device {}; it has {}", backend, ordinal,
               entry->devices.size());
}

std::vector<device> registry::select(std::string_view list) const {
  const char* const environment = std::getenv("LULL_DEVICES");
  const bool from_environment = list.empty() && environment != nullptr && *environment != '\0';
  if (from_environment) list = environment;
  if (list.empty()) return devices();
  try {
    std::vector<device> chosen;
    for (const std::string_view name : detail::split_list(list)) {
      const device next = find(name);
      if (std::find(chosen.begin(), chosen.end(), next) != chosen.end()) {
        detail::fail(status::invalid_argument, "device '{}' is named twice in '{}'", next.name(),
                     list);
      }
      chosen.push_back(next);
    }
    return chosen;
  } catch (const error& failure) {
    if (from_environment) throw failure.with_context("LULL_DEVICES");
    throw;
  }
}

std::vector<module_info> registry::modules() const {
  detail::expect_same_process();
  const std::lock_guard lock(impl_->mutex);
  std::vector<module_info> all;
  all.reserve(impl_->entries.size());
  for (const module_entry& entry : impl_->entries) all.push_back(entry.info);
  return all;
}

module_info registry::load(const std::filesystem::path& file) {
  detail::expect_same_process();
  const std::lock_guard one_at_a_time(impl_->loading);
  std::error_code failed;
  const auto canonical = std::filesystem::canonical(file, failed);
  if (failed) return impl_->admit(detail::refused_module(file, failed.message()));
  const auto identity = detail::identify(canonical);
  for (const module_entry& entry : impl_->entries) {
    if (identity && entry.file == identity && entry.info.state == module_state::active) {
      return entry.info;
    }
  }
  return impl_->admit(detail::load_module(canonical));
}

module_info registry::add(const lull_backend_ops& ops) {
  detail::expect_same_process();
  const std::lock_guard one_at_a_time(impl_->loading);
  return impl_->admit(detail::wrap_static(ops));
}

void registry::unload(std::string_view backend) {
  detail::expect_same_process();
  const std::lock_guard one_at_a_time(impl_->loading);
  if (backend == "host") {
    throw error(status::invalid_argument,
                "the host backend is part of lull and cannot be unloaded");
  }
  module_entry removed;  // closed and unmapped outside the lock
  {
    const std::lock_guard lock(impl_->mutex);
    const module_entry* const found = impl_->active(backend);
    if (found == nullptr) {
      detail::fail(status::not_found, "no backend '{}' is loaded", backend);
    }
    for (const auto& state : found->devices) {
      // New references come from the registry only, under this lock: one that is ours alone stays
      // so.
      if (state.use_count() > 1) {
        detail::fail(status::busy,
                     "{} is still in use; release every device, region and "
                     "sleeper of backend '{}' first",
                     state->name, backend);
      }
    }
    const auto at = impl_->entries.begin() + (found - impl_->entries.data());
    removed = std::move(*at);
    impl_->entries.erase(at);
  }
}

const log_sink& registry::log() const noexcept {
  return impl_->options.log;
}

}  // namespace lull
