"""lull's C API, as far as this package calls it. tests/adapters/python compares each struct with what
the C compiler says."""

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_int32, c_int64, c_size_t, c_ssize_t, c_uint64, c_void_p
from typing import Any, List, Tuple, Type

#: "not known", in counts of bytes
UNKNOWN = 2**64 - 1

# Enumerators, by their names in C.
LULL_CONTENTS_KEEP = 0
LULL_CONTENTS_OFFLOAD = 1
LULL_CONTENTS_DISCARD = 2
LULL_LEVEL_OFFLOAD = 1
LULL_LEVEL_DISCARD = 2
LULL_LEVEL_SUSPEND = 3
LULL_BACKING_HOST_MEMORY = 0
LULL_BACKING_MEMFD = 1
LULL_BACKING_FILE = 2


class lull_tag_action(ctypes.Structure):
    _fields_ = [("tag", c_char_p), ("action", c_int32)]


class lull_eviction_plan(ctypes.Structure):
    _fields_ = [
        ("otherwise", c_int32),
        ("tags", POINTER(lull_tag_action)),
        ("tag_count", c_size_t),
    ]


class lull_sleep_plan(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("contents", lull_eviction_plan),
        ("context", c_int32),
        ("backing", c_int32),
        ("backing_path", c_char_p),
        ("fallback", c_int32),
        ("max_residue_bytes", c_uint64),
    ]


class lull_report_info(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("succeeded", c_int32),
        ("rolled_back", c_int32),
        ("was_reset", c_int32),
        ("elapsed_ns", c_int64),
        ("generation", c_uint64),
        ("step_count", c_size_t),
        ("device_count", c_size_t),
        ("problem_count", c_size_t),
        ("what", c_char * 16),
        ("plan", c_char * 64),
        ("dropped", c_char * 128),
        ("failure", c_char * 256),
        ("fell_back_from", c_char * 64),
        ("moved_count", c_size_t),
    ]


class lull_step_report(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("elapsed_ns", c_int64),
        ("bytes", c_uint64),
        ("name", c_char * 64),
    ]


class lull_device_report(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("copied_bytes", c_uint64),
        ("discarded_bytes", c_uint64),
        ("refilled_bytes", c_uint64),
        ("used_before_bytes", c_uint64),
        ("used_after_bytes", c_uint64),
        ("free_before_bytes", c_uint64),
        ("free_after_bytes", c_uint64),
        ("source", c_int32),
        ("device", c_char * 32),
        ("staged_bytes", c_uint64),
        ("staged_because", c_char * 128),
    ]


class lull_torch_tag(ctypes.Structure):
    _fields_ = [
        ("tag", c_char * 64),
        ("region_count", c_uint64),
        ("bytes", c_uint64),
        ("resident_bytes", c_uint64),
        ("offloaded_bytes", c_uint64),
        ("discarded_bytes", c_uint64),
    ]


class lull_torch_snapshot(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("suspended", c_int32),
        ("moving", c_int32),
        ("done_bytes", c_uint64),
        ("total_bytes", c_uint64),
        ("plain_bytes", c_uint64),
    ]


#: Those that the test compares.
STRUCTS: List[Type[ctypes.Structure]] = [
    lull_tag_action,
    lull_eviction_plan,
    lull_sleep_plan,
    lull_report_info,
    lull_step_report,
    lull_device_report,
    lull_torch_snapshot,
    lull_torch_tag,
]

_report = POINTER(c_void_p)

#: Function, its result, its parameters.
FUNCTIONS: List[Tuple[str, Any, List[Any]]] = [
    ("lull_version_string", c_char_p, []),
    ("lull_last_error_message", c_char_p, []),
    ("lull_sleep_plan_init", c_int32, [POINTER(lull_sleep_plan), c_int32]),
    ("lull_report_describe", c_int32, [c_void_p, POINTER(lull_report_info)]),
    ("lull_report_step", c_int32, [c_void_p, c_size_t, POINTER(lull_step_report)]),
    ("lull_report_device", c_int32, [c_void_p, c_size_t, POINTER(lull_device_report)]),
    ("lull_report_problem", c_int32, [c_void_p, c_size_t, POINTER(c_char_p)]),
    ("lull_report_destroy", None, [c_void_p]),
    ("lull_arena_prepare", c_int32, [c_void_p, c_void_p, c_uint64, c_void_p]),
    ("lull_arena_wait_prepared", c_int32, [c_void_p]),
    ("lull_registry_shared", c_int32, [POINTER(c_void_p)]),
    ("lull_registry_destroy", None, [c_void_p]),
    (
        "lull_registry_find_ordinal",
        c_int32,
        [c_void_p, c_char_p, ctypes.c_uint32, POINTER(c_void_p)],
    ),
    ("lull_device_destroy", None, [c_void_p]),
    ("lull_device_synchronize", c_int32, [c_void_p]),
    ("lull_device_copy_to_host", c_int32, [c_void_p, c_void_p, c_void_p, c_uint64]),
    ("lull_device_copy_from_host", c_int32, [c_void_p, c_void_p, c_void_p, c_uint64]),
    ("lull_thread_set_tag", c_int32, [c_char_p]),
    ("lull_thread_tag", c_char_p, []),
    ("lull_torch_try_alloc", c_int32, [c_uint64, c_int32, POINTER(c_void_p)]),
    ("lull_torch_free", None, [c_void_p, c_ssize_t, ctypes.c_int, c_void_p]),
    ("lull_torch_set_enabled", c_int32, [c_int32]),
    ("lull_torch_set_backend", c_int32, [c_char_p]),
    ("lull_torch_backend", c_char_p, []),
    ("lull_torch_arena", c_int32, [POINTER(c_void_p)]),
    ("lull_torch_sleep", c_int32, [POINTER(lull_sleep_plan), _report, _report]),
    ("lull_torch_wake", c_int32, [POINTER(c_char_p), c_size_t, _report, _report]),
    ("lull_torch_observe", c_int32, [POINTER(lull_torch_snapshot)]),
    (
        "lull_torch_list_tags",
        c_int32,
        [POINTER(lull_torch_tag), c_size_t, POINTER(c_size_t)],
    ),
    ("lull_torch_is_asleep", c_int32, [c_char_p]),
    ("lull_torch_error", c_char_p, []),
]


def declare(library: ctypes.CDLL) -> None:
    """Tells ctypes what the functions take and return."""
    for name, result, parameters in FUNCTIONS:
        function = getattr(library, name)
        function.restype = result
        function.argtypes = parameters


def sized(struct: Type[Any]) -> Any:
    """An empty struct that says how large it is."""
    return struct(struct_size=ctypes.sizeof(struct))
