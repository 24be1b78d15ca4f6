#include "reader.hpp"

#include <lull/bytes.hpp>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "read_parts.hpp"

namespace lull::serve {
namespace {

constexpr std::size_t largest_file = std::size_t{4} << 20;

/// Where documents begin; all else does not matter.
class document_starts final : public YAML::EventHandler {
 public:
  std::vector<YAML::Mark> places = {};

  void OnDocumentStart(const YAML::Mark& at) override { places.push_back(at); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

/// What a text says that has one document. (YAML::LoadAll() of version 0.7 never ends for ",".)
YAML::Node load(findings& found, const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  document_starts starts;
  if (parser.HandleNextDocument(starts) && parser.HandleNextDocument(starts)) {
    found.mistake(starts.places.back(), "", "a second document; a configuration is one");
  }
  return YAML::Load(text);
}

/// The whole file, part by part.
class file_reader {
 public:
  file_reader(findings& found, const YAML::Node& root) : found_(&found), root_(found, root, "") {}

  config run() {
    read_router(root_, config_);
    read_defaults();
    read_models();
    give_ports();
    check_names();
    check_memory();
    read_relations(root_, config_);
    finish();
    return std::move(config_);
  }

 private:
  void read_defaults() {
    defaults_.check_timeout =
        root_.positive_span("healthCheckTimeout").value_or(defaults_.check_timeout);
    const duration stop = root_.span("unloadTimeout").value_or(duration::zero());
    if (stop != duration::zero()) defaults_.stop_timeout = stop;
    defaults_.ttl = root_.span("globalTTL").value_or(defaults_.ttl);
    defaults_.min_resident = root_.span("min_resident").value_or(defaults_.min_resident);
    defaults_.max_wait = root_.positive_span("max_wait");
    defaults_.allow_remote = root_.flag("allow_remote").value_or(false);
    defaults_.ladder =
        read_ladder(root_, config_)
            .value_or(std::vector<sleep_rung>{{.level = "auto", .way = sleep_way::automatic}});
    first_port_ = static_cast<std::uint16_t>(root_.whole("startPort", 1, 65535).value_or(5800));
    if (auto shared = root_.map("macros")) macros_.read(*shared);
  }

  void read_models() {
    auto models = root_.map("models");
    if (!models || models->all().empty()) {
      root_.mistake("models", "is missing or empty: the servers that there are");
      return;
    }
    for (const section::entry& each : models->all()) {
      drafts_.push_back(read_model(*found_, each, config_, defaults_, macros_));
    }
  }

  /// Those that the file names are taken; the others go by the names of the models, so that a model
  /// keeps its port when one is added behind it.
  void give_ports() {
    port_list ports(*found_, first_port_);
    std::set<std::uint16_t> listened;  // on several addresses, perhaps
    for (const endpoint& where : config_.listen) listened.insert(where.port);
    for (const std::uint16_t port : listened) {
      ports.take(port, {root_.mark_of("listen"), "listen"});
    }
    std::vector<model_draft*> by_name;
    for (model_draft& draft : drafts_) {
      by_name.push_back(&draft);
      take_fixed_port(draft, ports);
    }
    std::sort(by_name.begin(), by_name.end(), [](const model_draft* a, const model_draft* b) {
      return a->value.name < b->value.name;
    });
    for (model_draft* const draft : by_name) {
      std::optional<std::uint16_t> port;
      if (draft->needs_port()) port = ports.give(draft->places.at("cmd"));
      finish_model(*found_, *draft, port);
    }
    for (model_draft& draft : drafts_) config_.models.push_back(draft.value);
  }

  static void take_fixed_port(const model_draft& draft, port_list& ports) {
    if (draft.proxy.empty() || draft.proxy.find("${PORT}") != std::string::npos) return;
    try {
      ports.take(parse_url(draft.proxy).where.port, draft.places.at("proxy"));
    } catch (const std::invalid_argument&) {
      // finish_model() says so.
    }
  }

  /// A name means one model.
  void check_names() {
    std::map<std::string, std::string> owners;
    for (const model_draft& draft : drafts_) owners.emplace(draft.value.name, draft.value.name);
    for (const model_draft& draft : drafts_) {
      for (const std::string& alias : draft.value.aliases) {
        const auto [other, is_first] = owners.emplace(alias, draft.value.name);
        if (is_first) continue;
        const text_place& place = draft.places.at("aliases." + alias);
        found_->mistake(place.at, place.key,
                        fmt::format("'{}' means model '{}' already", alias, other->second));
      }
    }
  }

  /// One size alone is on the only GPU; and what is larger than a device never fits.
  void check_memory() {
    std::vector<std::string> gpus;
    for (const device_config& device : config_.devices) {
      if (device.name != "HOST") gpus.push_back(device.name);
    }
    if (gpus.empty() && config_.devices.size() == 1) gpus.push_back(config_.devices[0].name);
    for (std::size_t i = 0; i < drafts_.size(); ++i) {
      model_config& model = config_.models[i];
      const auto place = drafts_[i].places.find("memory");
      if (place == drafts_[i].places.end()) continue;
      if (model.memory_anywhere && !config_.devices.empty()) {
        if (gpus.size() != 1) {
          found_->mistake(place->second.at, place->second.key,
                          "there are several devices: say how much on each, as in "
                          "{ CUDA0: 9GiB }");
          continue;
        }
        model.memory[gpus[0]] = *model.memory_anywhere;
        model.memory_anywhere.reset();
      }
      check_fits(model.memory, place->second);
    }
  }

  void check_fits(const bytes_by_device& memory, const text_place& place) {
    for (const device_config& device : config_.devices) {
      const auto held = memory.find(device.name);
      if (held == memory.end() || !device.capacity_bytes) continue;
      const auto share = static_cast<std::uint64_t>(device.margin_share *
                                                    static_cast<double>(*device.capacity_bytes));
      const std::uint64_t kept = std::max(device.margin_bytes, share);
      if (held->second <= *device.capacity_bytes - std::min(kept, *device.capacity_bytes)) continue;
      found_->mistake(place.at, place.key,
                      fmt::format("{} can never fit on {}, which has {} with a margin of {}",
                                  format_bytes(held->second), device.name,
                                  format_bytes(*device.capacity_bytes), format_bytes(kept)));
    }
  }

  void finish() {
    root_.without_effect({"matrix"}, "does nothing here: memory decides who runs together");
    root_.without_effect({"logLevel", "logTimeFormat", "logToStdout", "logRequests",
                          "metricsMaxInMemory", "captureBuffer", "sendLoadingState",
                          "includeAliasesInList", "store", "performance", "ui", "upstream"},
                         "does nothing here");
    for (const char* const key : {"apiKeys", "peers", "profiles", "selectors"}) {
      if (!root_.has(key)) continue;
      root_.mistake(key, key == std::string_view("apiKeys")
                             ? "this router has no keys for inference: `token` is for what changes "
                               "its state; put a proxy that asks for keys before it"
                             : "this router does not have them");
    }
    root_.leave("x-");  // `x-defaults: &defaults {...}`: for what is merged elsewhere
    root_.finish();
  }

  findings* found_;
  section root_;
  config config_;
  model_defaults defaults_;
  std::uint16_t first_port_ = 0;
  macros macros_;
  std::vector<model_draft> drafts_;
};

}  // namespace

reading read_config(std::string_view text, const std::string& file, const environment& variables) {
  findings found(file, variables);
  reading result;
  try {
    result.value = file_reader(found, load(found, std::string(text))).run();
  } catch (const YAML::Exception& wrong) {
    found.mistake(wrong.mark, "", fmt::format("this is no YAML: {}", wrong.msg));
  }
  result.mistakes = found.mistakes();
  result.notices = found.notices();
  return result;
}

reading read_config_file(const std::string& path, const environment& variables) {
  const auto refuse = [&](std::string words) {
    reading result;
    result.mistakes.push_back({.file = path, .words = std::move(words)});
    return result;
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return refuse("is a folder");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return refuse(fmt::format("cannot be opened: {}", std::strerror(errno)));
  std::string text(largest_file + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return refuse(fmt::format("cannot be read: {}", std::strerror(errno)));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > largest_file) return refuse("is above 4 MiB, which is no configuration");
  return read_config(text, path, variables);
}

}  // namespace lull::serve
