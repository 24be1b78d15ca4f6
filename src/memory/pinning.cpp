#include "memory/pinning.hpp"

#include <lull/error.hpp>

#include <utility>

#include "vocabulary/text.hpp"

namespace lull::detail {

bool gains_from_pinning(const device& which) noexcept {
  return which.supports(capability::registration) && which.supports(capability::streams) &&
         !which.supports(capability::host_accessible);
}

pinning::pinning(const device& with, std::byte* address, std::uint64_t bytes, host_access access)
    : generation_(with.generation()), address_(address) {
  with.host_register(address, bytes, access);
  with_ = with;
}

pinning& pinning::operator=(pinning&& other) noexcept {
  std::swap(with_, other.with_);
  std::swap(generation_, other.generation_);
  std::swap(address_, other.address_);
  return *this;
}

pinning::~pinning() {
  try {
    end();
  } catch (const error&) {
    // The pages are going away; the driver lets go of them then.
  }
}

bool pinning::valid() const noexcept {
  return with_ && with_->generation() == generation_;
}

bool pinning::serves(const device& which) const noexcept {
  return valid() && (*with_ == which || with_->backend() == which.backend());
}

void pinning::end() {
  if (valid()) {
    try {
      with_->host_unregister(address_);
    } catch (const error& failure) {
      if (failure.code() != status::stale) throw;  // else a reset came in between
    }
  }
  with_.reset();
}

}  // namespace lull::detail
