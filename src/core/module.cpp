#include "core/module.hpp"

#include <lull/error.hpp>
#include <lull/version.h>

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "core/elf_note.hpp"
#include "core/own_suspension.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

/// A refusal before any of the module's code has run.
void check_abi(const std::filesystem::path& file) {
  const std::uint32_t abi = read_module_abi(file);
  if (abi >> 16 == LULL_BACKEND_ABI_MAJOR) return;
  fail(status::bad_module,
       "it is built for module ABI {}.{}; this lull understands {}.x: use a module "
       "built for lull {}",
       abi >> 16, abi & 0xffff, LULL_BACKEND_ABI_MAJOR, lull_version_string());
}

const lull_backend_ops& call_entry(const shared_object& library) {
  const auto entry =
      reinterpret_cast<lull_backend_entry_fn>(library.symbol(LULL_BACKEND_ENTRY_NAME));
  if (entry == nullptr) {
    throw error(status::bad_module, "it does not export " LULL_BACKEND_ENTRY_NAME);
  }
  const lull_backend_ops* ops = nullptr;
  try {
    ops = entry();
  } catch (...) {
    throw current_error(status::bad_module, LULL_BACKEND_ENTRY_NAME " threw an exception");
  }
  if (ops == nullptr) {
    throw error(status::bad_module, LULL_BACKEND_ENTRY_NAME " returned no operations table");
  }
  return *ops;
}

/// What it calls would wait until this process is restored, or never return.
constexpr const char* while_suspended =
    "this process is suspended, and asks its vendor nothing before it wakes";

/// Checks the table and asks how well the module can run here.
void assess(module_entry& entry, const lull_backend_ops& ops) {
  const ops_table table = check_ops(ops);
  entry.info.backend = table.ops.name;
  const own_suspension::question asking(own_suspension::of(table.ops.name));
  if (!asking) return set_aside(entry, module_state::unusable, while_suspended);
  std::array<char, 256> reason{};
  entry.info.score = table.ops.score(reason.data(), reason.size());
  reason.back() = '\0';
  if (entry.info.score <= 0) {
    set_aside(entry, module_state::unusable,
              reason.front() != '\0' ? reason.data() : "it gives no reason why it cannot run here");
    return;
  }
  entry.table = table;
}

}  // namespace

std::optional<file_identity> identify(const std::filesystem::path& file) noexcept {
  struct stat facts {};
  if (::stat(file.c_str(), &facts) != 0) return std::nullopt;
  return file_identity{facts.st_dev, facts.st_ino};
}

module_entry load_module(const std::filesystem::path& file) {
  module_entry entry;
  entry.info.path = file;
  entry.file = identify(file);
  try {
    check_abi(file);
    entry.library = shared_object(file);
    assess(entry, call_entry(entry.library));
  } catch (...) {
    set_aside(entry, module_state::refused, current_error(status::bad_module).what());
  }
  return entry;
}

module_entry wrap_static(const lull_backend_ops& ops) {
  module_entry entry;
  try {
    assess(entry, ops);
  } catch (...) {
    set_aside(entry, module_state::refused, current_error(status::bad_module).what());
  }
  return entry;
}

module_entry refused_module(std::filesystem::path place, std::string reason) {
  module_entry entry;
  entry.info.path = std::move(place);
  entry.info.reason = std::move(reason);
  return entry;
}

void open_module(module_entry& entry, const std::vector<backend_setting>& settings) {
  std::vector<lull_backend_setting> own;
  for (const backend_setting& setting : settings) {
    if (setting.backend == entry.info.backend) {
      own.push_back({setting.key.c_str(), setting.value.c_str()});
    }
  }
  const own_suspension::question asking(own_suspension::of(entry.info.backend));
  if (!asking) throw error(status::busy, while_suspended);
  const auto backend = std::make_shared<const backend_instance>(*entry.table, entry.library, own);
  const std::uint32_t count = entry.table->ops.device_count(backend->handle());
  for (std::uint32_t index = 0; index < count; ++index) {
    entry.devices.push_back(describe_device(backend, index));
  }
  entry.info.state = module_state::active;
  entry.info.reason = entry.table->unused;
  entry.table.reset();
  entry.library = {};
}

// By its words: those of the dynamic linker, and what a module says of its vendor's libraries, have
// no code.
bool is_for_want_of_means(std::string_view reason) {
  constexpr int codes[] = {EMFILE, ENFILE, ENOMEM};
  return reason.find("out of host memory") != std::string_view::npos ||
         std::any_of(std::begin(codes), std::end(codes), [&](int code) {
           return reason.find(std::generic_category().message(code)) != std::string_view::npos;
         });
}

void set_aside(module_entry& entry, module_state state, std::string reason) {
  entry.info.state = state;
  entry.info.reason = std::move(reason);
  entry.devices.clear();
  entry.table.reset();
  entry.library = {};
}

}  // namespace lull::detail
