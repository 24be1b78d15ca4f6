#include "core/books.hpp"

#include <lull/bytes.hpp>

#include <iterator>
#include <utility>

#include "vocabulary/text.hpp"

namespace lull::detail {

std::string_view to_string(object_kind kind) noexcept {
  switch (kind) {
    case object_kind::allocation: return "allocation";
    case object_kind::stream: return "stream";
    case object_kind::event: return "event";
    case object_kind::pinned: return "pinned host buffer";
    case object_kind::graph: return "graph";
    case object_kind::memory: return "piece of stable-address memory";
    case object_kind::mapping: return "mapping";
    case object_kind::reservation: return "reservation";
    case object_kind::registration: return "registration of host memory";
  }
  return "?";
}

device_books::slip device_books::slip::blank() {
  table one{{0, {}}};
  slip made;
  made.node_ = one.extract(one.begin());
  return made;
}

void device_books::add(object_kind kind, slip paper, const entry& what) noexcept {
  paper.node_.key() = what.key;
  paper.node_.mapped() = what;
  put_back(kind, std::move(paper));
}

device_books::slip device_books::remove(object_kind kind, std::uint64_t key) noexcept {
  const std::lock_guard lock(mutex_);
  slip taken;
  taken.node_ = of(kind).extract(key);
  return taken;
}

void device_books::put_back(object_kind kind, slip taken) noexcept {
  const std::lock_guard lock(mutex_);
  auto refused = of(kind).insert(std::move(taken.node_));
  // The vendor gave out a handle that was on the books: what had it is gone.
  if (!refused.inserted) refused.position->second = refused.node.mapped();
}

bool device_books::contains(object_kind kind, std::uint64_t key) const {
  const std::lock_guard lock(mutex_);
  return of(kind).contains(key);
}

bool device_books::covers(object_kind kind, std::uint64_t address, std::uint64_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto after = of(kind).upper_bound(address);
  if (after == of(kind).begin()) return false;
  const entry& candidate = std::prev(after)->second;
  const std::uint64_t inside = address - candidate.key;
  return inside <= candidate.bytes && bytes <= candidate.bytes - inside;
}

std::vector<device_books::entry> device_books::all(object_kind kind) const {
  const std::lock_guard lock(mutex_);
  std::vector<entry> entries;
  entries.reserve(of(kind).size());
  for (const auto& [key, each] : of(kind)) entries.push_back(each);
  return entries;
}

void device_books::clear_what_a_reset_ends(bool addresses_stay) noexcept {
  const std::lock_guard lock(mutex_);
  if (!addresses_stay) of(object_kind::reservation).clear();
  for (const object_kind kind :
       {object_kind::allocation, object_kind::stream, object_kind::event, object_kind::pinned,
        object_kind::graph, object_kind::registration}) {
    of(kind).clear();
  }
}

std::string device_books::describe_live() const {
  const std::lock_guard lock(mutex_);
  std::string list;
  for (const object_kind kind : {object_kind::allocation, object_kind::stream, object_kind::event,
                                 object_kind::pinned, object_kind::graph, object_kind::memory}) {
    const table& live = of(kind);
    if (live.empty()) continue;
    std::uint64_t bytes = 0;
    for (const auto& [key, each] : live) bytes += each.bytes;
    if (!list.empty()) list += ", ";
    const bool several = live.size() != 1;
    if (kind == object_kind::memory) {
      list += text("{} piece{} of stable-address memory", live.size(), several ? "s" : "");
    } else {
      list += text("{} {}{}", live.size(), to_string(kind), several ? "s" : "");
    }
    if (bytes != 0) list += text(" ({})", format_bytes(bytes));
  }
  return list;
}

}  // namespace lull::detail
