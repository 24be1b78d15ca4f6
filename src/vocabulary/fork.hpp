#ifndef LULL_VOCABULARY_FORK_HPP
#define LULL_VOCABULARY_FORK_HPP

#include <atomic>
#include <memory>
#include <type_traits>
#include <utility>

namespace lull::detail {

/// Set in a child that fork() made of a process in which lull was in use. Neither its threads nor
/// contexts of vendors' libraries exist there, and locks may be held by nobody: every call is
/// refused instead of hanging, and destructors leave things as they are.
extern std::atomic<bool> in_forked_child;

/// From now on a child made by fork() is refused.
/// @throws error (unsupported) in such a child
void note_use();

[[noreturn]] void refuse_forked_child();

/// @throws error (unsupported) in a child that fork() made of a process that used lull
inline void expect_same_process() {
  if (in_forked_child.load(std::memory_order_relaxed)) [[unlikely]]
    refuse_forked_child();
}

/// For destructors.
/// @return true in a forked child; then `what` is left as it is
template <class Value>
bool leak_in_forked_child(Value&& what) noexcept {
  if (!in_forked_child.load(std::memory_order_relaxed)) [[likely]]
    return false;
  // A union's member is not destroyed.
  union kept {
    explicit kept(Value&& from) : value(std::move(from)) {}
    ~kept() {}
    std::remove_cvref_t<Value> value;
  };
  [[maybe_unused]] const kept never{std::forward<Value>(what)};
  return true;
}

/// As std::make_shared, for what has locks or threads: in a forked child it is left as it is.
template <class Value, class... Arguments>
std::shared_ptr<Value> make_shared_of_process(Arguments&&... arguments) {
  return std::shared_ptr<Value>(new Value(std::forward<Arguments>(arguments)...), [](Value* which) {
    if (!in_forked_child.load(std::memory_order_relaxed)) delete which;
  });
}

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_FORK_HPP
