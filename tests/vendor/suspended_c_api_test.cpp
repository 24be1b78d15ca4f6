// Every function of the C API while the process is suspended, when a call of the management library
// would not return and one of the driver would wait: none makes such a call. The calls are
// generated from the headers (generate_checks.cmake), so that the next function is covered.

#include <unistd.h>

#include <future>
#include <set>
#include <string_view>
#include <thread>

#include "support/c_api_arguments.hpp"
#include "support/eventually.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using namespace std::chrono_literals;

/// Those that are not called here, and why not.
bool is_left_out(std::string_view name) {
  static const std::set<std::string_view> names{
      // They replace this process, or take its descriptors.
      "lull_rebirth_execute", "lull_rebirth_take", "lull_file_source_adopt",
      // Their allocator is a void*, which is not told from other memory here.
      "lull_allocator_alloc", "lull_allocator_free",
      // They restore it whenever the sleeper comes to it, at another function's time.
      "lull_sleeper_wake", "lull_sleeper_acquire", "lull_sleeper_acquire_with",
      "lull_sleeper_acquire_async",
      // What is handed to them here ends before the sleeper.
      "lull_sleeper_manage_graphs", "lull_sleeper_add"};
  // What ends objects is called when the test ends them.
  return names.contains(name) || name.ends_with("_destroy") || name.ends_with("_release");
}

class SuspendedCApi : public Vendor {
 protected:
  lull_device* find_device() {
    const std::string module =
        std::string(LULL_TEST_BACKENDS) + "/liblull-backend-" + GetParam().name + ".so";
    const char* const paths[] = {module.c_str()};
    lull_registry_options options;
    lull_registry_options_init(&options);
    options.search = 0;
    options.module_paths = paths;
    options.module_path_count = 1;
    lull_device* device = nullptr;
    EXPECT_EQ(lull_registry_create(&options, &registry_), LULL_OK);
    EXPECT_EQ(lull_registry_find(registry_, GetParam().device.c_str(), &device), LULL_OK);
    return device;
  }
  lull_sleeper* make_sleeper() {
    lull_sleeper_suspend_options how;
    lull_sleeper_suspend_options_init(&how);
    how.host_margin_bytes = 0;
    how.free_bytes_user = this;
    how.free_bytes = [](void* user, lull_free_bytes* into) {
      return lull_free_bytes_add(into, static_cast<SuspendedCApi*>(user)->GetParam().device.c_str(),
                                 std::uint64_t{1} << 40);
    };
    lull_sleeper_options options;
    lull_sleeper_options_init(&options);
    options.suspend = &how;
    lull_sleeper* made = nullptr;
    EXPECT_EQ(lull_sleeper_create(&options, &made), LULL_OK) << lull_last_error_message();
    return made;
  }
  [[nodiscard]] bool is_suspended() const {
    return here_.gpu().process_state(::getpid()) == suspended;
  }
  void suspend(lull_sleeper* by) const {
    if (is_suspended()) return;
    lull_sleep_plan plan;
    ASSERT_EQ(lull_sleep_plan_init(&plan, LULL_LEVEL_SUSPEND), LULL_OK);
    ASSERT_EQ(lull_sleeper_sleep(by, &plan, nullptr), LULL_OK) << lull_last_error_message();
    ASSERT_TRUE(is_suspended());
  }

  machine here_{GetParam()};
  lull_registry* registry_ = nullptr;
};

/// Calls a function with arguments that are in order, on a thread that may not come back.
class calls {
 public:
  calls(const c_api::objects& all, simgpu::world& gpu, bool optional_too,
        std::function<void()> before_each, std::function<void()> restore)
      : all_(all),
        gpu_(gpu),
        optional_too_(optional_too),
        before_each_(std::move(before_each)),
        restore_(std::move(restore)) {}

  template <class Result, class... Arguments>
  void operator()(const char* name, Result (*function)(Arguments...),
                  const std::vector<c_api::parameter>& parameters) {
    run(name, [&](c_api::arguments& made) {
      call(function, made, parameters, std::index_sequence_for<Arguments...>());
    });
  }

  int count = 0;

 private:
  /// Apart from the functions' types, so that it is compiled once.
  void run(std::string_view name, const std::function<void(c_api::arguments& made)>& function) {
    if (is_left_out(name) || testing::Test::HasFatalFailure()) return;
    before_each_();
    const int waited = gpu_.calls_that_waited();
    std::promise<void> returned;
    std::thread caller([&] {
      {
        c_api::arguments made(all_);
        function(made);
      }
      returned.set_value();
    });
    auto back = returned.get_future();
    const auto is_back = [&] { return back.wait_for(0s) == std::future_status::ready; };
    const auto waits = [&] { return gpu_.calls_that_waited() != waited; };
    static_cast<void>(eventually([&] { return is_back() || waits(); }));
    EXPECT_FALSE(waits()) << name << " called what waits for the restore";
    if (!is_back()) {
      EXPECT_TRUE(waits()) << name << " has not returned";
      restore_();
      if (back.wait_for(patience) != std::future_status::ready) {
        std::fprintf(stderr, "%s has not returned\n", std::string(name).c_str());
        ::_exit(1);  // nobody can end that thread
      }
    }
    caller.join();
    ++count;
  }

  template <class Result, class... Arguments, std::size_t... I>
  void call(Result (*function)(Arguments...), c_api::arguments& made,
            const std::vector<c_api::parameter>& parameters, std::index_sequence<I...>) {
    static_cast<void>(function(argument<Arguments>(made, parameters[I].may_be_null)...));
  }
  template <class T>
  T argument(c_api::arguments& made, bool optional) {
    if constexpr (std::is_pointer_v<T>) {
      if (optional && !optional_too_) return nullptr;
    }
    return made.make<T>();
  }

  const c_api::objects& all_;
  simgpu::world& gpu_;
  bool optional_too_;
  std::function<void()> before_each_;
  std::function<void()> restore_;
};

TEST_P(SuspendedCApi, NoFunctionOfItCallsWhatWouldNotReturn) {
  lull_device* const device = find_device();
  lull_device_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(lull_device_describe(device, &info), LULL_OK);
  if ((info.capabilities & LULL_CAP_SUSPEND) == 0) {
    lull_device_destroy(device);
    lull_registry_destroy(registry_);
    GTEST_SKIP() << "the vendor cannot";
  }
  c_api::objects all(registry_, device);
  lull_sleeper* const sleeper = make_sleeper();
  ASSERT_EQ(lull_sleeper_manage_memory(sleeper, all.get(static_cast<lull_memory*>(nullptr))),
            LULL_OK);
  all.use(sleeper);
  for (const bool optional_too : {false, true}) {
    calls check(
        all, here_.gpu(), optional_too, [&] { suspend(sleeper); },
        [&] { EXPECT_EQ(lull_sleeper_wake(sleeper, LULL_FOREVER, nullptr), LULL_OK); });
#include "null_checks.inc"
    EXPECT_GT(check.count, 150);
  }
  EXPECT_EQ(lull_sleeper_wake(sleeper, LULL_FOREVER, nullptr), LULL_OK)
      << lull_last_error_message();
}

INSTANTIATE_TEST_SUITE_P(Modules, SuspendedCApi, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
