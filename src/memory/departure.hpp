#ifndef LULL_MEMORY_DEPARTURE_HPP
#define LULL_MEMORY_DEPARTURE_HPP

#include <lull/device.hpp>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace lull::detail {

/// That somebody leaves devices so that somebody else, another memory object of this process, can
/// come. While it is under way what leaves goes part by part, and what comes and finds no room
/// waits for it. It ends well or is called off; what has come is there for good only when it has
/// ended well, and makes room again before anything goes back. All functions are thread-safe.
class departure {
 public:
  /// Begins one. @param from the devices
  static std::shared_ptr<departure> begin(std::vector<device> from);
  /// That which is under way from a device; null: none.
  [[nodiscard]] static std::shared_ptr<departure> find(const device& from);

  explicit departure(std::vector<device> from) : from_(std::move(from)) {}

  /// All that was to leave has left, or nothing does any more. Once called off that stays.
  void end() noexcept;

  /// Notes somebody as one of those that leave.
  void add_leaving(const void* who);
  [[nodiscard]] bool is_leaving(const void* who) const;
  /// Something that was there has been given back.
  void tell_freed() noexcept;
  /// Those that leave stay or come back: waits until all who have come have made room again.
  void call_off() noexcept;

  /// One who comes, from before it obtains anything until it is there or gone again.
  class arrival {
   public:
    explicit arrival(std::shared_ptr<departure> during);
    ~arrival();
    arrival(const arrival&) = delete;
    arrival& operator=(const arrival&) = delete;

   private:
    const std::shared_ptr<departure> during_;
  };
  [[nodiscard]] bool is_called_off() const;
  [[nodiscard]] std::uint64_t freed_so_far() const;
  /// Waits until something was freed since, as long as there may be more.
  /// @param give_up asked from time to time
  /// @return whether something was freed
  [[nodiscard]] bool wait_for_more(std::uint64_t since, const std::function<bool()>& give_up);
  /// Waits until it has ended. @return whether well
  [[nodiscard]] bool wait_for_end(const std::function<bool()>& give_up);

 private:
  template <class Until>
  void wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& give_up, Until until);

  const std::vector<device> from_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<const void*> leaving_;
  std::uint64_t freed_ = 0;
  std::uint32_t arrivals_ = 0;
  bool ended_ = false;
  bool called_off_ = false;
};

}  // namespace lull::detail

#endif  // LULL_MEMORY_DEPARTURE_HPP
