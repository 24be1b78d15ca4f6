#ifndef LULL_BACKENDS_MUSA_DECLS_HPP
#define LULL_BACKENDS_MUSA_DECLS_HPP

/// @file
/// What we use of MUSA, in declarations of our own, for builds without Moore Threads' SDK, which is
/// not freely to be had. Names and signatures as they are called in llama.cpp (ggml-cuda with its
/// MUSA mapping) and torch_musa; values follow CUDA's, as MUSA's do in both. Not checked against
/// the SDK itself.

#include <cstddef>

extern "C" {

enum musaError_t : int {
  musaSuccess = 0,
  musaErrorMemoryAllocation = 2,
  musaErrorNotReady = 600,
  musaErrorContextIsDestroyed = 709,
  musaErrorNotSupported = 801,
};
enum musaMemcpyKind : int { musaMemcpyHostToDevice = 1, musaMemcpyDeviceToHost = 2 };

struct MUstream_st;
struct MUevent_st;
struct MUgraph_st;
struct MUgraphExec_st;
struct MUgraphNode_st;
struct MUmemPoolHandle_st;
struct MUctx_st;
using musaStream_t = MUstream_st*;
using musaEvent_t = MUevent_st*;
using musaGraph_t = MUgraph_st*;
using musaGraphExec_t = MUgraphExec_st*;
using musaGraphNode_t = MUgraphNode_st*;
using musaMemPool_t = MUmemPoolHandle_st*;
using MUcontext = MUctx_st*;

inline constexpr unsigned musaStreamNonBlocking = 1;
inline constexpr unsigned musaEventDisableTiming = 2;
inline constexpr unsigned musaHostRegisterPortable = 1;

musaError_t musaDeviceSynchronize();
musaError_t musaMalloc(void**, std::size_t);
musaError_t musaFree(void*);
musaError_t musaMallocHost(void**, std::size_t);
musaError_t musaFreeHost(void*);
musaError_t musaMemcpy(void*, const void*, std::size_t, musaMemcpyKind);
musaError_t musaMemcpyAsync(void*, const void*, std::size_t, musaMemcpyKind, musaStream_t);
musaError_t musaMemset(void*, int, std::size_t);
musaError_t musaStreamCreateWithFlags(musaStream_t*, unsigned);
musaError_t musaStreamDestroy(musaStream_t);
musaError_t musaStreamSynchronize(musaStream_t);
musaError_t musaStreamWaitEvent(musaStream_t, musaEvent_t, unsigned);
musaError_t musaEventCreateWithFlags(musaEvent_t*, unsigned);
musaError_t musaEventDestroy(musaEvent_t);
musaError_t musaEventRecord(musaEvent_t, musaStream_t);
musaError_t musaEventQuery(musaEvent_t);
musaError_t musaEventSynchronize(musaEvent_t);
musaError_t musaHostRegister(void*, std::size_t, unsigned);
musaError_t musaHostUnregister(void*);
musaError_t musaGraphExecDestroy(musaGraphExec_t);
musaError_t musaGraphGetNodes(musaGraph_t, musaGraphNode_t*, std::size_t*);
musaError_t musaGraphUpload(musaGraphExec_t, musaStream_t);
musaError_t musaDeviceGraphMemTrim(int);
musaError_t musaDeviceGetDefaultMemPool(musaMemPool_t*, int);
musaError_t musaMemPoolTrimTo(musaMemPool_t, std::size_t);
musaError_t musaGetLastError();
const char* musaGetErrorName(musaError_t);
const char* musaGetErrorString(musaError_t);

enum MUresult : int {
  MUSA_SUCCESS = 0,
  MUSA_ERROR_OUT_OF_MEMORY = 2,
  MUSA_ERROR_CONTEXT_IS_DESTROYED = 709,
  MUSA_ERROR_NOT_SUPPORTED = 801,
};
using MUdevice = int;
using MUdeviceptr = unsigned long long;
using MUmemGenericAllocationHandle = unsigned long long;

enum MUdevice_attribute : int {
  MU_DEVICE_ATTRIBUTE_INTEGRATED = 18,
  MU_DEVICE_ATTRIBUTE_VIRTUAL_ADDRESS_MANAGEMENT_SUPPORTED = 102,
};
enum MUmemAllocationType : int { MU_MEM_ALLOCATION_TYPE_PINNED = 1 };
enum MUmemLocationType : int { MU_MEM_LOCATION_TYPE_DEVICE = 1 };
enum MUmemAllocationHandleType : int { MU_MEM_HANDLE_TYPE_NONE = 0 };
enum MUmemAccess_flags : int { MU_MEM_ACCESS_FLAGS_PROT_READWRITE = 3 };
enum MUmemAllocationGranularity_flags : int { MU_MEM_ALLOC_GRANULARITY_MINIMUM = 0 };

struct MUmemLocation {
  MUmemLocationType type;
  int id;
};
struct MUmemAllocationProp {
  MUmemAllocationType type;
  MUmemAllocationHandleType requestedHandleTypes;
  MUmemLocation location;
  void* win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRDMACapable;
    unsigned short usage;
    unsigned char reserved[4];
  } allocFlags;
};
struct MUmemAccessDesc {
  MUmemLocation location;
  MUmemAccess_flags flags;
};

MUresult muInit(unsigned);
MUresult muGetErrorString(MUresult, const char**);
MUresult muDeviceGetCount(int*);
MUresult muDeviceGet(MUdevice*, int);
MUresult muDeviceGetPCIBusId(char*, int, MUdevice);
MUresult muDeviceCanAccessPeer(int*, MUdevice, MUdevice);
MUresult muDeviceGetName(char*, int, MUdevice);
MUresult muDeviceGetAttribute(int*, MUdevice_attribute, MUdevice);
MUresult muDevicePrimaryCtxGetState(MUdevice, unsigned*, int*);
MUresult muDevicePrimaryCtxRetain(MUcontext*, MUdevice);
MUresult muDevicePrimaryCtxRelease_v2(MUdevice);
MUresult muDevicePrimaryCtxReset_v2(MUdevice);
MUresult muCtxPushCurrent_v2(MUcontext);
MUresult muCtxPopCurrent_v2(MUcontext*);
MUresult muMemGetAllocationGranularity(std::size_t*, const MUmemAllocationProp*,
                                       MUmemAllocationGranularity_flags);
MUresult muMemAddressReserve(MUdeviceptr*, std::size_t, std::size_t, MUdeviceptr,
                             unsigned long long);
MUresult muMemAddressFree(MUdeviceptr, std::size_t);
MUresult muMemCreate(MUmemGenericAllocationHandle*, std::size_t, const MUmemAllocationProp*,
                     unsigned long long);
MUresult muMemRelease(MUmemGenericAllocationHandle);
MUresult muMemMap(MUdeviceptr, std::size_t, std::size_t, MUmemGenericAllocationHandle,
                  unsigned long long);
MUresult muMemSetAccess(MUdeviceptr, std::size_t, const MUmemAccessDesc*, std::size_t);
MUresult muMemUnmap(MUdeviceptr, std::size_t);

}  // extern "C"

#endif  // LULL_BACKENDS_MUSA_DECLS_HPP
