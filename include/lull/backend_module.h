#ifndef LULL_BACKEND_MODULE_H
#define LULL_BACKEND_MODULE_H

/// @file
/// Include this in exactly one source file of a backend module, then define lull_backend_entry:
///
///     #include <lull/backend_module.h>
///
///     static const lull_backend_ops ops = {
///         .abi_version = LULL_BACKEND_ABI_VERSION, .struct_size = sizeof(lull_backend_ops), ...};
///
///     const lull_backend_ops* lull_backend_entry(void) { return &ops; }
///
/// A module in C++ should be compiled with GCC's -fno-gnu-unique: with one symbol of that kind the
/// dynamic linker never unmaps it.

#include <lull/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The module's one exported function.
LULL_API const lull_backend_ops* lull_backend_entry(void);

/// The layout of an ELF note: sizes of name and contents, type, name, contents.
/// Source: System V ABI, chapter 5, "Note Section".
struct lull_backend_note {
  uint32_t name_size;
  uint32_t contents_size;
  uint32_t type;
  char name[8];
  uint32_t abi_version;
};

/// The note that the registry reads before the module is mapped.
__attribute__((section(".note.lull"), used,
               aligned(4))) static const struct lull_backend_note lull_backend_abi_note = {
    sizeof("lull"),
    sizeof(uint32_t),
    LULL_BACKEND_NOTE_TYPE,
    {'l', 'u', 'l', 'l', 0, 0, 0, 0},
    LULL_BACKEND_ABI_VERSION};

#ifdef __cplusplus
}
#endif

#endif  // LULL_BACKEND_MODULE_H
