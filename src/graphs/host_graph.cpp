#include <lull/bytes.hpp>
#include <lull/error.hpp>
#include <lull/host_graph.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "vocabulary/text.hpp"

namespace lull {

struct detail::host_graph_state {
  struct unmap {
    std::uint64_t bytes;
    void operator()(std::byte* address) const noexcept { ::munmap(address, bytes); }
  };
  // Before the nodes, which may point into it: members go in reverse order.
  std::vector<std::unique_ptr<std::byte, unmap>> workspace;
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
  if (state_->launching.exchange(true, std::memory_order_acquire)) {
    throw error(
        status::busy,
        "the host graph is being launched already; its launches share one workspace, so they "
        "must not overlap");
  }
  const auto end = [](std::atomic<bool>* held) { held->store(false, std::memory_order_release); };
  const std::unique_ptr<std::atomic<bool>, decltype(end)> held(&state_->launching, end);
  for (const std::function<void()>& node : state_->nodes) node();
}

std::uint64_t host_graph::bytes() const noexcept {
  return state_->bytes;
}

host_graph_builder::host_graph_builder() : state_(std::make_unique<detail::host_graph_state>()) {}

host_graph_builder::~host_graph_builder() = default;

std::byte* host_graph_builder::workspace(std::uint64_t bytes) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t most = PTRDIFF_MAX - page;  // what pointers into one object can be apart
  if (bytes == 0 || bytes > most) {
    detail::fail(status::invalid_argument,
                 "a workspace of {} bytes for a host graph; it must be 1 to {}", bytes, most);
  }
  const std::uint64_t whole = (bytes + page - 1) / page * page;
  state_->workspace.reserve(state_->workspace.size() + 1);
  // MAP_POPULATE writes to each page: a mapping alone would not be part of the resident set.
  void* const address = ::mmap(nullptr, whole, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (address == MAP_FAILED) {
    const int code = errno;
    detail::fail(status::out_of_host_memory, "no memory for a host graph's workspace of {}: {}",
                 format_bytes(whole), std::generic_category().message(code));
  }
  state_->workspace.emplace_back(static_cast<std::byte*>(address),
                                 detail::host_graph_state::unmap{whole});
  state_->bytes += whole;
  return static_cast<std::byte*>(address);
}

void host_graph_builder::add(std::function<void()> work) {
  if (!work) throw error(status::invalid_argument, "a node of a host graph without work to do");
  state_->nodes.push_back(std::move(work));
}

std::unique_ptr<host_graph> host_graph_builder::instantiate() {
  auto next = std::make_unique<detail::host_graph_state>();
  // Memory for the graph is obtained before the constructor, which cannot fail, takes the state.
  return std::unique_ptr<host_graph>(new host_graph(std::exchange(state_, std::move(next))));
}

}  // namespace lull
