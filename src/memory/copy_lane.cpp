#include "memory/copy_lane.hpp"

#include <lull/error.hpp>

#include <utility>

namespace lull::detail {

copy_lane::copy_lane(const device& where, std::size_t depth) : where_(where), places_(depth) {
  try {
    stream_ = where_.stream_create();
    for (place& each : places_) each.event = where_.event_create();
  } catch (...) {
    close();
    throw;
  }
}

copy_lane::~copy_lane() {
  close();
}

void copy_lane::close() noexcept {
  const auto attempt = [](auto&& work) {
    // Twice: what is not given back stands in the way of a reset.
    for (int tries = 0; tries < 2; ++tries) {
      try {
        work();
        return;
      } catch (...) {
        // Or the context is gone or broken; then so are the copies.
      }
    }
  };
  bool busy = false;
  for (const place& each : places_) busy = busy || each.busy;
  if (busy) attempt([&] { where_.stream_synchronize(stream_); });
  for (place& each : places_) {
    if (each.event.value != nullptr) attempt([&] { where_.event_destroy(each.event); });
  }
  if (stream_.value != nullptr) attempt([&] { where_.stream_destroy(stream_); });
}

void copy_lane::finish(place& which) {
  if (!which.busy) return;
  where_.event_synchronize(which.event);
  which.busy = false;
  const auto done = std::exchange(which.done, nullptr);
  if (done) done();
}

std::size_t copy_lane::next_place() {
  finish(places_[next_]);
  return next_;
}

template <class Copy>
void copy_lane::start(std::function<void()> done, Copy copy) {
  place& here = places_[next_place()];
  copy();
  here.busy = true;  // from here on, also if recording the event fails
  here.done = std::move(done);
  where_.event_record(here.event, stream_);
  next_ = (next_ + 1) % places_.size();
}

void copy_lane::to_host(void* host, const void* address, std::uint64_t bytes,
                        std::function<void()> done) {
  start(std::move(done), [&] { where_.copy_to_host_async(stream_, host, address, bytes); });
}

void copy_lane::from_host(void* address, const void* host, std::uint64_t bytes,
                          std::function<void()> done) {
  start(std::move(done), [&] { where_.copy_from_host_async(stream_, address, host, bytes); });
}

void copy_lane::drain() {
  for (std::size_t i = 0; i < places_.size(); ++i) {
    finish(places_[(next_ + i) % places_.size()]);
  }
}

}  // namespace lull::detail
