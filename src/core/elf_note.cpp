#include "core/elf_note.hpp"

#include <lull/backend.h>
#include <lull/error.hpp>

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

using elf_header = ElfW(Ehdr);
using program_header = ElfW(Phdr);
using note_header = ElfW(Nhdr);

// Far more than any shared object has; keeps a hostile file from making us read all of it.
constexpr std::uint64_t most_note_bytes = std::uint64_t{64} << 10;

#if defined(__x86_64__)
constexpr unsigned this_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned this_machine = EM_AARCH64;
#else
constexpr unsigned this_machine = EM_NONE;  // not checked; the dynamic linker will
#endif

constexpr unsigned char this_class = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
constexpr unsigned char this_order =
    std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;

[[noreturn]] void refuse(const std::string& reason) {
  throw error(status::bad_module, reason);
}

/// A regular file, read at offsets that are checked against its size first.
class bounded_file {
 public:
  explicit bounded_file(const std::filesystem::path& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) fail(errno);
    struct stat facts {};
    if (::fstat(descriptor_, &facts) != 0) {
      const int code = errno;
      ::close(descriptor_);
      fail(code);
    }
    if (!S_ISREG(facts.st_mode)) {
      ::close(descriptor_);
      refuse("it is not a regular file");
    }
    size_ = static_cast<std::uint64_t>(facts.st_size);
  }
  ~bounded_file() { ::close(descriptor_); }
  bounded_file(const bounded_file&) = delete;
  bounded_file& operator=(const bounded_file&) = delete;

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  [[nodiscard]] bool holds(std::uint64_t offset, std::uint64_t bytes) const noexcept {
    return offset <= size_ && bytes <= size_ - offset;
  }

  /// The range must be one that the file holds.
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
    for (std::uint64_t done = 0; done < bytes;) {
      const ssize_t got = ::pread(descriptor_, static_cast<std::byte*>(to) + done, bytes - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(errno);
      if (got == 0) refuse("it became shorter while it was read");
      done += static_cast<std::uint64_t>(got);
    }
  }

 private:
  [[noreturn]] static void fail(int code) {
    throw error(code == ENOENT ? status::not_found : status::io,
                text("it cannot be read: {}", std::generic_category().message(code)));
  }

  int descriptor_;
  std::uint64_t size_ = 0;
};

elf_header read_header(const bounded_file& file) {
  if (file.size() == 0) refuse("it is empty");
  elf_header header{};
  const auto present = std::min<std::uint64_t>(file.size(), sizeof header);
  file.read(0, &header, present);
  if (present < SELFMAG || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    refuse("it is not an ELF file; a backend module is a shared object");
  }
  if (present < sizeof header) refuse("it is truncated within the ELF header");
  if (header.e_ident[EI_CLASS] != this_class || header.e_ident[EI_DATA] != this_order ||
      (this_machine != EM_NONE && header.e_machine != this_machine)) {
    refuse(text("it is built for another machine (ELF machine {}, this process is {})",
                header.e_machine, this_machine));
  }
  if (header.e_type != ET_DYN) refuse("it is an ELF file but not a shared object");
  return header;
}

std::vector<program_header> read_segments(const bounded_file& file, const elf_header& header) {
  if (header.e_phentsize != sizeof(program_header)) refuse("its program headers have a wrong size");
  const std::uint64_t bytes = std::uint64_t{header.e_phnum} * sizeof(program_header);
  if (!file.holds(header.e_phoff, bytes))
    refuse("it is truncated: its program headers are cut off");
  std::vector<program_header> segments(header.e_phnum);
  file.read(header.e_phoff, segments.data(), bytes);
  for (const program_header& segment : segments) {
    if (segment.p_type == PT_LOAD && !file.holds(segment.p_offset, segment.p_filesz)) {
      refuse(text("it is truncated: it has {} bytes and a segment that ends at {}", file.size(),
                  segment.p_offset + segment.p_filesz));
    }
  }
  return segments;
}

/// Finds our note among the notes of one segment.
std::optional<std::uint32_t> find_abi(const std::vector<std::byte>& notes,
                                      std::uint64_t alignment) {
  const auto aligned = [alignment](std::uint64_t at) {
    return (at + alignment - 1) / alignment * alignment;
  };
  for (std::uint64_t at = 0; at + sizeof(note_header) <= notes.size();) {
    note_header note{};
    std::memcpy(&note, notes.data() + at, sizeof note);
    const std::uint64_t name_at = at + sizeof note;
    // All sums stay far below 2^64: the sizes have 32 bits and the segment at most 64 KiB.
    const std::uint64_t contents_at = aligned(name_at + note.n_namesz);
    const std::uint64_t end = contents_at + note.n_descsz;
    if (end > notes.size()) return std::nullopt;
    const std::string_view name(reinterpret_cast<const char*>(notes.data()) + name_at,
                                note.n_namesz);
    if (name == std::string_view("lull\0", 5) && note.n_type == LULL_BACKEND_NOTE_TYPE) {
      if (note.n_descsz < sizeof(std::uint32_t)) refuse("its lull note is too short");
      std::uint32_t abi = 0;
      std::memcpy(&abi, notes.data() + contents_at, sizeof abi);
      return abi;
    }
    at = aligned(end);
  }
  return std::nullopt;
}

}  // namespace

std::uint32_t read_module_abi(const std::filesystem::path& path) {
  const bounded_file file(path);
  for (const program_header& segment : read_segments(file, read_header(file))) {
    if (segment.p_type != PT_NOTE || segment.p_filesz > most_note_bytes ||
        !file.holds(segment.p_offset, segment.p_filesz)) {
      continue;
    }
    std::vector<std::byte> notes(segment.p_filesz);
    file.read(segment.p_offset, notes.data(), notes.size());
    // Notes are padded to 4 bytes; segments aligned to 8 hold notes padded to 8 (GNU properties).
    if (const auto abi = find_abi(notes, segment.p_align == 8 ? 8 : 4)) return *abi;
  }
  refuse(
      "it is a shared object but no lull backend: it has no lull ABI note "
      "(see lull/backend_module.h)");
}

}  // namespace lull::detail
