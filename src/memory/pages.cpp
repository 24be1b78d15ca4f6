#include "memory/pages.hpp"

#include <lull/bytes.hpp>
#include <lull/error.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "vocabulary/text.hpp"

// Linux 5.14; older C libraries do not name it (linux/mman.h).
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace lull::detail {
namespace {

[[noreturn]] void throw_out_of_pages(const char* call, std::uint64_t bytes, int code) {
  fail_call(status::out_of_host_memory, call, code, text("{} of host memory", format_bytes(bytes)));
}

}  // namespace

pages::pages(std::uint64_t bytes) : bytes_(bytes) {
  const std::uint64_t slack = huge_page_bytes;
  void* const found = ::mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (found == MAP_FAILED) throw_out_of_pages("mmap", bytes, errno);
  auto* const start = static_cast<std::byte*>(found);
  const std::uint64_t past = reinterpret_cast<std::uintptr_t>(start) % huge_page_bytes;
  const std::uint64_t lead = past == 0 ? 0 : huge_page_bytes - past;
  const std::uint64_t end = lead + (bytes + page_bytes() - 1) / page_bytes() * page_bytes();
  if (lead != 0) ::munmap(start, lead);
  if (end < bytes + slack) ::munmap(start + end, bytes + slack - end);
  address_ = start + lead;
  ::madvise(address_, bytes, MADV_HUGEPAGE);  // best effort: kernels without them answer EINVAL
  ::madvise(address_, bytes,
            MADV_DONTFORK);  // a child has no use for it, and would share what is pinned
}

pages::~pages() {
  if (address_ != nullptr) ::munmap(address_, bytes_);
}

void pages::populate(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t first = offset / page_bytes() * page_bytes();
  const std::uint64_t length = offset + bytes - first;
  int code = 0;
  do {
    code = ::madvise(address_ + first, length, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
  } while (code == EINTR || code == EAGAIN);
  // EINVAL: before Linux 5.14; whoever writes there populates then.
  if (code == 0 || code == EINVAL) return;
  // EFAULT: a page could not be had (madvise(2)).
  throw_out_of_pages("madvise", length, code == EFAULT ? ENOMEM : code);
}

void pages::give_back(std::uint64_t offset, std::uint64_t bytes) noexcept {
  ::madvise(address_ + offset, bytes, MADV_DONTNEED);
}

}  // namespace lull::detail
