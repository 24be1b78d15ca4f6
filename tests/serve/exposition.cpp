#include "serve/exposition.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

namespace lull::test {
namespace {

struct sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

bool is_name(std::string_view text, bool may_have_colon) {
  const auto fits = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (may_have_colon && c == ':');
  };
  return !text.empty() && !(text.front() >= '0' && text.front() <= '9') &&
         std::all_of(text.begin(), text.end(), fits);
}

/// name{label="value",...} number
class sample_reader {
 public:
  explicit sample_reader(std::string_view line) : rest_(line) {}

  std::optional<sample> read() {
    sample made;
    made.name = take_until("{ ");
    if (!is_name(made.name, true)) return std::nullopt;
    if (take('{')) {
      while (!take('}')) {
        if (!read_label(made)) return std::nullopt;
        if (!take(',') && !rest_.starts_with('}')) return std::nullopt;
      }
    }
    if (!take(' ')) return std::nullopt;
    return read_value(made) ? std::optional(made) : std::nullopt;
  }

 private:
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string take_until(std::string_view ends) {
    const std::size_t end = std::min(rest_.find_first_of(ends), rest_.size());
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return text;
  }
  bool read_label(sample& into) {
    const std::string name = take_until("=");
    if (!is_name(name, false) || !take('=') || !take('"')) return false;
    std::string value;
    while (!take('"')) {
      if (rest_.empty()) return false;
      if (take('\\')) {
        if (rest_.empty() ||
            std::string_view("\\\"n").find(rest_.front()) == std::string_view::npos) {
          return false;
        }
      }
      value += rest_.front();
      rest_.remove_prefix(1);
    }
    return into.labels.emplace(name, value).second;
  }
  bool read_value(sample& into) {
    const std::string text(rest_);
    if (text == "+Inf" || text == "-Inf" || text == "NaN") return true;
    char* end = nullptr;
    into.value = std::strtod(text.c_str(), &end);
    return !text.empty() && *end == '\0' && text.find_first_of("xXpPnNfF") == std::string::npos;
  }

  std::string_view rest_;
};

class checker {
 public:
  void line(const std::string& text) {
    ++number_;
    if (text.starts_with("# HELP ") || text.starts_with("# TYPE ")) return head(text);
    if (text.starts_with('#') || text.empty()) return wrong("neither HELP, TYPE nor a sample");
    const std::optional<sample> found = sample_reader(text).read();
    if (!found) return wrong("no sample: " + text);
    take(*found);
  }

  std::vector<std::string> end() {
    for (const auto& [key, buckets] : buckets_) check_histogram(key, buckets);
    return std::move(mistakes_);
  }

 private:
  void wrong(const std::string& words) {
    mistakes_.push_back(std::to_string(number_) + ": " + words);
  }

  void head(const std::string& text) {
    std::istringstream words(text.substr(7));
    std::string name;
    std::string rest;
    words >> name;
    std::getline(words, rest);
    if (!is_name(name, true)) wrong("no name: " + text);
    if (rest.size() < 2) wrong("nothing is said of " + name);
    if (text.starts_with("# HELP")) {
      if (!helped_.insert(name).second) wrong(name + " has HELP twice");
      return;
    }
    if (helped_.count(name) == 0) wrong(name + " has no HELP before its TYPE");
    if (!types_.emplace(name, rest.substr(1)).second) wrong(name + " has TYPE twice");
    const bool is_counter = rest == " counter";
    if (is_counter != name.ends_with("_total")) wrong(name + ": _total is for counters");
    for (const char* const unit : {"_ms", "_milliseconds", "_mib", "_kib", "_percent", "_ns"}) {
      if (name.ends_with(unit)) wrong(name + " is not in base units");
    }
    family_ = name;
  }

  void take(const sample& found) {
    std::string family = found.name;
    for (const char* const part : {"_bucket", "_sum", "_count"}) {
      const std::string end(part);
      if (!family.ends_with(end)) continue;
      const std::string of = family.substr(0, family.size() - end.size());
      if (types_.count(of) != 0 && types_[of] == "histogram") family = of;
    }
    if (family != family_) return wrong(found.name + " does not stand with its family");
    std::string series = found.name;
    for (const auto& [name, value] : found.labels) series += "," + name + "=" + value;
    if (!series_.insert(series).second) wrong("twice: " + series);
    if (types_[family] == "counter" && !(found.value >= 0)) wrong(series + " is negative");
    if (types_[family] == "histogram") keep_histogram(family, found);
  }

  struct histogram {
    std::vector<std::pair<double, double>> buckets;
    std::optional<double> count;
    bool has_sum = false;
  };
  void keep_histogram(const std::string& family, const sample& found) {
    std::string key = family;
    for (const auto& [name, value] : found.labels) {
      if (name != "le") key += "," + name + "=" + value;
    }
    histogram& into = buckets_[key];
    if (found.name.ends_with("_sum")) into.has_sum = true;
    if (found.name.ends_with("_count")) into.count = found.value;
    if (!found.name.ends_with("_bucket")) return;
    const auto bound = found.labels.find("le");
    if (bound == found.labels.end()) return wrong(key + " has a bucket without le");
    into.buckets.emplace_back(bound->second == "+Inf" ? HUGE_VAL : std::atof(bound->second.c_str()),
                              found.value);
  }
  void check_histogram(const std::string& key, const histogram& seen) {
    if (!seen.has_sum || !seen.count) wrong(key + " has no sum or no count");
    if (seen.buckets.empty() || seen.buckets.back().first != HUGE_VAL ||
        seen.buckets.back().second != seen.count) {
      return wrong(key + " does not end with all of it");
    }
    for (std::size_t i = 1; i < seen.buckets.size(); ++i) {
      if (seen.buckets[i].first <= seen.buckets[i - 1].first ||
          seen.buckets[i].second < seen.buckets[i - 1].second) {
        wrong(key + " is not cumulative");
      }
    }
  }

  int number_ = 0;
  std::string family_;
  std::set<std::string> helped_;
  std::map<std::string, std::string> types_;
  std::set<std::string> series_;
  std::map<std::string, histogram> buckets_;
  std::vector<std::string> mistakes_;
};

}  // namespace

std::vector<std::string> exposition_mistakes(const std::string& page) {
  checker check;
  if (!page.ends_with('\n')) return {"does not end with a line"};
  std::istringstream lines(page);
  for (std::string text; std::getline(lines, text);) check.line(text);
  return check.end();
}

}  // namespace lull::test
