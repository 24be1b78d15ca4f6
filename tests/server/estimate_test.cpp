#include "gguf/estimate.hpp"

#include <lull/bytes.hpp>

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "file_text.hpp"
#include "gguf/writer.hpp"
#include "support/scratch_folder.hpp"

namespace {

using namespace lull::literals;
using gguf::memory_estimate;
using gguf::model_use;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;

/// Of 8 layers, heads of 64 and a context of 4096 that it was trained for.
gguf::model_options small_llama() {
  return {.total_bytes = 4_MiB,
          .blocks = 8,
          .context_length = 4096,
          .embedding_length = 1024,
          .heads = 16,
          .kv_heads = 4};
}

model_use on_one() {
  model_use use;
  use.devices = {{"CUDA0"}};
  use.per_device_bytes = 0;
  return use;
}

class Estimate : public testing::Test {
 protected:
  gguf::model_header written(const gguf::model_options& options) {
    gguf::write_model(path_, options);
    return gguf::read_header(path_);
  }
  gguf::model_header read(const file_text& text) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << text.bytes;
    return gguf::read_header(path_);
  }
  static std::uint64_t bytes_of(const gguf::model_header& header, const std::string& begin) {
    std::uint64_t sum = 0;
    for (const auto& each : header.tensors) {
      if (each.name.starts_with(begin)) sum += each.size_bytes;
    }
    return sum;
  }
  static std::string why(const gguf::model_header& header, const model_use& use) {
    try {
      (void)gguf::estimate(header, use);
    } catch (const gguf::model_error& failure) {
      return failure.what();
    }
    return "nothing is wrong";
  }

  lull::test::scratch_folder folder_;
  std::filesystem::path path_ = folder_.path() / "model.gguf";
};

TEST_F(Estimate, WeightsAndContextAreAddedUp) {
  const auto header = written(small_llama());
  auto use = on_one();
  use.per_device_bytes = 100_MiB;
  const memory_estimate all = gguf::estimate(header, use);
  ASSERT_THAT(all.devices, ElementsAre(Key("CUDA0"), Key("HOST")));
  const auto& gpu = all.devices.at("CUDA0");
  EXPECT_EQ(all.devices.at("HOST").total_bytes(), bytes_of(header, "token_embd"));
  EXPECT_EQ(gpu.weight_bytes, header.tensor_bytes() - bytes_of(header, "token_embd"));
  EXPECT_TRUE(all.context_known);
  EXPECT_EQ(all.context_tokens, 4096U);
  EXPECT_EQ(gpu.context_bytes, 8U * 4096 * (4 * 64 * 2 + 4 * 64 * 2));
  EXPECT_EQ(gpu.other_bytes, 100_MiB);
  EXPECT_EQ(all.total_bytes(), header.tensor_bytes() + gpu.context_bytes + 100_MiB);
}

TEST_F(Estimate, ASlotHasItsPartOfTheContextRoundedUp) {
  const auto header = written(small_llama());
  auto use = on_one();
  use.context_tokens = 1000;
  use.slots = 3;
  EXPECT_EQ(gguf::estimate(header, use).context_tokens, 3U * 512);
  use.slots = 1;
  EXPECT_EQ(gguf::estimate(header, use).context_tokens, 1024U);
}

TEST_F(Estimate, KeysAndValuesHaveTypesOfTheirOwn) {
  const auto header = written(small_llama());
  auto use = on_one();
  const std::uint64_t before = gguf::estimate(header, use).devices.at("CUDA0").context_bytes;
  use.key_type = 8;  // Q8_0: 34 bytes for 32
  const std::uint64_t after = gguf::estimate(header, use).devices.at("CUDA0").context_bytes;
  EXPECT_EQ(after, before / 2 + before / 4 * 34 / 32);
  use.key_type = 12;  // Q4_K: blocks of 256, which 4 heads of 64 are
  EXPECT_EQ(gguf::estimate(header, use).devices.at("CUDA0").context_bytes, 8U * 4096 * (144 + 512));
}

TEST_F(Estimate, WithoutADeviceAllStaysInHostMemory) {
  const auto header = written(small_llama());
  const memory_estimate all = gguf::estimate(header, {});
  ASSERT_THAT(all.devices, ElementsAre(Key("HOST")));
  EXPECT_EQ(all.devices.at("HOST").weight_bytes, header.tensor_bytes());
  EXPECT_EQ(all.devices.at("HOST").other_bytes, 0U);
}

TEST_F(Estimate, TheLastLayersGoToDevicesAndTheirContextWithThem) {
  const auto header = written(small_llama());
  auto use = on_one();
  use.device_layers = 3;  // the output and two layers
  const memory_estimate all = gguf::estimate(header, use);
  EXPECT_EQ(all.devices.at("CUDA0").weight_bytes,
            bytes_of(header, "output") + bytes_of(header, "blk.6.") + bytes_of(header, "blk.7."));
  EXPECT_EQ(all.devices.at("HOST").context_bytes, 3 * all.devices.at("CUDA0").context_bytes);
  use.device_layers = 0;
  EXPECT_THAT(gguf::estimate(header, use).devices, ElementsAre(Key("HOST")));
}

TEST_F(Estimate, LayersAreSplitByShares) {
  const auto header = written(small_llama());
  auto use = on_one();
  use.devices = {{"CUDA0", 2}, {"CUDA1", 1}};  // 6 of 9 places, 3 of 9
  const memory_estimate all = gguf::estimate(header, use);
  EXPECT_EQ(all.devices.at("CUDA0").context_bytes, 3 * all.devices.at("CUDA1").context_bytes);
  EXPECT_EQ(all.devices.at("CUDA1").weight_bytes,
            bytes_of(header, "output") + bytes_of(header, "blk.6.") + bytes_of(header, "blk.7."));
}

TEST_F(Estimate, ExpertsMayStayInHostMemory) {
  const auto header = read(file_text{}
                               .start(4, 2)
                               .text("general.architecture")
                               .put(std::uint32_t{8})
                               .text("moe")
                               .number("moe.block_count", 2)
                               .tensor("blk.0.ffn_up_exps.weight", {16}, gguf::type_f32, 0)
                               .tensor("blk.1.ffn_up_exps.weight", {16}, gguf::type_f32, 64)
                               .tensor("blk.0.attn_q.weight", {8}, gguf::type_f32, 128)
                               .tensor("output.weight", {8}, gguf::type_f32, 160)
                               .data(192));
  auto use = on_one();
  use.host_expert_layers = 1;
  const memory_estimate all = gguf::estimate(header, use);
  EXPECT_EQ(all.devices.at("HOST").weight_bytes, 64U);
  EXPECT_EQ(all.devices.at("CUDA0").weight_bytes, 128U);
  EXPECT_FALSE(all.context_known);
  EXPECT_EQ(all.devices.at("CUDA0").context_bytes, 0U);
}

/// A header without tensors, of layers that differ.
file_text layers(std::uint32_t count, const std::vector<std::uint32_t>& kv_heads) {
  file_text text;
  text.start(0, 6).text("general.architecture").put(std::uint32_t{8}).text("x");
  text.number("x.block_count", count).number("x.context_length", 256);
  text.number("x.attention.key_length", 64).number("x.attention.value_length", 32);
  text.text("x.attention.head_count_kv").put(std::uint32_t{9}).put(std::uint32_t{4});
  text.put(std::uint64_t{kv_heads.size()});
  for (const std::uint32_t heads : kv_heads) text.put(heads);
  return text;
}

TEST_F(Estimate, EachLayerMayHaveHeadsOfItsOwn) {
  const memory_estimate all = gguf::estimate(read(layers(3, {2, 0, 1})), on_one());
  EXPECT_TRUE(all.context_known);
  EXPECT_EQ(all.devices.at("CUDA0").context_bytes, 3U * 256 * (64 * 2 + 32 * 2));
}

TEST_F(Estimate, WhatTheHeaderDoesNotSayOfAllLayersIsNotKnown) {
  const memory_estimate all = gguf::estimate(read(layers(3, {2, 0})), on_one());
  EXPECT_FALSE(all.context_known);
  EXPECT_EQ(all.total_bytes(), 0U);
  EXPECT_FALSE(gguf::estimate(written({.total_bytes = 1_MiB}), on_one()).context_known);
}

TEST_F(Estimate, AnEmbeddingThatIsTheOutputTooIsThereTwice) {
  const auto header = read(file_text{}
                               .start(1, 2)
                               .text("general.architecture")
                               .put(std::uint32_t{8})
                               .text("tied")
                               .number("tied.block_count", 1)
                               .tensor("token_embd.weight", {16}, gguf::type_f32, 0)
                               .data(64));
  const memory_estimate all = gguf::estimate(header, on_one());
  EXPECT_EQ(all.devices.at("HOST").weight_bytes, 64U);
  EXPECT_EQ(all.devices.at("CUDA0").weight_bytes, 64U);
  EXPECT_EQ(gguf::estimate(header, {}).total_bytes(), 64U);
}

TEST_F(Estimate, AllShardsCount) {
  gguf::write_model(path_, small_llama());
  const auto model = gguf::read_model(path_);
  EXPECT_EQ(gguf::estimate(model, on_one()).total_bytes(),
            gguf::estimate(model.front().header, on_one()).total_bytes());
  auto two = model;
  two.push_back(model.front());
  EXPECT_EQ(gguf::estimate(two, on_one()).total_bytes(),
            gguf::estimate(model, on_one()).total_bytes() + model.front().header.tensor_bytes());
}

TEST_F(Estimate, SaysWhatMakesNoSense) {
  const auto header = written(small_llama());
  const auto with = [&](auto change) {
    auto use = on_one();
    change(use);
    return why(header, use);
  };
  EXPECT_THAT(with([](model_use& use) { use.slots = 0; }), HasSubstr("0 slots"));
  EXPECT_THAT(with([](model_use& use) { use.key_type = 4; }), HasSubstr("no tensor type 4"));
  EXPECT_THAT(with([](model_use& use) { use.devices[0].share = 0; }),
              HasSubstr("share of 'CUDA0'"));
  EXPECT_THAT(with([](model_use& use) { use.context_tokens = ~std::uint64_t{0}; }),
              HasSubstr("overflow"));
  EXPECT_THAT(why(read(file_text{}.start(0, 0)), on_one()), HasSubstr("block_count"));
  EXPECT_THAT(why(read(layers(1, {1})),
                  [] {
                    auto use = on_one();
                    use.value_type = 12;
                    return use;
                  }()),
              HasSubstr("no whole blocks of 256"));
}

}  // namespace
