#include "process/line_protocol.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace {

using namespace std::string_literals;
using lull::process_event;
using lull::process_state;
using lull::detail::line_decoder;
using lull::detail::max_line_bytes;
using lull::detail::parse_line;
using lull::detail::refusal;
using testing::ElementsAre;
using testing::HasSubstr;

std::optional<process_event> event_of(std::string_view line) {
  const auto result = parse_line(line);
  const auto* const event = std::get_if<process_event>(&result);
  return event == nullptr ? std::nullopt : std::optional(*event);
}

std::string refusal_of(std::string_view line) {
  const auto result = parse_line(line);
  const auto* const reason = std::get_if<refusal>(&result);
  return reason == nullptr ? "(accepted)" : std::string(*reason);
}

TEST(LineProtocol, ReadsEveryState) {
  using enum process_state;
  for (const process_state state : {loading, ready, sleeping, awake, stopped}) {
    const std::string line = R"({"lull":1,"state":")"s + std::string(to_string(state)) + "\"}";
    EXPECT_EQ(event_of(line), (process_event{state, {}}));
  }
  EXPECT_EQ(event_of(R"({"lull":1,"state":"loading","progress":0.25})"),
            (process_event{loading, 0.25}));
}

TEST(LineProtocol, ReadsAllThatIsJsonAndFlat) {
  const process_event ready{process_state::ready, {}};
  for (const char* line : {
           " { \"lull\" : 1 ,\t\"state\" : \"ready\" } \r",
           R"({"state":"ready","lull":1})",
           R"({"lull":1.0,"state":"ready"})",
           R"({"lull":10e-1,"state":"ready","model":"a\"b\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀"})",
           R"({"lull":1,"\u0073tate":"re\u0061dy"})",
           R"({"lull":1,"state":"ready","a":-0.5E+3,"b":true,"c":false,"d":null,"e":"","":0})",
           R"({"lull":1,"state":"ready","huge":1e999,"twice":1,"twice":2})",
       }) {
    EXPECT_EQ(event_of(line), ready) << line << ": " << refusal_of(line);
  }
}

TEST(LineProtocol, SaysWhatIsWrongWithALine) {
  const std::vector<std::pair<std::string, std::string>> lines{
      {"", "not a JSON object"},
      {"loading model", "not a JSON object"},
      {"[1]", "not a JSON object"},
      {"{", "name must be a string"},
      {"{}", "no member 'lull'"},
      {R"({"lull":1})", "no member 'state'"},
      {R"({"state":"ready"})", "no member 'lull'"},
      {R"({"lull":2,"state":"ready"})", "version"},
      {R"({"lull":"1","state":"ready"})", "version"},
      {R"({"lull":true,"state":"ready"})", "version"},
      {R"({"lull":1,"state":"Ready"})", "unknown state"},
      {R"({"lull":1,"state":0})", "unknown state"},
      {R"({"lull":1,"lull":1,"state":"ready"})", "twice"},
      {R"({"lull":1,"state":"ready","state":"ready"})", "twice"},
      {R"({"lull":1,"state":"loading","progress":1.01})", "0 to 1"},
      {R"({"lull":1,"state":"loading","progress":-0.5})", "0 to 1"},
      {R"({"lull":1,"state":"loading","progress":"0.5"})", "0 to 1"},
      {R"({"lull":1,"state":"loading","progress":null})", "0 to 1"},
      {R"({"lull":1,"state":"loading","progress":1e999})", "0 to 1"},
      {R"({"lull":1,"state":"ready","x":[]})", "nested"},
      {R"({"lull":1,"state":"ready","x":{}})", "nested"},
      {R"({"lull":1,"state":"ready",})", "name must be a string"},
      {R"({"lull":1,"state":"ready"} {})", "after the object"},
      {R"({"lull":1,"state":"ready")", "not closed"},
      {R"({"a":01,"lull":1,"state":"ready"})", "not closed"},
      {R"({"lull":1.,"state":"ready"})", "no JSON value"},
      {R"({"lull":+1,"state":"ready"})", "no JSON value"},
      {R"({"lull":nan,"state":"ready"})", "no JSON value"},
      {R"({"lull":1,"state":"ready)", "not closed"},
      {R"({"lull" 1,"state":"ready"})", "colon"},
      {R"({"lull":1,"state":"\x"})", "escape"},
      {R"({"lull":1,"state":"\u12"})", "hexadecimal"},
      {R"({"lull":1,"state":"\u-123"})", "hexadecimal"},
      {R"({"lull":1,"state":"\ud83d"})", "surrogate"},
      {R"({"lull":1,"state":"\ude00"})", "surrogate"},
      {"{\"lull\":1,\"state\":\"a\tb\"}", "control character"},
      {"{\"lull\":1,\"state\":\"\xff\"}", "UTF-8"},
      {"{\"lull\":1,\"state\":\"\xc0\x80\"}", "UTF-8"},      // overlong
      {"{\"lull\":1,\"state\":\"\xed\xa0\x80\"}", "UTF-8"},  // a surrogate
      {"{\"lull\":1,\"state\":\"\xe2\x82", "UTF-8"},         // cut off
      {"{\"lull\":1,\"state\":\"ready\"}\0"s, "after the object"},
  };
  for (const auto& [line, reason] : lines) EXPECT_THAT(refusal_of(line), HasSubstr(reason)) << line;
}

/// What a decoder made of a stream.
struct decoded {
  std::vector<process_state> states;
  std::vector<std::string> reasons;
  std::vector<std::uint64_t> sizes;
  line_decoder decoder{[this](const process_event& event) { states.push_back(event.state); },
                       [this](const lull::rejected_line& line) {
                         EXPECT_LE(line.text.size(), 200u);
                         reasons.emplace_back(line.reason);
                         sizes.push_back(line.size_bytes);
                       }};
};

const std::string ready_line = "{\"lull\":1,\"state\":\"ready\"}\n";

TEST(LineDecoder, CutsAStreamHoweverItComes) {
  const std::string text = ready_line + "garbage\n\n \r\n" + ready_line + "rest";
  for (std::size_t chunk = 1; chunk <= text.size(); ++chunk) {
    decoded result;
    for (std::size_t at = 0; at < text.size(); at += chunk) {
      result.decoder.feed(std::string_view(text).substr(at, chunk));
    }
    result.decoder.finish();
    EXPECT_EQ(result.states.size(), 2u) << chunk;
    EXPECT_THAT(result.reasons, ElementsAre("not a JSON object", HasSubstr("ended within")))
        << chunk;
  }
}

TEST(LineDecoder, ALineHasALimit) {
  const auto padded = [](std::size_t bytes) {
    const std::string front = R"({"lull":1,"state":"ready","pad":")";
    const std::string back = "\"}\n";
    return front + std::string(bytes - front.size() - back.size(), 'x') + back;
  };
  decoded result;
  result.decoder.feed(padded(max_line_bytes));
  EXPECT_EQ(result.states.size(), 1u);
  result.decoder.feed(padded(max_line_bytes + 1));
  EXPECT_THAT(result.reasons, ElementsAre(HasSubstr("longer")));
  EXPECT_THAT(result.sizes, ElementsAre(max_line_bytes));
  for (int i = 0; i < 1000; ++i) result.decoder.feed(std::string(10'000, '{'));
  EXPECT_EQ(result.reasons.size(), 1u) << "reported at its end, once";
  result.decoder.feed("\n" + ready_line);
  EXPECT_EQ(result.reasons.size(), 2u);
  EXPECT_EQ(result.sizes.back(), 10'000'000u);
  EXPECT_EQ(result.states.size(), 2u) << "what follows is read again";
}

unsigned printed_seed() {
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  return seed;
}

/// The same judgement by another parser. Absent where the two differ by intent: numbers beyond a
/// double, which that one refuses to read.
class oracle : public nlohmann::json_sax<nlohmann::json> {
 public:
  static std::optional<bool> accepts(const std::string& line) {
    oracle reader;
    const bool whole = nlohmann::json::sax_parse(line, &reader);
    if (reader.out_of_range_) return {};
    return whole && reader.good_ && reader.versions_ == 1 && reader.states_ == 1 &&
           reader.progresses_ <= 1;
  }

  bool null() override { return other(); }
  bool boolean(bool) override { return other(); }
  bool number_integer(number_integer_t value) override {
    return number(static_cast<double>(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return number(static_cast<double>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return number(value); }
  bool string(string_t& value) override {
    if (key_ == "state") {
      for (const char* name : {"loading", "ready", "sleeping", "awake", "stopped"}) {
        if (value == name) return true;
      }
      good_ = false;
    }
    return key_ == "state" || other();
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return depth_++ == 0; }
  bool key(string_t& name) override {
    key_ = name;
    versions_ += name == "lull" ? 1 : 0;
    states_ += name == "state" ? 1 : 0;
    progresses_ += name == "progress" ? 1 : 0;
    return true;
  }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& why) override {
    constexpr int number_overflow = 406;
    out_of_range_ = why.id == number_overflow;
    return false;
  }

 private:
  /// A value where the protocol wants one of another kind is no good; under other names all are.
  bool other() {
    good_ = good_ && depth_ == 1 && key_ != "lull" && key_ != "state" && key_ != "progress";
    return true;
  }
  bool number(double value) {
    if (key_ == "lull" && value == 1) return true;
    if (key_ == "progress" && value >= 0 && value <= 1) return true;
    return other();
  }

  bool good_ = true;
  bool out_of_range_ = false;
  int depth_ = 0;
  int versions_ = 0;
  int states_ = 0;
  int progresses_ = 0;
  std::string key_;
};

TEST(LineFuzz, MutatedLinesAreJudgedAsByAnotherParser) {
  std::mt19937 random(printed_seed());
  const auto below = [&](std::size_t limit) { return random() % limit; };
  const std::vector<std::string> seeds{
      R"({"lull":1,"state":"loading","progress":0.25})",
      R"({"lull":1,"state":"ready","a":"\u00e9\ud83d\ude00\n","b":null})",
      R"( { "state" : "awake" , "lull" : 1.0e0 , "x" : -12.5e+1, "y":true } )",
      "{\"lull\":1,\"state\":\"sleeping\",\"name\":\"\xc3\xa9\xf0\x9f\x98\x80\"}",
  };
  constexpr std::string_view alphabet = "{}[]\":,\\/u0123456789aeE+-. \t\rnul\xc3\xa9\xed\xa0\xf0";
  int accepted = 0;
  int compared = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string line = seeds[below(seeds.size())];
    for (std::size_t change = below(4); change > 0 && !line.empty(); --change) {
      const std::size_t at = below(line.size());
      switch (below(4)) {
        case 0: line.erase(at, 1 + below(3)); break;
        case 1: line.insert(at, 1, alphabet[below(alphabet.size())]); break;
        case 2: line[at] = alphabet[below(alphabet.size())]; break;
        default: line.insert(at, line.substr(below(line.size()), below(12))); break;
      }
    }
    const auto expected = oracle::accepts(line);
    if (!expected) continue;
    ++compared;
    accepted += *expected ? 1 : 0;
    ASSERT_EQ(event_of(line).has_value(), *expected) << line << ": " << refusal_of(line);
  }
  EXPECT_GT(compared, 4'500);
  EXPECT_GT(accepted, 1'000) << "both outcomes are tried";
}

TEST(LineFuzz, ValidLinesAreFoundInAnyStreamOfGarbage) {
  std::mt19937 random(printed_seed());
  for (int round = 0; round < 50; ++round) {
    std::string text;
    std::size_t lines = 0;
    std::size_t garbage = 0;
    for (int piece = 0; piece < 40; ++piece) {
      if (random() % 2 == 0) {
        text += ready_line;
        ++lines;
        continue;
      }
      std::string bytes(1 + random() % (random() % 8 == 0 ? 3 * max_line_bytes : 60), ' ');
      for (char& byte : bytes) byte = static_cast<char>(random());
      std::replace(bytes.begin(), bytes.end(), '\n', '\0');
      text += "x" + bytes + "\n";
      ++garbage;
    }
    decoded result;
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t chunk = std::min<std::size_t>(1 + random() % 9000, rest.size());
      result.decoder.feed(rest.substr(0, chunk));
      rest.remove_prefix(chunk);
    }
    result.decoder.finish();
    EXPECT_EQ(result.states.size(), lines);
    EXPECT_EQ(result.reasons.size(), garbage);
  }
}

class StateReporter : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  void TearDown() override {
    close_end(0);
    close_end(1);
  }
  void close_end(std::size_t which) {
    if (ends_[which] >= 0) ::close(std::exchange(ends_[which], -1));
  }
  std::string read() const {
    // All that a pipe holds by default (pipe(7)).
    std::vector<char> buffer(std::size_t{64} << 10);
    const ssize_t count = ::read(ends_[0], buffer.data(), buffer.size());
    return {buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
  }

  std::array<int, 2> ends_{-1, -1};
};

TEST_F(StateReporter, WritesWhatTheParserReads) {
  const lull::state_reporter reporter(ends_[1]);
  ASSERT_TRUE(reporter.connected());
  EXPECT_TRUE(reporter.report(process_state::loading, 0.25));
  EXPECT_EQ(read(), "{\"lull\":1,\"state\":\"loading\",\"progress\":0.25}\n");
  EXPECT_TRUE(reporter.report(process_state::stopped));
  EXPECT_EQ(read(), "{\"lull\":1,\"state\":\"stopped\"}\n");

  std::mt19937 random(printed_seed());
  for (int i = 0; i < 1000; ++i) {
    const double progress =
        std::ldexp(std::generate_canonical<double, 53>(random), -static_cast<int>(random() % 1000));
    ASSERT_TRUE(reporter.report(process_state::loading, progress));
    std::string line = read();
    line.pop_back();
    ASSERT_EQ(event_of(line), (process_event{process_state::loading, progress})) << line;
  }
}

TEST_F(StateReporter, ProgressOutsideItsRangeIsMadeToFit) {
  const lull::state_reporter reporter(ends_[1]);
  reporter.report(process_state::loading, -3.0);
  EXPECT_EQ(read(), "{\"lull\":1,\"state\":\"loading\",\"progress\":0}\n");
  reporter.report(process_state::loading, std::numeric_limits<double>::infinity());
  EXPECT_EQ(read(), "{\"lull\":1,\"state\":\"loading\",\"progress\":1}\n");
  reporter.report(process_state::loading, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(read(), "{\"lull\":1,\"state\":\"loading\"}\n");
}

TEST_F(StateReporter, AParentThatDoesNotReadIsNotWaitedForForEver) {
  const lull::state_reporter reporter(ends_[1]);
  const auto begun = lull::steady_clock().now();
  while (reporter.report(process_state::ready)) {
  }
  EXPECT_GE(lull::steady_clock().now() - begun, std::chrono::milliseconds{100});
  EXPECT_THAT(read(), testing::EndsWith("}\n")) << "whole lines only";
  EXPECT_TRUE(reporter.report(process_state::ready)) << "there is room again";
}

TEST_F(StateReporter, AParentThatIsGoneRaisesNoSignal) {
  const lull::state_reporter reporter(ends_[1]);
  close_end(0);
  // The default action of SIGPIPE would end this test.
  ASSERT_NE(::signal(SIGPIPE, SIG_DFL), SIG_ERR);
  EXPECT_FALSE(reporter.report(process_state::ready));
  sigset_t pending;
  ::sigpending(&pending);
  EXPECT_EQ(::sigismember(&pending, SIGPIPE), 0) << "none waits either";
}

TEST_F(StateReporter, IsFoundInTheEnvironment) {
  const auto connected_with = [](const std::string& value) {
    ::setenv(lull::state_descriptor_variable, value.c_str(), 1);
    const lull::state_reporter reporter;
    ::unsetenv(lull::state_descriptor_variable);
    return reporter.connected();
  };
  EXPECT_FALSE(lull::state_reporter().connected());
  EXPECT_FALSE(lull::state_reporter().report(process_state::ready));
  EXPECT_TRUE(connected_with(std::to_string(ends_[1])));
  for (const char* value : {"", "x", "-1", "1000000", "99999999999", "3 "}) {
    EXPECT_FALSE(connected_with(value)) << value;
  }
  const int file = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  EXPECT_FALSE(connected_with(std::to_string(file))) << "no pipe";
  ::close(file);
}

TEST_F(StateReporter, LinesOfManyThreadsDoNotMix) {
  const lull::state_reporter reporter(ends_[1]);
  decoded result;
  std::jthread reader([&] {
    while (result.states.size() + result.reasons.size() < 4000) result.decoder.feed(read());
  });
  std::vector<std::jthread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&] {
      for (int line = 0; line < 1000; ++line) {
        while (!reporter.report(process_state::loading, 0.5)) {
        }
      }
    });
  }
  writers.clear();
  reader.join();
  EXPECT_EQ(result.states.size(), 4000u);
}

}  // namespace
