#ifndef LULL_CORE_SINGLE_COPY_HPP
#define LULL_CORE_SINGLE_COPY_HPP

namespace lull::detail {

/// What lull knows of a process (generations, books, graph holds) is there once. Where several
/// shared objects have the static library inside, each would have its own half, and a reset by one
/// would not be seen by the other. The copy that calls this first keeps the process. Costs one load
/// from the second call on.
/// @throws error (unsupported) in another copy, with the names of both files
void keep_process_to_this_copy();

}  // namespace lull::detail

#endif  // LULL_CORE_SINGLE_COPY_HPP
