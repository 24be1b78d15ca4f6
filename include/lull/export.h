#ifndef LULL_EXPORT_H
#define LULL_EXPORT_H

/// @file
/// What declarations of the C API are marked with.

#include <stdint.h>

/// Symbol visibility. The library is compiled with hidden visibility; only what carries LULL_API is
/// part of its binary interface. With the CMake option LULL_HIDDEN what links the static library
/// keeps its symbols to itself, and declarations have the visibility that the code around them has.
#if defined(__GNUC__) && !defined(LULL_HIDDEN)
#define LULL_API __attribute__((visibility("default")))
#else
#define LULL_API
#endif

/// Stands after the name of an enumeration: it takes 32 bits. In C++ it can hold any of their
/// values then, as in C, so that a number which is none of the enumerators can be read, and be
/// refused.
#ifdef __cplusplus
#define LULL_ENUM_BASE : int32_t
#else
#define LULL_ENUM_BASE
#endif

#endif  // LULL_EXPORT_H
