#ifndef EXAMPLES_TORCH_ALLOCATOR_H
#define EXAMPLES_TORCH_ALLOCATOR_H

/// @file
/// lull as the allocator of PyTorch. In Python, before anything is put on a GPU:
///
///     allocator = torch.cuda.memory.CUDAPluggableAllocator(
///         "liblull-torch.so", "lull_torch_alloc", "lull_torch_free")
///     torch.cuda.memory.change_current_allocator(allocator)
///     lull = ctypes.CDLL("liblull-torch.so")
///     ...
///     torch.cuda.synchronize(); lull.lull_torch_sleep()   # every tensor leaves the GPU
///     lull.lull_torch_wake()                              # and is back, at the same address
///
/// All functions are thread-safe. The first of them that needs a GPU looks for its devices.

#include <lull/lull.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/// As PyTorch calls it: the stream does not matter, as memory is there when this returns.
/// @return null when there is none: lull_torch_error says why
LULL_API void* lull_torch_alloc(ssize_t bytes, int device, void* stream);
/// Waits for the device's work: what PyTorch frees may still be in use on a stream.
LULL_API void lull_torch_free(void* address, ssize_t bytes, int device, void* stream);

/// Takes the contents of all tensors to host memory, and the tensors' memory off the GPU. Nothing may
/// use a tensor until the wake.
/// @return 0, or why it failed as a lull_status: then all tensors are where they were
LULL_API int lull_torch_sleep(void);
/// Brings all tensors back to their addresses. @return as lull_torch_sleep
LULL_API int lull_torch_wake(void);

/// What failed last on this thread. Never null.
LULL_API const char* lull_torch_error(void);

#ifdef __cplusplus
}
#endif

#endif  // EXAMPLES_TORCH_ALLOCATOR_H
