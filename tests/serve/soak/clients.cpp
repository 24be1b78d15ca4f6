#include "soak/clients.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <random>

#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>

namespace lull::soak {
namespace {

using json = nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds patience{100};  // longer than the router lets anybody wait

/// One client's requests, and what it makes of the answers.
class client {
 public:
  client(int port, servers which, known_answers& known, const std::vector<std::string>& models,
         unsigned seed)
      : port_(port),
        which_(which),
        known_(known),
        models_(models),
        chance_(seed),
        connection_(connect()) {}

  void ask(tally& into) {
    const std::string& model = models_[pick()];
    const auto begun = steady_clock::now();
    ++into.asked;
    switch (chance_() % 20) {
      case 0: ask_and_leave(model, into); break;
      case 1:
      case 2: ask_for_stream(model, into); break;
      case 3: ask_plainly(model, std::string(256 << 10, 'x'), into); break;
      default: ask_plainly(model, "hello", into);
    }
    const std::chrono::duration<double> took = steady_clock::now() - begun;
    into.longest_seconds = std::max(into.longest_seconds, took.count());
  }

 private:
  [[nodiscard]] std::unique_ptr<httplib::Client> connect() const {
    auto made = std::make_unique<httplib::Client>("127.0.0.1", port_);
    made->set_read_timeout(patience);
    made->set_keep_alive(true);
    made->set_tcp_nodelay(true);
    return made;
  }

  /// Some models are asked for far more often than others.
  std::size_t pick() {
    const double share = std::uniform_real_distribution<double>(0, 1)(chance_);
    return std::min(
        models_.size() - 1,
        static_cast<std::size_t>(std::pow(share, 2) * static_cast<double>(models_.size())));
  }

  [[nodiscard]] const char* path() const {
    return which_ == servers::examples ? "/completion" : "/v1/completions";
  }
  static std::string question(const std::string& model, const std::string& prompt,
                              bool stream = false) {
    json asked{{"model", model}, {"prompt", prompt}, {"n_predict", 3}};
    if (stream) asked["stream"] = true;
    return asked.dump();
  }
  [[nodiscard]] bool is_right(const std::string& model, const std::string& asked,
                              const std::string& text) const {
    const json answer = json::parse(text, nullptr, false);
    if (!answer.is_object()) return false;
    if (which_ == servers::examples) {
      const std::string said = answer.value("content", "");
      return !said.empty() && known_.agrees(asked, said);
    }
    return answer.value("served_by", "") == model &&
           answer.value("bytes", std::size_t{0}) == asked.size();
  }

  static void refused(const httplib::Response& answer, tally& into) {
    const json body = json::parse(answer.body, nullptr, false);
    const bool has_reason =
        body.is_object() && body.contains("error") && !body["error"].value("message", "").empty();
    const bool is_known = answer.status == 429 || answer.status == 502 || answer.status == 503 ||
                          answer.status == 504 || answer.status == 507;
    if (!has_reason || !is_known) {
      ++into.wrong[fmt::format("status {}: {}", answer.status, answer.body.substr(0, 200))];
      return;
    }
    ++into.refused[answer.status];
    ++into.reasons[fmt::format("{}: {}", answer.status,
                               body["error"].value("message", "").substr(0, 70))];
  }

  void ask_plainly(const std::string& model, const std::string& prompt, tally& into) {
    const std::string body = question(model, prompt);
    const httplib::Result got = connection_->Post(path(), body, "application/json");
    if (!got) {
      ++into.wrong["no answer: " + httplib::to_string(got.error())];
      connection_ = connect();
      return;
    }
    if (got->status != 200) return refused(*got, into);
    if (!is_right(model, body, got->body)) {
      ++into.wrong["not the answer of the model that was asked"];
    } else {
      ++into.answered;
    }
  }

  void ask_for_stream(const std::string& model, tally& into) {
    httplib::Request request;
    request.method = "POST";
    request.path = path();
    request.set_header("Content-Type", "application/json");
    request.body = question(model, "x", true);
    int status = 0;
    request.response_handler = [&](const httplib::Response& answer) {
      status = answer.status;
      return true;
    };
    std::string text;
    request.content_receiver = [&](const char* bytes, std::size_t count, std::uint64_t,
                                   std::uint64_t) {
      text.append(bytes, count);
      return true;
    };
    const httplib::Result got = connection_->send(request);
    const bool example = which_ == servers::examples;
    const bool begins = text.starts_with(example ? "data: {\"content\"" : "data: " + model);
    const bool whole = example ? text.ends_with("\"tokens_predicted\":3}\n\n")
                               : text.ends_with("data: [DONE]\n\n");
    if (!got) {
      if (status == 200) {
        ++into.cut;
      } else if (status == 0 && got.error() == httplib::Error::Read) {
        ++into.closed;
      } else {
        ++into.wrong["no answer to a stream: " + httplib::to_string(got.error())];
      }
      connection_ = connect();
    } else if (got->status != 200) {
      httplib::Response answer = *got;
      if (answer.body.empty()) answer.body = text;
      refused(answer, into);
    } else if (whole) {
      begins ? ++into.answered : ++into.wrong["a stream of another model"];
    } else {
      ++into.wrong["a stream that ends early and says it is whole"];
    }
  }

  void ask_and_leave(const std::string& model, tally& into) {
    const auto other = connect();
    other->set_read_timeout(milliseconds{chance_() % 100});
    other->Post(path(), question(model, "x"), "application/json");
    ++into.left;
  }

  int port_;
  servers which_;
  known_answers& known_;
  const std::vector<std::string>& models_;
  std::minstd_rand chance_;
  std::unique_ptr<httplib::Client> connection_;
};

void add(tally& into, const tally& one) {
  into.asked += one.asked;
  into.answered += one.answered;
  into.left += one.left;
  into.cut += one.cut;
  into.closed += one.closed;
  for (const auto& [status, count] : one.refused) into.refused[status] += count;
  for (const auto& [words, count] : one.wrong) into.wrong[words] += count;
  for (const auto& [words, count] : one.reasons) into.reasons[words] += count;
  into.longest_seconds = std::max(into.longest_seconds, one.longest_seconds);
}

}  // namespace

bool known_answers::agrees(const std::string& question, const std::string& answer) {
  const std::lock_guard lock(mutex_);
  return known_.emplace(question, answer).first->second == answer;
}

clients::clients(int port, servers which, std::vector<std::string> models, int count, unsigned seed)
    : port_(port), which_(which), models_(std::move(models)) {
  for (int i = 0; i < count; ++i) {
    threads_.emplace_back([this, seed, i] { run(seed + static_cast<unsigned>(i) * 7919U + 1U); });
  }
}

clients::~clients() {
  stop();
}

void clients::run(unsigned seed) {
  client own(port_, which_, known_, models_, seed);
  while (!ending_) {
    tally one;
    own.ask(one);
    {
      const std::lock_guard lock(mutex_);
      add(tally_, one);
    }
    // Who was refused comes again a little later.
    if (!one.refused.empty()) std::this_thread::sleep_for(milliseconds{300});
  }
}

void clients::stop() {
  ending_ = true;
  for (std::thread& each : threads_) each.join();
  threads_.clear();
}

tally clients::counts() {
  const std::lock_guard lock(mutex_);
  return tally_;
}

}  // namespace lull::soak
