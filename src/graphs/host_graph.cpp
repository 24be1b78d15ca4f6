#include <lull/bytes.hpp>
#include <lull/error.hpp>
#include <lull/host_graph.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <limits>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "vocabulary/text.hpp"

namespace lull {
namespace {

std::uint64_t page_bytes() noexcept {
  return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t whole_pages(std::uint64_t bytes) {
  const std::uint64_t page = page_bytes();
  // What pointers into one object can be apart.
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::ptrdiff_t>::max());
  if (bytes == 0 || bytes > most - page) {
    detail::fail(status::invalid_argument,
                 "a workspace of {} bytes for a host graph; it must be 1 to {}", bytes,
                 most - page);
  }
  return (bytes + page - 1) / page * page;
}

/// Pages that are there from the start, and go when it does.
class populated_pages {
 public:
  explicit populated_pages(std::uint64_t bytes) : bytes_(bytes) {
    // MAP_POPULATE writes to each page: a mapping alone would not be part of the resident set.
    void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) {
      const int code = errno;
      detail::fail(status::out_of_host_memory, "no memory for a host graph's workspace of {}: {}",
                   format_bytes(bytes), std::generic_category().message(code));
    }
    address_ = static_cast<std::byte*>(address);
  }
  populated_pages(populated_pages&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(other.bytes_) {}
  populated_pages& operator=(populated_pages&&) = delete;
  ~populated_pages() {
    if (address_ != nullptr) ::munmap(address_, bytes_);
  }

  [[nodiscard]] std::byte* address() const noexcept { return address_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* address_ = nullptr;
  std::uint64_t bytes_;
};

/// Holds a flag that nobody else may hold.
class exclusive {
 public:
  explicit exclusive(std::atomic<bool>& held) : held_(held) {
    if (held_.exchange(true, std::memory_order_acquire)) {
      throw error(status::busy,
                  "the host graph is being launched already; its launches share one workspace, so "
                  "they must not overlap");
    }
  }
  ~exclusive() { held_.store(false, std::memory_order_release); }
  exclusive(const exclusive&) = delete;
  exclusive& operator=(const exclusive&) = delete;

 private:
  std::atomic<bool>& held_;
};

}  // namespace

struct detail::host_graph_state {
  // Before the nodes, which may point into it: members go in reverse order.
  std::vector<populated_pages> workspace;
  std::vector<std::function<void()>> nodes;
  std::uint64_t bytes = 0;
  std::atomic<bool> launching{false};
};

host_graph::host_graph(std::unique_ptr<detail::host_graph_state> state) noexcept
    : header_{&host_graph::destroy, state->nodes.size()}, state_(state.release()) {
  static_assert(std::is_standard_layout_v<host_graph>,
                "the address of a host_graph is that of its first member");
}

host_graph::~host_graph() {
  delete state_;
}

void host_graph::destroy(lull_host_graph* header) noexcept {
  delete reinterpret_cast<host_graph*>(header);
}

void host_graph::launch() {
  const exclusive only(state_->launching);
  for (const std::function<void()>& node : state_->nodes) node();
}

std::uint64_t host_graph::bytes() const noexcept {
  return state_->bytes;
}

host_graph_builder::host_graph_builder() : state_(std::make_unique<detail::host_graph_state>()) {}

host_graph_builder::~host_graph_builder() = default;

std::span<std::byte> host_graph_builder::workspace(std::uint64_t bytes) {
  const std::uint64_t rounded = whole_pages(bytes);
  const populated_pages& pages = state_->workspace.emplace_back(rounded);
  state_->bytes += rounded;
  return {pages.address(), bytes};
}

void host_graph_builder::add(std::function<void()> work) {
  if (!work) {
    throw error(status::invalid_argument, "a node of a host graph without work to do");
  }
  state_->nodes.push_back(std::move(work));
}

std::unique_ptr<host_graph> host_graph_builder::instantiate() {
  auto next = std::make_unique<detail::host_graph_state>();
  // Memory for the graph is obtained before the constructor, which cannot fail, takes the state.
  return std::unique_ptr<host_graph>(new host_graph(std::exchange(state_, std::move(next))));
}

}  // namespace lull
