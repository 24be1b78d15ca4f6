#include "memory/refill.hpp"

#include <lull/error.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "memory/courier.hpp"
#include "memory/region_state.hpp"
#include "vocabulary/current_error.hpp"
#include "vocabulary/text.hpp"

namespace lull {
namespace {

[[noreturn]] void throw_read_failure(const std::string& name, std::uint64_t file_offset, int code) {
  const std::string words =
      code == 0 ? "the file ends there" : std::generic_category().message(code);
  throw error(
      status::io,
      detail::text("region '{}': reading its file at offset {}: {}", name, file_offset, words),
      vendor_failure{"", "pread", code, words});
}

void expect_inside(const refill_target& target, std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t size = target.size_bytes();
  if (offset <= size && bytes <= size - offset) return;
  detail::fail(status::invalid_argument,
               "{} bytes at offset {} are outside region '{}' of {} bytes", bytes, offset,
               target.name(), size);
}

}  // namespace

refill_target::refill_target(lull::device device, void* address, std::uint64_t size_bytes,
                             std::string name, detail::courier& with)
    : device_(std::move(device)),
      address_(address),
      size_bytes_(size_bytes),
      name_(std::move(name)),
      courier_(&with) {}

void refill_target::write(std::uint64_t offset, const void* host, std::uint64_t bytes) const {
  expect_inside(*this, offset, bytes);
  if (bytes != 0) courier_->in_plain(static_cast<std::byte*>(address_) + offset, host, bytes);
}

void refill_target::read_file(std::uint64_t offset, int descriptor, std::uint64_t file_offset,
                              std::uint64_t bytes) const {
  expect_inside(*this, offset, bytes);
  const auto read = [&](std::uint64_t at, std::byte* to, std::uint64_t size) {
    for (std::uint64_t done = 0; done < size;) {
      const std::uint64_t place = file_offset + at + done;
      const ssize_t got = ::pread(descriptor, to + done, size - done, static_cast<off_t>(place));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) throw_read_failure(name_, place, got < 0 ? errno : 0);
      done += static_cast<std::uint64_t>(got);
    }
  };
  courier_->in_staged(static_cast<std::byte*>(address_) + offset, bytes, read, {});
}

namespace detail {

refill_target refill_access::target(const region_state& region, courier& with) {
  return refill_target(region.where, region.place(), region.size_bytes, region.options.name, with);
}

void run_refill(const region_state& region, const refill_callback& callback, courier& with) {
  try {
    callback(refill_access::target(region, with));
  } catch (...) {
    fail(status::callback, "refill of {}: {}", region.describe(),
         current_error(status::callback).what());
  }
  with.drain();
}

}  // namespace detail
}  // namespace lull
