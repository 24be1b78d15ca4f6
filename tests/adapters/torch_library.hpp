#ifndef LULL_TESTS_ADAPTERS_TORCH_LIBRARY_HPP
#define LULL_TESTS_ADAPTERS_TORCH_LIBRARY_HPP

/// @file
/// liblull-torch.so as PyTorch has it: loaded by its path, its functions by their names.

#include <lull/torch.h>
#include <lull/torch_memory_saver.h>

#include <dlfcn.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace lull::test {

inline constexpr std::size_t MiB = std::size_t{1} << 20;

class torch_library {
 public:
  /// Never unloaded, as PyTorch never unloads it.
  static const torch_library& get() {
    static const torch_library& one = *new torch_library;
    return one;
  }

  template <class Function>
  Function* function(const char* name) const {
    void* const found = ::dlsym(handle_, name);
    if (found == nullptr) throw std::runtime_error(::dlerror());
    return reinterpret_cast<Function*>(found);
  }

 private:
  torch_library() {
    const char* const path = std::getenv("PATH");
    const std::string with_observer =
        std::string(LULL_TEST_OBSERVER) + ':' + (path != nullptr ? path : "");
    ::setenv("PATH", with_observer.c_str(), 1);
    handle_ = ::dlopen(LULL_TEST_TORCH_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) throw std::runtime_error(::dlerror());
  }
  void* handle_ = nullptr;
};

/// CALL(lull_torch_sleep)(...): a function of the library, by its name.
#define CALL(name) ::lull::test::torch_library::get().function<decltype(name)>(#name)

inline std::string torch_error() {
  return CALL(lull_torch_error)();
}

/// A plan for a level, and for these tags alone if there are any.
class plan {
 public:
  explicit plan(lull_sleep_level level, std::vector<const char*> tags = {},
                lull_contents_action rest = LULL_CONTENTS_KEEP) {
    CALL(lull_sleep_plan_init)(&value_, level);
    if (tags.empty()) return;
    for (const char* each : tags) actions_.push_back({each, value_.contents.otherwise});
    value_.contents = {rest, actions_.data(), actions_.size()};
  }
  plan(const plan&) = delete;
  plan& operator=(const plan&) = delete;
  [[nodiscard]] const lull_sleep_plan* get() const { return &value_; }

 private:
  lull_sleep_plan value_{};
  std::vector<lull_tag_action> actions_;
};

/// @return whether it did; else torch_error() says why not
inline bool sleep_by(const plan& how) {
  return CALL(lull_torch_sleep)(how.get(), nullptr, nullptr) == LULL_OK;
}
inline bool wake(const std::vector<const char*>& tags = {}) {
  return CALL(lull_torch_wake)(tags.data(), tags.size(), nullptr, nullptr) == LULL_OK;
}

/// All regions, in the order of allocation.
inline std::vector<lull_region_info> regions() {
  lull_memory* memory = nullptr;
  if (CALL(lull_torch_memory)(&memory) != LULL_OK) throw std::runtime_error(torch_error());
  lull_region_info info{};
  info.struct_size = sizeof info;
  std::vector<lull_region_info> all;
  while (CALL(lull_memory_region)(memory, all.size(), &info) == LULL_OK) all.push_back(info);
  return all;
}

/// The first device, for copies and figures.
class first_device {
 public:
  first_device() {
    lull_registry* registry = nullptr;
    if (CALL(lull_registry_shared)(&registry) != LULL_OK ||
        CALL(lull_registry_find_ordinal)(registry, CALL(lull_torch_backend)(), 0, &device_) !=
            LULL_OK) {
      throw std::runtime_error(CALL(lull_last_error_message)());
    }
    CALL(lull_registry_destroy)(registry);
  }
  ~first_device() { CALL(lull_device_destroy)(device_); }
  first_device(const first_device&) = delete;
  first_device& operator=(const first_device&) = delete;

  void write(void* address, const std::vector<unsigned char>& contents) const {
    expect_ok(CALL(lull_device_copy_from_host)(device_, address, contents.data(), contents.size()));
  }
  [[nodiscard]] std::vector<unsigned char> read(const void* address, std::size_t bytes) const {
    std::vector<unsigned char> contents(bytes);
    expect_ok(CALL(lull_device_copy_to_host)(device_, contents.data(), address, bytes));
    return contents;
  }
  [[nodiscard]] lull_memory_info memory() const {
    lull_memory_info info{};
    info.struct_size = sizeof info;
    expect_ok(CALL(lull_device_memory)(device_, LULL_PROBE_TIMEOUT, &info));
    return info;
  }

 private:
  static void expect_ok(lull_status code) {
    if (code != LULL_OK) throw std::runtime_error(CALL(lull_last_error_message)());
  }
  lull_device* device_ = nullptr;
};

/// Memory with a tag, as a thread of PyTorch's gets it, filled with a byte.
class tensor {
 public:
  tensor(std::size_t bytes, const char* tag, unsigned char filling)
      : bytes_(bytes), filling_(filling) {
    CALL(lull_thread_set_tag)(tag);
    try {
      address_ = CALL(lull_torch_pool_alloc)(static_cast<ssize_t>(bytes), 0, nullptr);
    } catch (...) {
      CALL(lull_thread_set_tag)(nullptr);
      throw;
    }
    CALL(lull_thread_set_tag)(nullptr);
    if (address_ == nullptr) throw std::bad_alloc();
    write(filling);
  }
  ~tensor() { free(); }
  tensor(const tensor&) = delete;
  tensor& operator=(const tensor&) = delete;

  void free() {
    CALL(lull_torch_free)(address_, static_cast<ssize_t>(bytes_), 0, nullptr);
    address_ = nullptr;
  }
  void write(unsigned char filling) {
    filling_ = filling;
    first_device().write(address_, std::vector<unsigned char>(bytes_, filling));
  }
  [[nodiscard]] bool is_whole() const {
    return first_device().read(address_, bytes_) == std::vector<unsigned char>(bytes_, filling_);
  }
  [[nodiscard]] void* address() const { return address_; }

 private:
  std::size_t bytes_;
  unsigned char filling_;
  void* address_ = nullptr;
};

}  // namespace lull::test

#endif  // LULL_TESTS_ADAPTERS_TORCH_LIBRARY_HPP
