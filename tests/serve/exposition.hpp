#ifndef TESTS_SERVE_EXPOSITION_HPP
#define TESTS_SERVE_EXPOSITION_HPP

#include <map>
#include <string>
#include <vector>

namespace lull::test {

/// What is wrong with a page in Prometheus' text format 0.0.4, a line each.
///
/// Stricter than the format is: each family has HELP and TYPE, once and before its samples, which
/// stand together; no series comes twice; counters end in _total; names have base units; histograms
/// are cumulative, and end with +Inf, which is their count.
std::vector<std::string> exposition_mistakes(const std::string& page);

}  // namespace lull::test

#endif  // TESTS_SERVE_EXPOSITION_HPP
