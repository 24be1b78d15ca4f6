#include "server/server.hpp"

#include <sys/socket.h>

#include <thread>

#include <fmt/format.h>

#include "server/connection_queue.hpp"
#include "server/json.hpp"
#include "server/metrics.hpp"

namespace example {
namespace {

using lull::status;
using nlohmann::json;

constexpr const char* json_type = "application/json";
constexpr int most_tokens = 4096;
// Beside the completions, whose number is bounded: connections of observers, idle or not.
constexpr std::size_t observer_connections = 256;

void set_error(httplib::Response& response, int code, std::string_view type,
               std::string_view message) {
  response.status = code;
  if (code == 503) response.set_header("Retry-After", "1");
  response.set_content(error_body(code, type, message), json_type);
}

/// Thrown for what the client got wrong.
struct bad_request : std::runtime_error {
  using runtime_error::runtime_error;
};

void set_error(httplib::Response& response, const std::exception& failure) {
  if (const auto* const ours = dynamic_cast<const lull::error*>(&failure)) {
    switch (ours->code()) {
      case status::timed_out: return set_error(response, 504, "timeout", ours->what());
      case status::busy: return set_error(response, 409, "busy", ours->what());
      case status::unsupported:
      case status::invalid_argument:
        return set_error(response, 400, "invalid_request_error", ours->what());
      default: return set_error(response, 503, "unavailable_error", ours->what());
    }
  }
  if (dynamic_cast<const bad_request*>(&failure) != nullptr) {
    return set_error(response, 400, "invalid_request_error", failure.what());
  }
  set_error(response, 500, "server_error", failure.what());
}

json parse_object(const std::string& body) {
  if (body.empty()) return json::object();
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) throw bad_request("the body must be a JSON object");
  return parsed;
}

/// A member of the request, checked, or its default.
template <class T>
T member(const json& object, const char* name, T otherwise, bool (json::*is)() const noexcept,
         const char* type) {
  const auto found = object.find(name);
  if (found == object.end()) return otherwise;
  if (!((*found).*is)()) throw bad_request(fmt::format("'{}' must be {}", name, type));
  return found->template get<T>();
}

lull::sleeper_options sleeper_options_from(const server_options& options, lull::sleep_plan plan) {
  lull::sleeper_options result;
  if (options.sleep_idle) result.idle_time = *options.sleep_idle;
  result.plan = std::move(plan);
  result.watch_idle = true;
  result.log = options.log;
  return result;
}

/// Makes waking slow, so that tests can look at the server meanwhile.
class slow_waker final : public lull::participant {
 public:
  explicit slow_waker(std::chrono::milliseconds delay) : delay_(delay) {}
  [[nodiscard]] std::string_view name() const noexcept override { return "delay"; }
  void sleep(const lull::sleep_plan&, lull::transition&) override {}
  void wake(lull::transition& current) override {
    current.step("delay", [&] {
      const auto end = std::chrono::steady_clock::now() + delay_;
      while (std::chrono::steady_clock::now() < end && !current.stop().stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
      }
    });
  }

 private:
  std::chrono::milliseconds delay_;
};

}  // namespace

/// What a completion holds while it runs: a slot, and a lease that keeps the model awake.
struct server::running {
  running(server& owner, lull::time_point deadline) : owner_(owner) {
    if (!owner_.slots_.try_acquire_until(deadline)) {
      throw lull::error(status::timed_out, "the deadline passed while waiting for a free slot");
    }
    try {
      lease_.emplace(owner_.sleeper_.acquire(deadline));
    } catch (...) {
      owner_.slots_.release();
      throw;
    }
  }
  ~running() {
    lease_.reset();
    owner_.slots_.release();
  }
  running(const running&) = delete;
  running& operator=(const running&) = delete;

 private:
  server& owner_;
  std::optional<lull::sleeper::lease> lease_;
};

server::server(const lull::device& device, server_options options)
    : options_(std::move(options)),
      device_(device),
      memory_({.log = options_.log}),
      model_(memory_, device_, options_.model, options_.kv_bytes),
      sleeper_(sleeper_options_from(options_, plan_for(options_.sleep_level))),
      slots_(options_.parallel) {
  sleeper_.manage(memory_);
  if (options_.wake_delay.count() > 0) {
    sleeper_.add(std::make_shared<slow_waker>(options_.wake_delay));
  }
  add_routes();
  add_observers();
  bind(static_cast<std::size_t>(options_.most_waiting) + observer_connections);
}

void server::bind(std::size_t connections) {
  http_.new_task_queue = [connections] { return new connection_queue(connections); };
  http_.set_tcp_nodelay(true);
  http_.set_keep_alive_max_count(1000);
  int listener = -1;
  // Without SO_REUSEPORT, which cpp-httplib sets by default: two servers on one port are a mistake.
  http_.set_socket_options([&listener](int socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    listener = socket;
  });
  port_ = options_.port == 0
              ? http_.bind_to_any_port(options_.host)
              : (http_.bind_to_port(options_.host, options_.port) ? options_.port : -1);
  if (port_ <= 0) {
    throw lull::error(status::io,
                      fmt::format("cannot listen on {} port {}", options_.host, options_.port));
  }
  // cpp-httplib lets five connections wait to be accepted; a burst of clients would be reset.
  ::listen(listener, static_cast<int>(connections));
}

server::~server() {
  http_.stop();
}

void server::run() {
  http_.listen_after_bind();
}

lull::sleep_plan server::plan_for(lull::sleep_level level) const {
  lull::sleep_plan plan = lull::plan_for(level);
  // A cache of what was said is worth neither copying nor keeping.
  plan.contents.by_tag["kv"] = lull::contents_action::discard;
  if (options_.offload_directory) {
    plan.backing = lull::backing_store::file(*options_.offload_directory);
  } else if (device_.type() == lull::device_type::host) {
    plan.backing = lull::backing_store::file(std::filesystem::temp_directory_path());
  }
  return plan;
}

void server::add_observers() {
  http_.Get("/health", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(R"({"status":"ok"})", json_type);
  });
  http_.Get("/props", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(props().dump(), json_type);
  });
  http_.Get("/models", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(models().dump(), json_type);
  });
  http_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
    const request_counts counts{completions_, rejected_, failed_, tokens_};
    response.set_content(metrics_text(sleeper_, memory_, device_, counts),
                         "text/plain; version=0.0.4");
  });
}

void server::add_routes() {
  http_.Post("/completion",
             [this](const auto& request, auto& response) { complete(request, response); });
  http_.Post("/sleep", [this](const auto& request, auto& response) { sleep(request, response); });
  http_.Post("/wake", [this](const auto&, auto& response) { wake(response); });
  http_.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
    if (!response.body.empty()) return;
    set_error(response, response.status, "not_found_error",
              fmt::format("there is no {} {}", request.method, request.path));
  });
  http_.set_exception_handler(
      [](const httplib::Request&, httplib::Response& response, std::exception_ptr thrown) {
        try {
          std::rethrow_exception(thrown);
        } catch (const std::exception& failure) {
          set_error(response, failure);
        } catch (...) {
          set_error(response, 500, "server_error", "an exception of unknown type");
        }
      });
}

json server::props() const {
  const lull::sleeper_snapshot seen = sleeper_.observe();
  json result{{"is_sleeping", seen.state == lull::sleep_state::asleep},
              {"state", std::string(to_string(seen.state))},
              {"model_path", model_.path().string()},
              {"device", device_.name()},
              {"total_slots", options_.parallel},
              {"sleep_level", seen.plan},
              {"idle_ms", milliseconds(seen.idle)},
              {"waiting", seen.waiting}};
  result["sleep_idle_seconds"] =
      options_.sleep_idle ? json(milliseconds(*options_.sleep_idle) / 1000) : json(-1);
  if (seen.last) result["last_transition"] = to_json(*seen.last);
  return result;
}

json server::models() const {
  const bool asleep = sleeper_.observe().state == lull::sleep_state::asleep;
  const json meta{{"n_tensors", model_.header().tensors.size()},
                  {"size", model_.header().tensor_bytes()}};
  return {{"object", "list"},
          {"data",
           {{{"id", model_.path().stem().string()},
             {"object", "model"},
             {"owned_by", "lull"},
             {"status", asleep ? "sleeping" : "loaded"},
             {"meta", meta}}}}};
}

std::shared_ptr<server::running> server::admit(lull::time_point deadline) {
  if (waiting_.fetch_add(1) >= options_.most_waiting) {
    waiting_.fetch_sub(1);
    return nullptr;
  }
  try {
    // Counts as waiting until it has ended: the bound is on connections.
    return {new running(*this, deadline), [this](running* ended) {
              delete ended;
              waiting_.fetch_sub(1);
            }};
  } catch (...) {
    waiting_.fetch_sub(1);
    throw;
  }
}

void server::complete(const httplib::Request& request, httplib::Response& response) {
  const lull::time_point deadline = lull::steady_clock().deadline_in(options_.request_timeout);
  completion_request what;
  const json body = parse_object(request.body);
  what.prompt = member<std::string>(body, "prompt", "", &json::is_string, "a string");
  what.tokens = member<int>(body, "n_predict", 16, &json::is_number_integer, "a whole number");
  what.stream = member<bool>(body, "stream", false, &json::is_boolean, "true or false");
  if (!body.contains("prompt")) throw bad_request("'prompt' is missing");
  if (what.tokens < 1 || what.tokens > most_tokens) {
    throw bad_request(fmt::format("'n_predict' must be 1 to {}", most_tokens));
  }
  try {
    auto holding = admit(deadline);
    if (holding == nullptr) {
      ++rejected_;
      set_error(response, 503, "overloaded_error",
                fmt::format("{} requests are waiting already", options_.most_waiting));
      return;
    }
    const std::uint64_t digest = model_.digest(what.prompt);
    ++completions_;
    tokens_ += static_cast<std::uint64_t>(what.tokens);
    if (what.stream) {
      answer_stream(what, digest, std::move(holding), response);
    } else {
      answer_whole(what, digest, response);
    }
  } catch (...) {
    ++failed_;
    throw;
  }
}

void server::answer_whole(const completion_request& what, std::uint64_t digest,
                          httplib::Response& response) {
  word_source words(digest);
  std::string content;
  for (int i = 0; i < what.tokens; ++i) {
    if (i != 0) content += ' ';
    content += words.next();
  }
  const json body{{"content", content}, {"tokens_predicted", what.tokens}, {"stop", true}};
  response.set_content(body.dump(), json_type);
}

/// Holds what the completion holds until the last event is sent or the client is gone.
void server::answer_stream(const completion_request& what, std::uint64_t digest,
                           std::shared_ptr<running> holding, httplib::Response& response) {
  const auto words = std::make_shared<word_source>(digest);
  const auto event = [](const json& data) { return fmt::format("data: {}\n\n", data.dump()); };
  response.set_chunked_content_provider(
      "text/event-stream",
      [words, event, tokens = what.tokens, sent = 0, holding = std::move(holding)](
          std::size_t, httplib::DataSink& sink) mutable {
        std::string text;
        if (sent < tokens) {
          const std::string word = fmt::format("{}{}", sent == 0 ? "" : " ", words->next());
          text = event({{"content", word}, {"stop", false}});
          ++sent;
        } else {
          text = event({{"content", ""}, {"tokens_predicted", tokens}, {"stop", true}});
          holding.reset();
        }
        const bool client_is_there = sink.write(text.data(), text.size());
        if (holding == nullptr) sink.done();
        return client_is_there;
      });
}

void server::sleep(const httplib::Request& request, httplib::Response& response) {
  const json body = parse_object(request.body);
  const auto level = member<std::string>(
      body, "level", std::string(to_string(options_.sleep_level)), &json::is_string, "a string");
  const auto report = sleeper_.sleep(plan_for(lull::parse_sleep_level(level)));
  response.set_content(to_json(report).dump(), json_type);
}

void server::wake(httplib::Response& response) {
  sleeper_.wake(lull::steady_clock().deadline_in(options_.request_timeout));
  response.set_content(props().dump(), json_type);
}

}  // namespace example
