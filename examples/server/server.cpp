#include "server/server.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "server/answers.hpp"
#include "server/metrics.hpp"

namespace example {
namespace {

using nlohmann::json;

bool is_asleep(lull::sleep_state state) noexcept {
  return state == lull::sleep_state::asleep || state == lull::sleep_state::waking;
}

/// A reply that may be kept where only what can be copied may be.
std::shared_ptr<http::reply> shared(http::reply&& to) {
  return std::make_shared<http::reply>(std::move(to));
}

}  // namespace

server::server(lull::device device, server_options options)
    : options_(std::move(options)),
      engine_(std::move(device), options_),
      door_(
          door_options(),
          [this](http::request&& asked, http::reply&& to) { handle(asked, std::move(to)); },
          [](int status, const std::string& reason) { return error_answer(status, reason); }),
      rules_{options_.token, door_.is_loopback(), options_.host},
      loop_(engine_, options_.parallel, options_.word_delay),
      sleeper_(sleeper_options_from()) {
  if (!door_.is_loopback() && options_.token.empty()) {
    throw lull::error(
        lull::status::invalid_argument,
        fmt::format("{} can be reached by others: that takes a token", options_.host));
  }
  loading_.emplace(sleeper_.acquire());
  engine_.join(sleeper_, options_.before.has_value());
  if (options_.before) begin_reborn();
  add_observers();
  add_routes();
}

/// Nobody computes any more when the sleeper ends, and the loop is still there for a transition
/// that is to be taken back.
server::~server() {
  stop();
  loop_.close();
  loading_.reset();
}

lull::sleeper_options server::sleeper_options_from() {
  lull::sleeper_options result;
  // The sleeper knows no "at once"; what is idle for a moment is idle.
  if (options_.sleep_idle && options_.sleep_ladder.empty()) {
    result.idle_time = std::max(*options_.sleep_idle, std::chrono::milliseconds{1});
  }
  result.plan = plan_of(options_.sleep_level);
  for (const ladder_step& each : options_.sleep_ladder) {
    result.ladder.push_back({each.after, plan_of(each.level)});
  }
  result.watch_idle = true;
  result.run_on = [this](lull::transition_work work) {
    loop_.post(std::packaged_task<void()>(std::move(work)));
  };
  result.rebirth.hand_over = [this](const lull::sleep_counters& then) { return hand_over(then); };
  result.rebirth.called_off = [this] { door_.open_again(); };
  result.releases = &engine_.releases();
  result.log = options_.log;
  return result;
}

lull::sleep_plan server::plan_of(lull::sleep_level level) const {
  return plan_for(level, engine_.device(), options_.offload_directory);
}

void server::run(const std::function<void()>& on_ready) {
  std::packaged_task<void()> task([&] { load(on_ready); });
  std::future<void> loaded = task.get_future();
  loop_.post(std::move(task));
  try {
    door_.run(stopping_.get_token());
  } catch (...) {
    stop();
    loaded.wait();  // it refers to what is here
    throw;
  }
  loaded.get();
}

/// On the compute loop.
void server::load(const std::function<void()>& on_ready) {
  if (options_.before) return;  // by the first wake
  try {
    engine_.load(stopping_.get_token());
  } catch (const lull::error& failure) {
    if (failure.code() == lull::status::cancelled) return;  // by stop()
    stop();
    throw;
  } catch (...) {
    stop();
    throw;
  }
  ready_ = true;
  loading_.reset();
  if (on_ready) on_ready();
}

void server::add_observers() {
  const auto observe = [this](const char* path, std::function<http::answer()> look) {
    routes_[path] = {"GET", [look](const http::request&, http::reply&& to) { to.send(look()); }};
  };
  observe("/health", [this] {
    return ready_ ? json_answer({{"status", "ok"}})
                  : error_answer(503, "the model is being loaded");
  });
  observe("/props", [this] { return json_answer(props()); });
  observe("/models", [this] { return json_answer(models()); });
  observe("/is_sleeping", [this] {
    return json_answer({{"is_sleeping", is_asleep(sleeper_.observe().state)}});
  });
  routes_["/metrics"] = {"GET", [this](const http::request&, http::reply&& to) {
                           run_on(observers_, std::move(to), [this] {
                             return http::answer{
                                 .type = "text/plain; version=0.0.4",
                                 .body = metrics_text(sleeper_, engine_, counters_, earlier_)};
                           });
                         }};
}

void server::add_routes() {
  routes_["/completion"] = {
      "POST", [this](const auto& asked, http::reply&& to) { complete(asked, std::move(to)); }};
  routes_["/sleep"] = {
      "POST", [this](const auto& asked, http::reply&& to) { sleep(asked, std::move(to)); }, true};
  // By the name of llama.cpp's style, and by vLLM's.
  for (const char* const path : {"/wake", "/wake_up"}) {
    routes_[path] = {
        "POST", [this](const auto& asked, http::reply&& to) { wake(asked, std::move(to)); }, true};
  }
}

const server::route& server::route_for(const http::request& asked) const {
  const auto found = routes_.find(asked.path);
  if (found == routes_.end()) throw http::refusal(404, fmt::format("there is no {}", asked.path));
  return found->second;
}

void server::handle(const http::request& asked, http::reply&& to) {
  try {
    http::check_origin(rules_, asked);
    const route& found = route_for(asked);
    if (found.method != (asked.method == "HEAD" ? "GET" : asked.method)) {
      http::answer refusal = error_answer(
          405, fmt::format("{} takes {}, not {}", asked.path, found.method, asked.method));
      refusal.headers.emplace_back("Allow", found.method);
      return to.send(refusal);
    }
    if (found.method == "POST") {
      http::check_token(rules_, asked);
      if (found.takes_json) http::check_is_json(asked);
      if (!ready_) return to.send(error_answer(503, "the model is being loaded"));
    }
    found.handle(asked, std::move(to));
  } catch (const std::exception& failure) {
    to.send(error_answer(failure));
  }
}

json server::props() const {
  const lull::sleeper_snapshot seen = sleeper_.observe();
  json result{{"is_sleeping", seen.state == lull::sleep_state::asleep},
              {"state", std::string(to_string(seen.state))},
              {"model_path", engine_.facts().path.string()},
              {"device", engine_.device().name()},
              {"total_slots", options_.parallel},
              {"sleep_level", seen.plan},
              {"idle_ms", milliseconds(seen.idle)},
              {"waiting", seen.waiting}};
  result["sleep_idle_seconds"] =
      options_.sleep_idle ? json(milliseconds(*options_.sleep_idle) / 1000) : json(-1);
  if (!options_.sleep_ladder.empty()) {
    result["sleep_idle_seconds"] = milliseconds(options_.sleep_ladder.front().after) / 1000;
    result["sleep_ladder"] = to_string(options_.sleep_ladder);
  }
  result["graph_cache"] = to_json(graphs().limits());
  if (seen.last) result["last_transition"] = to_json(*seen.last);
  return result;
}

json server::models() const {
  const model_facts facts = engine_.facts();
  const char* const status = !ready_                               ? "loading"
                             : is_asleep(sleeper_.observe().state) ? "sleeping"
                                                                   : "loaded";
  return {{"object", "list"},
          {"data",
           {{{"id", facts.path.stem().string()},
             {"object", "model"},
             {"owned_by", "lull"},
             {"status", status},
             {"meta", {{"n_tensors", facts.tensors}, {"size", facts.bytes}}}}}}};
}

void server::complete(const http::request& asked, http::reply&& to) {
  completion_request what = parse_completion(asked.body);
  if (counters_.present >= options_.most_waiting) {
    ++counters_.rejected;
    return to.send(
        error_answer(503, fmt::format("{} requests are waiting already", options_.most_waiting)));
  }
  const lull::time_point deadline = lull::steady_clock().deadline_in(options_.request_timeout);
  const auto work =
      std::make_shared<completion>(std::move(what), std::move(to), deadline, counters_);
  // Nobody waits here. A client that leaves, or a stop, ends the wait for the wake.
  sleeper_.acquire_async({.deadline = deadline, .stop = work->unwanted()},
                         [this, work](lull::sleeper::acquire_result result) {
                           if (auto* const lease = std::get_if<lull::sleeper::lease>(&result)) {
                             work->hold(std::move(*lease));
                             loop_.submit(work);
                           } else {
                             work->fail(std::get<lull::error>(result));
                           }
                         });
}

void server::sleep(const http::request& asked, http::reply&& to) {
  const sleep_request wanted = parse_sleep(asked);
  const lull::sleep_level first =
      options_.sleep_ladder.empty() ? options_.sleep_level : options_.sleep_ladder.front().level;
  const auto level = wanted.level ? lull::parse_sleep_level(*wanted.level) : first;
  const lull::sleep_plan plan = wanted.tags.empty() ? plan_of(level) : plan_for_tags(wanted.tags);
  const auto go = [this, plan] {
    lull::transition_report report = sleeper_.sleep(plan);
    // It was asleep by another plan: what that has not done is done now, without a wake.
    if (report.plan != plan.name) report = sleeper_.deepen(plan);
    return json_answer(to_json(report));
  };
  if (plan.context != lull::context_action::rebirth) return run_on(sleepers_, std::move(to), go);
  // Nobody is there to answer afterwards, and it is done when nobody waits for an answer.
  lull::expect_rebirth_possible();
  to.send({.status = 202, .body = to_text({{"plan", plan.name}, {"accepted", true}})});
  static_cast<void>(run_beside(sleepers_, [go] {
    try {
      static_cast<void>(go());
    } catch (const lull::error&) {  // NOLINT(bugprone-empty-catch): the log and /props tell
    }
  }));
}

/// Tags are checked, and all comes back whichever are named.
void server::wake(const http::request& asked, http::reply&& to) {
  static_cast<void>(parse_sleep(asked));
  const auto answer = shared(std::move(to));
  sleeper_.acquire_async({.deadline = lull::steady_clock().deadline_in(options_.request_timeout),
                          .stop = answer->unwanted()},
                         [this, answer](lull::sleeper::acquire_result result) {
                           if (const auto* const failure = std::get_if<lull::error>(&result)) {
                             answer->send(error_answer(*failure));
                           } else {
                             answer->send(json_answer(props()));
                           }
                         });
}

/// For what may block. On the front door's thread, as all requests.
void server::run_on(helpers& who, http::reply&& to, std::function<http::answer()> work) {
  const auto answer = shared(std::move(to));
  const bool began = run_beside(who, [answer, work = std::move(work)] {
    try {
      answer->send(work());
    } catch (const std::exception& failure) {
      answer->send(error_answer(failure));
    }
  });
  if (!began) answer->send(error_answer(503, "too many such requests are waiting already"));
}

/// @return false: there are too many already
bool server::run_beside(helpers& who, std::function<void()> work) {
  std::erase_if(who.running, [](const std::future<void>& each) {
    return each.wait_for(std::chrono::seconds{0}) == std::future_status::ready;
  });
  if (who.running.size() >= who.most) return false;
  who.running.push_back(std::async(std::launch::async, std::move(work)));
  return true;
}

}  // namespace example
