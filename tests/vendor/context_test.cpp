// What a program makes once per process, and a reset takes away: it is made again, or refused.

#include <dlfcn.h>

#include "support/expect_error.hpp"
#include "vendor/vendor_fixture.hpp"

namespace lull::test {
namespace {

using testing::HasSubstr;

class Context : public Vendor {};

#ifdef LULL_TEST_CUDA

/// The part of a kernel library that the known crash is about: a kernel that wants more shared
/// memory than is allowed by default has to say so before its first launch, once in every context.
class kernel_library {
 public:
  using set_attribute_fn = int (*)(const void*, int, int);

  kernel_library()
      : handle_(::dlopen("libcudart.so.13", RTLD_NOW)),
        set_device_(symbol<int (*)(int)>("cudaSetDevice")),
        set_attribute_(symbol<set_attribute_fn>("cudaFuncSetAttribute")),
        launch_(symbol<launch_fn>("cudaLaunchKernel")) {}

  void allow() const {
    constexpr int max_dynamic_shared_memory_size = 8;  // cudaFuncAttribute, driver_types.h
    ASSERT_EQ(set_attribute_(this, max_dynamic_shared_memory_size, shared_bytes), 0);
  }
  [[nodiscard]] int launch() const {
    set_device_(0);
    return launch_(this, {1, 1, 1}, {1, 1, 1}, nullptr, shared_bytes, nullptr);
  }

 private:
  struct extent {
    unsigned x, y, z;
  };
  using launch_fn = int (*)(const void*, extent, extent, void**, std::size_t, void*);

  template <class Function>
  Function symbol(const char* name) const {
    return reinterpret_cast<Function>(::dlsym(handle_, name));
  }

  static constexpr int shared_bytes = 96 << 10;
  void* handle_;
  int (*set_device_)(int);
  set_attribute_fn set_attribute_;
  launch_fn launch_;
};

vendor_case cuda_case() {
  for (const vendor_case& each : vendor_cases()) {
    if (each.name == "cuda") return each;
  }
  return {};
}

// ggml-org/llama.cpp issues 24328 and 24682: the server came back from its second sleep and
// crashed, because a `static bool` remembered that the attribute had been raised.
TEST(StaleStatics, AStaticFlagCrashesOnTheSecondWake) {
  machine here(cuda_case());
  const device which = here.device();
  const kernel_library kernels;
  const auto run = [&] {
    static bool raised = false;
    if (!raised) kernels.allow();
    raised = true;
    return kernels.launch();
  };
  which.context_create();
  EXPECT_EQ(run(), 0);
  dev_reset(which);
  EXPECT_NE(run(), 0);
}

// cuda.h, cuDevicePrimaryCtxReset: what was retained has to be released all the same.
TEST(CudaContext, ThatTheProgramResetItselfIsNotKeptAliveAfterClosing) {
  machine here(cuda_case());
  {
    const device which = here.device();
    which.context_create();
    ASSERT_EQ(here.gpu().reset(0), simgpu::code::ok);
    which.context_create();
  }
  here.close();
  EXPECT_EQ(here.gpu().take_stock().contexts, 0);
}

TEST(StaleStatics, OncePerContextDoesNot) {
  machine here(cuda_case());
  const device which = here.device();
  const kernel_library kernels;
  once_per_context raised;
  int times = 0;
  const auto run = [&] {
    raised.call(which, [&] {
      kernels.allow();
      ++times;
    });
    return kernels.launch();
  };
  which.context_create();
  for (int wake = 1; wake <= 5; ++wake) {
    EXPECT_EQ(run(), 0);
    EXPECT_EQ(run(), 0);
    EXPECT_EQ(times, wake);
    dev_reset(which);
  }
}

#endif

TEST_P(Context, OncePerContextTriesAgainAfterAFailure) {
  machine here(GetParam());
  once_per_context done;
  int calls = 0;
  const auto fail_first = [&] {
    if (++calls == 1) throw std::runtime_error("no");
  };
  EXPECT_THROW(done.call(here.device(), fail_first), std::runtime_error);
  done.call(here.device(), fail_first);
  done.call(here.device(), fail_first);
  EXPECT_EQ(calls, 2);
  done.call(here.device(1), fail_first);
  EXPECT_EQ(calls, 3) << "every device has a context of its own";
}

TEST_P(Context, CapturedWorkIsStaleUntilItIsMadeAgain) {
  machine here(GetParam());
  const device which = here.device();
  const auto capture = [&] {
    void* graph = nullptr;
    EXPECT_EQ(here.gpu().graph_create(0, 1_MiB, &graph), simgpu::code::ok);
    return graph;
  };
  context_bound<void*> graph(which, capture());
  EXPECT_NO_THROW(static_cast<void>(graph.get()));
  dev_reset(which);
  EXPECT_TRUE(graph.stale());
  const error failure = error_of([&] { static_cast<void>(graph.get()); });
  EXPECT_EQ(failure.code(), status::stale);
  EXPECT_THAT(failure.what(), HasSubstr(GetParam().device));
  graph.remake(capture());
  EXPECT_EQ(here.gpu().graph_use(graph.get()), simgpu::code::ok);
}

TEST_P(Context, AContextLocalIsDestroyedBeforeTheResetAndRemadeAfterIt) {
  machine here(GetParam());
  const device which = here.device();
  struct handle {
    explicit handle(const device& on) : where(on), stream(on.stream_create()) {}
    ~handle() { where.stream_destroy(stream); }
    device where;
    stream_handle stream;
  };
  context_local<handle> library(which, "blas",
                                [](const device& on) { return std::make_unique<handle>(on); });
  auto held = library.get();
  const error failure = error_of([&] { dev_reset(which); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("'blas' is in use"));
  held.reset();
  EXPECT_TRUE(dev_reset(which).was_reset);
  EXPECT_NO_THROW(which.stream_synchronize(library.get()->stream));
}

// What is made after the hooks before have run would live in a context that is about to go.
TEST_P(Context, IsRefusedWhenAContextLocalWasMadeAgainMeanwhile) {
  machine here(GetParam());
  const device which = here.device();
  const std::uint64_t first_generation = which.generation();
  which.context_create();
  std::function<void()> meanwhile = [] {};
  const reset_hook last(which, "last", [&](const reset_event&) { meanwhile(); }, {});
  context_local<int> library(which, "blas", [](const device&) { return std::make_unique<int>(7); });
  meanwhile = [&] { std::thread([&] { EXPECT_EQ(*library.get(), 7); }).join(); };
  const error failure = error_of([&] { dev_reset(which); });
  EXPECT_EQ(failure.code(), status::busy);
  EXPECT_THAT(failure.what(), HasSubstr("'blas' was made again"));
  EXPECT_EQ(which.generation(), first_generation);
  meanwhile = [] {};
  EXPECT_TRUE(dev_reset(which).was_reset);
}

/// What a program calls for itself: its thread's device, by the vendor's runtime.
class own_calls {
 public:
  explicit own_calls(const vendor_case& vendor)
      : library_(::dlopen(library_of(vendor.which), RTLD_NOW)),
        set_(
            reinterpret_cast<int (*)(int)>(::dlsym(library_, (vendor.name + "SetDevice").c_str()))),
        get_(reinterpret_cast<int (*)(int*)>(
            ::dlsym(library_, (vendor.name + "GetDevice").c_str()))) {}

  void set_device(int device) const { EXPECT_EQ(set_(device), 0); }
  [[nodiscard]] int device() const {
    int now = -1;
    EXPECT_EQ(get_(&now), 0);
    return now;
  }

 private:
  static const char* library_of(simgpu::vendor which) {
    switch (which) {
      case simgpu::vendor::cuda: return "libcudart.so.13";
      case simgpu::vendor::hip: return "libamdhip64.so.5";
      case simgpu::vendor::musa: return "libmusart.so.5";
    }
    return "";
  }

  void* library_;
  int (*set_)(int);
  int (*get_)(int*);
};

// Setting a thread's device makes a context there, with CUDA since 12.0 and with MUSA. So what puts
// it back must not be that.
TEST_P(Context, WorkOnOneDeviceLeavesTheThreadAndTheOtherDevicesAsTheyWere) {
  machine here(GetParam());
  const own_calls program(GetParam());
  std::thread([&] {
    program.set_device(0);
    here.device(0).context_create();
    dev_reset(here.device(0));
    const int before = here.gpu().contexts_created();
    const device which = here.device(1);
    memory regions;
    {
      const region weights = regions.allocate(which, 4_MiB);
      which.deallocate(which.allocate(1_MiB), 1_MiB);
      EXPECT_EQ(here.gpu().contexts_created(), before + 1) << "that of the device worked on";
      dev_reset(which, {.drop = true});
    }
    EXPECT_EQ(here.gpu().contexts_created(), before + 1) << "nothing is given up in a new one";
    EXPECT_EQ(here.gpu().take_stock().contexts, 0);
    EXPECT_EQ(here.gpu().take_stock().reservations, 0);
    EXPECT_EQ(program.device(), 0);
  }).join();
}

INSTANTIATE_TEST_SUITE_P(Modules, Context, testing::ValuesIn(vendor_cases()), case_name);

}  // namespace
}  // namespace lull::test
