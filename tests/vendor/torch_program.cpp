// The allocator for PyTorch as PyTorch has it: loaded by its path, its functions by their names,
// and the CUDA runtime beside it. Usage: lull_torch_program LIBRARY CUDA_RUNTIME

#include <dlfcn.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr int to_device = 1;  // cudaMemcpyKind
constexpr int to_host = 2;
constexpr std::size_t MiB = std::size_t{1} << 20;

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

class library {
 public:
  explicit library(const char* path) : handle_(::dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(::dlerror());
  }
  template <class Function>
  Function* get(const char* name) const {
    void* const found = ::dlsym(handle_, name);
    expect(found != nullptr, std::string("there is no ") + name);
    return reinterpret_cast<Function*>(found);
  }

 private:
  void* handle_;
};

struct allocator {
  explicit allocator(const library& from)
      : alloc(from.get<void*(ssize_t, int, void*)>("lull_torch_alloc")),
        give_back(from.get<void(void*, ssize_t, int, void*)>("lull_torch_free")),
        sleep(from.get<int()>("lull_torch_sleep")),
        wake(from.get<int()>("lull_torch_wake")),
        error(from.get<const char*()>("lull_torch_error")) {}
  void call(int (*what)()) const { expect(what() == 0, error()); }

  void* (*alloc)(ssize_t, int, void*);
  void (*give_back)(void*, ssize_t, int, void*);
  int (*sleep)();
  int (*wake)();
  const char* (*error)();
};

struct cuda {
  explicit cuda(const library& from)
      : copy(from.get<int(void*, const void*, std::size_t, int)>("cudaMemcpy")),
        info(from.get<int(std::size_t*, std::size_t*)>("cudaMemGetInfo")) {}
  [[nodiscard]] std::size_t free_bytes() const {
    std::size_t free = 0;
    std::size_t total = 0;
    expect(info(&free, &total) == 0, "cudaMemGetInfo failed");
    return free;
  }

  int (*copy)(void*, const void*, std::size_t, int);
  int (*info)(std::size_t*, std::size_t*);
};

struct tensor {
  std::size_t bytes;
  void* address = nullptr;
};

bool refuses_a_device_that_there_is_not(const allocator& with) {
  try {
    with.alloc(1, 99, nullptr);
    return false;
  } catch (const std::exception& refusal) {
    return std::string(refusal.what()).find("no device 99") != std::string::npos;
  }
}

void run(const allocator& with, const cuda& runtime) {
  std::vector<tensor> tensors{{64 * MiB}, {3}, {2 * MiB}, {5 * MiB + 17}, {512}};
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    auto& [bytes, address] = tensors[i];
    address = with.alloc(static_cast<ssize_t>(bytes), 0, nullptr);
    const std::vector<char> contents(bytes, static_cast<char>(i + 1));
    expect(runtime.copy(address, contents.data(), bytes, to_device) == 0, "cudaMemcpy failed");
  }
  expect(refuses_a_device_that_there_is_not(with), "device 99 was served");

  for (int cycle = 0; cycle < 3; ++cycle) {
    const std::size_t awake = runtime.free_bytes();
    with.call(with.sleep);
    expect(runtime.free_bytes() >= awake + 70 * MiB, "asleep the device's memory is not free");
    with.call(with.wake);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      std::vector<char> seen(tensors[i].bytes);
      expect(runtime.copy(seen.data(), tensors[i].address, seen.size(), to_host) == 0,
             "cudaMemcpy failed");
      expect(seen == std::vector<char>(seen.size(), static_cast<char>(i + 1)),
             "after the wake a tensor has other contents");
    }
  }
  with.call(with.sleep);
  with.give_back(tensors[1].address, 3, 0, nullptr);  // while it is not there
  tensors[1].address = nullptr;
  with.call(with.wake);
  for (const auto& [bytes, address] : tensors) {
    with.give_back(address, static_cast<ssize_t>(bytes), 0, nullptr);
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  try {
    run(allocator(library(words[1])), cuda(library(words[2])));
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
}
