// The check of a module's file before the dynamic linker sees it.

#include "core/elf_note.hpp"

#include <lull/error.hpp>

#include "memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  try {
    static_cast<void>(lull::detail::read_module_abi(file_with(bytes, count)));
  } catch (const lull::error& failure) {
    expect(*failure.what() != '\0', "a refusal says why");
  }
  return 0;
}
