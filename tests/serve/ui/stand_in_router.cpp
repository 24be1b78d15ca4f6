#include "stand_in_router.hpp"

#include <chrono>
#include <utility>

#include <httplib.h>

#include "ui/files.hpp"

namespace lull::serve {

using json = nlohmann::json;

stand_in_router::stand_in_router(json state)
    : state_(std::move(state)), server_(std::make_unique<httplib::Server>()) {
  server_->new_task_queue = [] { return new httplib::ThreadPool(8); };
  server_->set_keep_alive_max_count(1);  // its end would wait for the browser's idle connections
  serve_page();
  serve_state();
  serve_actions();
  server_->Get("/.*", [this](const httplib::Request& asked, httplib::Response& answer) {
    const std::lock_guard lock(mutex_);
    strays_.push_back(asked.path);
    answer.status = 404;
  });
  port_ = server_->bind_to_any_port("127.0.0.1");
  thread_ = std::thread([this] { server_->listen_after_bind(); });
}

stand_in_router::~stand_in_router() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  server_->stop();
  thread_.join();
}

std::string stand_in_router::url() const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/ui/";
}

void stand_in_router::serve_page() {
  for (const char* const path : {"/ui/", "/ui/style.css", "/ui/page.js", "/ui/icon.svg"}) {
    server_->Get(path, [path](const httplib::Request&, httplib::Response& answer) {
      const ui::file* const found = ui::find_file(path);
      answer.set_header("Content-Security-Policy", std::string(ui::content_security_policy));
      answer.set_content(std::string(found->bytes), std::string(found->type).c_str());
    });
  }
}

void stand_in_router::serve_state() {
  server_->Get("/ui/state", [this](const httplib::Request&, httplib::Response& answer) {
    answer.set_content(state().dump(), "application/json");
  });
  server_->Get("/ui/events", [this](const httplib::Request&, httplib::Response& answer) {
    {
      const std::lock_guard lock(mutex_);
      if (refuses_events_) {
        answer.status = 503;
        return;
      }
    }
    answer.set_chunked_content_provider(
        "text/event-stream", [this, sent = -1](std::size_t, httplib::DataSink& sink) mutable {
          std::unique_lock lock(mutex_);
          changed_.wait_for(lock, std::chrono::milliseconds(200),
                            [&] { return version_ != sent || is_ending_ || refuses_events_; });
          if (is_ending_ || refuses_events_) return false;
          sent = version_;
          const std::string event = "data: " + state_.dump() + "\n\n";
          lock.unlock();
          return sink.write(event.data(), event.size());
        });
  });
}

void stand_in_router::serve_actions() {
  server_->Post(
      R"(/ui/models/([^/]+)/(load|sleep|stop|pin|unpin))",
      [this](const httplib::Request& asked, httplib::Response& answer) {
        const std::lock_guard lock(mutex_);
        const std::string name = asked.matches[1];
        const std::string action = asked.matches[2];
        if (!token_.empty() && asked.get_header_value("Authorization") != "Bearer " + token_) {
          answer.status = 401;
          return;
        }
        posts_.push_back("POST " + asked.path);
        for (json& model : state_["models"]) {
          if (model["name"] != name) continue;
          if (action == "load" && model["last_error"] == "refuses") {
            answer.status = 503;
            answer.set_content(R"({"error":{"message":"CUDA0 lacks 2 GiB"}})", "application/json");
            return;
          }
          act(model, action);
          ++version_;
          changed_.notify_all();
          answer.set_content("{}", "application/json");
          return;
        }
        answer.status = 404;
      });
}

void stand_in_router::act(json& model, const std::string& action) {
  if (action == "pin" || action == "unpin") model["pinned"] = action == "pin";
  if (action == "load") model["state"] = "ready", model["holds"] = model["estimate"];
  if (action == "stop") model["state"] = "stopped", model["holds"] = json::object();
  if (action == "sleep") {
    model["state"] = "asleep";
    model["level"] = "suspend";
    model["holds"] = json::object();
  }
}

void stand_in_router::need_token(std::string token) {
  const std::lock_guard lock(mutex_);
  token_ = std::move(token);
}

void stand_in_router::refuse_events(bool refuse) {
  const std::lock_guard lock(mutex_);
  refuses_events_ = refuse;
  changed_.notify_all();
}

void stand_in_router::set(json state) {
  const std::lock_guard lock(mutex_);
  state_ = std::move(state);
  ++version_;
  changed_.notify_all();
}

json stand_in_router::state() {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::vector<std::string> stand_in_router::posts() {
  const std::lock_guard lock(mutex_);
  return posts_;
}

std::vector<std::string> stand_in_router::strays() {
  const std::lock_guard lock(mutex_);
  return strays_;
}

}  // namespace lull::serve
