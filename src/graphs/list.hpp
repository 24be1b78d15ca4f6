#ifndef LULL_GRAPHS_LIST_HPP
#define LULL_GRAPHS_LIST_HPP

#include <lull/graph_cache_core.hpp>

namespace lull::detail {

/// Lists of entries through graph_node::next: an entry is on one at most, and moving it between them
/// needs no memory.
inline void push(graph_node*& list, graph_node& node) noexcept {
  node.next = list;
  list = &node;
}

/// @pre the list is not empty
inline graph_node& pop(graph_node*& list) noexcept {
  graph_node& node = *list;
  list = node.next;
  node.next = nullptr;
  return node;
}

}  // namespace lull::detail

#endif  // LULL_GRAPHS_LIST_HPP
