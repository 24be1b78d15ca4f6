#ifndef LULL_VOCABULARY_IMMORTAL_HPP
#define LULL_VOCABULARY_IMMORTAL_HPP

#include <cstddef>
#include <new>

namespace lull::detail {

/// For a static that is never destroyed, as threads may outlive main's, and that takes no memory
/// when it is first asked for, since whoever asks may have none.
template <class Value>
class immortal {
 public:
  immortal() { new (place_) Value; }
  [[nodiscard]] Value& get() noexcept { return *std::launder(reinterpret_cast<Value*>(place_)); }

 private:
  alignas(Value) std::byte place_[sizeof(Value)];
};

}  // namespace lull::detail

#endif  // LULL_VOCABULARY_IMMORTAL_HPP
