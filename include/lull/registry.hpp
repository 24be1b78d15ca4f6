#ifndef LULL_REGISTRY_HPP
#define LULL_REGISTRY_HPP

/// @file
/// The registry: which backends there are, and the devices they bring.

#include <lull/backend.h>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/export.h>
#include <lull/log.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lull {

/// What became of a module.
enum class module_state : std::uint8_t {
  active,      ///< its devices are in the registry
  unusable,    ///< sound, but it cannot run here (score 0); the reason says what is missing
  superseded,  ///< sound, but another module of the same backend is used instead
  refused,     ///< not a module that can be loaded; the reason says why
};
LULL_API std::string_view to_string(module_state state) noexcept;

/// One module and what became of it.
struct module_info {
  std::string backend;         ///< "cuda"; empty when it is not known
  std::filesystem::path path;  ///< the file; empty for a built-in backend
  module_state state = module_state::refused;
  std::int32_t score = 0;  ///< how well it can run here, as it says itself
  std::string reason;      ///< why it, or a part of it, is not active; a sentence for people
};

/// A setting for a backend, handed over when it is opened.
struct backend_setting {
  std::string backend;  ///< "host"
  std::string key;      ///< "capacity_bytes"
  std::string value;    ///< "1073741824"
};

struct registry_options {
  /// Module files, or directories of them, looked at before all other places.
  std::vector<std::filesystem::path> module_paths = {};
  /// Whether to look also in LULL_BACKEND_PATH, the library's own directory and the install
  /// directory. Off: only module_paths and what load() names.
  bool search = true;
  /// Settings; those for a backend that is not there are ignored.
  std::vector<backend_setting> settings = {};
  /// Where this registry, and what is made from its devices, logs.
  log_sink log = {};
};

/// Finds backends and keeps their devices.
///
/// `host` is built in. Others are shared objects `liblull-backend-*.so`, looked for in this order:
/// the caller's module_paths; the files and directories in the environment variable
/// LULL_BACKEND_PATH (separated by ':', absolute; ignored in set-user-ID programs); the directory
/// of the library itself (of the program when linked statically), and `lull` in it; the install
/// directory. The current directory is never searched. They are opened with RTLD_NOW | RTLD_LOCAL.
///
/// A module that cannot be used never stops the rest: it is listed with its reason by modules().
/// Of several modules of one backend the one with the highest score is active, the first found
/// among equals.
///
/// All functions are thread-safe. Reading (devices, find, modules) never waits for a module that is
/// being loaded. Loading creates no GPU context.
class LULL_API registry {
 public:
  /// Loads all modules it finds. Never fails because of a module.
  /// @throws error invalid_argument: a setting of the built-in host backend is wrong; io: the
  ///         memory of this machine cannot be looked at, for want of a descriptor; unsupported:
  ///         another copy of lull is in use in this process (two plugins with the static library
  ///         inside), with the names of both files.
  explicit registry(registry_options options = {});
  ~registry();
  registry(const registry&) = delete;
  registry& operator=(const registry&) = delete;

  /// The registry of the process, made with default options at the first call and never destroyed.
  /// What it could not load for want of descriptors or memory is tried again by later calls, at
  /// most once a second.
  static registry& shared();

  /// All devices: host first, then by module in the order of loading.
  [[nodiscard]] std::vector<device> devices() const;

  /// The device with this name, PCI address ("0000:65:00.0" or "65:00.0") or UUID, in any case.
  /// @throws error (not_found) that lists the devices there are.
  [[nodiscard]] device find(std::string_view name) const;

  /// A device as engines count them: by its backend, "cuda", and its number there, from 0, which is
  /// the vendor's own (the argument of cudaSetDevice).
  /// @throws error (not_found) that says what there is.
  [[nodiscard]] device find(std::string_view backend, std::uint32_t ordinal) const;

  /// The devices of a comma-separated list, in its order. An empty list means the environment
  /// variable LULL_DEVICES, and all devices when that is empty too.
  /// @throws error not_found: no such device; invalid_argument: one is named twice.
  [[nodiscard]] std::vector<device> select(std::string_view list = {}) const;

  /// All modules that were looked at, the built-in ones first.
  [[nodiscard]] std::vector<module_info> modules() const;

  /// Loads one module file. Loading a file twice is harmless. If its backend is active already the
  /// module becomes `superseded`, whatever its score: devices in use are never exchanged.
  /// @return what became of it
  module_info load(const std::filesystem::path& file);

  /// Adds a backend that is linked into the program. `ops` must outlive every device of it.
  /// @return what became of it
  module_info add(const lull_backend_ops& ops);

  /// Removes a backend and its devices, and unloads its module.
  /// @throws error not_found; busy: a device of it is still referred to outside the registry, with
  ///         the device's name; invalid_argument: `host` cannot be removed.
  void unload(std::string_view backend);

  /// The sink from the options.
  [[nodiscard]] const log_sink& log() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace lull

#endif  // LULL_REGISTRY_HPP
