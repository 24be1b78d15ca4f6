#ifndef LULL_BACKEND_H
#define LULL_BACKEND_H

/// @file
/// The backend module ABI: what a shared object must provide so that lull can manage the memory of
/// its devices. Pure C; no C++ type, exception or allocation crosses it.
///
/// A module is one ELF shared object, `liblull-backend-<name>.so`, with two things:
///
///  1. an ELF note (owner "lull", type LULL_BACKEND_NOTE_TYPE) that holds the ABI version. The
///     registry reads it from the file, before the dynamic linker maps the module, so a module of
///     another ABI is refused before any of its code, static constructors included, has run;
///  2. one exported function, `lull_backend_entry`, that returns the operations table.
///
/// `<lull/backend_module.h>` declares both for a module's one source file.
///
/// Compatibility: within one ABI major, structs only grow at the end and each carries its size, so
/// a module and a library of different minor versions work together. A module of another major is
/// refused with a reason.
///
/// Rules for every operation:
///  - may be called from any thread, also concurrently, unless its comment says otherwise;
///  - never throws, never exits, never prints;
///  - returns LULL_OK, or a status with `error` filled in; on failure nothing has changed;
///  - `error` is never null; on success it is left untouched;
///  - a device is an index below device_count().
///
/// Operations come in groups. A group is provided as a whole or left null as a whole (a table with
/// half a group is refused); a group that is present is a capability, which a single device may
/// still lack (lull_backend_device::capabilities).

#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LULL_BACKEND_ABI_MAJOR 1
#define LULL_BACKEND_ABI_MINOR 4
#define LULL_BACKEND_ABI_VERSION \
  (((uint32_t)LULL_BACKEND_ABI_MAJOR << 16) | (uint32_t)LULL_BACKEND_ABI_MINOR)

/// The type of the ELF note that holds the ABI version.
#define LULL_BACKEND_NOTE_TYPE 1u

/// The name of the exported entry function.
#define LULL_BACKEND_ENTRY_NAME "lull_backend_entry"

/// One opened backend: the state behind a table's operations.
typedef struct lull_backend lull_backend;

/// What a device is.
typedef enum lull_device_type {
  LULL_DEVICE_HOST = 0,       ///< memory of this process
  LULL_DEVICE_GPU = 1,        ///< a GPU with memory of its own
  LULL_DEVICE_INTEGRATED = 2  ///< a GPU that shares the host's memory
} lull_device_type;

/// Groups of operations, as bits.
typedef enum lull_capability {
  LULL_CAP_ALLOCATE = 1 << 0,          ///< allocate, deallocate
  LULL_CAP_STABLE_ADDRESSES = 1 << 1,  ///< vm_*
  LULL_CAP_COPY = 1 << 2,              ///< copy, fill
  LULL_CAP_STREAMS = 1 << 3,           ///< stream_*, copy_async
  LULL_CAP_PINNED = 1 << 4,            ///< pinned_*
  LULL_CAP_CONTEXT = 1 << 5,           ///< context_create, context_alive, synchronize
  LULL_CAP_RESET = 1 << 6,             ///< reset
  LULL_CAP_POOLS = 1 << 7,             ///< pool_trim
  LULL_CAP_GRAPHS = 1 << 8,            ///< graph_destroy, graph_node_count
  LULL_CAP_SUSPEND = 1 << 9,           ///< suspend, resume
  LULL_CAP_GRAPH_UPLOAD = 1 << 10,     ///< graph_upload
  LULL_CAP_GRAPH_TRIM = 1 << 11,       ///< graph_trim
  LULL_CAP_PROCESSES = 1 << 12,        ///< process_list
  LULL_CAP_CHECKPOINT = 1 << 13,       ///< process_checkpoint
  LULL_CAP_HOST_ACCESSIBLE = 1 << 16   ///< not a group: the CPU can use device addresses directly
} lull_capability;

/// How a memory figure is known.
typedef enum lull_memory_source {
  LULL_SOURCE_UNKNOWN = 0,
  LULL_SOURCE_ACCOUNTING = 1,  ///< the backend's own books of what it handed out
  LULL_SOURCE_MANAGEMENT = 2,  ///< a management library (NVML, MTML)
  LULL_SOURCE_KERNEL = 3,      ///< the kernel driver's files (KFD, DRM)
  LULL_SOURCE_RUNTIME = 4      ///< the vendor runtime's own query, through a live context
} lull_memory_source;

/// Whether something holds; "cannot tell" is an answer.
typedef enum lull_tristate { LULL_NO = 0, LULL_YES = 1, LULL_CANNOT_TELL = 2 } lull_tristate;

/// Filled in by an operation that fails. Texts are zero-terminated UTF-8, cut where too long.
typedef struct lull_backend_error {
  int64_t vendor_code;  ///< the vendor's or the system's own code (errno for the host backend)
  char call[48];        ///< the call that failed, "cuMemCreate"; empty when none was made
  char message[208];    ///< the vendor's words, or what was wrong and what would be right
} lull_backend_error;

/// A named setting for a backend, "capacity_bytes" = "1073741824".
typedef struct lull_backend_setting {
  const char* key;
  const char* value;
} lull_backend_setting;

/// What is fixed about a device. The caller sets struct_size; the callee fills what fits.
typedef struct lull_backend_device {
  uint32_t struct_size;
  uint32_t type;          ///< a lull_device_type
  uint64_t capabilities;  ///< the lull_capability bits that this device has
  char name[32];          ///< unique among all devices of the process: "CUDA0", "HOST"
  char description[128];  ///< for people: "NVIDIA H200"
  char pci_address[24];   ///< "0000:65:00.0", lower case; empty when the device has none
  char uuid[64];          ///< the vendor's UUID text; empty when the device has none
  // Since 1.4.
  uint64_t graph_node_bytes;  ///< what a node of an executable graph holds, roughly; 0: unknown
} lull_backend_device;

/// Memory of a device, as seen without creating a context. LULL_UNKNOWN where the platform
/// cannot tell. The caller sets struct_size; the callee fills what fits.
typedef struct lull_backend_memory {
  uint32_t struct_size;
  uint32_t source;                 ///< a lull_memory_source
  uint64_t total_bytes;            ///< what the device has
  uint64_t free_bytes;             ///< what can be had now, by any process
  uint64_t used_by_process_bytes;  ///< what this process holds
} lull_backend_memory;

/// A process that holds memory of a device. Goes in arrays, and so never grows.
typedef struct lull_backend_process {
  int64_t id;           ///< as the platform lists it: in a container perhaps the host's
  uint64_t used_bytes;  ///< LULL_UNKNOWN where the platform cannot tell
} lull_backend_process;

/// How an executable graph of the host backend begins. The host has no graphs of its own: a graph is
/// whatever its maker puts behind these two members, and it stands in for a vendor's in tests,
/// examples and CPU back ends (lull::host_graph in <lull/host_graph.hpp> is one). On the host the
/// executable is its own template, so LULL_CAP_GRAPHS takes it for both. The host keeps no list of
/// graphs: that one is destroyed twice it cannot see.
typedef struct lull_host_graph {
  /// Ends the graph and gives its memory back. Must not be null, throw, or call the backend.
  void (*destroy)(struct lull_host_graph* graph);
  uint64_t nodes;  ///< what graph_node_count tells
} lull_host_graph;

/// The operations table. Up to and including memory_info every slot is mandatory.
typedef struct lull_backend_ops {
  uint32_t abi_version;  ///< LULL_BACKEND_ABI_VERSION of the module's header
  uint32_t struct_size;  ///< sizeof(lull_backend_ops) of the module's header

  /// The backend's name, lower case: "cuda". Two modules of one name are alternatives of which
  /// the higher score is used. Lives as long as the module is loaded.
  const char* name;

  /// How well this module can run here: 0 = not at all, and then `reason` (of `reason_size` bytes,
  /// zero-terminated) says what is missing. Called once after loading, before open. Creates no
  /// context. Loading a vendor's libraries is part of it, so it may take seconds on a large machine.
  int32_t (*score)(char* reason, uint64_t reason_size);

  /// Opens the backend. Unknown settings are an error that names the known ones. Creates no
  /// context.
  lull_status (*open)(const lull_backend_setting* settings, uint64_t setting_count,
                      lull_backend** backend, lull_backend_error* error);

  /// Closes what open returned. All memory, streams and handles of it were released before.
  void (*close)(lull_backend* backend);

  /// The number of devices; fixed from open to close.
  uint32_t (*device_count)(lull_backend* backend);

  lull_status (*device_describe)(lull_backend* backend, uint32_t device,
                                 lull_backend_device* description, lull_backend_error* error);

  /// Never creates a context and never waits for work on the device. Where the platform's library
  /// hangs this hangs too: the library calls it on a thread that it can give up on.
  lull_status (*memory_info)(lull_backend* backend, uint32_t device, lull_backend_memory* memory,
                             lull_backend_error* error);

  // --- LULL_CAP_ALLOCATE: plain allocations. May create the device's context. -------------------

  /// `bytes` > 0. The address is aligned to at least 256 bytes; contents are undefined.
  lull_status (*allocate)(lull_backend* backend, uint32_t device, uint64_t bytes, void** address,
                          lull_backend_error* error);
  /// `address` and `bytes` as in allocate. May wait for work that uses the memory.
  lull_status (*deallocate)(lull_backend* backend, uint32_t device, void* address, uint64_t bytes,
                            lull_backend_error* error);

  // --- LULL_CAP_STABLE_ADDRESSES: address ranges apart from the memory behind them --------------

  /// The granularity of every size and address of this group, a power of two.
  lull_status (*vm_granularity)(lull_backend* backend, uint32_t device, uint64_t* bytes,
                                lull_backend_error* error);
  /// Reserves an address range without memory behind it.
  lull_status (*vm_reserve)(lull_backend* backend, uint32_t device, uint64_t bytes, void** address,
                            lull_backend_error* error);
  /// Gives a range back in which nothing is mapped.
  lull_status (*vm_release)(lull_backend* backend, uint32_t device, void* address, uint64_t bytes,
                            lull_backend_error* error);
  /// Obtains physical memory, counted as used from here on.
  lull_status (*vm_create)(lull_backend* backend, uint32_t device, uint64_t bytes, uint64_t* handle,
                           lull_backend_error* error);
  /// Gives up physical memory that is not mapped.
  lull_status (*vm_destroy)(lull_backend* backend, uint32_t device, uint64_t handle,
                            lull_backend_error* error);
  /// Maps a whole handle, readable and writable by its device, at a reserved address. A handle is
  /// mapped at most once at a time. Contents after mapping are undefined.
  lull_status (*vm_map)(lull_backend* backend, uint32_t device, void* address, uint64_t bytes,
                        uint64_t handle, lull_backend_error* error);
  /// Unmaps what one vm_map mapped. The range stays reserved. No work may use the range.
  lull_status (*vm_unmap)(lull_backend* backend, uint32_t device, void* address, uint64_t bytes,
                          lull_backend_error* error);

  // --- LULL_CAP_COPY: contents; each call returns when the bytes have arrived --------------------

  lull_status (*copy_to_host)(lull_backend* backend, uint32_t device, void* host,
                              const void* address, uint64_t bytes, lull_backend_error* error);
  lull_status (*copy_from_host)(lull_backend* backend, uint32_t device, void* address,
                                const void* host, uint64_t bytes, lull_backend_error* error);
  /// Sets every byte to `value`.
  lull_status (*fill)(lull_backend* backend, uint32_t device, void* address, uint8_t value,
                      uint64_t bytes, lull_backend_error* error);

  // --- LULL_CAP_STREAMS ------------------------------------------------------------------------

  /// A non-blocking stream. The handle dies with the device's context.
  lull_status (*stream_create)(lull_backend* backend, uint32_t device, void** stream,
                               lull_backend_error* error);
  lull_status (*stream_destroy)(lull_backend* backend, uint32_t device, void* stream,
                                lull_backend_error* error);
  lull_status (*stream_synchronize)(lull_backend* backend, uint32_t device, void* stream,
                                    lull_backend_error* error);
  /// Starts a copy; host memory must be pinned for it to overlap. One of the two is a device
  /// address of `device`; `to_host` says which.
  lull_status (*copy_async)(lull_backend* backend, uint32_t device, void* stream, void* destination,
                            const void* source, uint64_t bytes, int32_t to_host,
                            lull_backend_error* error);

  // --- LULL_CAP_PINNED: host memory that the device can copy at full speed ----------------------

  lull_status (*pinned_allocate)(lull_backend* backend, uint32_t device, uint64_t bytes,
                                 void** address, lull_backend_error* error);
  lull_status (*pinned_free)(lull_backend* backend, uint32_t device, void* address,
                             lull_backend_error* error);

  // --- LULL_CAP_CONTEXT ------------------------------------------------------------------------

  /// Creates the device's context if there is none. May take seconds.
  lull_status (*context_create)(lull_backend* backend, uint32_t device, lull_backend_error* error);
  /// Whether this process has a context on the device. Creates none.
  lull_status (*context_alive)(lull_backend* backend, uint32_t device, lull_tristate* alive,
                               lull_backend_error* error);
  /// Waits for all work on the device; free when there is no context.
  lull_status (*synchronize)(lull_backend* backend, uint32_t device, lull_backend_error* error);

  // --- LULL_CAP_RESET --------------------------------------------------------------------------

  /// Destroys the device's context and everything that lives in it. The caller has released what a
  /// reset does not (stable-address memory, pools, graph memory) and keeps other threads off.
  /// Without a context it does nothing, and above all creates none.
  lull_status (*reset)(lull_backend* backend, uint32_t device, lull_backend_error* error);

  // --- LULL_CAP_POOLS --------------------------------------------------------------------------

  /// Returns unused memory of the vendor's stream-ordered pools to the device. Without a context it
  /// does nothing.
  lull_status (*pool_trim)(lull_backend* backend, uint32_t device, lull_backend_error* error);

  // --- LULL_CAP_GRAPHS: executable graphs that the caller captured ------------------------------

  /// No launch of it may be in flight where the vendor destroys at once.
  lull_status (*graph_destroy)(lull_backend* backend, uint32_t device, void* graph_exec,
                               lull_backend_error* error);
  /// The nodes of a graph (the template, not the executable).
  lull_status (*graph_node_count)(lull_backend* backend, uint32_t device, void* graph,
                                  uint64_t* nodes, lull_backend_error* error);

  // --- LULL_CAP_GRAPH_UPLOAD -------------------------------------------------------------------

  /// Puts an executable graph on the device ahead of its first launch.
  lull_status (*graph_upload)(lull_backend* backend, uint32_t device, void* graph_exec,
                              void* stream, lull_backend_error* error);

  // --- LULL_CAP_GRAPH_TRIM ---------------------------------------------------------------------

  /// Returns memory that the vendor keeps for graphs which are gone. Without a context it does
  /// nothing.
  lull_status (*graph_trim)(lull_backend* backend, uint32_t device, lull_backend_error* error);

  // --- LULL_CAP_SUSPEND: the driver moves all GPU state of the process to the host --------------

  /// All devices of the process at once. Waits for submitted work, at most `timeout_ms` > 0.
  lull_status (*suspend)(lull_backend* backend, uint32_t timeout_ms, lull_backend_error* error);
  lull_status (*resume)(lull_backend* backend, lull_backend_error* error);

  // --- LULL_CAP_PROCESSES: who holds memory of a device (since 1.2) ------------------------------

  /// The processes that the platform lists for a device, in any order. Creates no context and does not
  /// wait for work.
  /// @param list room for `capacity` entries; may be null when that is 0
  /// @param count gets how many there are, which may be more than were written
  /// @return LULL_ERROR_UNSUPPORTED where this machine's libraries cannot tell
  lull_status (*process_list)(lull_backend* backend, uint32_t device, lull_backend_process* list,
                              uint64_t capacity, uint64_t* count, lull_backend_error* error);

  // --- LULL_CAP_CHECKPOINT: the GPU state of another process, by the driver (since 1.3) ----------

  /// Locks another process out of its GPUs, waits for its submitted work, at most `timeout_ms` > 0,
  /// and moves its GPU state into its host memory. For a process that is about to be killed: it does
  /// not come back from this by itself. One that is checkpointed already is left alone. Blocks for
  /// the copies. Creates no context.
  lull_status (*process_checkpoint)(lull_backend* backend, uint32_t device, int64_t pid,
                                    uint32_t timeout_ms, lull_backend_error* error);
} lull_backend_ops;

/// The smallest table that is accepted: everything up to and including memory_info.
#define LULL_BACKEND_OPS_MIN_SIZE \
  ((uint32_t)(offsetof(lull_backend_ops, memory_info) + sizeof(void (*)(void))))

/// The entry function of a module. Returns a table that lives as long as the module is loaded, or
/// null if the module cannot be used at all.
typedef const lull_backend_ops* (*lull_backend_entry_fn)(void);

#ifdef __cplusplus
}
#endif

#endif  // LULL_BACKEND_H
