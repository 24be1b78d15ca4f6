// The configuration of the router.

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "config/reader.hpp"
#include "expect.hpp"

namespace {

void check(const lull::serve::config& read) {
  expect(!read.models.empty(), "there is a model");
  for (const lull::serve::model_config& model : read.models) {
    expect(!model.command.empty(), "a model has a command");
    for (const std::string& word : model.command) {
      expect(word.find('\0') == std::string::npos, "which can be run");
    }
    expect(model.upstream.port != 0, "a server can be reached");
    expect(model.check_path.empty() || model.check_path.front() == '/', "a path is one");
    expect(!model.ladder.empty() && model.ladder.back().way == lull::serve::sleep_way::stop,
           "every ladder ends");
    std::optional<lull::duration> last;
    for (const lull::serve::sleep_rung& rung : model.ladder) {
      if (!rung.after) continue;
      expect(!last || *last < *rung.after, "a deeper rung comes later");
      last = rung.after;
    }
    expect(read.find(model.name) == &model, "a name means one model");
  }
  for (const lull::serve::endpoint& where : read.listen) {
    expect(read.token || where.is_loopback(), "a token is there beyond this machine");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), count);
  if (text.find("token_file") != std::string_view::npos) return 0;  // no files of this machine
  const lull::serve::reading read =
      lull::serve::read_config(text, "fuzz.yaml", [](const std::string& name) {
        return name == "SET" ? std::optional<std::string>("value") : std::nullopt;
      });
  if (read.ok()) check(read.value);
  for (const lull::serve::remark& each : read.mistakes) {
    expect(!each.words.empty() && each.line >= 0, "a mistake has words and a place");
  }
  return 0;
}
