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
/// Operations come in groups, each a table of its own that begins with its size and version. A
/// group is provided as a whole (a table with half a group is refused) or not at all (a null
/// pointer), and one that is present is a capability, which a single device may still lack
/// (lull_backend_device::capabilities). Within one version of a group, operations are added at its
/// end only, and a module that was built before answers LULL_ERROR_UNSUPPORTED to those. Where
/// their meaning must change, that group's version is raised, and to a library of another version
/// it counts as absent while the rest of the module works on.
///
/// `<lull/backend.hpp>` makes the tables out of a C++ class. The list of all operations from which
/// the library derives their names and checks is `<lull/detail/backend_operations.h>`.

#include <lull/status.h>
#include <lull/units.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LULL_BACKEND_ABI_MAJOR 2
#define LULL_BACKEND_ABI_MINOR 0
#define LULL_BACKEND_ABI_VERSION \
  (((uint32_t)LULL_BACKEND_ABI_MAJOR << 16) | (uint32_t)LULL_BACKEND_ABI_MINOR)

/// The type of the ELF note that holds the ABI version.
#define LULL_BACKEND_NOTE_TYPE 1u

/// The name of the exported entry function.
#define LULL_BACKEND_ENTRY_NAME "lull_backend_entry"

/// One opened backend: the state behind a table's operations.
typedef struct lull_backend lull_backend;

/// What a device is.
typedef enum lull_device_type LULL_ENUM_BASE {
  LULL_DEVICE_HOST = 0,       ///< memory of this process
  LULL_DEVICE_GPU = 1,        ///< a GPU with memory of its own
  LULL_DEVICE_INTEGRATED = 2  ///< a GPU that shares the host's memory
} lull_device_type;

/// Groups of operations, as bits, and facts about a device.
typedef enum lull_capability LULL_ENUM_BASE {
  LULL_CAP_ALLOCATE = 1 << 0,          ///< lull_allocate_ops
  LULL_CAP_STABLE_ADDRESSES = 1 << 1,  ///< lull_stable_addresses_ops
  LULL_CAP_COPY = 1 << 2,              ///< lull_copy_ops
  LULL_CAP_STREAMS = 1 << 3,           ///< lull_streams_ops
  LULL_CAP_PINNED = 1 << 4,            ///< lull_pinned_ops
  LULL_CAP_CONTEXT = 1 << 5,           ///< lull_context_ops
  LULL_CAP_RESET = 1 << 6,             ///< lull_reset_ops
  LULL_CAP_POOLS = 1 << 7,             ///< lull_pools_ops
  LULL_CAP_GRAPHS = 1 << 8,            ///< lull_graphs_ops
  LULL_CAP_SUSPEND = 1 << 9,           ///< lull_suspend_ops
  LULL_CAP_GRAPH_UPLOAD = 1 << 10,     ///< lull_graph_upload_ops
  LULL_CAP_GRAPH_TRIM = 1 << 11,       ///< lull_graph_trim_ops
  LULL_CAP_PROCESSES = 1 << 12,        ///< lull_processes_ops
  LULL_CAP_REGISTRATION = 1 << 13,     ///< lull_registration_ops
  LULL_CAP_PEERS = 1 << 14,            ///< lull_peers_ops

  /// A fact: the CPU can use device addresses directly.
  LULL_CAP_HOST_ACCESSIBLE = 1 << 24,
  /// A fact: host memory that this process may only read, such as a file mapped shared and
  /// read-only, can be registered too.
  LULL_CAP_READ_ONLY_REGISTRATION = 1 << 25,
  /// A fact: reservations of addresses outlive a reset of the device's context.
  LULL_CAP_ADDRESSES_OUTLIVE_RESET = 1 << 26
} lull_capability;

/// The bits that stand for no group.
#define LULL_CAP_FACTS                                                              \
  ((uint64_t)LULL_CAP_HOST_ACCESSIBLE | (uint64_t)LULL_CAP_READ_ONLY_REGISTRATION | \
   (uint64_t)LULL_CAP_ADDRESSES_OUTLIVE_RESET)

/// How a memory figure is known.
typedef enum lull_memory_source LULL_ENUM_BASE {
  LULL_SOURCE_UNKNOWN = 0,
  LULL_SOURCE_ACCOUNTING = 1,  ///< the backend's own books of what it handed out
  LULL_SOURCE_MANAGEMENT = 2,  ///< a management library (NVML, MTML)
  LULL_SOURCE_KERNEL = 3,      ///< the kernel driver's files (KFD, DRM)
  LULL_SOURCE_RUNTIME = 4      ///< the vendor runtime's own query, through a live context
} lull_memory_source;

/// Whether something holds; "cannot tell" is an answer.
typedef enum lull_tristate LULL_ENUM_BASE {
  LULL_TRISTATE_NO = 0,
  LULL_TRISTATE_YES = 1,
  LULL_TRISTATE_CANNOT_TELL = 2
} lull_tristate;

/// Where a process is on its way off its GPUs and back.
typedef enum lull_gpu_state LULL_ENUM_BASE {
  LULL_GPU_STATE_RUNNING = 0,
  LULL_GPU_STATE_LOCKED = 1,     ///< its calls of the vendor's runtime wait
  LULL_GPU_STATE_SUSPENDED = 2,  ///< and what it had on its GPUs is in its host memory
  LULL_GPU_STATE_LOST = 3        ///< it cannot come back and can only be ended
} lull_gpu_state;

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
  uint32_t type;              ///< a lull_device_type
  uint64_t capabilities;      ///< the lull_capability bits that this device has
  char name[32];              ///< unique among all devices of the process: "CUDA0", "HOST"
  char description[128];      ///< for people: "NVIDIA H200"
  char pci_address[24];       ///< "0000:65:00.0", lower case; empty when the device has none
  char uuid[64];              ///< the vendor's UUID text; empty when the device has none
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

/// How an executable graph of the host backend begins. The host has no graphs of its own: a graph
/// is whatever its maker puts behind these two members, and it stands in for a vendor's in tests,
/// examples and CPU back ends (lull::host_graph in <lull/host_graph.hpp> is one). On the host the
/// executable is its own template, so lull_graphs_ops takes it for both. The host keeps no list of
/// graphs: that one is destroyed twice it cannot see.
typedef struct lull_host_graph {
  /// Ends the graph and gives its memory back. Must not be null, throw, or call the backend.
  void (*destroy)(struct lull_host_graph* graph);
  uint64_t nodes;  ///< what graph_node_count tells
} lull_host_graph;

/// LULL_CAP_ALLOCATE: plain allocations. May create the device's context.
typedef struct lull_allocate_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_ALLOCATE_OPS_VERSION

  /// `bytes` > 0. The address is aligned to at least 256 bytes; contents are undefined.
  lull_status (*allocate)(lull_backend* backend, uint32_t device, uint64_t bytes, void** address,
                          lull_backend_error* error);
  /// `address` and `bytes` as in allocate. May wait for work that uses the memory.
  lull_status (*deallocate)(lull_backend* backend, uint32_t device, void* address, uint64_t bytes,
                            lull_backend_error* error);
} lull_allocate_ops;
#define LULL_ALLOCATE_OPS_VERSION 1u

/// LULL_CAP_STABLE_ADDRESSES: address ranges apart from the memory behind them.
typedef struct lull_stable_addresses_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_STABLE_ADDRESSES_OPS_VERSION

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
  /// As vm_reserve, at `wanted` where the whole range is free there, else somewhere else.
  lull_status (*vm_reserve_near)(lull_backend* backend, uint32_t device, uint64_t bytes,
                                 void* wanted, void** address, lull_backend_error* error);
} lull_stable_addresses_ops;
#define LULL_STABLE_ADDRESSES_OPS_VERSION 1u

/// LULL_CAP_COPY: contents; each call returns when the bytes have arrived.
typedef struct lull_copy_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_COPY_OPS_VERSION

  lull_status (*copy_to_host)(lull_backend* backend, uint32_t device, void* host,
                              const void* address, uint64_t bytes, lull_backend_error* error);
  lull_status (*copy_from_host)(lull_backend* backend, uint32_t device, void* address,
                                const void* host, uint64_t bytes, lull_backend_error* error);
  /// Sets every byte to `value`.
  lull_status (*fill)(lull_backend* backend, uint32_t device, void* address, uint8_t value,
                      uint64_t bytes, lull_backend_error* error);
} lull_copy_ops;
#define LULL_COPY_OPS_VERSION 1u

/// LULL_CAP_STREAMS: work in order, and events that tell how far it is. Streams and events die with
/// the device's context.
typedef struct lull_streams_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_STREAMS_OPS_VERSION

  /// A stream whose work waits for no other stream's.
  lull_status (*stream_create)(lull_backend* backend, uint32_t device, void** stream,
                               lull_backend_error* error);
  /// What is queued in it is done all the same.
  lull_status (*stream_destroy)(lull_backend* backend, uint32_t device, void* stream,
                                lull_backend_error* error);
  /// Waits for all work that is queued in it.
  lull_status (*stream_synchronize)(lull_backend* backend, uint32_t device, void* stream,
                                    lull_backend_error* error);
  /// What is queued in the stream from now on waits until the event as last recorded has happened.
  /// Does not wait itself. Of an event that was never recorded it waits for nothing.
  lull_status (*stream_wait_event)(lull_backend* backend, uint32_t device, void* stream,
                                   void* event, lull_backend_error* error);
  /// Queues a copy and returns; it overlaps with other work where the host memory is pinned or
  /// registered, as a whole and by one registration. Both memories must stay until it is done.
  lull_status (*copy_to_host_async)(lull_backend* backend, uint32_t device, void* stream,
                                    void* host, const void* address, uint64_t bytes,
                                    lull_backend_error* error);
  lull_status (*copy_from_host_async)(lull_backend* backend, uint32_t device, void* stream,
                                      void* address, const void* host, uint64_t bytes,
                                      lull_backend_error* error);
  lull_status (*event_create)(lull_backend* backend, uint32_t device, void** event,
                              lull_backend_error* error);
  lull_status (*event_destroy)(lull_backend* backend, uint32_t device, void* event,
                               lull_backend_error* error);
  /// The event happens when the work that is queued in the stream now is done. Recorded anew, it
  /// forgets what it was recorded for before.
  lull_status (*event_record)(lull_backend* backend, uint32_t device, void* event, void* stream,
                              lull_backend_error* error);
  /// Whether it has happened: 1 or 0. Never recorded counts as happened. Does not wait.
  lull_status (*event_query)(lull_backend* backend, uint32_t device, void* event, int32_t* happened,
                             lull_backend_error* error);
  /// Waits until it has happened, without keeping a CPU busy where the vendor can.
  lull_status (*event_synchronize)(lull_backend* backend, uint32_t device, void* event,
                                   lull_backend_error* error);
} lull_streams_ops;
#define LULL_STREAMS_OPS_VERSION 1u

/// LULL_CAP_PINNED: host memory that the device can copy at full speed.
typedef struct lull_pinned_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_PINNED_OPS_VERSION

  lull_status (*pinned_allocate)(lull_backend* backend, uint32_t device, uint64_t bytes,
                                 void** address, lull_backend_error* error);
  lull_status (*pinned_free)(lull_backend* backend, uint32_t device, void* address,
                             lull_backend_error* error);
} lull_pinned_ops;
#define LULL_PINNED_OPS_VERSION 1u

/// LULL_CAP_REGISTRATION: host memory of the caller's that the device can copy at full speed. A
/// registration ends with the device's context, the memory does not.
typedef struct lull_registration_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_REGISTRATION_OPS_VERSION

  /// Pins `bytes` > 0 of the caller's memory, for all devices of the backend. Address and size are
  /// multiples of the page size, and no part may be registered already. May create the context.
  /// Holds up other work of the device's driver while it runs, so large ranges go in slices.
  /// @param read_only 1: the device only reads, and so may be all that this process is allowed
  ///        (LULL_CAP_READ_ONLY_REGISTRATION; else LULL_ERROR_UNSUPPORTED); 0: both
  lull_status (*host_register)(lull_backend* backend, uint32_t device, void* address,
                               uint64_t bytes, int32_t read_only, lull_backend_error* error);
  /// Ends what one host_register began; no copy of it may be under way.
  lull_status (*host_unregister)(lull_backend* backend, uint32_t device, void* address,
                                 lull_backend_error* error);
} lull_registration_ops;
#define LULL_REGISTRATION_OPS_VERSION 1u

/// LULL_CAP_CONTEXT.
typedef struct lull_context_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_CONTEXT_OPS_VERSION

  /// Creates the device's context if there is none. May take seconds.
  lull_status (*context_create)(lull_backend* backend, uint32_t device, lull_backend_error* error);
  /// Whether this process has a context on the device. Creates none.
  lull_status (*context_alive)(lull_backend* backend, uint32_t device, lull_tristate* alive,
                               lull_backend_error* error);
  /// Waits for all work on the device; free when there is no context.
  lull_status (*synchronize)(lull_backend* backend, uint32_t device, lull_backend_error* error);
} lull_context_ops;
#define LULL_CONTEXT_OPS_VERSION 1u

/// LULL_CAP_RESET.
typedef struct lull_reset_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_RESET_OPS_VERSION

  /// Destroys the device's context and everything that lives in it, and ends the registrations that
  /// were made with the device. The caller has released what a reset does not (stable-address
  /// memory, pools, graph memory) and keeps other threads off. Without a context it does nothing,
  /// and above all creates none.
  lull_status (*reset)(lull_backend* backend, uint32_t device, lull_backend_error* error);
} lull_reset_ops;
#define LULL_RESET_OPS_VERSION 1u

/// LULL_CAP_POOLS.
typedef struct lull_pools_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_POOLS_OPS_VERSION

  /// Returns unused memory of the vendor's stream-ordered pools to the device. Without a context it
  /// does nothing.
  lull_status (*pool_trim)(lull_backend* backend, uint32_t device, lull_backend_error* error);
} lull_pools_ops;
#define LULL_POOLS_OPS_VERSION 1u

/// LULL_CAP_GRAPHS: executable graphs that the caller captured.
typedef struct lull_graphs_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_GRAPHS_OPS_VERSION

  /// No launch of it may be in flight where the vendor destroys at once.
  lull_status (*graph_destroy)(lull_backend* backend, uint32_t device, void* graph_exec,
                               lull_backend_error* error);
  /// The nodes of a graph (the template, not the executable).
  lull_status (*graph_node_count)(lull_backend* backend, uint32_t device, void* graph,
                                  uint64_t* nodes, lull_backend_error* error);
} lull_graphs_ops;
#define LULL_GRAPHS_OPS_VERSION 1u

/// LULL_CAP_GRAPH_UPLOAD.
typedef struct lull_graph_upload_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_GRAPH_UPLOAD_OPS_VERSION

  /// Puts an executable graph on the device ahead of its first launch.
  lull_status (*graph_upload)(lull_backend* backend, uint32_t device, void* graph_exec,
                              void* stream, lull_backend_error* error);
} lull_graph_upload_ops;
#define LULL_GRAPH_UPLOAD_OPS_VERSION 1u

/// LULL_CAP_GRAPH_TRIM.
typedef struct lull_graph_trim_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_GRAPH_TRIM_OPS_VERSION

  /// Returns memory that the vendor keeps for graphs which are gone. Without a context it does
  /// nothing.
  lull_status (*graph_trim)(lull_backend* backend, uint32_t device, lull_backend_error* error);
} lull_graph_trim_ops;
#define LULL_GRAPH_TRIM_OPS_VERSION 1u

/// LULL_CAP_PROCESSES: who holds memory of a device.
typedef struct lull_processes_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_PROCESSES_OPS_VERSION

  /// The processes that the platform lists for a device, in any order. Creates no context and does
  /// not wait for work.
  /// @param list room for `capacity` entries; may be null when that is 0
  /// @param count gets how many there are, which may be more than were written
  /// @return LULL_ERROR_UNSUPPORTED where this machine's libraries cannot tell
  lull_status (*process_list)(lull_backend* backend, uint32_t device, lull_backend_process* list,
                              uint64_t capacity, uint64_t* count, lull_backend_error* error);
} lull_processes_ops;
#define LULL_PROCESSES_OPS_VERSION 1u

/// LULL_CAP_SUSPEND: the driver moves all that a process has on its GPUs to its host memory and
/// back: its memory, contexts, streams, graphs and handles, all of them valid afterwards at the
/// same addresses, as are registrations of host memory. Each operation is about all devices of the
/// process, whichever device it is called with. None creates a context, or passes through one.
/// `pid` is a process id as this process knows it; its own too, and then no other function of the
/// vendor's libraries may be called until suspend_unlock has returned: it would wait, and a
/// management library's has been seen never to return.
///
/// LULL_ERROR_NOT_FOUND: there is no such process, or it does not use a GPU. LULL_ERROR_BUSY: it is
/// in another state than the operation begins with.
typedef struct lull_suspend_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_SUSPEND_OPS_VERSION

  lull_status (*suspend_state)(lull_backend* backend, uint32_t device, int64_t pid,
                               lull_gpu_state* state, lull_backend_error* error);
  /// From running to locked: keeps the process from its GPUs and waits for work that it submitted,
  /// at most `timeout_ms` > 0.
  /// @return LULL_ERROR_TIMED_OUT: the work did not end, and the process runs as before
  lull_status (*suspend_lock)(lull_backend* backend, uint32_t device, int64_t pid,
                              uint32_t timeout_ms, lull_backend_error* error);
  /// From locked to suspended. Blocks for the copies; the process's host memory grows by them.
  /// After a failure it is still locked.
  lull_status (*suspend_save)(lull_backend* backend, uint32_t device, int64_t pid,
                              lull_backend_error* error);
  /// From suspended to locked. Blocks for the copies. The caller has seen to it that what the
  /// process had fits on the devices: one that does not find the memory is lost (measured with CUDA
  /// 13.0).
  lull_status (*suspend_restore)(lull_backend* backend, uint32_t device, int64_t pid,
                                 lull_backend_error* error);
  /// From locked to running.
  lull_status (*suspend_unlock)(lull_backend* backend, uint32_t device, int64_t pid,
                                lull_backend_error* error);
} lull_suspend_ops;
#define LULL_SUSPEND_OPS_VERSION 1u

/// LULL_CAP_PEERS: stable-address memory that other devices use directly.
typedef struct lull_peers_ops {
  uint32_t struct_size;
  uint32_t version;  ///< LULL_PEERS_OPS_VERSION

  /// Whether another device can read and write memory of `device`: 1 or 0; a device its own always
  /// can.
  lull_status (*peer_can_access)(lull_backend* backend, uint32_t device, uint32_t peer,
                                 int32_t* can, lull_backend_error* error);
  /// Lets the devices in `peers` read and write what one vm_map of `device` mapped, beside the
  /// device itself, until it is unmapped. Access that was given before stays.
  lull_status (*vm_set_access)(lull_backend* backend, uint32_t device, void* address,
                               uint64_t bytes, const uint32_t* peers, uint64_t peer_count,
                               lull_backend_error* error);
} lull_peers_ops;
#define LULL_PEERS_OPS_VERSION 1u

/// The operations table: what every module has, and its groups.
typedef struct lull_backend_ops {
  uint32_t abi_version;  ///< LULL_BACKEND_ABI_VERSION of the module's header
  uint32_t struct_size;  ///< sizeof(lull_backend_ops) of the module's header

  /// The backend's name, lower case: "cuda". Two modules of one name are alternatives of which
  /// the higher score is used. Lives as long as the module is loaded.
  const char* name;

  /// How well this module can run here: 0 = not at all, and then `reason` (of `reason_size` bytes,
  /// zero-terminated) says what is missing. Called once after loading, before open. Creates no
  /// context. Loading a vendor's libraries is part of it, so it may take seconds on a large
  /// machine.
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

  // The groups; null where the module has none. They live as long as the module is loaded.
  const lull_allocate_ops* allocate;
  const lull_stable_addresses_ops* stable_addresses;
  const lull_copy_ops* copy;
  const lull_streams_ops* streams;
  const lull_pinned_ops* pinned;
  const lull_registration_ops* registration;
  const lull_context_ops* context;
  const lull_reset_ops* reset;
  const lull_pools_ops* pools;
  const lull_graphs_ops* graphs;
  const lull_graph_upload_ops* graph_upload;
  const lull_graph_trim_ops* graph_trim;
  const lull_processes_ops* processes;
  const lull_suspend_ops* suspend;
  const lull_peers_ops* peers;
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
