#ifndef LULL_TESTS_GPU_DRIVER_HPP
#define LULL_TESTS_GPU_DRIVER_HPP

#include <cuda.h>
#include <dlfcn.h>

#include <string>

namespace lull::gpu_test {

/// The driver, called directly and looked up at run time: so that the program also starts where
/// there is none, and so that lull's own way of calling it can be checked from outside.
struct driver {
  template <class Function>
  static Function* symbol(const char* name) {
    static void* const library = ::dlopen("libcuda.so.1", RTLD_NOW);
    return library == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(library, name));
  }

  CUresult (*init)(unsigned) = symbol<CUresult(unsigned)>("cuInit");
  CUresult (*version)(int*) = symbol<CUresult(int*)>("cuDriverGetVersion");
  CUresult (*retain)(CUcontext*,
                     CUdevice) = symbol<CUresult(CUcontext*, CUdevice)>("cuDevicePrimaryCtxRetain");
  CUresult (*release)(CUdevice) = symbol<CUresult(CUdevice)>("cuDevicePrimaryCtxRelease_v2");
  CUresult (*reset)(CUdevice) = symbol<CUresult(CUdevice)>("cuDevicePrimaryCtxReset_v2");
  CUresult (*state)(CUdevice, unsigned*, int*) =
      symbol<CUresult(CUdevice, unsigned*, int*)>("cuDevicePrimaryCtxGetState");
  CUresult (*set_current)(CUcontext) = symbol<CUresult(CUcontext)>("cuCtxSetCurrent");
  CUresult (*context_id)(CUcontext, unsigned long long*) =
      symbol<CUresult(CUcontext, unsigned long long*)>("cuCtxGetId");
  CUresult (*granularity)(std::size_t*, const CUmemAllocationProp*,
                          CUmemAllocationGranularity_flags) =
      symbol<CUresult(std::size_t*, const CUmemAllocationProp*, CUmemAllocationGranularity_flags)>(
          "cuMemGetAllocationGranularity");
  CUresult (*reserve)(CUdeviceptr*, std::size_t, std::size_t, CUdeviceptr, unsigned long long) =
      symbol<CUresult(CUdeviceptr*, std::size_t, std::size_t, CUdeviceptr, unsigned long long)>(
          "cuMemAddressReserve");
  CUresult (*unreserve)(CUdeviceptr, std::size_t) =
      symbol<CUresult(CUdeviceptr, std::size_t)>("cuMemAddressFree");
  CUresult (*create)(CUmemGenericAllocationHandle*, std::size_t, const CUmemAllocationProp*,
                     unsigned long long) =
      symbol<CUresult(CUmemGenericAllocationHandle*, std::size_t, const CUmemAllocationProp*,
                      unsigned long long)>("cuMemCreate");
  CUresult (*destroy)(CUmemGenericAllocationHandle) =
      symbol<CUresult(CUmemGenericAllocationHandle)>("cuMemRelease");
  CUresult (*map)(CUdeviceptr, std::size_t, std::size_t, CUmemGenericAllocationHandle,
                  unsigned long long) =
      symbol<CUresult(CUdeviceptr, std::size_t, std::size_t, CUmemGenericAllocationHandle,
                      unsigned long long)>("cuMemMap");
  CUresult (*set_access)(CUdeviceptr, std::size_t, const CUmemAccessDesc*, std::size_t) =
      symbol<CUresult(CUdeviceptr, std::size_t, const CUmemAccessDesc*, std::size_t)>(
          "cuMemSetAccess");
  CUresult (*unmap)(CUdeviceptr,
                    std::size_t) = symbol<CUresult(CUdeviceptr, std::size_t)>("cuMemUnmap");
  CUresult (*fill)(CUdeviceptr, unsigned char, std::size_t) =
      symbol<CUresult(CUdeviceptr, unsigned char, std::size_t)>("cuMemsetD8_v2");
  CUresult (*read)(void*, CUdeviceptr, std::size_t) =
      symbol<CUresult(void*, CUdeviceptr, std::size_t)>("cuMemcpyDtoH_v2");
  CUresult (*synchronize)() = symbol<CUresult()>("cuCtxSynchronize");
  CUresult (*load)(CUmodule*,
                   const void*) = symbol<CUresult(CUmodule*, const void*)>("cuModuleLoadData");
  CUresult (*function)(CUfunction*, CUmodule, const char*) =
      symbol<CUresult(CUfunction*, CUmodule, const char*)>("cuModuleGetFunction");
  CUresult (*launch)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                     unsigned, CUstream, void**, void**) =
      symbol<CUresult(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                      unsigned, CUstream, void**, void**)>("cuLaunchKernel");
};

}  // namespace lull::gpu_test

#endif  // LULL_TESTS_GPU_DRIVER_HPP
