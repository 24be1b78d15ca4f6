#include <lull/stop.hpp>

#include <stop_token>

namespace lull {

struct detail::cancel_state {
  std::stop_source source;
};

namespace {

std::stop_token& token_in(unsigned char* bytes) noexcept {
  return *std::launder(reinterpret_cast<std::stop_token*>(bytes));
}

}  // namespace

cancel::cancel() : state_(std::make_shared<detail::cancel_state>()) {}

void cancel::request() const noexcept {
  state_->source.request_stop();
}

bool cancel::requested() const noexcept {
  return state_->source.stop_requested();
}

stop_view::stop_view(const cancel& source) noexcept
    : stop_view(source.state_->source.get_token()) {}

void stop_view::copy(const stop_view& other) noexcept {
  ::new (static_cast<void*>(token_)) std::stop_token(other);
  watches_ = true;
}

void stop_view::drop() noexcept {
  token_in(token_).~stop_token();
  watches_ = false;
}

bool stop_view::requested() const noexcept {
  return std::stop_token(*this).stop_requested();
}

bool stop_view::possible() const noexcept {
  return std::stop_token(*this).stop_possible();
}

}  // namespace lull
