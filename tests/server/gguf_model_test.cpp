#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "file_text.hpp"
#include "gguf/model.hpp"
#include "gguf/types.hpp"

namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

/// A folder with the files of a model, each of them small.
class GgufModel : public testing::Test {
 protected:
  GgufModel() { fs::create_directory(folder_); }
  ~GgufModel() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& bytes) {
    const fs::path path = folder_ / name;
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    return path;
  }
  static std::string shard_name(int number, int count) {
    return fmt::format("m-{:05}-of-{:05}.gguf", number, count);
  }
  /// Shard `number` of `count`, from 1, with a tensor of this name; none: metadata only.
  static std::string shard_bytes(std::uint16_t number, std::uint16_t count,
                                 const std::string& tensor, std::int32_t all_tensors = 2) {
    file_text text;
    text.start(tensor.empty() ? 0 : 1, 3);
    text.text("split.no").put(std::uint32_t{2}).put(static_cast<std::uint16_t>(number - 1));
    text.text("split.count").put(std::uint32_t{2}).put(count);
    text.text("split.tensors.count").put(std::uint32_t{5}).put(all_tensors);
    if (!tensor.empty()) text.tensor(tensor, {8}, gguf::type_f32, 0);
    return text.data(32).bytes;
  }
  fs::path write_three() {
    write(shard_name(2, 3), shard_bytes(2, 3, "a"));
    write(shard_name(3, 3), shard_bytes(3, 3, "b"));
    return write(shard_name(1, 3), shard_bytes(1, 3, ""));
  }

  template <class Words>
  static void expect_refused(const fs::path& path, const Words& words) {
    try {
      gguf::read_model(path);
      ADD_FAILURE() << "was accepted";
    } catch (const gguf::model_error& failure) {
      EXPECT_THAT(failure.what(), words);
    }
  }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("lull-gguf-model-" + std::to_string(::getpid()));
};

std::string whole(char last = 'w') {
  std::string bytes = file_text{}.start(1, 0).tensor("a", {8}, gguf::type_f32, 0).data(32).bytes;
  bytes.back() = last;
  return bytes;
}

TEST_F(GgufModel, IsOneFileOrAllItsShards) {
  EXPECT_EQ(gguf::read_model(write("whole.gguf", whole())).size(), 1u);
  const auto shards = gguf::read_model(write_three());
  ASSERT_EQ(shards.size(), 3u);
  EXPECT_TRUE(shards[0].header.tensors.empty());
  EXPECT_EQ(shards[1].header.tensors.at(0).name, "a");
  EXPECT_EQ(shards[2].path, folder_ / shard_name(3, 3));
}

TEST_F(GgufModel, WithoutTensorsIsNone) {
  expect_refused(write("empty.gguf", file_text{}.start(0, 1).number("k", 1).bytes),
                 HasSubstr("no tensors"));
}

TEST_F(GgufModel, AShardThatIsMissingIsNamed) {
  const fs::path first = write_three();
  fs::remove(folder_ / shard_name(3, 3));
  expect_refused(first, AllOf(HasSubstr("shard 1 of 3"), HasSubstr("shard 3 is missing"),
                              HasSubstr(shard_name(3, 3))));
}

TEST_F(GgufModel, TheFirstShardIsAskedFor) {
  write_three();
  expect_refused(folder_ / shard_name(2, 3),
                 AllOf(HasSubstr("shard 2 of 3"), HasSubstr(shard_name(1, 3))));
}

TEST_F(GgufModel, AShardByAnotherNameCannotFindTheOthers) {
  expect_refused(write("renamed.gguf", shard_bytes(1, 3, "a")),
                 AllOf(HasSubstr("shard 1 of 3"), HasSubstr("-00001-of-00003.gguf")));
}

TEST_F(GgufModel, ShardsThatDoNotBelongTogetherAreRefused) {
  const fs::path first = write_three();
  write(shard_name(3, 3), shard_bytes(2, 3, "b"));
  expect_refused(first, HasSubstr("says that it is shard 2 of 3, not 3 of 3"));
  write(shard_name(3, 3), whole());
  expect_refused(first, HasSubstr("shard 1 of 1"));
  write(shard_name(3, 3), shard_bytes(3, 3, "a"));
  expect_refused(first, HasSubstr("another shard has a tensor 'a' too"));
  write(shard_name(3, 3), shard_bytes(3, 3, ""));
  expect_refused(first, HasSubstr("have 1 tensors together, and should have 2"));
}

TEST_F(GgufModel, SplitNumbersThatMakeNoSenseAreRefused) {
  expect_refused(write("m.gguf", shard_bytes(4, 3, "a")), HasSubstr("split.no is 3"));
  file_text text;
  text.start(1, 1).text("split.count").put(std::uint32_t{5}).put(std::int32_t{-1});
  text.tensor("a", {8}, gguf::type_f32, 0).data(32);
  expect_refused(write("m.gguf", text.bytes), HasSubstr("split.count is no count"));
}

TEST_F(GgufModel, AFileThatWasSplitIntoOneIsWhole) {
  EXPECT_EQ(gguf::read_model(write("m.gguf", shard_bytes(1, 1, "a", 1))).size(), 1u);
}

std::string change_seen(const gguf::shard& before) {
  try {
    gguf::check_unchanged(before);
    return "";
  } catch (const gguf::model_error& failure) {
    return failure.what();
  }
}

TEST_F(GgufModel, AFileThatStaysIsUnchanged) {
  const fs::path path = write("m.gguf", whole());
  const gguf::shard before = gguf::read_model(path).front();
  EXPECT_EQ(change_seen(before), "");
  fs::rename(path, folder_ / "away");
  EXPECT_THROW(gguf::check_unchanged(before), std::system_error);
  fs::rename(folder_ / "away", path);
  EXPECT_EQ(change_seen(before), "");
}

TEST_F(GgufModel, AnotherFileOfTheSameSizeAndTimeIsSeen) {
  const fs::path path = write("m.gguf", whole());
  const gguf::shard before = gguf::read_model(path).front();
  const fs::path other = write("other", whole('x'));
  fs::last_write_time(other, fs::last_write_time(path));
  fs::rename(other, path);
  EXPECT_THAT(change_seen(before), HasSubstr("another file has taken its place"));
}

TEST_F(GgufModel, AFileThatWasWrittenToIsSeen) {
  const fs::path path = write("m.gguf", whole());
  const gguf::shard before = gguf::read_model(path).front();
  const auto time = fs::last_write_time(path);
  write("m.gguf", whole('x'));
  fs::last_write_time(path, time + std::chrono::nanoseconds{1});
  EXPECT_THAT(change_seen(before), HasSubstr("has been written to"));
  write("m.gguf", whole() + "more");
  EXPECT_THAT(change_seen(before), HasSubstr("bytes now, and had"));
}

TEST_F(GgufModel, AnotherHeaderBehindTheSameTimeIsSeen) {
  const fs::path path = write("m.gguf", whole());
  const gguf::shard before = gguf::read_model(path).front();
  const auto time = fs::last_write_time(path);
  std::string other = whole();
  other[other.find('a')] = 'b';
  write("m.gguf", other);
  fs::last_write_time(path, time);
  EXPECT_THAT(change_seen(before), HasSubstr("its header is another one"));
}

}  // namespace
