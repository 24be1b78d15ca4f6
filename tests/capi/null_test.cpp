// Every function of the C API with a null for each pointer that it takes: refused by the
// parameter's name, unless the function's comment says that it may be null. The calls are generated
// from the headers (generate_checks.cmake).

#include "support/c_api_arguments.hpp"

namespace lull::test {
namespace {

using c_api::arguments;
using c_api::objects;
using c_api::parameter;

class null_checks {
 public:
  explicit null_checks(const objects& all) : all_(all) {}

  template <class Result, class... Arguments>
  void operator()(const char* name, Result (*function)(Arguments...),
                  const std::vector<parameter>& parameters) const {
    SCOPED_TRACE(name);
    ASSERT_EQ(parameters.size(), sizeof...(Arguments)) << "read from the header";
    if constexpr (std::is_same_v<Result, lull_status>) {
      each_null(function, parameters, std::index_sequence_for<Arguments...>());
    } else {
      // Giving back and plain values: all accept null.
      const std::array<bool, sizeof...(Arguments) + 1> all_null{
          (static_cast<void>(sizeof(Arguments)), true)..., true};
      arguments made(all_);
      const auto call = [&]<std::size_t... I>(std::index_sequence<I...>) {
        return function(argument<Arguments>(made, all_null[I])...);
      };
      using indices = std::index_sequence_for<Arguments...>;
      if constexpr (std::is_void_v<Result> || !(std::is_pointer_v<Arguments> || ...)) {
        static_cast<void>(call(indices()));
      } else if constexpr (std::is_same_v<Result, const char*>) {
        EXPECT_STREQ(call(indices()), "");
      } else {
        EXPECT_EQ(call(indices()), Result());
      }
    }
  }

 private:
  template <class T>
  static T argument(arguments& made, bool null) {
    if constexpr (std::is_pointer_v<T>) {
      if (null) return nullptr;
    }
    return made.make<T>();
  }

  /// What may be null is null in every call, so that it is not what is complained about.
  template <class... Arguments, std::size_t... I>
  void each_null(lull_status (*function)(Arguments...), const std::vector<parameter>& parameters,
                 std::index_sequence<I...>) const {
    const std::array<bool, sizeof...(Arguments)> is_pointer{std::is_pointer_v<Arguments>...};
    for (std::size_t which = 0; which < parameters.size(); ++which) {
      if (!is_pointer[which] || parameters[which].may_be_null) continue;
      arguments made(all_);
      EXPECT_EQ(function(argument<Arguments>(made, I == which || parameters[I].may_be_null)...),
                LULL_ERROR_INVALID_ARGUMENT)
          << parameters[which].name << ", which the header does not say may be null";
      EXPECT_EQ(lull_last_error_message(), std::string(parameters[which].name) + " is null");
    }
  }

  const objects& all_;
};

TEST(CApiNull, EveryNullIsNamedUnlessTheHeaderAllowsIt) {
  const std::uint64_t holds = lull_graph_hold_count();
  {
    objects all;
    const null_checks check(all);
    all.with_all([&] {
#include "null_checks.inc"
    });
  }
  EXPECT_EQ(lull_graph_hold_count(), holds) << "a call that fails has made nothing";
}

}  // namespace
}  // namespace lull::test
