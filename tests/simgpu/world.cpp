#include "simgpu/world.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "simgpu/current_device.hpp"

namespace simgpu {
namespace {

char* bytes_at(void* address) {
  return static_cast<char*>(address);
}

void* map_memory(std::uint64_t bytes) {
  void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return address == MAP_FAILED ? nullptr : address;
}

bool has_devices(const char* name) {
  const char* const wanted = std::getenv("SIMGPU_VENDORS");
  return wanted == nullptr || std::string_view{wanted}.find(name) != std::string_view::npos;
}

scenario initial_scenario(vendor which) {
  const char* const text = std::getenv("SIMGPU");
  scenario made = text == nullptr ? scenario{} : parse_scenario(text);
  const char* const name = which == vendor::cuda ? "cuda" : which == vendor::hip ? "hip" : "musa";
  if (!has_devices(name)) made.devices = 0;
  return made;
}

}  // namespace

std::string to_string(const books& all) {
  std::ostringstream out;
  out << all.contexts << " contexts, " << all.allocations << " allocations, " << all.reservations
      << " reservations, " << all.physical << " physical, " << all.mappings << " mappings, "
      << all.streams << " streams, " << all.events << " events, " << all.pinned << " pinned, "
      << all.registrations << " registrations, " << all.graphs << " graphs, " << all.pool_bytes
      << " bytes in pools, " << all.used_bytes << " bytes used";
  return out.str();
}

world& world::of(vendor which) {
  // Never destroyed: vendor libraries are in use until the process ends.
  static world& cuda = *new world(vendor::cuda);
  static world& hip = *new world(vendor::hip);
  static world& musa = *new world(vendor::musa);
  switch (which) {
    case vendor::cuda: return cuda;
    case vendor::hip: return hip;
    case vendor::musa: return musa;
  }
  std::abort();
}

world::world(vendor which) : vendor_(which) {
  restart(initial_scenario(which));
  if (const char* const text = std::getenv("SIMGPU_FAULTS")) script.read_script(text);
  const char* const root = std::getenv("SIMGPU_SYSFS");
  if (which == vendor::hip && root != nullptr) set_sysfs(root);
  const char* const processes = std::getenv("SIMGPU_PROCESSES");
  if (which == vendor::cuda && processes != nullptr) set_process_folder(processes);
}

void world::clear() {
  for (const auto& [address, each] : allocations_) ::munmap(address, each.bytes);
  for (const auto& [address, each] : reservations_) {
    ::munmap(const_cast<char*>(address), each.bytes);
  }
  for (const auto& [handle, each] : physical_) {
    if (each.parked != nullptr) ::munmap(each.parked, each.bytes);
  }
  for (const auto& [address, each] : handles_) {
    if (each.kind == handle_kind::pinned) {
      ::munmap(address, each.bytes);
    } else {
      std::free(address);
    }
  }
  for (const auto& [bytes, pages] : spare_) ::munmap(pages, bytes);
  spare_.clear();
  allocations_.clear();
  reservations_.clear();
  mappings_.clear();
  physical_.clear();
  handles_.clear();
  registrations_.clear();
  registered_before_.clear();
  queues_.clear();
  marks_.clear();
  misuse_.clear();
  processes_.clear();
  calls_that_waited_.store(0);
  own_state_.store(0);
  own_state_.notify_all();
  contexts_created_ = captures_ = under_way_ = 0;
}

void world::restart(const scenario& made) {
  const std::lock_guard lock(mutex_);
  script.clear();
  clear();
  made_ = made;
  gpus_.assign(static_cast<std::size_t>(made.devices), gpu{});
  for (gpu& each : gpus_) each.foreign = made.foreign_bytes;
  this_thread(vendor_) = {};
  sysfs_.clear();
  process_folder_.clear();
}

scenario world::made() const {
  const std::lock_guard lock(mutex_);
  return made_;
}

bool world::valid(int device) const {
  return device >= 0 && static_cast<std::size_t>(device) < gpus_.size();
}

books world::take_stock() const {
  const std::lock_guard lock(mutex_);
  books all;
  for (const gpu& each : gpus_) {
    all.contexts += each.active ? 1 : 0;
    all.pool_bytes += each.pool_reserved;
    all.used_bytes += each.ours;
  }
  all.allocations = static_cast<int>(allocations_.size());
  all.reservations = static_cast<int>(reservations_.size());
  for (const auto& [handle, each] : physical_) all.physical += each.released ? 0 : 1;
  all.mappings = static_cast<int>(mappings_.size());
  for (const auto& [address, each] : handles_) {
    if (!each.alive) continue;
    (each.kind == handle_kind::stream   ? all.streams
     : each.kind == handle_kind::event  ? all.events
     : each.kind == handle_kind::pinned ? all.pinned
                                        : all.graphs) += 1;
  }
  all.registrations = static_cast<int>(registrations_.size());
  return all;
}

int world::contexts_created() const {
  const std::lock_guard lock(mutex_);
  return contexts_created_;
}

std::vector<std::string> world::misuse() const {
  const std::lock_guard lock(mutex_);
  return misuse_;
}

code world::misused(std::string what) {
  misuse_.push_back(std::move(what));
  return code::invalid_handle;
}

void world::set_foreign_bytes(int device, std::uint64_t bytes, int pid) {
  const std::lock_guard lock(mutex_);
  gpus_[static_cast<std::size_t>(device)].foreign = bytes;
  gpus_[static_cast<std::size_t>(device)].foreign_pid = pid;
  write_sysfs();
}

int world::device_count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(gpus_.size());
}

/// Bus numbers run against the ordinals, so that a match by index goes wrong.
std::string world::pci_address(int device) const {
  const std::lock_guard lock(mutex_);
  char text[24];
  const int base = vendor_ == vendor::cuda ? 0x40 : vendor_ == vendor::hip ? 0x60 : 0x80;
  std::snprintf(text, sizeof text, "0000:%02x:00.0",
                base + (made_.partitions ? 1 : static_cast<int>(gpus_.size()) - device));
  return text;
}

std::optional<int> world::find_pci(std::string_view address) const {
  for (int device = 0; device < device_count(); ++device) {
    if (pci_address(device) == address) return device;
  }
  return std::nullopt;
}

// --- memory figures
// ---------------------------------------------------------------------------------

std::uint64_t world::used_locked(int device) const {
  const gpu& on = gpus_[static_cast<std::size_t>(device)];
  std::uint64_t used = on.ours + on.foreign;
  for (const late_return& each : on.returning) {
    if (each.when > clock::now()) used += each.bytes;
  }
  for (const auto& [pid, bytes] : used_by_programs(device)) used += bytes;
  return used;
}

code world::charge(int device, std::uint64_t bytes) {
  if (bytes > made_.total_bytes - std::min(made_.total_bytes, used_locked(device))) {
    return code::out_of_memory;
  }
  gpus_[static_cast<std::size_t>(device)].ours += bytes;
  share_own_use();
  write_sysfs();
  return code::ok;
}

void world::refund(int device, std::uint64_t bytes) {
  gpu& on = gpus_[static_cast<std::size_t>(device)];
  on.ours -= bytes;
  if (made_.reclaim_delay.count() != 0) {
    std::erase_if(on.returning, [](const auto& each) { return each.when <= clock::now(); });
    on.returning.push_back({clock::now() + made_.reclaim_delay, bytes});
  }
  share_own_use();
  write_sysfs();
}

world::figures world::observe(int device) const {
  const std::lock_guard lock(mutex_);
  const gpu& on = gpus_[static_cast<std::size_t>(device)];
  figures seen;
  seen.total_bytes = made_.total_bytes;
  seen.used_bytes = used_locked(device);
  // The platform lists who holds something, and on AMD also who has the device open.
  // NVML goes by contexts: memory that outlived the last one is nobody's.
  const bool by_context = vendor_ == vendor::cuda && !on.active;
  const std::uint64_t ours = on.ours - (by_context ? physical_bytes_on(device) : 0);
  const bool listed = ours != 0 || (vendor_ == vendor::hip && on.ever_active);
  if (made_.per_process && listed) seen.ours = ours;
  seen.listed_pid = ::getpid() + made_.pid_offset;
  seen.foreign_bytes = on.foreign;
  for (const auto& [pid, each] : processes_) {
    const std::size_t place = static_cast<std::size_t>(device);
    const std::uint64_t held = place < each.bytes.size() ? each.bytes[place] : 0;
    if (pid == ::getpid() || held == 0 || each.state == 2) continue;
    seen.others[pid] = held;
    seen.foreign_bytes -= std::min(seen.foreign_bytes, held);
  }
  for (const auto& [pid, bytes] : used_by_programs(device)) seen.others[pid] = bytes;
  seen.foreign_pid = on.foreign_pid;
  return seen;
}

std::uint64_t world::physical_bytes_on(int device) const {
  std::uint64_t sum = 0;
  for (const auto& [handle, each] : physical_) sum += each.device == device ? each.bytes : 0;
  return sum;
}

// --- contexts
// ---------------------------------------------------------------------------------------

code world::ensure_context_locked(int device) {
  if (!valid(device)) return code::no_device;
  gpu& on = gpus_[static_cast<std::size_t>(device)];
  if (on.active) return code::ok;
  // What a reset left behind is used again.
  const std::uint64_t residue = on.ever_active ? made_.residue_bytes : 0;
  const std::uint64_t cost = std::max(made_.context_bytes, made_.residue_bytes) - residue;
  if (const code charged = charge(device, cost); charged != code::ok) return charged;
  on.active = on.ever_active = true;
  on.context_id = next_id_++;
  ++contexts_created_;
  write_sysfs();
  return code::ok;
}

code world::ensure_context(int device) {
  const std::lock_guard lock(mutex_);
  return ensure_context_locked(device);
}

bool world::context_active(int device) const {
  const std::lock_guard lock(mutex_);
  return valid(device) && gpus_[static_cast<std::size_t>(device)].active;
}

std::uint64_t world::context_id(int device) const {
  const std::lock_guard lock(mutex_);
  return gpus_[static_cast<std::size_t>(device)].context_id;
}

void world::retain(int device) {
  const std::lock_guard lock(mutex_);
  ++gpus_[static_cast<std::size_t>(device)].retains;
}

code world::release(int device) {
  const std::lock_guard lock(mutex_);
  gpu& on = gpus_[static_cast<std::size_t>(device)];
  if (on.retains == 0) return misused("context released more often than retained");
  if (--on.retains == 0 && on.active) destroy_context_locked(device);
  return code::ok;
}

void world::destroy_context_locked(int device) {
  gpu& on = gpus_[static_cast<std::size_t>(device)];
  on.active = false;
  for (auto at = allocations_.begin(); at != allocations_.end();) {
    if (at->second.device != device || at->second.from_pool) {
      ++at;
      continue;
    }
    ::munmap(at->first, at->second.bytes);
    refund(device, at->second.bytes);
    at = allocations_.erase(at);
  }
  for (auto& [address, each] : handles_) {
    if (each.device != device || (!each.alive && !each.running)) continue;
    // A HIP reset purges what belongs to one device; portable host memory belongs to all.
    if (vendor_ == vendor::hip && each.kind == handle_kind::pinned) continue;
    each.alive = each.running = false;
    if (each.kind == handle_kind::graph) refund(device, each.bytes);
  }
  end_registrations(device);
  std::erase_if(queues_, [&](const auto& each) { return each.second.device == device; });
  refund(device, std::max(made_.context_bytes, made_.residue_bytes) - made_.residue_bytes);
}

code world::reset(int device) {
  finish_copies(device);
  const std::lock_guard lock(mutex_);
  if (!valid(device)) return code::no_device;
  if (gpus_[static_cast<std::size_t>(device)].active) destroy_context_locked(device);
  if (!made_.reset_keeps_addresses) lose_addresses(device);
  return code::ok;
}

// --- plain memory
// -----------------------------------------------------------------------------------

code world::allocate(int device, std::uint64_t bytes, void** address) {
  const std::lock_guard lock(mutex_);
  if (const code made = ensure_context_locked(device); made != code::ok) return made;
  if (const code charged = charge(device, bytes); charged != code::ok) return charged;
  *address = map_memory(bytes);
  if (*address == nullptr) return code::out_of_memory;
  allocations_[bytes_at(*address)] = {device, bytes, false};
  return code::ok;
}

code world::free(void* address) {
  const std::lock_guard lock(mutex_);
  if (address == nullptr) return code::ok;
  const auto found = allocations_.find(bytes_at(address));
  if (found == allocations_.end()) return misused("free of what is not allocated");
  ::munmap(found->first, found->second.bytes);
  refund(found->second.device, found->second.bytes);
  allocations_.erase(found);
  return code::ok;
}

bool world::is_device_memory(const void* address, std::uint64_t bytes) const {
  auto* const at = static_cast<char*>(const_cast<void*>(address));
  if (auto after = allocations_.upper_bound(at); after != allocations_.begin()) {
    const auto& [start, each] = *--after;
    if (at + bytes <= start + each.bytes) return true;
  }
  // Mappings side by side are one stretch of memory.
  auto after = mappings_.upper_bound(at);
  if (after == mappings_.begin()) return false;
  --after;
  const char* reached = after->first;
  for (; after != mappings_.end() && reached < at + bytes; ++after) {
    if (after->first != reached || after->second.devices.empty()) return false;
    reached = after->first + after->second.bytes;
  }
  return reached >= at + bytes;
}

code world::fill(void* address, int value, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!is_device_memory(address, bytes)) {
    misuse_.emplace_back("fill of what is no device memory");
    return code::invalid_value;
  }
  std::memset(address, value, bytes);
  return code::ok;
}

void world::depart() {
  const std::lock_guard lock(mutex_);
  ++under_way_;
}

void world::arrive() {
  const std::lock_guard lock(mutex_);
  under_way_ = 0;
}

int world::under_way() const {
  const std::lock_guard lock(mutex_);
  return under_way_;
}

// --- stream-ordered pools
// ---------------------------------------------------------------------------

code world::pool_allocate(int device, std::uint64_t bytes, void** address) {
  const std::lock_guard lock(mutex_);
  if (const code made = ensure_context_locked(device); made != code::ok) return made;
  gpu& on = gpus_[static_cast<std::size_t>(device)];
  const std::uint64_t spare = on.pool_reserved - on.pool_used;
  if (bytes > spare) {
    if (const code charged = charge(device, bytes - spare); charged != code::ok) return charged;
    on.pool_reserved += bytes - spare;
  }
  on.pool_used += bytes;
  *address = map_memory(bytes);
  allocations_[bytes_at(*address)] = {device, bytes, true};
  return code::ok;
}

code world::pool_free(void* address) {
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(bytes_at(address));
  if (found == allocations_.end() || !found->second.from_pool) {
    return misused("pool free of what is not from a pool");
  }
  gpus_[static_cast<std::size_t>(found->second.device)].pool_used -= found->second.bytes;
  ::munmap(found->first, found->second.bytes);
  allocations_.erase(found);
  return code::ok;
}

code world::pool_trim(int device) {
  const std::lock_guard lock(mutex_);
  if (!valid(device)) return code::no_device;
  gpu& on = gpus_[static_cast<std::size_t>(device)];
  refund(device, on.pool_reserved - on.pool_used);
  on.pool_reserved = on.pool_used;
  return code::ok;
}

}  // namespace simgpu
