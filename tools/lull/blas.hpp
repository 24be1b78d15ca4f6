#ifndef TOOLS_LULL_BLAS_HPP
#define TOOLS_LULL_BLAS_HPP

#include <lull/device.hpp>

#include <string>

namespace lull::tool {

/// What came of the first matrix multiplication of a vendor's library.
struct blas_outcome {
  bool ran = false;
  std::string library;  ///< "libcublas.so.13"
  std::string problem;  ///< why it did not run
};

/// Creates a handle of the vendor's BLAS library, multiplies two small matrices with it, and
/// destroys the handle. The libraries load their kernels with the first call, and what they take
/// for that is what a reset has to deal with. The library is looked up when this is called, and
/// stays loaded.
///
/// The device must be the first of its backend: the library works on the runtime's current device.
blas_outcome run_first_gemm(const device& which);

}  // namespace lull::tool

#endif  // TOOLS_LULL_BLAS_HPP
