#ifndef LULL_CORE_ELF_NOTE_HPP
#define LULL_CORE_ELF_NOTE_HPP

#include <cstdint>
#include <filesystem>

namespace lull::detail {

/// Reads the ABI version from a module file without handing the file to the dynamic linker, which
/// would run its constructors, and would die with SIGBUS on a truncated one.
/// @throws error not_found, io: the file cannot be read; bad_module: what is wrong with it and what
///         would be right
std::uint32_t read_module_abi(const std::filesystem::path& file);

}  // namespace lull::detail

#endif  // LULL_CORE_ELF_NOTE_HPP
