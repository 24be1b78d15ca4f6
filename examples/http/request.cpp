#include "http/request.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace http {
namespace {

constexpr std::string_view line_end = "\r\n";
constexpr std::string_view head_end = "\r\n\r\n";
constexpr std::size_t longest_chunk_line = 256;

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// What names of methods and headers consist of (RFC 9110, 5.6.2).
bool is_token(std::string_view text) noexcept {
  const auto allowed = [](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view blanks = " \t";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// A whole number, all of the text and nothing else.
bool read_number(std::string_view text, int base, std::uint64_t& number) noexcept {
  const char* const end = text.data() + text.size();
  const auto [stopped, failed] = std::from_chars(text.data(), end, number, base);
  return failed == std::errc{} && stopped == end;
}

/// Undoes %41 and +. A % that two digits do not follow stands for itself.
std::string decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::uint64_t code = 0;
    if (text[i] == '+') {
      result += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() &&
               read_number(text.substr(i + 1, 2), 16, code)) {
      result += static_cast<char>(code);
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

fields read_query(std::string_view text) {
  fields result;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const auto equals = part.find('=');
    if (part.empty()) continue;
    result.emplace_back(decoded(part.substr(0, equals)),
                        equals == std::string_view::npos ? "" : decoded(part.substr(equals + 1)));
  }
  return result;
}

}  // namespace

const std::string* find(const fields& all, std::string_view name) noexcept {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& field) { return field.first == name; });
  return found == all.end() ? nullptr : &found->second;
}

bool request_reader::feed(std::string_view bytes) {
  pending_ += bytes;
  while (phase_ != phase::complete && step()) {
  }
  pending_.erase(0, std::exchange(understood_, 0));
  return phase_ == phase::complete;
}

std::string_view request_reader::rest() const noexcept {
  return std::string_view(pending_).substr(understood_);
}

bool request_reader::body_awaits_consent() const {
  if (phase_ == phase::head || phase_ == phase::complete || !pending_.empty()) return false;
  const std::string* const expected = find(request_.headers, "expect");
  return expected != nullptr && *expected == "100-continue" && request_.body.empty();
}

/// @return whether there may be more to do with what has arrived
bool request_reader::step() {
  switch (phase_) {
    case phase::head: return read_head();
    case phase::body: return read_body();
    case phase::chunk_size: return read_chunk_size();
    case phase::chunk: return read_chunk();
    case phase::chunk_end: {
      if (rest().size() < line_end.size()) return false;
      if (!rest().starts_with(line_end)) throw refusal(400, "a chunk is longer than it says");
      understood_ += line_end.size();
      phase_ = phase::chunk_size;
      return true;
    }
    case phase::trailers: return read_trailers();
    case phase::complete: return false;
  }
  return false;
}

bool request_reader::read_head() {
  const auto end = pending_.find(head_end, looked_at_);
  // Judged by what can no longer become right, so that pieces make no difference.
  const bool too_late = pending_.size() >= limits_.head_bytes + head_end.size();
  if (end == std::string::npos ? too_late : end > limits_.head_bytes) {
    throw refusal(431, fmt::format("the headers are larger than {} bytes", limits_.head_bytes));
  }
  if (end == std::string::npos) {
    // The end may have arrived in part.
    looked_at_ = pending_.size() - std::min(pending_.size(), head_end.size() - 1);
    return false;
  }
  std::string_view lines = std::string_view(pending_).substr(0, end + line_end.size());
  for (bool first = true; !lines.empty(); first = false) {
    const std::string_view line = lines.substr(0, lines.find(line_end));
    lines.remove_prefix(line.size() + line_end.size());
    if (first) {
      read_request_line(line);
    } else {
      read_header(line);
    }
  }
  understood_ = end + head_end.size();
  expect_body();
  return true;
}

void request_reader::read_request_line(std::string_view line) {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == last || first == std::string_view::npos) {
    throw refusal(400, "the first line must be a method, a path and a version");
  }
  const std::string_view version = line.substr(last + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    throw refusal(version.starts_with("HTTP/") ? 505 : 400, "the version must be HTTP/1.1");
  }
  request_.is_1_0 = version == "HTTP/1.0";
  request_.method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const auto unprintable = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; };
  if (!is_token(request_.method) || !target.starts_with('/') ||
      std::any_of(target.begin(), target.end(), unprintable)) {
    throw refusal(400, "the first line must be a method, a path and a version");
  }
  const auto query = target.find('?');
  request_.path = target.substr(0, query);
  if (query != std::string_view::npos) request_.query = read_query(target.substr(query + 1));
}

void request_reader::read_header(std::string_view line) {
  const auto colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  const std::string_view value =
      colon == std::string_view::npos ? std::string_view() : trimmed(line.substr(colon + 1));
  // No control characters: a bare CR or LF is a line's end to some and not to others.
  const auto control = [](char c) {
    return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f;
  };
  if (colon == std::string_view::npos || !is_token(name) ||
      std::any_of(value.begin(), value.end(), control)) {
    throw refusal(400, "a header must be a name, a colon and a value");
  }
  std::string lowered(name);
  std::transform(lowered.begin(), lowered.end(), lowered.begin(), lower);
  const bool decides = lowered == "host" || lowered == "origin" || lowered == "authorization" ||
                       lowered == "content-type" || lowered == "content-length" ||
                       lowered == "transfer-encoding";
  if (decides && find(request_.headers, lowered) != nullptr) {
    throw refusal(400, fmt::format("the header {} is there twice", lowered));
  }
  request_.headers.emplace_back(std::move(lowered), value);
}

/// A request without a length has no body: `curl -X POST` sends it so.
void request_reader::expect_body() {
  const std::string* const length = find(request_.headers, "content-length");
  const std::string* const coding = find(request_.headers, "transfer-encoding");
  if (length != nullptr && coding != nullptr) {
    throw refusal(400, "a body has a length or an encoding, not both");
  }
  if (coding != nullptr) {
    std::string lowered = *coding;
    std::transform(lowered.begin(), lowered.end(), lowered.begin(), lower);
    if (lowered != "chunked") throw refusal(501, "the only transfer encoding is 'chunked'");
    phase_ = phase::chunk_size;
    return;
  }
  std::uint64_t bytes = 0;
  if (length != nullptr && !read_number(*length, 10, bytes)) {
    throw refusal(400, "Content-Length is no number");
  }
  if (bytes > limits_.body_bytes) {
    throw refusal(413, fmt::format("the body is larger than {} bytes", limits_.body_bytes));
  }
  body_left_ = bytes;
  phase_ = bytes == 0 ? phase::complete : phase::body;
}

bool request_reader::read_body() {
  const std::size_t part = std::min(body_left_, rest().size());
  request_.body += rest().substr(0, part);
  understood_ += part;
  body_left_ -= part;
  if (body_left_ == 0) phase_ = phase::complete;
  return false;
}

/// The next line without its end.
/// @return whether all of it has arrived
bool request_reader::find_line(std::string_view& line, std::size_t most_bytes) const {
  const auto end = rest().substr(0, most_bytes + line_end.size()).find(line_end);
  if (end == std::string_view::npos) {
    if (rest().size() >= most_bytes + line_end.size()) {
      throw refusal(400, "a line between chunks is too long");
    }
    return false;
  }
  line = rest().substr(0, end);
  return true;
}

bool request_reader::read_chunk_size() {
  std::string_view line;
  if (!find_line(line, longest_chunk_line)) return false;
  std::uint64_t bytes = 0;
  // Extensions are allowed, and mean nothing to us.
  if (!read_number(trimmed(line.substr(0, line.find(';'))), 16, bytes)) {
    throw refusal(400, "a chunk must begin with its size");
  }
  if (bytes > limits_.body_bytes - request_.body.size()) {
    throw refusal(413, fmt::format("the body is larger than {} bytes", limits_.body_bytes));
  }
  understood_ += line.size() + line_end.size();
  body_left_ = bytes;
  phase_ = bytes == 0 ? phase::trailers : phase::chunk;
  return true;
}

bool request_reader::read_chunk() {
  read_body();
  if (phase_ != phase::complete) return false;
  phase_ = phase::chunk_end;
  return true;
}

bool request_reader::read_trailers() {
  std::string_view line;
  if (!find_line(line, limits_.head_bytes)) return false;
  trailer_bytes_ += line.size() + line_end.size();
  if (trailer_bytes_ > limits_.head_bytes) {
    throw refusal(431, fmt::format("the trailers are larger than {} bytes", limits_.head_bytes));
  }
  understood_ += line.size() + line_end.size();
  if (line.empty()) phase_ = phase::complete;
  return true;
}

}  // namespace http
