#include "server/server.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "server/answers.hpp"
#include "server/metrics.hpp"

namespace example {
namespace {

using nlohmann::json;

/// A reply that may be kept where only what can be copied may be.
std::shared_ptr<http::reply> shared(http::reply&& to) {
  return std::make_shared<http::reply>(std::move(to));
}

}  // namespace

server::server(const lull::device& device, server_options options)
    : options_(prepared(std::move(options))),
      models_(device, options_),
      door_(
          door_options(),
          [this](http::request&& asked, http::reply&& to) { handle(asked, std::move(to)); },
          [](int status, const std::string& reason) { return error_answer(status, reason); }),
      rules_{options_.token, door_.is_loopback(), options_.host} {
  if (!door_.is_loopback() && options_.token.empty()) {
    throw lull::error(
        lull::status::invalid_argument,
        fmt::format("{} can be reached by others: that takes a token", options_.host));
  }
  add_observers();
  add_routes();
}

/// Nobody computes any more when helpers and models end.
server::~server() {
  stop();
  models_.close();
}

void server::run(const std::function<void()>& on_ready) {
  if (options_.left) {  // the first who asks wakes
    ready_ = true;
    return door_.run(stopping_.get_token());
  }
  const auto loaded = std::make_shared<std::promise<void>>();
  models_.acquire(model(), {.stop = stopping_.get_token()}, [this, loaded, on_ready](auto got) {
    const auto* const failure = std::get_if<lull::error>(&got);
    if (failure == nullptr) {
      { const permit given_back = std::get<permit>(std::move(got)); }
      ready_ = true;
      if (on_ready) on_ready();
    } else if (failure->code() != lull::status::cancelled) {  // as stop() does
      loaded->set_exception(std::make_exception_ptr(*failure));
      return stop();
    }
    loaded->set_value();
  });
  door_.run(stopping_.get_token());
  loaded->get_future().get();
}

void server::add_observers() {
  using look = std::function<http::answer(const http::request&)>;
  const auto observe = [this](const char* path, look what) {
    routes_[path] = {
        "GET", [what](const http::request& asked, http::reply&& to) { to.send(what(asked)); }};
  };
  observe("/health", [this](const auto&) {
    return ready_ ? json_answer({{"status", "ok"}})
                  : error_answer(503, "the model is being loaded");
  });
  for (const char* const path : {"/models", "/v1/models"}) {
    observe(path, [this](const auto&) { return json_answer(models_.describe()); });
  }
  observe("/props", [this](const http::request& asked) {
    return json_answer(models_.named(model_in(asked.query)).props());
  });
  observe("/is_sleeping", [this](const http::request& asked) {
    const auto which = addressed(model_in(asked.query));
    const bool all = std::all_of(which.begin(), which.end(),
                                 [](const served_model* each) { return each->is_asleep(); });
    return json_answer({{"is_sleeping", all}});
  });
  routes_["/metrics"] = {"GET", [this](const http::request&, http::reply&& to) {
                           run_on(observers_, std::move(to), [this] {
                             return http::answer{.type = "text/plain; version=0.0.4",
                                                 .body = metrics_text(models_)};
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

/// The models that a request is about: the one that it names, or all.
std::vector<served_model*> server::addressed(const std::string& name) const {
  if (!name.empty()) return {&models_.named(name)};
  std::vector<served_model*> result;
  for (const auto& each : models_.all()) result.push_back(each.get());
  return result;
}

void server::complete(const http::request& asked, http::reply&& to) {
  completion_request what = parse_completion(asked.body);
  served_model& which = models_.named(what.model);
  if (which.counters.present >= options_.most_waiting) {
    ++which.counters.rejected;
    return to.send(
        error_answer(503, fmt::format("{} requests are waiting already", options_.most_waiting)));
  }
  const lull::time_point deadline = lull::steady_clock().deadline_in(options_.request_timeout);
  const auto work =
      std::make_shared<completion>(std::move(what), std::move(to), deadline, which.counters);
  // Nobody waits here. A client that leaves, or a stop, ends the wait.
  models_.acquire(which, {.deadline = deadline, .stop = work->unwanted()},
                  [&which, work](models::outcome result) {
                    if (auto* const held = std::get_if<permit>(&result)) {
                      work->hold(std::move(*held));
                      which.loop().submit(work);
                    } else {
                      work->fail(std::get<lull::error>(result));
                    }
                  });
}

void server::sleep(const http::request& asked, http::reply&& to) {
  const sleep_request wanted = parse_sleep(asked);
  std::optional<lull::sleep_level> level;
  if (wanted.level) level = lull::parse_sleep_level(*wanted.level);
  const auto which = addressed(wanted.model);
  const bool replaces =
      which.front()->plan_of(level).context == lull::context_action::rebirth && wanted.tags.empty();
  if (replaces) {
    return sleep_by_rebirth(which, std::move(to));
  }
  run_on(sleepers_, std::move(to), [which, level, tags = wanted.tags] {
    json reports = json::object();
    for (served_model* const each : which) {
      reports[each->name()] =
          to_json(each->sleep(tags.empty() ? each->plan_of(level) : plan_for_tags(tags)));
    }
    return json_answer(which.size() == 1 ? reports.front() : reports);
  });
}

/// Tags are checked, and all comes back whichever are named. Where not all models fit, those that
/// come last stay.
void server::wake(const http::request& asked, http::reply&& to) {
  const auto which = addressed(parse_sleep(asked).model);
  const auto answer = shared(std::move(to));
  const auto left = std::make_shared<std::atomic<std::size_t>>(which.size());
  const lull::acquire_options how{
      .deadline = lull::steady_clock().deadline_in(options_.request_timeout),
      .stop = answer->unwanted()};
  for (served_model* const each : which) {
    models_.acquire(*each, how, [each, answer, left](models::outcome result) {
      if (const auto* const failure = std::get_if<lull::error>(&result)) {
        answer->send(error_answer(*failure));
      } else if (--*left == 0) {
        answer->send(json_answer(each->props()));
      }
    });
  }
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
