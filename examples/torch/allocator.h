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
///     torch.cuda.synchronize()
///     lull.lull_torch_sleep()  # the memory of every tensor leaves the GPU
///     lull.lull_torch_wake()   # and is back, at the same address
///
/// All functions are thread-safe. The first that is called looks for the devices.

#include <lull/lull.h>

#include <sys/types.h>

extern "C" {

/// As PyTorch calls it. The stream does not matter: the memory is there when this returns.
/// @throws std::runtime_error when there is none. PyTorch, which is C++ and looks at no null, hands
///         it on to Python.
LULL_API void* lull_torch_alloc(ssize_t bytes, int device, void* stream);
/// Waits for the device's work: what PyTorch frees may still be in use on a stream.
LULL_API void lull_torch_free(void* address, ssize_t bytes, int device, void* stream);

/// Takes the contents of all tensors to host memory, and their memory off the GPU. Nothing may use
/// a tensor until the wake.
/// @return 0, or why it failed (lull_status): then all tensors are where they were
LULL_API int lull_torch_sleep();
/// Brings all tensors back to their addresses.
/// @return as lull_torch_sleep
LULL_API int lull_torch_wake();

/// What failed last on this thread. Never null.
LULL_API const char* lull_torch_error();

}  // extern "C"

#endif  // EXAMPLES_TORCH_ALLOCATOR_H
