#include "server/log_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

class LogWriter : public testing::Test {
 protected:
  LogWriter() {
    EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0);
    ::fcntl(ends_[1], F_SETPIPE_SZ, 4096);
  }
  ~LogWriter() override {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  /// What can be read until nothing comes for a while.
  std::string read_all() const {
    std::string all;
    std::array<char, 4096> part;
    ::fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    for (int silent = 0; silent < 100;) {
      const ssize_t got = ::read(ends_[0], part.data(), part.size());
      if (got > 0) {
        all.append(part.data(), static_cast<std::size_t>(got));
        silent = 0;
      } else {
        std::this_thread::sleep_for(2ms);
        ++silent;
      }
    }
    return all;
  }

  std::array<int, 2> ends_{};
};

TEST_F(LogWriter, WritesLines) {
  {
    const example::log_writer log(ends_[1]);
    log.sink().write(lull::log_level::warning, "one");
    log.sink().write(lull::log_level::info, "two");
  }
  EXPECT_EQ(read_all(), "warning: one\ninfo: two\n");
}

TEST_F(LogWriter, APipeThatNobodyReadsHoldsNobodyUp) {
  const auto begun = std::chrono::steady_clock::now();
  {
    const example::log_writer log(ends_[1]);
    for (int i = 0; i < 10000; ++i) log.sink().write(lull::log_level::info, std::string(1000, 'x'));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 4s) << "the end waits a quarter second";
}

TEST_F(LogWriter, CountsWhatItDrops) {
  const example::log_writer log(ends_[1], 4);
  for (int i = 0; i < 100; ++i) log.sink().write(lull::log_level::info, std::string(1000, 'x'));
  const std::string text = read_all();
  EXPECT_THAT(text, StartsWith("info: xxx"));
  EXPECT_THAT(text, HasSubstr("\nwarning: "));
  EXPECT_THAT(text, HasSubstr(" log lines were dropped\n"));
}

TEST_F(LogWriter, ItsSinkMayOutliveIt) {
  lull::log_sink sink;
  {
    const example::log_writer log(ends_[1]);
    sink = log.sink();
  }
  sink.write(lull::log_level::error, "too late");
  EXPECT_EQ(read_all(), "");
}

}  // namespace
