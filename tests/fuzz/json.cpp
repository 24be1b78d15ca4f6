// The bodies of requests.

#include <string>

#include "expect.hpp"
#include "server/requests.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  const std::string body(reinterpret_cast<const char*>(bytes), count);
  try {
    const example::completion_request asked = example::parse_completion(body);
    expect(asked.tokens >= 1 && asked.tokens <= 4096, "the number of tokens is within its limits");
  } catch (const http::refusal& fault) {
    expect(fault.status() == 400, "what is wrong is the client's fault");
  }
  try {
    http::request request;
    request.body = body;
    for (const std::string& tag : example::parse_sleep(request).tags) {
      expect(tag == "weights" || tag == "kv", "a tag is one that there is");
    }
  } catch (const http::refusal& fault) {
    expect(fault.status() == 400, "what is wrong is the client's fault");
  }
  return 0;
}
