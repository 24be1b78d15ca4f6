// The allocator under what PyTorch's caching allocator does to it: segments of several sizes, freed
// in any order, by several threads, while all of it sleeps and wakes.

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <random>
#include <shared_mutex>
#include <thread>

#include <gtest/gtest.h>

#include "adapters/caching_allocator.hpp"

namespace lull::test {
namespace {

constexpr std::array<std::size_t, 6> sizes{512, 300'000, MiB, 3 * MiB, 9 * MiB, 11 * MiB};
constexpr std::size_t most_blocks = 6;

/// As support/eventually.hpp, which needs a lull beside the one that is loaded.
bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  return true;
}

/// Held shared by whoever touches contents, alone by a sleep: as an engine does not compute then.
struct engine {
  std::shared_mutex contents;
  std::atomic<bool> wants_quiet = false;  ///< who computes lets the sleep in
  std::atomic<bool> ends = false;
  std::atomic<int> refusals = 0;
  std::atomic<int> allocations = 0;
  std::atomic<int> wrong = 0;
};

/// One of its threads, with blocks of its own.
class worker {
 public:
  worker(engine& of, unsigned number) : engine_(of), number_(number), random_(number) {}

  void run() {
    CALL(lull_thread_set_tag)(number_ % 2 == 0 ? "weights" : "kv");
    while (!engine_.ends) {
      switch (random_() % 4) {
        case 0: check_one(); break;
        case 1: free_one(); break;
        case 2: allocator_.empty_cache(); break;
        default: allocate_one(); break;
      }
    }
    while (!blocks_.empty()) free_one();
    allocator_.empty_cache();
  }

 private:
  struct filled {
    caching_allocator::block where;
    unsigned char with;
  };

  void allocate_one() {
    if (blocks_.size() >= most_blocks) return;
    const std::shared_lock computing = compute();
    try {
      if (!computing) {
        // From a segment that it has in reserve PyTorch would serve memory that sleeps: whoever
        // sleeps sees to it that nobody asks. What the library is asked for it refuses.
        void* const early = CALL(lull_torch_pool_alloc)(2 * MiB, 0, nullptr);
        CALL(lull_torch_free)(early, 2 * MiB, 0, nullptr);
        return;
      }
      const auto made = allocator_.allocate(sizes[random_() % sizes.size()]);
      const auto with = static_cast<unsigned char>(random_() % 255 + 1);
      write_ends(made, with);
      blocks_.push_back({made, with});
      ++engine_.allocations;
    } catch (const std::exception&) {
      ++engine_.refusals;
      std::this_thread::yield();
    }
  }

  void free_one() {
    if (blocks_.empty()) return;
    const std::size_t which = random_() % blocks_.size();
    allocator_.free(blocks_[which].where);
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(which));
    if (random_() % 2 == 0) allocator_.empty_cache();
  }

  void check_one() {
    const std::shared_lock computing = compute();
    if (!computing || blocks_.empty()) return;
    const filled& one = blocks_[random_() % blocks_.size()];
    if (!holds_ends(one.where, one.with)) ++engine_.wrong;
  }

  std::shared_lock<std::shared_mutex> compute() {
    if (engine_.wants_quiet) return std::shared_lock(engine_.contents, std::defer_lock);
    return std::shared_lock(engine_.contents, std::try_to_lock);
  }

  static constexpr std::size_t end_bytes = 512;

  void write_ends(const caching_allocator::block& where, unsigned char with) const {
    const std::vector<unsigned char> bytes(end_bytes, with);
    device_.write(where.address, bytes);
    device_.write(where.address + where.bytes - end_bytes, bytes);
  }
  [[nodiscard]] bool holds_ends(const caching_allocator::block& where, unsigned char with) const {
    const std::vector<unsigned char> bytes(end_bytes, with);
    return device_.read(where.address, end_bytes) == bytes &&
           device_.read(where.address + where.bytes - end_bytes, end_bytes) == bytes;
  }

  engine& engine_;
  unsigned number_;
  std::minstd_rand random_;
  first_device device_;
  caching_allocator allocator_;
  std::vector<filled> blocks_;
};

TEST(Segments, ThreadsAllocateAndFreeWhileAllOfItSleepsAndWakes) {
  lull_memory* memory = nullptr;
  ASSERT_EQ(CALL(lull_torch_memory)(&memory), LULL_OK) << torch_error();
  engine all;
  caching_allocator main_allocator;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 3; ++i) threads.emplace_back([&all, i] { worker(all, i).run(); });
  for (int cycle = 0; cycle < 20; ++cycle) {
    const int allocated = all.allocations;
    EXPECT_TRUE(eventually([&] { return all.allocations >= allocated + 5; }));
    const auto of_main = main_allocator.allocate(11 * MiB);
    const int refused = all.refusals;
    all.wants_quiet = true;
    const std::unique_lock quiet(all.contents);
    EXPECT_TRUE(sleep_by(plan(LULL_LEVEL_OFFLOAD))) << torch_error();
    main_allocator.free(of_main);
    main_allocator.empty_cache();
    EXPECT_TRUE(eventually([&] { return all.refusals > refused; }));
    EXPECT_TRUE(wake()) << torch_error();
    all.wants_quiet = false;
  }
  all.ends = true;
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(all.wrong, 0);
  EXPECT_EQ(regions().size(), 0u);
  EXPECT_EQ(CALL(lull_memory_leftover_bytes)(memory), 0u);
}

}  // namespace
}  // namespace lull::test
