#ifndef LULL_PROCESS_REBIRTH_RECORD_HPP
#define LULL_PROCESS_REBIRTH_RECORD_HPP

#include <lull/rebirth.hpp>

#include <sys/types.h>

#include <string>
#include <string_view>

#include "process/image.hpp"

namespace lull::detail {

/// What goes over from image to image: the caller's, and what a replacement would change.
struct rebirth_record {
  pid_t pid = 0;  ///< whose images they are
  beginning begun;
  reborn left;
};

/// As it stands in the memory file: a head with a checksum, then the fields.
[[nodiscard]] std::string to_bytes(const rebirth_record& record);

/// @throws error (io) that says what is wrong with it
[[nodiscard]] rebirth_record parse_rebirth_record(std::string_view bytes);

}  // namespace lull::detail

#endif  // LULL_PROCESS_REBIRTH_RECORD_HPP
