#ifndef EXAMPLES_HTTP_DESCRIPTOR_HPP
#define EXAMPLES_HTTP_DESCRIPTOR_HPP

#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace http {

/// A file descriptor that is closed with its object.
class descriptor {
 public:
  /// @throws std::system_error with errno, that names `what`, when `number` is below 0
  descriptor(int number, const char* what) : number_(number) {
    if (number < 0) throw std::system_error(errno, std::generic_category(), what);
  }
  descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  descriptor& operator=(descriptor&&) = delete;
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const noexcept { return number_; }

 private:
  int number_;
};

}  // namespace http

#endif  // EXAMPLES_HTTP_DESCRIPTOR_HPP
