#include "server/completion.hpp"

#include <utility>

#include <fmt/format.h>

#include "server/answers.hpp"

namespace example {
namespace {

std::string event(const nlohmann::json& data) {
  return fmt::format("data: {}\n\n", to_text(data));
}

}  // namespace

completion::completion(completion_request what, http::reply to, lull::time_point deadline,
                       completion_counters& counters)
    : what_(std::move(what)), to_(std::move(to)), deadline_(deadline), counters_(counters) {
  ++counters_.present;
}

completion::~completion() {
  if (!ended_) end(counters_.abandoned);
  --counters_.present;
}

/// The lease goes first: who has got the answer may ask for a sleep at once.
void completion::end(std::atomic<std::uint64_t>& counter) {
  ended_ = true;
  permit_.reset();
  ++counter;
}

void completion::say(std::string_view word) {
  const std::string text = fmt::format("{}{}", said_ == 0 ? "" : " ", word);
  ++counters_.tokens;
  if (what_.stream) {
    if (said_ == 0) to_.begin("text/event-stream");
    to_.write(event({{"content", text}, {"stop", false}}));
  } else {
    content_ += text;
  }
  ++said_;
}

void completion::finish() {
  end(counters_.completed);
  nlohmann::json last{{"content", content_}, {"tokens_predicted", said_}, {"stop", true}};
  if (what_.stream) {
    to_.write(event(last));
    to_.end();
  } else {
    to_.send(json_answer(last));
  }
}

void completion::fail(const std::exception& why) {
  end(unwanted().stop_requested() ? counters_.abandoned : counters_.failed);
  if (said_ != 0 && what_.stream) {
    to_.end();
  } else {
    to_.send(error_answer(why));
  }
}

}  // namespace example
