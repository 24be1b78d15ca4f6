#ifndef LULL_CAPI_OWNED_USER_HPP
#define LULL_CAPI_OWNED_USER_HPP

#include <utility>

namespace lull::capi {

/// What a C program hands to its callbacks as `user`, with the function that it is given back by:
/// called once, whatever becomes of what uses it. Move-only.
class owned_user {
 public:
  /// @param release may be null
  owned_user(void* user, void (*release)(void*)) noexcept : user_(user), release_(release) {}
  owned_user(owned_user&& other) noexcept
      : user_(other.user_), release_(std::exchange(other.release_, nullptr)) {}
  owned_user& operator=(owned_user&&) = delete;
  ~owned_user() {
    if (release_ != nullptr) release_(user_);
  }

  [[nodiscard]] void* get() const noexcept { return user_; }

 private:
  void* user_;
  void (*release_)(void*);
};

}  // namespace lull::capi

#endif  // LULL_CAPI_OWNED_USER_HPP
