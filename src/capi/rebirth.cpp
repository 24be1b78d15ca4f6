#include "capi/rebirth.hpp"

#include <string>
#include <utility>

#include "capi/guard.hpp"
#include "capi/values.hpp"
#include "vocabulary/text.hpp"

using lull::capi::guard;
using lull::capi::read_versioned;
using lull::capi::required;
using lull::capi::text_or_empty;

namespace {

lull_rebirth_options default_rebirth_options() noexcept {
  lull_rebirth_options options{};
  options.struct_size = sizeof options;
  return options;
}

}  // namespace

namespace lull::capi {

rebirth_options make_rebirth_options(const lull_rebirth_options* given, const char* name) {
  const auto from = read_versioned(given, default_rebirth_options(), name);
  rebirth_options options;
  options.program = text_or_empty(from.program);
  options.arguments = texts_of(from.arguments, from.argument_count, "options->arguments");
  if (from.environment_count != 0) required(from.environment, "options->environment");
  for (std::size_t i = 0; i < from.environment_count; ++i) {
    const lull_variable& each = from.environment[i];
    auto& value = options.environment[&required(each.name, "options->environment[].name")];
    if (each.value != nullptr) value = each.value;
  }
  return options;
}

}  // namespace lull::capi

lull_status lull_handover_create(lull_handover** handover) {
  return guard([&] {
    auto& made = required(handover, "handover");
    made = new lull_handover;
  });
}

void lull_handover_destroy(lull_handover* handover) {
  delete handover;
}

lull_status lull_handover_add_descriptor(lull_handover* handover, const char* name,
                                         int32_t descriptor) {
  return guard([&] {
    auto& to = required(handover, "handover").value.descriptors;
    to[&required(name, "name")] = descriptor;
  });
}

lull_status lull_handover_set_blob(lull_handover* handover, uint32_t version, const void* blob,
                                   size_t size_bytes) {
  return guard([&] {
    lull::reborn& to = required(handover, "handover").value;
    if (size_bytes != 0 && blob == nullptr) {
      throw lull::error(lull::status::invalid_argument, "blob is null");
    }
    std::string bytes;
    if (size_bytes != 0) bytes.assign(static_cast<const char*>(blob), size_bytes);
    to.version = version;
    to.blob = std::move(bytes);
  });
}

lull_status lull_handover_descriptor(const lull_handover* handover, const char* name,
                                     int32_t* descriptor) {
  return guard([&] {
    const auto& from = required(handover, "handover").value.descriptors;
    const auto found = from.find(&required(name, "name"));
    auto& result = required(descriptor, "descriptor");
    if (found == from.end()) {
      lull::detail::fail(lull::status::not_found, "no descriptor '{}' was handed over", name);
    }
    result = found->second;
  });
}

uint32_t lull_handover_version(const lull_handover* handover) {
  return handover == nullptr ? 0 : handover->value.version;
}

const void* lull_handover_blob(const lull_handover* handover) {
  return handover == nullptr ? nullptr : handover->value.blob.data();
}

size_t lull_handover_blob_size(const lull_handover* handover) {
  return handover == nullptr ? 0 : handover->value.blob.size();
}

uint64_t lull_handover_rebirths(const lull_handover* handover) {
  return handover == nullptr ? 0 : handover->value.rebirths;
}

void lull_rebirth_options_init(lull_rebirth_options* options) {
  if (options != nullptr) *options = default_rebirth_options();
}

lull_status lull_rebirth_take(lull_handover** before) {
  return guard([&] {
    auto& result = required(before, "before");
    result = nullptr;
    auto taken = lull::take_rebirth();
    if (taken) result = new lull_handover{std::move(*taken)};
  });
}

lull_status lull_rebirth_check(const lull_rebirth_options* options) {
  return guard(
      [&] { lull::expect_rebirth_possible(lull::capi::make_rebirth_options(options, "options")); });
}

lull_status lull_rebirth_execute(const lull_handover* left, const lull_rebirth_options* options) {
  return guard([&] {
    const lull::reborn& what = required(left, "left").value;
    lull::rebirth(what, lull::capi::make_rebirth_options(options, "options"));
  });
}
