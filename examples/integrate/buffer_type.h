#ifndef LULL_EXAMPLES_INTEGRATE_BUFFER_TYPE_H
#define LULL_EXAMPLES_INTEGRATE_BUFFER_TYPE_H

#include <stddef.h>

// How an engine in C may have its buffers: tables of functions, which back ends fill in. Nothing
// here or in what uses it knows of lull.

typedef struct buffer buffer;

typedef struct buffer_ops {
  void (*free)(buffer* self);
  void* (*base)(buffer* self);  // for kernels; the same for the buffer's whole life
  // Both return 0, or -1 when that could not be done.
  int (*copy_in)(buffer* self, size_t offset, const void* host, size_t bytes);
  int (*copy_out)(buffer* self, size_t offset, void* host, size_t bytes);
} buffer_ops;

struct buffer {
  const buffer_ops* ops;
  size_t bytes;
  void* context;  // the back end's
};

typedef struct buffer_type {
  // Returns null when there is no memory.
  buffer* (*alloc)(const struct buffer_type* self, size_t bytes);
  size_t alignment;
  void* context;
} buffer_type;

#endif  // LULL_EXAMPLES_INTEGRATE_BUFFER_TYPE_H
