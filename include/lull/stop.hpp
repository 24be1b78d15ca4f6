#ifndef LULL_STOP_HPP
#define LULL_STOP_HPP

/// @file
/// Ending waits and transfers early: from a std::stop_token where there is one, from C++17 with a
/// lull::cancel.

#include <lull/detail/requires_cxx17.hpp>
#include <lull/export.h>

#include <memory>
#include <new>

#if __cplusplus >= 202002L
#include <stop_token>
#endif

namespace lull {

namespace detail {
struct cancel_state;
}

/// Asks everything that was given it to end, now and later: a std::stop_source for C++17. Copies
/// are about the same thing. Thread-safe. A moved-from one can be assigned to and destroyed.
class LULL_API cancel {
 public:
  cancel();
  /// Waits for what was told to stop, but not for it to end.
  void request() const noexcept;
  [[nodiscard]] bool requested() const noexcept;

 private:
  friend class stop_view;
  std::shared_ptr<detail::cancel_state> state_;
};

/// Whether somebody is to stop: made from a std::stop_token or a lull::cancel, both without being
/// asked, and a std::stop_token for who wants one. Cheap to copy; does not end what it looks at.
class LULL_API stop_view {
 public:
  /// Never.
  constexpr stop_view() noexcept = default;
  stop_view(const cancel& source) noexcept;  // NOLINT(google-explicit-constructor)
  stop_view(const stop_view& other) noexcept {
    if (other.watches_) copy(other);
  }
  stop_view& operator=(const stop_view& other) noexcept {
    if (this == &other) return *this;
    if (watches_) drop();
    if (other.watches_) copy(other);
    return *this;
  }
  ~stop_view() {
    if (watches_) drop();
  }

  [[nodiscard]] bool stop_requested() const noexcept { return watches_ && requested(); }
  /// Whether it can ever be.
  [[nodiscard]] bool stop_possible() const noexcept { return watches_ && possible(); }

#if __cplusplus >= 202002L
  stop_view(const std::stop_token& token) noexcept {  // NOLINT(google-explicit-constructor)
    static_assert(sizeof(std::stop_token) <= sizeof token_ &&
                  alignof(std::stop_token) <= alignof(void*));
    if (!token.stop_possible()) return;
    ::new (static_cast<void*>(token_)) std::stop_token(token);
    watches_ = true;
  }
  operator std::stop_token() const noexcept {  // NOLINT(google-explicit-constructor)
    if (!watches_) return {};
    return *std::launder(reinterpret_cast<const std::stop_token*>(token_));
  }
#endif

 private:
  void copy(const stop_view& other) noexcept;
  void drop() noexcept;
  [[nodiscard]] bool requested() const noexcept;
  [[nodiscard]] bool possible() const noexcept;

  // A std::stop_token, which C++17 cannot name.
  alignas(void*) unsigned char token_[sizeof(void*)] = {};
  bool watches_ = false;
};

}  // namespace lull

#endif  // LULL_STOP_HPP
