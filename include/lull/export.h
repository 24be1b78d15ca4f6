#ifndef LULL_EXPORT_H
#define LULL_EXPORT_H

/// @file
/// Symbol visibility. The library is compiled with hidden visibility; only what carries LULL_API
/// is part of its binary interface.

#if defined(__GNUC__)
#define LULL_API __attribute__((visibility("default")))
#else
#define LULL_API
#endif

#endif  // LULL_EXPORT_H
