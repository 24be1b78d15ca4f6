#include "core/single_copy.hpp"

#include <lull/error.hpp>
#include <lull/version.h>

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>

#include "vocabulary/text.hpp"

// Each copy carries an ELF note that says where its mark is. Notes are found by the program
// headers, so that neither hidden symbols nor RTLD_LOCAL keep a copy from being seen. The note and
// the mark are laid out alike in all versions. In assembly, as C++ has no constant for the distance
// of two objects.
__asm__(
    ".pushsection .note.lull.copy,\"a\",%note\n"
    ".balign 4\n"
    ".long 5, 4, 2\n"  // sizes of name and contents, type; LULL_BACKEND_NOTE_TYPE is another one
    ".ascii \"lull\\0\\0\\0\\0\"\n"
    ".long lull_copy_mark - .\n"
    ".popsection\n");

/// Written when a copy is first used.
struct copy_mark {
  std::uint32_t version;
  std::uint32_t in_use;
};
extern "C" __attribute__((visibility("hidden"))) copy_mark lull_copy_mark;
__attribute__((used)) copy_mark lull_copy_mark{};

namespace lull::detail {
namespace {

constexpr std::string_view copy_note_name("lull\0", 5);
constexpr std::uint32_t copy_note_type = 2;

std::uint32_t load(const std::uint32_t& word) noexcept {
  return __atomic_load_n(&word, __ATOMIC_SEQ_CST);
}

void store(std::uint32_t& word, std::uint32_t value) noexcept {
  __atomic_store_n(&word, value, __ATOMIC_SEQ_CST);
}

const copy_mark* find_mark(const std::byte* at, std::size_t bytes, std::size_t alignment) noexcept {
  const auto aligned = [alignment](std::size_t size) {
    return (size + alignment - 1) / alignment * alignment;
  };
  while (bytes >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note{};
    std::memcpy(&note, at, sizeof note);
    const std::size_t contents = aligned(sizeof note + note.n_namesz);
    const std::size_t size = aligned(contents + note.n_descsz);
    if (size > bytes) return nullptr;
    if (note.n_type == copy_note_type && note.n_namesz == copy_note_name.size() &&
        note.n_descsz == sizeof(std::int32_t) &&
        std::memcmp(at + sizeof note, copy_note_name.data(), copy_note_name.size()) == 0) {
      std::int32_t distance = 0;
      std::memcpy(&distance, at + contents, sizeof distance);
      return reinterpret_cast<const copy_mark*>(at + contents + distance);
    }
    at += size;
    bytes -= size;
  }
  return nullptr;
}

struct copies {
  bool named = false;               ///< whether to say where they are, which takes memory
  std::uint32_t other_version = 0;  ///< of one that is in use; 0: there is none
  std::string other_file;
  std::string this_file;
};

bool is_mapped(const dl_phdr_info& object, const ElfW(Phdr) & part) noexcept {
  const auto* const end = object.dlpi_phdr + object.dlpi_phnum;
  return std::any_of(object.dlpi_phdr, end, [&](const ElfW(Phdr) & segment) {
    return segment.p_type == PT_LOAD && part.p_vaddr >= segment.p_vaddr &&
           part.p_vaddr + part.p_memsz <= segment.p_vaddr + segment.p_memsz;
  });
}

std::string file_name(const char* name) noexcept try {
  if (*name != '\0') return name;
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  return length < 0 ? "the program" : std::string(path.data(), static_cast<std::size_t>(length));
} catch (const std::exception&) {
  return {};
}

int visit(dl_phdr_info* object, std::size_t, void* result) noexcept {
  auto& found = *static_cast<copies*>(result);
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE || !is_mapped(*object, segment)) continue;
    const auto* const at = reinterpret_cast<const std::byte*>(object->dlpi_addr + segment.p_vaddr);
    const copy_mark* const copy = find_mark(at, segment.p_memsz, segment.p_align == 8 ? 8 : 4);
    if (copy == nullptr) continue;
    const bool is_this = copy == &lull_copy_mark;
    if (!is_this && load(copy->in_use) == 0) continue;
    if (!is_this) found.other_version = load(copy->version);
    if (found.named) (is_this ? found.this_file : found.other_file) = file_name(object->dlpi_name);
  }
  return 0;
}

std::string version_text(std::uint32_t version) {
  return text("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace

void keep_process_to_this_copy() {
  static std::atomic<bool> kept{false};
  static std::mutex deciding;
  if (kept.load(std::memory_order_acquire)) return;
  const std::lock_guard one_at_a_time(deciding);
  if (kept.load(std::memory_order_relaxed)) return;
  store(lull_copy_mark.version, LULL_VERSION);
  // Said before looking: of two copies that come at once at least one sees the other.
  store(lull_copy_mark.in_use, 1);
  copies found;
  ::dl_iterate_phdr(visit, &found);
  if (found.other_version == 0) {
    kept.store(true, std::memory_order_release);
    return;
  }
  store(lull_copy_mark.in_use, 0);
  found.named = true;
  ::dl_iterate_phdr(visit, &found);
  fail(status::unsupported,
       "this process has lull twice, and each would know half of it: {} (lull {}) is in use, so {} "
       "(lull {}) cannot be; link both with liblull.so, or put the static library into one file "
       "only",
       found.other_file, version_text(found.other_version), found.this_file,
       version_text(LULL_VERSION));
}

}  // namespace lull::detail
