#ifndef TESTS_SERVER_FILE_TEXT_HPP
#define TESTS_SERVER_FILE_TEXT_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// A small GGUF file, put together value by value, so that each can be wrong.
struct file_text {
  std::string bytes;

  template <class Value>
  file_text& put(Value value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  file_text& text(const std::string& value) {
    put(std::uint64_t{value.size()});
    bytes += value;
    return *this;
  }
  file_text& start(std::uint64_t tensors, std::uint64_t metadata, std::uint32_t version = 3) {
    bytes += "GGUF";
    return put(version).put(tensors).put(metadata);
  }
  file_text& number(const std::string& key, std::uint32_t value) {
    return text(key).put(std::uint32_t{4}).put(value);
  }
  file_text& tensor(const std::string& name, std::vector<std::uint64_t> dimensions,
                    std::uint32_t type, std::uint64_t offset) {
    text(name).put(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t dimension : dimensions) put(dimension);
    return put(type).put(offset);
  }
  file_text& data(std::size_t count) {
    bytes.resize((bytes.size() + 31) / 32 * 32);
    bytes.append(count, 'w');
    return *this;
  }
};

#endif  // TESTS_SERVER_FILE_TEXT_HPP
