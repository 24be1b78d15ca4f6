#ifndef LULL_HOST_STREAMS_HPP
#define LULL_HOST_STREAMS_HPP

#include <cstdint>
#include <mutex>
#include <set>

namespace lull::backends {

/// Streams and events of the host device. Work is done when it is queued, so every event that was
/// recorded has happened. Handles are numbers that are never given out twice.
class host_streams {
 public:
  void stream_create(std::uint32_t device, void** stream);
  void stream_destroy(std::uint32_t device, void* stream);
  void stream_synchronize(std::uint32_t device, void* stream);
  void stream_wait_event(std::uint32_t device, void* stream, void* event);
  void copy_to_host_async(std::uint32_t device, void* stream, void* host, const void* address,
                          std::uint64_t bytes);
  void copy_from_host_async(std::uint32_t device, void* stream, void* address, const void* host,
                            std::uint64_t bytes);

  void event_create(std::uint32_t device, void** event);
  void event_destroy(std::uint32_t device, void* event);
  void event_record(std::uint32_t device, void* event, void* stream);
  void event_query(std::uint32_t device, void* event, std::int32_t* happened);
  void event_synchronize(std::uint32_t device, void* event);

 private:
  void expect_stream(void* stream);
  void expect_event(void* event);
  [[nodiscard]] void* next_handle() noexcept;

  std::mutex mutex_;
  std::uintptr_t last_handle_ = 0;
  std::set<void*> streams_;
  std::set<void*> events_;
};

}  // namespace lull::backends

#endif  // LULL_HOST_STREAMS_HPP
