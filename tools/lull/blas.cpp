#include "blas.hpp"

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <span>

#include <fmt/format.h>

namespace lull::tool {
namespace {

/// The three libraries share one interface under three names. Declared here, so that the tool needs
/// none of their headers; the signatures are those of cublas_api.h (cublasCreate_v2,
/// cublasSgemm_v2, cublasDestroy_v2), rocblas-functions.h and mublas.h.
using create_fn = int (*)(void** handle);
using destroy_fn = int (*)(void* handle);
using gemm_fn = int (*)(void* handle, int transpose_a, int transpose_b, int m, int n, int k,
                        const float* alpha, const float* a, int lda, const float* b, int ldb,
                        const float* beta, float* c, int ldc);

struct blas_names {
  std::string_view backend;
  std::array<const char*, 3> libraries;
  const char* create;
  const char* gemm;
  const char* destroy;
  int no_transpose;
  std::array<const char*, 4> runtimes;
  const char* set_device;
};

// Source of the values for "not transposed": CUBLAS_OP_N in cublas_api.h, rocblas_operation_none in
// rocblas-types.h.
constexpr std::array<blas_names, 3> vendors{{
    {"cuda",
     {"libcublas.so.13", "libcublas.so.12", nullptr},
     "cublasCreate_v2",
     "cublasSgemm_v2",
     "cublasDestroy_v2",
     0,
     {"libcudart.so.13", "libcudart.so.12", nullptr, nullptr},
     "cudaSetDevice"},
    {"hip",
     {"librocblas.so.5", "librocblas.so.4", "librocblas.so.0"},
     "rocblas_create_handle",
     "rocblas_sgemm",
     "rocblas_destroy_handle",
     111,
     {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", nullptr},
     "hipSetDevice"},
    {"musa",
     {"libmublas.so.5", "libmublas.so.4", "libmublas.so"},
     "mublasCreate",
     "mublasSgemm",
     "mublasDestroy",
     0,
     {"libmusart.so.5", "libmusart.so.4", "libmusart.so.1", "libmusart.so"},
     "musaSetDevice"},
}};

constexpr int side = 64;
constexpr std::uint64_t matrix_bytes = sizeof(float) * side * side;

/// Three matrices on the device, given back at the end.
class matrices {
 public:
  explicit matrices(const device& where) : where_(where), data_(where.allocate(3 * matrix_bytes)) {
    where_.fill(data_, std::byte{0}, 3 * matrix_bytes);
  }
  ~matrices() {
    try {
      where_.deallocate(data_, 3 * matrix_bytes);
    } catch (const std::exception&) {  // the reset that follows frees it too
    }
  }
  matrices(const matrices&) = delete;
  matrices& operator=(const matrices&) = delete;

  [[nodiscard]] float* at(int index) const {
    return static_cast<float*>(data_) + index * side * side;
  }

 private:
  const device& where_;
  void* data_;
};

/// A handle belongs to the device that is current when it is made, and that is the vendor runtime's
/// to say: the one that the backend module has loaded.
/// @return the vendor's code, or -1 when there is no such runtime
int make_current(const blas_names& names, const device& which) {
  const std::string& name = which.name();
  const int ordinal = std::stoi(name.substr(name.find_first_of("0123456789")));
  for (const char* const soname : names.runtimes) {
    void* const runtime =
        soname == nullptr ? nullptr : ::dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (runtime == nullptr) continue;
    const auto set_device = reinterpret_cast<int (*)(int)>(::dlsym(runtime, names.set_device));
    if (set_device != nullptr) return set_device(ordinal);
  }
  return -1;
}

std::string multiply(const blas_names& names, void* library, const device& which) {
  const auto create = reinterpret_cast<create_fn>(::dlsym(library, names.create));
  const auto gemm = reinterpret_cast<gemm_fn>(::dlsym(library, names.gemm));
  const auto destroy = reinterpret_cast<destroy_fn>(::dlsym(library, names.destroy));
  if (!create || !gemm || !destroy) return "it lacks the functions that are needed";
  if (const int failed = make_current(names, which)) {
    return fmt::format("{} answers {}", names.set_device, failed);
  }
  const matrices data(which);
  void* handle = nullptr;
  if (const int failed = create(&handle)) return fmt::format("{} answers {}", names.create, failed);
  const float one = 1;
  const float zero = 0;
  const int failed = gemm(handle, names.no_transpose, names.no_transpose, side, side, side, &one,
                          data.at(0), side, data.at(1), side, &zero, data.at(2), side);
  which.synchronize();
  static_cast<void>(destroy(handle));
  return failed != 0 ? fmt::format("{} answers {}", names.gemm, failed) : "";
}

}  // namespace

blas_outcome run_first_gemm(const device& which) {
  blas_outcome outcome;
  for (const blas_names& names : vendors) {
    if (names.backend != which.backend()) continue;
    for (const char* const soname : names.libraries) {
      void* const library = soname == nullptr ? nullptr : ::dlopen(soname, RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) continue;
      outcome.library = soname;
      outcome.problem = multiply(names, library, which);
      outcome.ran = outcome.problem.empty();
      return outcome;
    }
    outcome.problem = "the library was not found";
  }
  return outcome;
}

}  // namespace lull::tool
