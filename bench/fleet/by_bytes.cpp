#include "fleet/by_bytes.hpp"

#include <lull/budget.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bench::fleet {
namespace {

constexpr std::uint64_t gpu_margin_bytes = std::uint64_t{1} << 30U;
/// What a sleeper is taken to leave on the GPU until it was seen: what the controller takes always.
constexpr std::uint64_t guessed_residue = std::uint64_t{4} << 30U;

/// The levels that every model has.
enum level : std::size_t { offload, checkpoint, unload };

class budget_node {
 public:
  budget_node(const node_load& load, bool one_awake)
      : load_(load), one_awake_(one_awake), members_(load.models.size()), books_(on_, load) {
    lull::budget_options options;
    options.devices = {{"GPU", gpu_bytes, gpu_margin_bytes},
                       {"HOST", load.host_bytes, host_margin_bytes}};
    // Whoever is awake takes all of this one: a device of bytes as any other.
    if (one_awake) options.devices.push_back({"TURN", gpu_bytes, 0});
    options.time = &on_.time;
    options.run_on = [this](std::function<void()> job) { on_.in(leave_time, std::move(job)); };
    options.evict = [this](const lull::budget_eviction& what) { evict(what); };
    options.probe = [this] { return readings(); };
    options.max_wait = longest_turn;
    budget_.emplace(std::move(options));
    for (std::size_t index = 0; index < load.models.size(); ++index) add(index);
  }

  outcome run() {
    on_.run(
        load_.requests, [this](const fleet_request& what) { ask(what); },
        [this] { return budget_->next_tick(); }, [this] { budget_->tick(); });
    outcome result = books_.close();
    result.room_bytes = gpu_bytes - gpu_margin_bytes - result.sleeper_bytes;
    return result;
  }

 private:
  enum class where : std::uint8_t { gone, checkpointed, asleep, here };
  struct member {
    where state = where::gone;
    std::uint64_t gpu = 0;  ///< what it holds
    std::uint64_t host = 0;
    path how = path::cold;  ///< how it last came in
  };

  static std::string name_of(std::size_t index) { return std::to_string(index); }

  void add(std::size_t index) {
    const fleet_model& what = load_.models[index];
    lull::bytes_by_device need = {{"GPU", what.expected}};
    if (one_awake_) need["TURN"] = gpu_bytes;
    budget_->add({.name = name_of(index),
                  .need = std::move(need),
                  .levels = {{"offload", {{"GPU", guessed_residue}, {"HOST", what.weights}}},
                             {"checkpoint", {{"HOST", what.weights + guessed_residue}}},
                             {"unload", {}}},
                  .wake_time = wake_time(what)});
  }

  void ask(const fleet_request& what) {
    const auto told = [this, &what](lull::budget::admission admitted) {
      if (admitted.failure) {
        const bool never = admitted.failure->code() == lull::status::out_of_device_memory;
        return books_.refused(what, never ? refusal::never_fits : refusal::no_turn);
      }
      const auto ticket = std::make_shared<lull::budget_ticket>(std::move(admitted.ticket));
      if (ticket->must_load()) return load(what, ticket);
      const bool waited = on_.since_start() > what.at;
      work(what, waited ? members_[what.model].how : path::awake, ticket);
    };
    budget_->admit_async(name_of(what.model), on_.time.now() + patience, told);
  }

  void work(const fleet_request& what, path how,
            const std::shared_ptr<lull::budget_ticket>& ticket) {
    books_.answered(what, how);
    on_.in(what.work, [ticket] { ticket->release(); });
  }

  void load(const fleet_request& what, const std::shared_ptr<lull::budget_ticket>& ticket) {
    member& loaded = members_[what.model];
    const fleet_model& model = load_.models[what.model];
    const bool cold = loaded.state == where::gone;
    const bool restored = loaded.state == where::checkpointed;
    loaded.how = cold ? path::cold : path::asleep;
    books_.sleeps(what.model, 0);
    // Until it is in, its copy in host memory is there too.
    hold(loaded, model.awake, loaded.host);
    cold ? books_.started(what.model) : books_.woke(what.model, restored);
    if (cold) loaded.state = where::here;
    const auto takes =
        cold ? cold_time(model) : wake_time(model) + (restored ? restore_time : lull::duration{});
    on_.in(takes, [this, &what, ticket, cold, &loaded] {
      if (cold) books_.resident(1);
      loaded.state = where::here;
      hold(loaded, loaded.gpu, 0);
      lull::bytes_by_device holds = {{"GPU", loaded.gpu}};
      if (one_awake_) holds["TURN"] = gpu_bytes;
      ticket->confirm(holds);
      // The budget keeps no watch over whoever loads.
      if (on_.since_start() - what.at > patience) return books_.refused(what, refusal::no_turn);
      work(what, loaded.how, ticket);
    });
  }

  void evict(const lull::budget_eviction& what) {
    const std::size_t index = std::stoul(what.model);
    member& leaver = members_[index];
    const fleet_model& model = load_.models[index];
    if (what.depth == unload) {
      books_.sleeps(index, 0);
      hold(leaver, 0, 0);
      books_.resident(-1);
      books_.ended();
      leaver.state = where::gone;
      return;
    }
    const bool checkpointed = what.depth == checkpoint;
    if (leaver.state == where::here) books_.put_to_sleep(index);
    leaver.state = checkpointed ? where::checkpointed : where::asleep;
    hold(leaver, checkpointed ? 0 : model.residue,
         model.weights + (checkpointed ? model.residue : 0));
    books_.sleeps(index, leaver.gpu);
    // As a router does that has looked: what it really holds, as soon as it sleeps.
    on_.in({}, [this, index, &leaver, state = leaver.state] {
      if (leaver.state == state) {
        budget_->correct(name_of(index), {{"GPU", leaver.gpu}, {"HOST", leaver.host}});
      }
    });
  }

  /// What becomes more does so first.
  void hold(member& who, std::uint64_t gpu, std::uint64_t host) {
    books_.take(std::max(gpu, who.gpu) - who.gpu, std::max(host, who.host) - who.host);
    books_.give(std::max(gpu, who.gpu) - gpu, std::max(host, who.host) - host);
    who.gpu = gpu;
    who.host = host;
  }

  [[nodiscard]] std::vector<lull::budget_reading> readings() const {
    return {{"GPU", books_.gpu()}, {"HOST", books_.host()}};
  }

  const node_load& load_;
  const bool one_awake_;
  machine on_;
  std::vector<member> members_;
  books books_;
  std::optional<lull::budget> budget_;  // last: it lets nobody go before its jobs are done
};

}  // namespace

outcome run_by_bytes(const node_load& load, bool one_awake) {
  return budget_node(load, one_awake).run();
}

}  // namespace bench::fleet
