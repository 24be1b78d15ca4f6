#include "metrics.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

#include "readiness.hpp"

namespace lull::serve {
namespace {

/// A label's value (Prometheus, exposition formats).
std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\\' || c == '"') safe += '\\';
    if (c == '\n') {
      safe += "\\n";
    } else {
      safe += c;
    }
  }
  return safe;
}

class sheet {
 public:
  void head(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                   type);
  }
  template <class Value>
  void line(std::string_view name, std::string_view labels, Value value) {
    fmt::format_to(std::back_inserter(text_), "{}{{{}}} {}\n", name, labels, value);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string model_label(std::string_view name) {
  return fmt::format("model=\"{}\"", escaped(name));
}

using device_value = std::function<std::uint64_t(const budget_device_snapshot&)>;

void add_devices(sheet& to, fleet& models, const budget_snapshot& books) {
  const auto labels = [](const shared_device& each) {
    return fmt::format("device=\"{}\",UUID=\"{}\"", escaped(each.books.name), escaped(each.uuid()));
  };
  const auto series = [&](std::string_view name, std::string_view help, const device_value& value) {
    to.head(name, "gauge", help);
    for (const shared_device& each : models.memory().devices()) {
      for (const budget_device_snapshot& device : books.devices) {
        if (device.name == each.books.name) to.line(name, labels(each), value(device));
      }
    }
  };
  series("lull_device_capacity_bytes", "What the device has.",
         [](const budget_device_snapshot& device) { return device.capacity_bytes; });
  series("lull_device_margin_bytes", "What is kept free.",
         [](const budget_device_snapshot& device) { return device.margin_bytes; });
  series("lull_device_free_bytes", "What models may still take without anybody leaving.",
         [](const budget_device_snapshot& device) {
           const std::uint64_t taken =
               device.margin_bytes + device.foreign_bytes + device.held_bytes;
           return device.capacity_bytes - std::min(device.capacity_bytes, taken);
         });
  series("lull_device_held_bytes", "What models hold, as the books have it.",
         [](const budget_device_snapshot& device) { return device.held_bytes; });
  series("lull_device_foreign_bytes", "What others use, or nobody can account for.",
         [](const budget_device_snapshot& device) { return device.foreign_bytes; });
  to.head("lull_device_used_bytes", "gauge", "What the device says is used, by everybody.");
  for (const auto& [name, bytes] : models.used()) {
    for (const shared_device& each : models.memory().devices()) {
      if (each.books.name == name) to.line("lull_device_used_bytes", labels(each), bytes);
    }
  }
  to.head("lull_model_held_bytes", "gauge", "What a model holds of a device.");
  for (const budget_model_snapshot& model : books.models) {
    for (const shared_device& each : models.memory().devices()) {
      const auto held = model.holds.find(each.books.name);
      to.line("lull_model_held_bytes", model_label(model.name) + "," + labels(each),
              held == model.holds.end() ? 0 : held->second);
    }
  }
}

void add_models(sheet& to, fleet& models) {
  to.head("lull_model_state", "gauge", "1 for the state that the model is in.");
  for (const auto& each : models.models()) {
    const auto now = to_string(each->look().is);
    for (const char* const state :
         {"stopped", "starting", "ready", "asleep", "leaving", "failed"}) {
      to.line("lull_model_state", fmt::format("{},state=\"{}\"", model_label(each->name()), state),
              now == state ? 1 : 0);
    }
  }
  to.head("vllm:engine_sleep_state", "gauge", "As vLLM has it: 1 for the state of sleep.");
  for (const auto& each : models.models()) {
    const model::view seen = each->look();
    const bool asleep = seen.is == model::phase::asleep;
    const bool gone = seen.is == model::phase::stopped || seen.is == model::phase::failed ||
                      (asleep && seen.level == "discard");
    const char* const now = gone ? "discard_all" : asleep ? "weights_offloaded" : "awake";
    for (const std::string_view state : {"awake", "weights_offloaded", "discard_all"}) {
      to.line("vllm:engine_sleep_state",
              fmt::format("engine=\"0\",model_name=\"{}\",sleep_state=\"{}\"",
                          escaped(each->name()), state),
              state == now ? 1 : 0);
    }
  }
  using number = std::function<std::uint64_t(const model::view&)>;
  const auto series = [&](const char* name, const char* type, const char* help,
                          const number& value) {
    to.head(name, type, help);
    for (const auto& each : models.models()) {
      to.line(name, model_label(each->name()), value(each->look()));
    }
  };
  series("lull_model_requests_running", "gauge", "Requests that the model's server works on.",
         [](const model::view& seen) { return seen.active; });
  series("lull_model_requests_waiting", "gauge", "Requests that wait for the model.",
         [](const model::view& seen) { return seen.waiting; });
  series("lull_model_starts_total", "counter", "How often its server was started.",
         [](const model::view& seen) { return seen.starts; });
  series("lull_model_crashes_total", "counter", "How often it ended by itself while in use.",
         [](const model::view& seen) { return seen.crashes; });
}

void add_books(sheet& to, const budget_counters& counts) {
  const auto one = [&](const char* name, const char* help, std::uint64_t value) {
    to.head(name, "counter", help);
    to.line(name, "", value);
  };
  one("lull_budget_loads_total", "Loads and wakes that were carried out.", counts.loads);
  one("lull_budget_loads_given_up_total", "Loads that failed.", counts.given_up);
  one("lull_budget_evictions_total", "Models that were put away.", counts.evictions);
  one("lull_budget_evictions_failed_total", "Models that could not be.", counts.failed_evictions);
  one("lull_budget_refused_total", "Requests for models that can never fit.", counts.refused);
}

void add_readiness(sheet& to, fleet& models) {
  to.head("lull_ready", "gauge", "1 while requests should be sent here, as /health/ready has it.");
  to.line("lull_ready", "", readiness_of(models).ready ? 1 : 0);
  to.head("lull_model_ready", "gauge", "The same for a model, which may sleep.");
  for (const auto& each : models.models()) {
    to.line("lull_model_ready", model_label(each->name()),
            readiness_of(models, *each).ready ? 1 : 0);
  }
}

}  // namespace

void metrics::histogram::add(double value) {
  const auto bound = std::lower_bound(bounds.begin(), bounds.end(), value);
  ++counts[static_cast<std::size_t>(bound - bounds.begin())];
  sum += value;
}

void metrics::first_byte(const std::string& model, const std::string& found,
                         std::chrono::duration<double> after) {
  first_bytes_[{model, found}].add(after.count());
}

void metrics::arrived(const std::string& model, const std::string& from,
                      std::chrono::duration<double> after, bool load) {
  (load ? loads_ : actuations_)[{model, from}].add(after.count());
}

std::string metrics::text_of(const char* name, const char* help, const histograms& all) {
  sheet to;
  to.head(name, "histogram", help);
  for (const auto& [key, each] : all) {
    const std::string labels =
        fmt::format("{},path=\"{}\"", model_label(key.first), escaped(key.second));
    std::uint64_t sum = 0;
    for (std::size_t bound = 0; bound < bounds.size(); ++bound) {
      sum += each.counts[bound];
      to.line(fmt::format("{}_bucket", name), fmt::format("{},le=\"{}\"", labels, bounds[bound]),
              sum);
    }
    sum += each.counts[bounds.size()];
    to.line(fmt::format("{}_bucket", name), labels + ",le=\"+Inf\"", sum);
    to.line(fmt::format("{}_sum", name), labels, each.sum);
    to.line(fmt::format("{}_count", name), labels, sum);
  }
  return to.take();
}

std::string metrics::page(fleet& models) const {
  sheet to;
  const budget_snapshot books = models.books().snapshot();
  add_models(to, models);
  add_devices(to, models, books);
  add_books(to, books.counters);
  add_readiness(to, models);
  to.head("lull_connections", "gauge", "Clients that are connected.");
  to.line("lull_connections", "", connections);
  to.head("lull_requests_total", "counter", "Requests for models, by the status that they got.");
  for (const auto& [key, count] : requests_) {
    to.line("lull_requests_total",
            fmt::format("{},code=\"{}\"", model_label(key.first), key.second), count);
  }
  to.head("lull_clients_left_total", "counter", "Clients that left before they had an answer.");
  for (const auto& [model, count] : clients_left_) {
    to.line("lull_clients_left_total", model_label(model), count);
  }
  return to.take() +
         text_of("lull_time_to_first_byte_seconds",
                 "From a request's header to the first byte of its answer, by how the model was "
                 "found.",
                 first_bytes_) +
         text_of("lull_actuation_seconds",
                 "From when a request or an order asked for a model to when it could use it, by "
                 "how the model was found.",
                 actuations_) +
         text_of("lull_load_seconds",
                 "How long a start (cold) or a wake from a level took by itself, without the wait "
                 "for room.",
                 loads_);
}

}  // namespace lull::serve
