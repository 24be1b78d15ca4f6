#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "file_text.hpp"
#include "gguf/reader.hpp"
#include "gguf/writer.hpp"

namespace {

namespace fs = std::filesystem;
using gguf::defect;
using testing::HasSubstr;

file_text good() {
  return file_text{}
      .start(2, 2)
      .number("general.alignment", 32)
      .text("general.name")
      .put(std::uint32_t{8})
      .text("small")
      .tensor("a", {8, 4}, gguf::type_f32, 0)
      .tensor("b", {16}, gguf::type_f16, 128)
      .data(160);
}

class Gguf : public testing::Test {
 protected:
  void TearDown() override { fs::remove(path_); }

  gguf::model_header read(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return gguf::read_header(path_);
  }

  void expect(defect what, const file_text& text, std::optional<std::uint64_t> offset = {},
              const std::string& words = "") {
    try {
      read(text.bytes);
      ADD_FAILURE() << "was accepted";
    } catch (const gguf::format_error& failure) {
      EXPECT_EQ(failure.what_is_wrong(), what) << failure.what();
      EXPECT_EQ(failure.offset(), offset.value_or(failure.offset())) << failure.what();
      EXPECT_THAT(failure.what(), HasSubstr("at byte " + std::to_string(failure.offset())));
      EXPECT_THAT(failure.what(), HasSubstr(words));
    }
  }

  fs::path path_ = fs::path(testing::TempDir()) / ("lull-gguf-" + std::to_string(::getpid()));
};

TEST_F(Gguf, ReadsMetadataAndTensors) {
  const auto header = read(good().bytes);
  EXPECT_EQ(header.version, 3u);
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_EQ(header.tensors[0].size_bytes, 128u);
  EXPECT_EQ(header.tensors[1].offset, header.data_offset + 128);
  EXPECT_EQ(header.tensors[1].size_bytes, 32u);
  EXPECT_EQ(header.data_offset % 32, 0u);
  EXPECT_EQ(std::get<std::string>(header.metadata.at("general.name")), "small");
  EXPECT_EQ(header.tensor_bytes(), 160u);
}

TEST_F(Gguf, ReadsEveryKindOfValue) {
  file_text text;
  text.start(0, 13);
  const auto value = [&text](const char* key, std::uint32_t type, auto number) {
    text.text(key).put(type).put(number);
  };
  value("u8", 0, std::uint8_t{200});
  value("i8", 1, std::int8_t{-3});
  value("u16", 2, std::uint16_t{50000});
  value("i16", 3, std::int16_t{-300});
  value("u32", 4, std::uint32_t{7});
  value("i32", 5, std::int32_t{-7});
  value("f32", 6, 1.5F);
  value("yes", 7, std::uint8_t{1});
  text.text("text").put(std::uint32_t{8}).text("words");
  text.text("list").put(std::uint32_t{9}).put(std::uint32_t{8}).put(std::uint64_t{2});
  text.text("one").text("two");
  value("u64", 10, std::uint64_t{1} << 60);
  value("i64", 11, std::int64_t{-1});
  value("f64", 12, 2.5);
  const auto header = read(text.bytes);
  EXPECT_EQ(std::get<std::uint64_t>(header.metadata.at("u8")), 200u);
  EXPECT_EQ(std::get<std::int64_t>(header.metadata.at("i16")), -300);
  EXPECT_EQ(std::get<double>(header.metadata.at("f32")), 1.5);
  EXPECT_TRUE(std::get<bool>(header.metadata.at("yes")));
  EXPECT_EQ(std::get<std::uint64_t>(header.metadata.at("u64")), std::uint64_t{1} << 60);
  EXPECT_EQ(header.metadata.count("list"), 0u);
}

TEST_F(Gguf, KeepsShortListsOfCounts) {
  file_text text;
  text.start(0, 5);
  const auto list = [&text](const char* key, std::uint32_t type, auto... numbers) {
    text.text(key).put(std::uint32_t{9}).put(type).put(std::uint64_t{sizeof...(numbers)});
    (text.put(numbers), ...);
  };
  list("heads", 5, std::int32_t{8}, std::int32_t{0}, std::int32_t{2});
  list("signs", 5, std::int32_t{8}, std::int32_t{-1});
  list("scales", 6, 1.5F);
  list("none", 4);
  text.text("long").put(std::uint32_t{9}).put(std::uint32_t{0}).put(std::uint64_t{1025});
  text.bytes.append(1025, '\1');
  const auto header = read(text.bytes);
  EXPECT_THAT(header.lists,
              testing::UnorderedElementsAre(std::pair("heads", std::vector<std::uint64_t>{8, 0, 2}),
                                            std::pair("none", std::vector<std::uint64_t>{})));
}

TEST_F(Gguf, ATensorWithoutDimensionsIsOneElement) {
  const auto header = read(file_text{}
                               .start(2, 0)
                               .tensor("scale", {}, gguf::type_f32, 0)
                               .tensor("a", {8}, gguf::type_f32, 32)
                               .data(64)
                               .bytes);
  EXPECT_TRUE(header.tensors[0].dimensions.empty());
  EXPECT_EQ(header.tensors[0].size_bytes, 4u);
  expect(defect::bad_type, file_text{}.start(1, 0).tensor("a", {}, 2, 0).data(64), {},
         "rows of 1 elements");
}

TEST_F(Gguf, NothingButScalarsFillsTheTable) {
  file_text text;
  text.start(20, 0);
  for (std::uint64_t i = 0; i < 20; ++i) {
    text.tensor(std::string(1, static_cast<char>('a' + i)), {}, gguf::type_f32, i * 32);
  }
  EXPECT_EQ(read(text.data(20 * 32).bytes).tensors.size(), 20u);
}

TEST_F(Gguf, VersionTwoHasTheSameLayout) {
  const auto header = read(file_text{}
                               .start(1, 1, 2)
                               .number("general.alignment", 64)
                               .tensor("a", {8}, gguf::type_f32, 0)
                               .data(96)
                               .bytes);
  EXPECT_EQ(header.version, 2u);
  EXPECT_EQ(header.tensors.at(0).size_bytes, 32u);
}

TEST_F(Gguf, BadMagic) {
  auto text = good();
  text.bytes[0] = 'X';
  expect(defect::bad_magic, text, 0, "not a GGUF file");
}

TEST_F(Gguf, BadVersion) {
  for (const std::uint32_t version : {0u, 1u, 4u}) {
    expect(defect::bad_version, file_text{}.start(0, 0, version), 4);
  }
  expect(defect::bad_version, file_text{}.start(0, 0, 3u << 24), 4, "big endian");
}

TEST_F(Gguf, CountsThatTheFileCannotHold) {
  for (const std::uint64_t count : {std::uint64_t{1000}, UINT64_MAX, UINT64_MAX / 32 + 2}) {
    expect(defect::bad_count, file_text{}.start(count, 0), 8, "number of tensors");
    expect(defect::bad_count, file_text{}.start(0, count), 16, "metadata entries");
    expect(defect::bad_count,
           file_text{}
               .start(0, 1)
               .text("list")
               .put(std::uint32_t{9})
               .put(std::uint32_t{10})
               .put(count),
           {}, "array");
  }
}

TEST_F(Gguf, StringsBeyondTheFileOrTheFormat) {
  expect(defect::bad_string, file_text{}.start(0, 1).put(std::uint64_t{100}).data(20), 24,
         "metadata key");
  expect(defect::bad_string, file_text{}.start(0, 1).put(UINT64_MAX).data(20), 24);
  expect(defect::bad_string,
         file_text{}.start(1, 0).tensor(std::string(65, 'n'), {1}, 0, 0).data(64), 24,
         "at most 64");
}

TEST_F(Gguf, ValuesOfUnknownTypes) {
  expect(defect::bad_value, file_text{}.start(0, 1).text("k").put(std::uint32_t{13}).data(8));
  expect(defect::bad_value, file_text{}
                                .start(0, 1)
                                .text("k")
                                .put(std::uint32_t{9})
                                .put(std::uint32_t{99})
                                .put(std::uint64_t{1})
                                .data(8));
}

TEST_F(Gguf, ArraysNestedWithoutEnd) {
  file_text text;
  text.start(0, 1).text("deep").put(std::uint32_t{9});
  for (int i = 0; i < 100; ++i) text.put(std::uint32_t{9}).put(std::uint64_t{1});
  expect(defect::bad_value, text.data(64), {}, "nested");
}

TEST_F(Gguf, BadAlignment) {
  for (const std::uint32_t alignment : {0u, 3u, 48u, 1u << 21}) {
    expect(defect::bad_value, file_text{}.start(0, 1).number("general.alignment", alignment));
  }
}

TEST_F(Gguf, DuplicateNames) {
  expect(defect::duplicate_key, file_text{}.start(0, 2).number("k", 1).number("k", 2),
         24 + (8 + 1) + 4 + 4, "'k'");
  expect(defect::duplicate_tensor,
         file_text{}.start(2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).data(64),
         24 + (8 + 1) + 4 + 8 + 4 + 8, "'a'");
}

TEST_F(Gguf, BadShapes) {
  expect(defect::bad_shape, file_text{}.start(1, 0).tensor("a", {1, 1, 1, 1, 1}, 0, 0).data(64));
  expect(defect::bad_shape, file_text{}.start(1, 0).tensor("a", {8, 0}, 0, 0).data(64));
  expect(defect::bad_shape,
         file_text{}.start(1, 0).tensor("a", {1u << 31, 1u << 31, 1u << 31}, 0, 0).data(64));
}

TEST_F(Gguf, BadTypes) {
  for (const std::uint32_t retired : {4u, 5u, 31u, 36u, 1000u}) {
    expect(defect::bad_type, file_text{}.start(1, 0).tensor("a", {32}, retired, 0).data(64));
  }
  expect(defect::bad_type, file_text{}.start(1, 0).tensor("a", {33}, 2, 0).data(64), {},
         "whole blocks");
}

TEST_F(Gguf, KnowsTheSizesOfTheTypes) {
  // Number, elements and bytes of a block.
  const std::vector<std::array<std::uint32_t, 3>> expected{
      {0, 1, 4},      {1, 1, 2},      {2, 32, 18},    {8, 32, 34},    {9, 32, 36},    {10, 256, 84},
      {11, 256, 110}, {12, 256, 144}, {13, 256, 176}, {14, 256, 210}, {15, 256, 292}, {24, 1, 1},
      {27, 1, 8},     {30, 1, 2},     {39, 32, 17},   {40, 64, 36},   {41, 128, 18},  {42, 64, 18}};
  for (const auto& [id, elements, bytes] : expected) {
    const auto type = gguf::find_type(id);
    ASSERT_TRUE(type) << id;
    EXPECT_EQ(type->block_elements, elements) << id;
    EXPECT_EQ(type->block_bytes, bytes) << id;
  }
}

TEST_F(Gguf, TensorsOutsideTheFile) {
  expect(defect::tensor_outside_file, file_text{}.start(1, 0).tensor("a", {8}, 0, 64).data(64), 24);
  expect(defect::tensor_outside_file, file_text{}.start(1, 0).tensor("a", {8, 100}, 0, 0).data(64));
  expect(defect::tensor_outside_file,
         file_text{}.start(1, 0).tensor("a", {8}, 0, UINT64_MAX - 31).data(64));
}

TEST_F(Gguf, MisalignedTensors) {
  // The offset lies after start, name, number of dimensions, dimension and type.
  const std::uint64_t at = 24 + (8 + 1) + 4 + 8 + 4;
  expect(defect::misaligned_tensor, file_text{}.start(1, 0).tensor("a", {8}, 0, 8).data(64), at,
         "alignment 32");
}

TEST_F(Gguf, OverlappingTensors) {
  const std::uint64_t second = 24 + (8 + 1) + 4 + 8 + 4 + 8;
  expect(defect::overlapping_tensors,
         file_text{}.start(2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).data(64), second,
         "'a' and 'b'");
}

TEST_F(Gguf, TruncatedAnywhere) {
  const std::string whole = good().bytes;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THROW(read(whole.substr(0, length)), gguf::format_error) << "at " << length;
  }
}

TEST_F(Gguf, AnyWrongByteIsReadOrRefused) {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  SCOPED_TRACE("seed " + std::to_string(seed));
  const std::string whole = good().bytes;
  for (int i = 0; i < 2000; ++i) {
    std::string mutated = whole;
    for (int changes = 1 + static_cast<int>(random() % 3); changes > 0; --changes) {
      mutated[random() % mutated.size()] = static_cast<char>(random());
    }
    try {
      const auto header = read(mutated);
      for (const auto& tensor : header.tensors) {
        EXPECT_LE(tensor.offset + tensor.size_bytes, header.file_bytes);
      }
    } catch (const gguf::format_error&) {
    }
  }
}

TEST_F(Gguf, AMissingFileIsASystemError) {
  EXPECT_THROW(gguf::read_header("/nonexistent/model.gguf"), std::system_error);
  EXPECT_THROW(gguf::read_header("/"), std::system_error);
}

TEST_F(Gguf, WhatTheWriterWritesCanBeRead) {
  std::uint64_t reported = 0;
  gguf::write_model(path_, {.total_bytes = 4 << 20, .seed = 7, .blocks = 3},
                    [&](std::uint64_t done, std::uint64_t) { reported = done; });
  const auto header = gguf::read_header(path_);
  EXPECT_EQ(header.tensors.size(), 3u + 3u * 9u);
  EXPECT_NEAR(static_cast<double>(header.file_bytes), 4 << 20, 64 << 10);
  EXPECT_EQ(header.data_offset + reported, header.file_bytes);
  EXPECT_EQ(std::get<std::uint64_t>(header.metadata.at("llama.block_count")), 3u);
  EXPECT_FALSE(fs::exists(path_.string() + ".partial"));
}

TEST_F(Gguf, AModelThatCannotBeWrittenLeavesNothing) {
  EXPECT_THROW(gguf::write_model(path_, {.total_bytes = 1}), std::invalid_argument);
  EXPECT_THROW(gguf::write_model("/nonexistent/model.gguf", {.total_bytes = 4 << 20}),
               std::system_error);
  EXPECT_FALSE(fs::exists(path_));
}

}  // namespace
