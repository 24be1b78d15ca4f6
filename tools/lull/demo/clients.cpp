#include "clients.hpp"

#include <lull/clock.hpp>

#include <algorithm>
#include <future>
#include <iterator>
#include <latch>
#include <utility>

#include <fmt/format.h>

#include "server_client.hpp"

namespace lull::demo {
namespace {

constexpr int prompts_per_client = 2;
constexpr int tokens_per_answer = 4;

struct client_answers {
  std::vector<std::string> texts;
  time_point first_at = no_deadline;
};

client_answers ask_some(int port, unsigned client, std::chrono::seconds patience,
                        std::latch& ready) {
  server_client server(port, patience);
  client_answers result;
  ready.arrive_and_wait();
  for (int i = 0; i < prompts_per_client; ++i) {
    const std::string prompt = fmt::format("Client {} asks question {}.", client, i);
    result.texts.push_back(server.complete(prompt, tokens_per_answer));
    if (i == 0) result.first_at = steady_clock().now();
  }
  return result;
}

}  // namespace

answers ask_all(int port, unsigned clients, std::chrono::seconds patience) {
  std::latch ready(clients + 1);
  std::vector<std::future<client_answers>> pending;
  for (unsigned i = 0; i < clients; ++i) {
    pending.push_back(std::async(std::launch::async, [port, i, patience, &ready] {
      return ask_some(port, i, patience, ready);
    }));
  }
  const time_point asked_at = steady_clock().now();
  ready.arrive_and_wait();
  for (const auto& one : pending) one.wait();

  answers result;
  time_point first_at = no_deadline;
  for (auto& one : pending) {
    client_answers part = one.get();
    first_at = std::min(first_at, part.first_at);
    std::move(part.texts.begin(), part.texts.end(), std::back_inserter(result.texts));
  }
  result.first = first_at - asked_at;
  return result;
}

}  // namespace lull::demo
