#include "failure.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

namespace lull_torch {
namespace {

// Plain bytes: a thread that ends may still fail, and PyTorch never unloads this library.
struct last_failure {
  lull_status code;
  char words[1024];
};
thread_local last_failure last;

lull_status remember(lull_status code, std::string_view words) noexcept {
  last.code = code;
  const std::size_t length = std::min(words.size(), sizeof last.words - 1);
  std::memcpy(last.words, words.data(), length);
  last.words[length] = '\0';
  return code;
}

}  // namespace

void expect_ok(lull_status code) {
  if (code == LULL_OK) return;
  throw lull::error(static_cast<lull::status>(code), lull_last_error_message());
}

lull_status remember_current() noexcept {
  try {
    throw;
  } catch (const lull::error& failure) {
    return remember(static_cast<lull_status>(failure.code()), failure.what());
  } catch (const std::bad_alloc&) {
    return remember(LULL_ERROR_OUT_OF_HOST_MEMORY, "no host memory");
  } catch (const std::exception& failure) {
    return remember(LULL_ERROR_INTERNAL, failure.what());
  } catch (...) {
    return remember(LULL_ERROR_INTERNAL, "unknown failure");
  }
}

const char* last_words() noexcept {
  return last.words;
}

lull_status last_status() noexcept {
  return last.code;
}

}  // namespace lull_torch
