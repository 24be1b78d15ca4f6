#include "process/rebirth_record.hpp"

#include <array>
#include <cstring>
#include <type_traits>

#include "vocabulary/text.hpp"

namespace lull::detail {
namespace {

constexpr std::array<char, 8> magic{'l', 'u', 'l', 'l', '-', 'r', 'e', 'b'};
constexpr std::uint32_t layout = 1;

struct head {
  std::array<char, 8> mark = magic;
  std::uint32_t layout_version = layout;
  std::uint32_t reserved = 0;
  std::uint64_t bytes = 0;     ///< that follow
  std::uint64_t checksum = 0;  ///< of them
};
static_assert(std::is_trivially_copyable_v<head> && sizeof(head) == 32);

/// FNV-1a: whether bytes changed, not who changed them, since the file is sealed.
std::uint64_t checksum_of(std::string_view bytes) noexcept {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (const char each : bytes) {
    sum = (sum ^ static_cast<unsigned char>(each)) * 0x100000001b3;
  }
  return sum;
}

void put(std::string& to, std::uint64_t number) {
  std::array<char, sizeof number> bytes;
  std::memcpy(bytes.data(), &number, sizeof number);
  to.append(bytes.data(), bytes.size());
}

void put(std::string& to, std::string_view text) {
  put(to, text.size());
  to.append(text);
}

[[noreturn]] void refuse(std::string_view why) {
  fail(status::io, "what the image before this one left cannot be read: {}", why);
}

/// Takes fields off the beginning.
class fields {
 public:
  explicit fields(std::string_view bytes) : rest_(bytes) {}

  std::uint64_t number() {
    std::uint64_t value = 0;
    const std::string_view bytes = take(sizeof value);
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(number())); }
  [[nodiscard]] bool done() const noexcept { return rest_.empty(); }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > rest_.size()) refuse("a field reaches beyond its end");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
};

}  // namespace

std::string to_bytes(const rebirth_record& record) {
  std::string bytes(sizeof(head), '\0');
  put(bytes, static_cast<std::uint64_t>(record.pid));
  put(bytes, record.begun.signals);
  put(bytes, record.begun.name);
  put(bytes, static_cast<std::uint64_t>(record.begun.death_signal));
  put(bytes, static_cast<std::uint64_t>(record.begun.parent));
  put(bytes, record.left.rebirths);
  put(bytes, std::uint64_t{record.left.version});
  put(bytes, record.left.blob);
  put(bytes, record.left.descriptors.size());
  for (const auto& [name, number] : record.left.descriptors) {
    put(bytes, name);
    put(bytes, static_cast<std::uint64_t>(number));
  }
  head front;
  front.bytes = bytes.size() - sizeof front;
  front.checksum = checksum_of(std::string_view(bytes).substr(sizeof front));
  std::memcpy(bytes.data(), &front, sizeof front);
  return bytes;
}

rebirth_record parse_rebirth_record(std::string_view bytes) {
  head front;
  if (bytes.size() < sizeof front) refuse("it is shorter than its head");
  std::memcpy(&front, bytes.data(), sizeof front);
  bytes.remove_prefix(sizeof front);
  if (front.mark != magic) refuse("it is something else");
  if (front.layout_version != layout) {
    refuse(
        text("it is laid out by version {}, and this is version {}", front.layout_version, layout));
  }
  if (front.bytes != bytes.size()) {
    refuse(text("it has {} bytes instead of {}", bytes.size(), front.bytes));
  }
  if (front.checksum != checksum_of(bytes)) refuse("its checksum is another");

  fields from(bytes);
  rebirth_record record;
  record.pid = static_cast<pid_t>(from.number());
  record.begun.signals = from.number();
  record.begun.name = from.text();
  record.begun.death_signal = static_cast<int>(from.number());
  record.begun.parent = static_cast<pid_t>(from.number());
  record.left.rebirths = from.number();
  record.left.version = static_cast<std::uint32_t>(from.number());
  record.left.blob = from.text();
  for (std::uint64_t left = from.number(); left != 0; --left) {
    std::string name = from.text();
    record.left.descriptors[std::move(name)] = static_cast<int>(from.number());
  }
  if (!from.done()) refuse("something follows its end");
  return record;
}

}  // namespace lull::detail
