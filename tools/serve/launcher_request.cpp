#include "launcher_request.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace lull::serve {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(std::string words) {
  throw std::invalid_argument(std::move(words));
}

/// What a process can be given.
std::string as_text(const json& value, const std::string& what) {
  if (!value.is_string()) refuse(fmt::format("'{}' is to be a string", what));
  auto text = value.get<std::string>();
  if (text.find('\0') != std::string::npos) refuse(fmt::format("'{}' has a byte 0", what));
  return text;
}

std::map<std::string, std::string> texts_of(const json& all, const char* name) {
  std::map<std::string, std::string> made;
  const auto found = all.find(name);
  if (found == all.end() || found->is_null()) return made;
  if (!found->is_object()) refuse(fmt::format("'{}' is to be an object of strings", name));
  for (const auto& [key, value] : found->items()) {
    made[key] = as_text(value, fmt::format("{}.{}", name, key));
  }
  return made;
}

bool is_blank(char c) noexcept {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

std::uint16_t port_of(const std::string& text) {
  std::uint16_t port = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (wrong != std::errc{} || end != text.data() + text.size() || port == 0) {
    refuse(fmt::format("--port '{}' is no port from 1 to 65535", text));
  }
  return port;
}

void fill_in(std::string& text, std::string_view mark, const std::string& value) {
  for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += value.size()) {
    text.replace(at, mark.size(), value);
  }
}

/// "3" of "CUDA3".
std::size_t number_of(const device& gpu) {
  const std::string& name = gpu.name();
  const std::size_t digit = name.find_last_not_of("0123456789") + 1;
  return std::stoul(name.substr(digit));
}

std::vector<std::string> parts_of(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    parts.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

}  // namespace

instance_request parse_instance(std::string_view body) {
  const json all = json::parse(body, nullptr, false);
  if (all.is_discarded()) refuse("the body is no JSON");
  if (!all.is_object()) refuse("the body is to be an object with 'options'");
  if (!all.contains("options")) refuse("'options' is missing: the options of the server");
  instance_request made{as_text(all.at("options"), "options")};
  made.env_vars = texts_of(all, "env_vars");
  for (const auto& [name, value] : made.env_vars) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      refuse(fmt::format("'env_vars': '{}' is no name of a variable", name));
    }
  }
  made.annotations = texts_of(all, "annotations");
  const auto gpus = all.find("gpu_uuids");
  if (gpus == all.end() || gpus->is_null()) return made;
  if (!gpus->is_array()) refuse("'gpu_uuids' is to be a list of strings");
  for (const json& each : *gpus) {
    std::string uuid = as_text(each, "gpu_uuids");
    if (std::find(made.gpu_uuids.begin(), made.gpu_uuids.end(), uuid) != made.gpu_uuids.end()) {
      refuse(fmt::format("'gpu_uuids' has '{}' twice", uuid));
    }
    made.gpu_uuids.push_back(std::move(uuid));
  }
  return made;
}

void check_instance_id(std::string_view id) {
  constexpr std::size_t most = 200;
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._~:-").find(c) != std::string_view::npos;
  };
  const bool is_dots = id.find_first_not_of('.') == std::string_view::npos;
  if (is_dots || id.size() > most || id == "watch" || !std::all_of(id.begin(), id.end(), fits)) {
    refuse(
        "an instance's id has letters, digits and '._~:-', at most 200, some of them no dots, and "
        "is not 'watch'");
  }
}

std::vector<std::string> split_options(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    if (is_blank(text[at])) {
      ++at;
      continue;
    }
    const char quote = text[at];
    if (quote != '\'' && quote != '"') {
      std::size_t end = at;
      while (end < text.size() && !is_blank(text[end])) ++end;
      words.emplace_back(text.substr(at, end - at));
      at = end;
      continue;
    }
    const std::size_t end = text.find(quote, at + 1);
    if (end == std::string_view::npos) {
      refuse(fmt::format("'options' cannot be split: the quote {} at its byte {} is not closed",
                         quote, at));
    }
    if (end + 1 < text.size() && !is_blank(text[end + 1])) {
      refuse(fmt::format("'options' cannot be split: no blank after the quote {} at its byte {}",
                         quote, end));
    }
    words.emplace_back(text.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return words;
}

served_options take_port(std::vector<std::string> words) {
  served_options made;
  for (std::size_t i = 0; i < words.size(); ++i) {
    bool is_taken = false;
    for (const std::string name : {"--port", "--host"}) {
      const bool apart = words[i] == name;
      if (!apart && !words[i].starts_with(name + "=")) continue;
      if (apart && i + 1 == words.size()) refuse(fmt::format("'options': {} has no value", name));
      const std::string value = apart ? words[++i] : words[i].substr(name.size() + 1);
      if (name == "--port") made.port = port_of(value);
      is_taken = true;
      break;
    }
    if (!is_taken) made.words.push_back(std::move(words[i]));
  }
  return made;
}

std::vector<shared_device> find_by_uuid(const std::vector<shared_device>& known,
                                        const std::vector<std::string>& uuids) {
  std::vector<shared_device> chosen;
  for (const std::string& uuid : uuids) {
    const auto found = std::find_if(known.begin(), known.end(), [&](const shared_device& each) {
      return each.gpu && each.uuid() == uuid;
    });
    if (found == known.end()) {
      std::vector<std::string> there;
      for (const shared_device& each : known) {
        if (each.gpu) there.push_back(each.uuid());
      }
      refuse(there.empty()
                 ? fmt::format("there is no GPU '{}', and no other", uuid)
                 : fmt::format("there is no GPU '{}'; there are {}", uuid, fmt::join(there, ", ")));
    }
    if (!chosen.empty() && chosen.front().gpu->backend() != found->gpu->backend()) {
      refuse("'gpu_uuids' has GPUs of several vendors");
    }
    chosen.push_back(*found);
  }
  return chosen;
}

std::pair<std::string, std::string> visible_devices(
    const std::vector<shared_device>& chosen, bool by_uuid,
    const std::function<std::optional<std::string>(const std::string&)>& visible) {
  const std::string_view backend = chosen.front().gpu->backend();
  // AMD's runtime has one variable for UUIDs and another one for numbers.
  const std::string name = backend == "musa"  ? "MUSA_VISIBLE_DEVICES"
                           : backend != "hip" ? "CUDA_VISIBLE_DEVICES"
                           : by_uuid          ? "ROCR_VISIBLE_DEVICES"
                                              : "HIP_VISIBLE_DEVICES";
  const std::optional<std::string> own = by_uuid ? std::nullopt : visible(name);
  const std::vector<std::string> places = own ? parts_of(*own) : std::vector<std::string>();
  std::vector<std::string> list;
  for (const shared_device& each : chosen) {
    if (by_uuid) {
      list.push_back(each.uuid());
      continue;
    }
    const std::size_t number = number_of(*each.gpu);
    list.push_back(number < places.size() ? places[number] : std::to_string(number));
  }
  return {name, fmt::format("{}", fmt::join(list, ","))};
}

model_config make_instance(const model_config& like, const std::string& id,
                           const instance_request& asked, const std::vector<std::string>& options,
                           std::uint16_t port) {
  model_config made = like;
  made.name = id;
  made.upstream = {.host = "127.0.0.1", .port = port};
  const auto fill = [&](std::string& text) {
    fill_in(text, "${MODEL_ID}", id);
    fill_in(text, "${PORT}", std::to_string(port));
  };
  made.command.clear();
  for (std::string word : like.command) {
    if (word == "${options}") {
      made.command.insert(made.command.end(), options.begin(), options.end());
      continue;
    }
    fill(word);
    made.command.push_back(std::move(word));
  }
  for (std::string& word : made.stop_command) fill(word);
  for (std::string& line : made.environment) fill(line);
  fill(made.check_path);
  for (const auto& [name, value] : asked.env_vars) {
    made.environment.push_back(fmt::format("{}={}", name, value));
  }
  return made;
}

}  // namespace lull::serve
