#include "server/server.hpp"

#include <sys/socket.h>

#include <thread>
#include <utility>

#include <fmt/format.h>

#include "server/connection_queue.hpp"
#include "server/json.hpp"
#include "server/metrics.hpp"
#include "server/responses.hpp"

namespace example {
namespace {

using nlohmann::json;

// Beside the completions, whose number is bounded: connections of observers.
constexpr std::size_t observer_connections = 256;

lull::sleeper_options sleeper_options_from(const server_options& options, lull::sleep_plan plan) {
  lull::sleeper_options result;
  if (options.sleep_idle) result.idle_time = *options.sleep_idle;
  result.plan = std::move(plan);
  result.watch_idle = true;
  result.log = options.log;
  return result;
}

/// Refuses to wake on other files than those that went to sleep. To be added before the memory whose
/// contents are read from them.
std::shared_ptr<lull::participant> file_check(const model& what) {
  return lull::make_participant(
      "model files", [](const lull::sleep_plan&, lull::transition&) {},
      [&what](const lull::sleep_plan& plan, lull::transition& current) {
        if (plan.contents.action_for("weights") != lull::contents_action::discard) return;
        current.step("check files", [&] { what.check_files(); });
      });
}

/// Makes waking slow, so that tests can look at the server meanwhile.
class slow_waker final : public lull::participant {
 public:
  explicit slow_waker(std::chrono::milliseconds delay) : delay_(delay) {}
  [[nodiscard]] std::string_view name() const noexcept override { return "delay"; }
  void sleep(const lull::sleep_plan&, lull::transition&) override {}
  void wake(const lull::sleep_plan&, lull::transition& current) override {
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
    const std::stop_token stop = owner_.stopping_.get_token();
    slot_ = owner_.slots_.take(deadline, stop);
    try {
      lease_.emplace(owner_.sleeper_.acquire(deadline, stop));
    } catch (...) {
      owner_.slots_.give_back(slot_);
      throw;
    }
  }
  ~running() {
    lease_.reset();
    owner_.slots_.give_back(slot_);
  }
  running(const running&) = delete;
  running& operator=(const running&) = delete;

  [[nodiscard]] int slot() const noexcept { return slot_; }

 private:
  server& owner_;
  int slot_ = 0;
  std::optional<lull::sleeper::lease> lease_;
};

server::server(lull::device device, server_options options)
    : options_(std::move(options)),
      device_(std::move(device)),
      memory_({.log = options_.log}),
      model_(memory_, device_, options_.model),
      graphs_(model_, device_, options_.parallel, options_.graphs, options_.log),
      sleeper_(sleeper_options_from(options_, plan_for(options_.sleep_level))),
      slots_(options_.parallel) {
  const auto building = sleeper_.acquire();  // nobody falls asleep before all take part
  model_.load(options_.kv_bytes, stopping_.get_token());
  sleeper_.add(file_check(model_));
  sleeper_.manage(memory_);
  sleeper_.manage(graphs_.cache());  // after the memory that graphs use: what is last sleeps first
  if (options_.wake_delay.count() > 0) {
    sleeper_.add(std::make_shared<slow_waker>(options_.wake_delay));
  }
  add_routes();
  add_error_handlers();
  bind(static_cast<std::size_t>(options_.most_waiting) + observer_connections);
}

void server::bind(std::size_t connections) {
  http_.new_task_queue = [connections] { return new connection_queue(connections); };
  http_.set_tcp_nodelay(true);
  // One request per connection: cpp-httplib keeps a thread busy while a client keeps its connection
  // open, so enough clients that were turned away would keep /health from being answered.
  http_.set_keep_alive_max_count(1);
  // For how long a connection may keep its thread before it says anything.
  http_.set_keep_alive_timeout(1);
  int socket = -1;
  // Without SO_REUSEPORT, which cpp-httplib sets by default: two servers on one port are a mistake.
  http_.set_socket_options([&socket](int made) {
    const int yes = 1;
    ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    socket = made;
  });
  port_ = options_.port == 0
              ? http_.bind_to_any_port(options_.host)
              : (http_.bind_to_port(options_.host, options_.port) ? options_.port : -1);
  http_.set_socket_options(nullptr);
  if (port_ <= 0) {
    throw lull::error(lull::status::io,
                      fmt::format("cannot listen on {} port {}", options_.host, options_.port));
  }
  listener_.emplace(socket);
  listener_->set_backlog(static_cast<int>(connections));
}

server::~server() {
  stop();
  // cpp-httplib gives the socket back at the end of listening, and not otherwise.
  if (!ran_) http_.listen_after_bind();
}

void server::run() {
  ran_ = true;
  http_.listen_after_bind();
}

void server::stop() noexcept {
  stopping_.request_stop();
  listener_->close_for_good();
}

lull::sleep_plan server::plan_for(lull::sleep_level level) const {
  lull::sleep_plan plan = lull::plan_for(level);
  // A cache of what was said is worth neither copying nor, where more than caches goes, keeping.
  if (level != lull::sleep_level::trim) {
    plan.contents.by_tag["kv"] = lull::contents_action::discard;
  }
  if (options_.offload_directory) {
    plan.backing = lull::backing_store::file(*options_.offload_directory);
  } else if (device_.type() == lull::device_type::host) {
    plan.backing = lull::backing_store::file(std::filesystem::temp_directory_path());
  }
  return plan;
}

void server::get(const std::string& path, std::function<void(httplib::Response&)> handler) {
  methods_.emplace(path, "GET");
  http_.Get(path, [handler = std::move(handler)](
                      const httplib::Request&, httplib::Response& response) { handler(response); });
}

void server::post(const std::string& path,
                  std::function<void(const std::string& body, httplib::Response&)> handler) {
  methods_.emplace(path, "POST");
  http_.Post(path, [handler = std::move(handler)](const httplib::Request& request,
                                                  httplib::Response& response,
                                                  const httplib::ContentReader& reader) {
    if (const auto body = read_body(request, response, reader)) handler(*body, response);
  });
}

void server::add_routes() {
  get("/health", [](auto& response) { set_json(response, {{"status", "ok"}}); });
  get("/props", [this](auto& response) { set_json(response, props()); });
  get("/models", [this](auto& response) { set_json(response, models()); });
  get("/metrics", [this](auto& response) {
    const request_counts counts{completions_, rejected_, failed_, tokens_};
    response.set_content(metrics_text(sleeper_, memory_, device_, graphs(), counts),
                         "text/plain; version=0.0.4");
  });
  post("/completion", [this](const auto& body, auto& response) { complete(body, response); });
  post("/sleep", [this](const auto& body, auto& response) { sleep(body, response); });
  post("/wake", [this](const auto&, auto& response) { wake(response); });
}

void server::add_error_handlers() {
  // What is no route is refused before cpp-httplib waits for a body that does not come.
  http_.set_pre_routing_handler(
      [this](const httplib::Request& request, httplib::Response& response) {
        using result = httplib::Server::HandlerResponse;
        if (has_body(request)) return result::Unhandled;
        const auto found = methods_.find(request.path);
        const std::string& method = request.method == "HEAD" ? "GET" : request.method;
        if (found != methods_.end() && found->second == method) return result::Unhandled;
        refuse(request, response);
        return result::Handled;
      });
  http_.set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
    if (!response.body.empty()) return;
    if (response.status == 404) return refuse(request, response);
    explain(response);
  });
  http_.set_exception_handler(
      [](const httplib::Request&, httplib::Response& response, std::exception_ptr thrown) {
        try {
          std::rethrow_exception(std::move(thrown));
        } catch (const std::exception& failure) {
          set_error(response, failure);
        } catch (...) {
          set_error(response, 500, "server_error", "an exception of unknown type");
        }
      });
}

void server::refuse(const httplib::Request& request, httplib::Response& response) const {
  const auto found = methods_.find(request.path);
  if (found == methods_.end()) {
    return set_error(response, 404, "not_found_error", fmt::format("there is no {}", request.path));
  }
  response.set_header("Allow", found->second);
  set_error(response, 405, "invalid_request_error",
            fmt::format("{} takes {}, not {}", request.path, found->second, request.method));
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
  result["graph_cache"] = to_json(graphs().limits());
  if (seen.last) result["last_transition"] = to_json(*seen.last);
  return result;
}

json server::models() const {
  const bool asleep = sleeper_.observe().state == lull::sleep_state::asleep;
  const json meta{{"n_tensors", model_.tensor_count()}, {"size", model_.tensor_bytes()}};
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

void server::complete(const std::string& body, httplib::Response& response) {
  const lull::time_point deadline = lull::steady_clock().deadline_in(options_.request_timeout);
  const completion_request what = parse_completion(body);
  try {
    auto holding = admit(deadline);
    if (holding == nullptr) {
      ++rejected_;
      set_error(response, 503, "overloaded_error",
                fmt::format("{} requests are waiting already", options_.most_waiting));
      return;
    }
    const std::uint64_t digest = graphs_.digest(what.prompt, holding->slot(), deadline);
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
  set_json(response, {{"content", content}, {"tokens_predicted", what.tokens}, {"stop", true}});
}

/// Holds what the completion holds until the last event is sent or the client is gone.
void server::answer_stream(const completion_request& what, std::uint64_t digest,
                           std::shared_ptr<running> holding, httplib::Response& response) {
  const auto words = std::make_shared<word_source>(digest);
  const auto event = [](const json& data) { return fmt::format("data: {}\n\n", to_text(data)); };
  response.set_chunked_content_provider(
      "text/event-stream",
      [words, event, tokens = what.tokens, sent = 0, holding = std::move(holding),
       stop = stopping_.get_token()](std::size_t, httplib::DataSink& sink) mutable {
        if (stop.stop_requested()) return false;
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

void server::sleep(const std::string& body, httplib::Response& response) {
  const std::optional<std::string> level = parse_sleep(body);
  const auto report =
      sleeper_.sleep(plan_for(level ? lull::parse_sleep_level(*level) : options_.sleep_level));
  set_json(response, to_json(report));
}

void server::wake(httplib::Response& response) {
  sleeper_.wake(lull::steady_clock().deadline_in(options_.request_timeout), stopping_.get_token());
  set_json(response, props());
}

}  // namespace example
