// An inference engine that computes on one loop of its own, and sleeps when idle: where each call
// of lull goes. docs/integrating.md shows parts of this file; it is compiled and run with the
// tests.

#include <lull/lull.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

/// The engine's loop: everything that touches the model runs here, one thing after the other.
class compute_loop {
 public:
  compute_loop() : thread_([this] { run(); }) {}
  ~compute_loop() { end(); }

  void post(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      if (ending_) return;  // the task is destroyed unrun
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

  /// Runs nothing more, and destroys what is queued.
  void end() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
    tasks_.clear();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
      if (ending_) return;
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;  // what it holds, a lease for example, goes before the next task
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ending_ = false;
  std::thread thread_;
};

/// Stands in for a model: what it answers depends on every one of its weights.
struct model {
  std::vector<unsigned> weights = std::vector<unsigned>(1 << 20, 3);

  [[nodiscard]] unsigned decode(unsigned prompt) const {
    return std::accumulate(weights.begin(), weights.end(), prompt);
  }
};

/// What a server knows of whoever sent a request.
struct client {
  std::atomic<bool> connected{true};
};

class engine {
 public:
  engine() : sleeper_(make_options()) {
    sleeper_.add(make_model_participant());
    sleeper_.sleep();  // starts without a model: the first request loads it
  }

  ~engine() {
    server_stop_.request_stop();  // whoever waits for a lease is told
    loop_.end();                  // a transition that is queued there fails as cancelled
  }

  /// One request, on a thread of the server's: a status as HTTP has it, and the answer.
  std::pair<int, unsigned> complete(unsigned prompt, const client& from) {
    // doc: request
    lull::acquire_options how;
    how.deadline = lull::steady_clock().deadline_in(30s);
    how.stop = server_stop_.get_token();
    how.keep_waiting = [&from] { return from.connected.load(); };
    try {
      const auto lease = sleeper_.acquire(how);  // wakes, once however many ask
      return {200, compute(prompt, from, lease)};
    } catch (const lull::error& failure) {
      std::fprintf(stderr, "no lease: %s\n", failure.what());
      return {failure.code() == lull::status::timed_out ? 504 : 503, 0};
    }
    // doc: end
  }

  /// What a scraper asks for. Never wakes, and does not keep the model awake either.
  std::size_t loaded_weights() {
    // doc: observe
    const auto lease = sleeper_.try_acquire(lull::lease_use::observe);
    if (!lease) return 0;  // asleep: answered from what is known without the model
    auto answer = std::make_shared<std::promise<std::size_t>>();
    auto future = answer->get_future();
    loop_.post([this, answer = std::move(answer)] { answer->set_value(model_->weights.size()); });
    return future.get();
    // doc: end
  }

  lull::sleeper& sleeper() { return sleeper_; }

 private:
  lull::sleeper_options make_options() {
    // doc: options
    lull::sleeper_options options;
    options.idle_time = 5min;
    options.watch_idle = true;
    options.releases = &releases_;
    options.run_on = [this](lull::transition_work work) {
      // The queue wants something that can be copied.
      auto shared = std::make_shared<lull::transition_work>(std::move(work));
      loop_.post([shared] { (*shared)(); });
    };
    // doc: end
    return options;
  }

  std::shared_ptr<lull::participant> make_model_participant() {
    // doc: participant
    return lull::make_participant(
        "model",
        [this](const lull::sleep_plan&, lull::transition& current) {
          if (!model_) return;
          const std::uint64_t bytes = model_->weights.size() * sizeof(unsigned);
          model_.reset();
          current.released(host_, bytes);
        },
        [this](const lull::sleep_plan&, lull::transition& current) {
          // What others gave up may come back late: wait before anything is measured.
          lull::settle_options wait;
          wait.releases = &releases_;
          wait.stop = current.stop();
          static_cast<void>(lull::settle({host_}, wait));
          auto fresh = std::make_unique<model>();  // all or nothing: it may throw,
          model_ = std::move(fresh);               // and only then anything changes
        },
        {host_});
    // doc: end
  }

  unsigned compute(unsigned prompt, const client& from, const lull::sleeper::lease& lease) {
    // doc: share
    auto answer = std::make_shared<std::promise<unsigned>>();
    auto future = answer->get_future();
    // The task has a lease of its own: it may go on after this request has given up.
    auto held = std::make_shared<lull::sleeper::lease>(sleeper_.share(lease));
    loop_.post([this, prompt, held, answer = std::move(answer)] {
      answer->set_value(model_->decode(prompt));
    });
    while (future.wait_for(50ms) != std::future_status::ready) {
      if (!from.connected) throw lull::error(lull::status::cancelled, "the client has left");
    }
    return future.get();
    // doc: end
  }

  const lull::device host_ = lull::registry::shared().find("HOST");
  std::stop_source server_stop_;
  lull::release_clock releases_;
  std::unique_ptr<model> model_;  // touched on the loop only
  compute_loop loop_;
  lull::sleeper sleeper_;
};

}  // namespace

int main() {
  engine server;
  client here;
  const auto first = server.complete(1, here);
  server.sleeper().sleep();
  const std::size_t asleep = server.loaded_weights();

  std::vector<std::future<std::pair<int, unsigned>>> crowd;
  for (int i = 0; i < 8; ++i) {
    crowd.push_back(std::async(std::launch::async, [&] { return server.complete(1, here); }));
  }
  bool same = first.first == 200;
  for (auto& each : crowd) same = each.get() == first && same;
  const auto seen = server.sleeper().observe();
  std::printf("answers %s, %lu wakes for 9 requests, %zu weights while asleep\n",
              same ? "equal" : "DIFFER", static_cast<unsigned long>(seen.counters.wakes), asleep);
  return same && seen.counters.wakes == 2 && asleep == 0 ? 0 : 1;
}
