#ifndef LULL_TESTS_CAPI_HOST_FIXTURE_HPP
#define LULL_TESTS_CAPI_HOST_FIXTURE_HPP

#include <lull/lull.h>

#include <gtest/gtest.h>

namespace lull::test {

/// A versioned struct of C that is zero but for its size.
template <class Struct>
Struct sized() {
  Struct value{};
  value.struct_size = sizeof value;
  return value;
}

/// A registry of its own, whose one device is the host with so much memory.
class c_host_test : public testing::Test {
 protected:
  explicit c_host_test(const char* capacity_bytes = "16MiB") {
    const lull_setting capacity{"host", "capacity_bytes", capacity_bytes};
    lull_registry_options options;
    lull_registry_options_init(&options);
    options.search = 0;
    options.settings = &capacity;
    options.setting_count = 1;
    EXPECT_EQ(lull_registry_create(&options, &registry_), LULL_OK);
    EXPECT_EQ(lull_registry_find(registry_, "HOST", &device_), LULL_OK);
  }
  ~c_host_test() override {
    lull_device_destroy(device_);
    lull_registry_destroy(registry_);
  }

  lull_registry* registry_ = nullptr;
  lull_device* device_ = nullptr;
};

}  // namespace lull::test

#endif  // LULL_TESTS_CAPI_HOST_FIXTURE_HPP
