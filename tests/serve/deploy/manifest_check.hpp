#ifndef TESTS_SERVE_DEPLOY_MANIFEST_CHECK_HPP
#define TESTS_SERVE_DEPLOY_MANIFEST_CHECK_HPP

#include <yaml-cpp/yaml.h>

#include <string>
#include <vector>

namespace lull::test {

/// What is wrong with a manifest, a line each: fields that are not known, are missing, or have a
/// value of another type.
/// @param fields as manifest_fields.yaml has them, by kind
std::vector<std::string> manifest_mistakes(const YAML::Node& manifest, const YAML::Node& fields);

}  // namespace lull::test

#endif  // TESTS_SERVE_DEPLOY_MANIFEST_CHECK_HPP
