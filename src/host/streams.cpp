#include "host/streams.hpp"

#include <cstring>

#include "host/memory.hpp"
#include "vocabulary/text.hpp"

namespace lull::backends {

void* host_streams::next_handle() noexcept {
  return reinterpret_cast<void*>(++last_handle_);
}

void host_streams::expect_stream(void* stream) {
  const std::lock_guard lock(mutex_);
  if (!streams_.contains(stream)) {
    misuse(lull::detail::text("{} is no stream of this device", lull::detail::hex(stream)));
  }
}

void host_streams::expect_event(void* event) {
  const std::lock_guard lock(mutex_);
  if (!events_.contains(event)) {
    misuse(lull::detail::text("{} is no event of this device", lull::detail::hex(event)));
  }
}

void host_streams::stream_create(std::uint32_t, void** stream) {
  const std::lock_guard lock(mutex_);
  *stream = *streams_.insert(next_handle()).first;
}

void host_streams::stream_destroy(std::uint32_t, void* stream) {
  expect_stream(stream);
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
}

void host_streams::stream_synchronize(std::uint32_t, void* stream) {
  expect_stream(stream);
}

void host_streams::stream_wait_event(std::uint32_t, void* stream, void* event) {
  expect_stream(stream);
  expect_event(event);
}

void host_streams::copy_to_host_async(std::uint32_t, void* stream, void* host, const void* address,
                                      std::uint64_t bytes) {
  expect_stream(stream);
  std::memcpy(host, address, bytes);
}

void host_streams::copy_from_host_async(std::uint32_t, void* stream, void* address,
                                        const void* host, std::uint64_t bytes) {
  expect_stream(stream);
  std::memcpy(address, host, bytes);
}

void host_streams::event_create(std::uint32_t, void** event) {
  const std::lock_guard lock(mutex_);
  *event = *events_.insert(next_handle()).first;
}

void host_streams::event_destroy(std::uint32_t, void* event) {
  expect_event(event);
  const std::lock_guard lock(mutex_);
  events_.erase(event);
}

void host_streams::event_record(std::uint32_t, void* event, void* stream) {
  expect_event(event);
  expect_stream(stream);
}

void host_streams::event_query(std::uint32_t, void* event, std::int32_t* happened) {
  expect_event(event);
  *happened = 1;
}

void host_streams::event_synchronize(std::uint32_t, void* event) {
  expect_event(event);
}

}  // namespace lull::backends
