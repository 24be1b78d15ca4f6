#ifndef LULL_CORE_OWN_SUSPENSION_HPP
#define LULL_CORE_OWN_SUSPENSION_HPP

#include <lull/clock.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string_view>

namespace lull::detail {

/// Whether this process is suspended, as far as the vendor of one backend goes. Nothing of that may
/// be called then: operations would wait until it is resumed, and questions to a management library
/// may never return. Lives for ever.
class own_suspension {
 public:
  /// The one of a backend, "cuda".
  static own_suspension& of(std::string_view backend);

  [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_acquire); }

  /// A question to a management library under way, unless the process is suspended.
  class question {
   public:
    explicit question(own_suspension& of) : of_(of), allowed_(of.begin()) {}
    ~question() {
      if (allowed_) of_.end();
    }
    question(const question&) = delete;
    question& operator=(const question&) = delete;
    [[nodiscard]] explicit operator bool() const noexcept { return allowed_; }

   private:
    own_suspension& of_;
    const bool allowed_;
  };

  /// Lets no question begin any more, and waits for those under way.
  /// @return whether they ended before the deadline; if not, all is as before
  [[nodiscard]] bool close(const clock& time, time_point deadline);
  void open() noexcept;

 private:
  [[nodiscard]] bool begin();
  void end() noexcept;

  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint32_t questions_ = 0;
};

}  // namespace lull::detail

#endif  // LULL_CORE_OWN_SUSPENSION_HPP
