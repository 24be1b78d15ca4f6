#ifndef LULL_VOCABULARY_UNIQUE_FD_HPP
#define LULL_VOCABULARY_UNIQUE_FD_HPP

#include <unistd.h>

#include <utility>

namespace lull::detail {

/// A file descriptor with an owner.
class unique_fd {
 public:
  unique_fd() noexcept = default;
  explicit unique_fd(int descriptor) noexcept : descriptor_(descriptor) {}
  unique_fd(unique_fd&& other) noexcept : descriptor_(other.release()) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~unique_fd() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  [[nodiscard]] int get() const noexcept { return descriptor_; }
  [[nodiscard]] int release() noexcept { return std::exchange(descriptor_, -1); }
  void close() noexcept { unique_fd(std::move(*this)); }
  explicit operator bool() const noexcept { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_UNIQUE_FD_HPP
