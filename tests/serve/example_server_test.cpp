// The example server, as one of several behind the router.

#include "gguf/writer.hpp"
#include "serve/router_fixture.hpp"

namespace {

using lull::test::router_test;
using nlohmann::json;
using testing::HasSubstr;

class ExampleServers : public router_test {
 protected:
  /// Of 48 MiB, and room for two of three.
  void three_models() {
    set_capacity("150MiB");
    for (const std::string name : {"a", "b", "c"}) {
      const std::string file = (scratch_.path() / (name + ".gguf")).string();
      gguf::write_model(file, {.total_bytes = std::uint64_t{48} << 20, .blocks = 2});
      given_model what;
      what.memory = "65MiB";
      what.keys = fmt::format(
          "cmd: {} --model {} --port {} --kv-size 0 --offload-dir {}\n"
          "ladder: [{{level: offload, left: {{HOST: 10MiB}}}}, stop]",
          LULL_EXAMPLE_SERVER, file, what.port, scratch_.path().string());
      add(name, what);
    }
  }
  answered complete(const std::string& model) const {
    return post("/completion",
                json{{"model", model}, {"prompt", "tell me"}, {"n_predict", 8}}.dump());
  }
};

TEST_F(ExampleServers, AnswerTheSameBeforeAndAfterTheySlept) {
  three_models();
  start();
  const auto first = complete("a");
  ASSERT_EQ(first.status, 200) << first.raw;
  ASSERT_EQ(complete("b").status, 200);
  ASSERT_EQ(complete("c").status, 200);
  EXPECT_EQ(state_of("a"), "asleep") << "the one that was used least recently";
  const int id = model("a").at("pid");
  const auto again = complete("a");
  ASSERT_EQ(again.status, 200) << again.raw;
  EXPECT_EQ(again.body.at("content"), first.body.at("content"));
  EXPECT_EQ(model("a").at("pid"), id) << "it was woken, and not started again";
}

}  // namespace
