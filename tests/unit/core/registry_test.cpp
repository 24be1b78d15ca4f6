#include <lull/backend.h>
#include <lull/registry.hpp>

#include <dlfcn.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/expect_error.hpp"
#include "support/few_descriptors.hpp"

namespace {

namespace fs = std::filesystem;
using lull::module_state;
using lull::status;
using lull::test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;

fs::path module_file(const std::string& name) {
  return fs::path(LULL_TEST_MODULES) / name / ("liblull-backend-" + name + ".so");
}

std::vector<std::string> names(const std::vector<lull::device>& devices) {
  std::vector<std::string> all;
  for (const auto& device : devices) all.push_back(device.name());
  return all;
}

/// Sets an environment variable for the length of a test.
class environment {
 public:
  environment(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~environment() { ::unsetenv(name_); }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

 private:
  const char* name_;
};

lull::registry_options only(std::vector<fs::path> paths) {
  return {.module_paths = std::move(paths), .search = false};
}

lull::module_info load(const std::string& name) {
  lull::registry registry(only({}));
  return registry.load(module_file(name));
}

TEST(Registry, HasTheHostWithoutAnyModule) {
  const lull::registry registry(only({}));
  EXPECT_THAT(names(registry.devices()), ElementsAre("HOST"));
  ASSERT_EQ(registry.modules().size(), 1u);
  EXPECT_EQ(registry.modules()[0].state, module_state::active);
  EXPECT_TRUE(registry.modules()[0].path.empty());
}

TEST(Registry, LoadsAModuleAndDescribesItsDevices) {
  const lull::registry registry(only({module_file("good")}));
  EXPECT_THAT(names(registry.devices()), ElementsAre("HOST", "TEST0", "TEST1"));
  const auto device = registry.find("TEST1");
  EXPECT_EQ(device.description(), "test device 1");
  EXPECT_EQ(device.pci_address(), "0000:61:00.0");
  EXPECT_EQ(device.uuid(), "GPU-abc1");
  EXPECT_EQ(device.backend(), "test");
  EXPECT_EQ(device.type(), lull::device_type::gpu);
}

TEST(Registry, CapabilitiesAreWhatTableAndDeviceBothHave) {
  const lull::registry registry(only({module_file("good")}));
  const auto device = registry.find("TEST0");
  EXPECT_TRUE(device.supports(lull::capability::allocate));
  EXPECT_FALSE(device.supports(lull::capability::stable_addresses)) << "only the device claims it";
  EXPECT_EQ(error_of([&] { static_cast<void>(device.vm_granularity()); }).code(),
            status::unsupported);
  const auto failure =
      error_of([&] { device.require(lull::capability::reset, "a reset of the device"); });
  EXPECT_THAT(failure.what(), HasSubstr("TEST0: a reset of the device needs 'reset'"));
}

TEST(Registry, FiguresThatAreNotKnownAreAbsent) {
  lull::registry_options options = only({module_file("good")});
  options.settings = {{"test", "used_bytes", "70"}, {"elsewhere", "x", "y"}};
  const lull::registry registry(std::move(options));
  const auto memory = registry.find("TEST0").memory();
  EXPECT_EQ(memory.total_bytes, 1000u);
  EXPECT_FALSE(memory.free_bytes);
  EXPECT_EQ(memory.used_by_process_bytes, 70u) << "the setting arrived";
}

TEST(Registry, AVendorsFailureComesWithCallCodeAndWords) {
  const lull::registry registry(only({module_file("good")}));
  const auto device = registry.find("TEST0");
  const auto failure = error_of([&] { static_cast<void>(device.allocate(2000)); });
  EXPECT_EQ(failure.code(), status::out_of_device_memory);
  EXPECT_STREQ(failure.what(), "TEST0: allocate: no room (testMalloc, code 2)");
  ASSERT_NE(failure.vendor(), nullptr);
  EXPECT_EQ(failure.vendor()->call, "testMalloc");
  EXPECT_EQ(failure.vendor()->code, 2);
}

struct bad_module {
  const char* name;
  module_state state;
  const char* reason;
};

void PrintTo(const bad_module& value, std::ostream* out) {
  *out << value.name;
}

class BadModule : public testing::TestWithParam<bad_module> {};

TEST_P(BadModule, IsListedWithItsReasonAndTheRestLoadsOn) {
  const lull::registry registry(only({module_file(GetParam().name), module_file("good")}));
  EXPECT_THAT(names(registry.devices()), ElementsAre("HOST", "TEST0", "TEST1"));
  const auto modules = registry.modules();
  const auto bad = std::find_if(modules.begin(), modules.end(), [](const auto& module) {
    return module.path == fs::canonical(module_file(GetParam().name));
  });
  ASSERT_NE(bad, modules.end());
  EXPECT_EQ(bad->state, GetParam().state);
  EXPECT_THAT(bad->reason, HasSubstr(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, BadModule,
    testing::Values(
        bad_module{"other_major", module_state::refused, "built for module ABI 3.3"},
        bad_module{"no_note", module_state::refused, "no lull backend"},
        bad_module{"no_entry", module_state::refused, "does not export lull_backend_entry"},
        bad_module{"null_table", module_state::refused, "returned no operations table"},
        bad_module{"throwing", module_state::refused, "no luck today"},
        bad_module{"small_table", module_state::refused, "the mandatory part alone has"},
        bad_module{"missing_slot", module_state::refused, "'device_count'"},
        bad_module{"half_group", module_state::refused, "'allocate' lacks 'deallocate'"},
        bad_module{"small_group", module_state::refused, "too few for one operation"},
        bad_module{"unresolved", module_state::refused, "lull_test_symbol_that_nobody_defines"},
        bad_module{"open_fails", module_state::refused,
                   "the driver is too old (testInit, code 35)"},
        bad_module{"name_clash", module_state::refused, "'HOST'"},
        bad_module{"unusable", module_state::unusable, "no driver is installed"}),
    [](const auto& instance) { return std::string(instance.param.name); });

TEST(Registry, CodeOfARefusedModuleNeverRuns) {
  ::unsetenv("LULL_TEST_CODE_HAS_RUN");
  load("other_major");
  load("no_note");
  EXPECT_EQ(std::getenv("LULL_TEST_CODE_HAS_RUN"), nullptr);
}

TEST(Registry, FilesThatAreNoModulesAreRefused) {
  lull::registry registry(only({"/nonexistent/module.so"}));
  EXPECT_THAT(registry.modules().back().reason, HasSubstr("No such file"));
  const fs::path path = fs::path(testing::TempDir()) / "liblull-backend-junk.so";
  std::ofstream(path) << "junk";
  EXPECT_THAT(registry.load(path).reason, HasSubstr("not an ELF file"));

  // A truncated module: mapping it would die with SIGBUS.
  fs::copy_file(module_file("good"), path, fs::copy_options::overwrite_existing);
  fs::resize_file(path, 5000);
  EXPECT_THAT(registry.load(path).reason, HasSubstr("truncated"));
  fs::copy_file(module_file("good"), path, fs::copy_options::overwrite_existing);
  EXPECT_EQ(registry.load(path).state, module_state::active) << "mended, and tried again";
  fs::remove(path);
}

TEST(Registry, OlderAndNewerMinorVersionsWork) {
  lull::registry older(only({module_file("older_table")}));
  EXPECT_FALSE(older.find("TEST0").supports(lull::capability::allocate));
  EXPECT_EQ(older.find("TEST0").memory().total_bytes, 1000u);
  lull::registry newer(only({module_file("newer_minor")}));
  EXPECT_TRUE(newer.find("TEST0").supports(lull::capability::allocate));
}

TEST(Registry, AnOperationThatCameLaterThanTheModuleIsUnsupported) {
  const lull::registry registry(only({module_file("older_group")}));
  const lull::device device = registry.find("TEST0");
  EXPECT_TRUE(device.supports(lull::capability::allocate));
  void* const address = device.allocate(10);
  EXPECT_EQ(error_of([&] { device.deallocate(address, 10); }).code(), lull::status::unsupported);
  std::free(address);
}

TEST(Registry, AGroupOfAnotherVersionIsNotUsedAndTheRestIs) {
  const lull::registry registry(only({module_file("other_group")}));
  const lull::device device = registry.find("TEST0");
  EXPECT_FALSE(device.supports(lull::capability::allocate));
  EXPECT_EQ(error_of([&] { static_cast<void>(device.allocate(1)); }).code(),
            lull::status::unsupported);
  EXPECT_EQ(device.memory().total_bytes, 1000u);
  EXPECT_EQ(registry.modules()[1].state, module_state::active);
  EXPECT_THAT(registry.modules()[1].reason, HasSubstr("'allocate' is of version 2"));
}

TEST(Registry, TheHighestScoreWins) {
  const lull::registry registry(only({module_file("good"), module_file("better")}));
  EXPECT_THAT(names(registry.devices()), ElementsAre("HOST", "TEST0"));
  const auto modules = registry.modules();
  ASSERT_EQ(modules.size(), 3u);
  EXPECT_EQ(modules[1].score, 20);
  EXPECT_EQ(modules[1].state, module_state::active);
  EXPECT_EQ(modules[2].state, module_state::superseded);
  EXPECT_THAT(modules[2].reason, HasSubstr("liblull-backend-better.so"));
}

TEST(Registry, IfTheFirstCannotBeOpenedTheNextIsUsed) {
  const lull::registry registry(only({module_file("open_fails"), module_file("good")}));
  EXPECT_THAT(names(registry.devices()), ElementsAre("HOST", "TEST0", "TEST1"));
  EXPECT_EQ(registry.modules()[1].state, module_state::refused);
}

TEST(Registry, LoadingTwiceIsHarmless) {
  lull::registry registry(only({module_file("good")}));
  const fs::path link = fs::path(testing::TempDir()) / "lull-link.so";
  fs::remove(link);
  fs::create_symlink(module_file("good"), link);
  EXPECT_EQ(registry.load(module_file("good")).state, module_state::active);
  EXPECT_EQ(registry.load(link).state, module_state::active);
  EXPECT_EQ(registry.devices().size(), 3u);
  EXPECT_EQ(registry.modules().size(), 2u);
  fs::remove(link);
}

TEST(Registry, DevicesInUseAreNotExchanged) {
  lull::registry registry(only({module_file("good")}));
  EXPECT_EQ(registry.load(module_file("better")).state, module_state::superseded);
  EXPECT_EQ(registry.devices().size(), 3u);
}

TEST(Registry, UnloadsWhenNothingRefersToADevice) {
  lull::registry registry(only({module_file("good")}));
  {
    const auto device = registry.find("TEST1");
    const auto failure = error_of([&] { registry.unload("test"); });
    EXPECT_EQ(failure.code(), status::busy);
    EXPECT_THAT(failure.what(), HasSubstr("TEST1"));
  }
  registry.unload("test");
  EXPECT_THAT(names(registry.devices()), ElementsAre("HOST"));
  EXPECT_EQ(::dlopen(module_file("good").c_str(), RTLD_NOLOAD | RTLD_NOW), nullptr)
      << "the module is still mapped";
  EXPECT_EQ(registry.load(module_file("better")).state, module_state::active);
  EXPECT_EQ(error_of([&] { registry.unload("none"); }).code(), status::not_found);
  EXPECT_EQ(error_of([&] { registry.unload("host"); }).code(), status::invalid_argument);
}

TEST(Registry, DevicesOutliveIt) {
  std::optional<lull::registry> registry(only({module_file("good")}));
  const auto device = registry->find("TEST0");
  registry.reset();
  void* const address = device.allocate(10);
  EXPECT_EQ(device.memory().used_by_process_bytes, 10u);
  device.deallocate(address, 10);
}

TEST(Registry, FindsByNamePciAddressAndUuidInAnyCase) {
  const lull::registry registry(only({module_file("good")}));
  for (const char* name :
       {"TEST1", "test1", "0000:61:00.0", "61:00.0", "00000000:61:00.0", "GPU-abc1", "gpu-ABC1"}) {
    EXPECT_EQ(registry.find(name).name(), "TEST1") << name;
  }
  for (const char* name : {"", "TEST", "1:00.0", "TEST10"}) {
    const auto failure = error_of([&] { static_cast<void>(registry.find(name)); });
    EXPECT_EQ(failure.code(), status::not_found) << name;
    EXPECT_THAT(failure.what(), HasSubstr("HOST, TEST0, TEST1"));
  }
}

TEST(Registry, SelectsByListAndByEnvironment) {
  const lull::registry registry(only({module_file("good")}));
  EXPECT_EQ(registry.select().size(), 3u);
  EXPECT_THAT(names(registry.select("test1, HOST")), ElementsAre("TEST1", "HOST"));
  EXPECT_EQ(error_of([&] { static_cast<void>(registry.select("HOST,host")); }).code(),
            status::invalid_argument);
  EXPECT_EQ(error_of([&] { static_cast<void>(registry.select("HOST,,TEST0")); }).code(),
            status::invalid_argument);
  const environment chosen("LULL_DEVICES", "TEST0");
  EXPECT_THAT(names(registry.select()), ElementsAre("TEST0"));
  EXPECT_THAT(names(registry.select("HOST")), ElementsAre("HOST")) << "a list goes before it";
  const environment wrong("LULL_DEVICES", "CUDA7");
  EXPECT_THAT(error_of([&] { static_cast<void>(registry.select()); }).what(),
              HasSubstr("LULL_DEVICES"));
}

TEST(RegistrySearch, TakesDirectoriesAndTheEnvironment) {
  const environment path("LULL_BACKEND_PATH", module_file("better").parent_path().string() + "::" +
                                                  module_file("unusable").string() + ":relative");
  lull::registry_options options;
  options.module_paths = {module_file("good").parent_path()};
  const lull::registry registry(std::move(options));
  std::vector<std::string> seen;
  for (const auto& module : registry.modules()) {
    seen.push_back(module.path.filename().string() + " " + std::string(to_string(module.state)));
  }
  EXPECT_THAT(seen, testing::UnorderedElementsAre(" active", "relative refused",
                                                  "liblull-backend-better.so active",
                                                  "liblull-backend-good.so superseded",
                                                  "liblull-backend-unusable.so unusable"));
}

TEST(RegistrySearch, TheFirstFoundWinsAmongEquals) {
  const fs::path copy = fs::path(testing::TempDir()) / "lull-first";
  fs::create_directories(copy);
  fs::copy_file(module_file("good"), copy / "liblull-backend-good.so",
                fs::copy_options::overwrite_existing);
  const environment path("LULL_BACKEND_PATH", module_file("good").parent_path());
  lull::registry_options options;
  options.module_paths = {copy};
  const lull::registry registry(std::move(options));
  for (const auto& module : registry.modules()) {
    if (module.state == module_state::active && !module.path.empty()) {
      EXPECT_EQ(module.path.parent_path(), fs::canonical(copy));
    }
  }
  fs::remove_all(copy);
}

TEST(RegistrySearch, NeverLooksInTheCurrentDirectory) {
  const fs::path before = fs::current_path();
  fs::current_path(module_file("good").parent_path());
  for (const char* list : {"", ":", ".", "./", "liblull-backend-good.so"}) {
    const environment path("LULL_BACKEND_PATH", list);
    const lull::registry registry;
    EXPECT_EQ(registry.devices().size(), 1u) << "'" << list << "'";
  }
  fs::current_path(before);
}

TEST(RegistrySearch, LooksBesideTheProgram) {
  // Linked statically the library's directory is the program's.
  const fs::path beside = fs::canonical("/proc/self/exe").parent_path();
  const fs::path copy = beside / "liblull-backend-beside.so";
  fs::copy_file(module_file("good"), copy, fs::copy_options::overwrite_existing);
  const lull::registry registry;
  EXPECT_EQ(registry.devices().size(), 3u);
  fs::remove(copy);
}

TEST(Registry, TakesABackendThatIsLinkedIn) {
  static lull_backend_ops broken{};
  lull::registry registry(only({}));
  EXPECT_EQ(registry.add(broken).state, module_state::refused);
  EXPECT_EQ(registry.modules().size(), 2u);
}

TEST(Registry, AStatusThatNobodyKnowsIsStillAFailure) {
  static lull_backend_ops odd = [] {
    lull_backend_ops ops{};
    ops.abi_version = LULL_BACKEND_ABI_VERSION;
    ops.struct_size = sizeof ops;
    ops.name = "odd";
    ops.score = [](char*, std::uint64_t) -> std::int32_t { return 1; };
    ops.open = [](const lull_backend_setting*, std::uint64_t, lull_backend**, lull_backend_error*) {
      return static_cast<lull_status>(4711);
    };
    ops.close = [](lull_backend*) {};
    ops.device_count = [](lull_backend*) -> std::uint32_t { return 0; };
    ops.device_describe = [](lull_backend*, std::uint32_t, lull_backend_device*,
                             lull_backend_error*) { return LULL_OK; };
    ops.memory_info = [](lull_backend*, std::uint32_t, lull_backend_memory*, lull_backend_error*) {
      return LULL_OK;
    };
    return ops;
  }();
  lull::registry registry(only({}));
  const auto info = registry.add(odd);
  EXPECT_EQ(info.state, module_state::refused);
  EXPECT_EQ(info.reason, "open: unknown status");
}

TEST(Registry, LogsWhatBecameOfAModule) {
  std::vector<std::string> lines;
  lull::registry_options options = only({module_file("throwing")});
  options.log = lull::log_sink([&](lull::log_level level, std::string_view line) {
    lines.push_back(std::string(to_string(level)) + ": " + std::string(line));
  });
  const lull::registry registry(std::move(options));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], testing::StartsWith("warning: module /"));
  EXPECT_THAT(lines[0], HasSubstr("no luck today"));
}

TEST(Registry, CanBeUsedFromManyThreads) {
  lull::registry registry(only({}));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry, t] {
      for (int i = 0; i < 30; ++i) {
        registry.load(module_file(t % 2 == 0 ? "good" : "better"));
        for (const auto& device : registry.devices()) static_cast<void>(device.memory());
        static_cast<void>(registry.modules());
        try {
          registry.unload("test");
        } catch (const lull::error&) {
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(registry.find("HOST").name(), "HOST");
}

// The registry of the process is made once, and would lack the module for ever.
TEST(SharedRegistry, LooksAgainForWhatItCouldNotLoadForWantOfDescriptors) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // in a process of its own, which has none yet
  const auto state = [] {
    for (const auto& each : lull::registry::shared().modules()) {
      if (each.path == fs::canonical(module_file("good"))) return each.state;
    }
    return module_state::superseded;
  };
  const auto look_twice = [&] {
    const environment path("LULL_BACKEND_PATH", module_file("hog").parent_path().string() + ":" +
                                                    module_file("good").parent_path().string());
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    static_cast<void>(lull::registry::shared());
    ::setrlimit(RLIMIT_NOFILE, &before);
    if (state() == module_state::active) std::exit(1);
    if (!lull::test::eventually([&] { return state() == module_state::active; })) std::exit(2);
    for (const auto& each : lull::registry::shared().modules()) {
      if (each.reason.find("Too many open files") != std::string::npos) std::exit(3);
    }
    std::exit(0);
  };
  EXPECT_EXIT(look_twice(), testing::ExitedWithCode(0), "");
}

TEST(SharedRegistry, WithoutADescriptorForTheHostIsMadeLater) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto make_twice = [] {
    {
      const lull::test::few_descriptors now(0);
      if (error_of([] { lull::registry::shared(); }).code() != status::io) std::exit(1);
    }
    std::exit(lull::registry::shared().find("HOST").name() == "HOST" ? 0 : 2);
  };
  EXPECT_EXIT(make_twice(), testing::ExitedWithCode(0), "");
}

}  // namespace
