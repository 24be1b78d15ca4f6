#include <lull/budget.hpp>

#include <utility>

#include "budget/state.hpp"
#include "vocabulary/fork.hpp"

namespace lull {

budget_ticket::budget_ticket(budget_ticket&& other) noexcept
    : state_(std::move(other.state_)),
      model_(std::move(other.model_)),
      index_(other.index_),
      must_load_(std::exchange(other.must_load_, false)),
      granted_(std::move(other.granted_)) {}

budget_ticket& budget_ticket::operator=(budget_ticket&& other) noexcept {
  if (this == &other) return *this;
  release();
  state_ = std::move(other.state_);
  model_ = std::move(other.model_);
  index_ = other.index_;
  must_load_ = std::exchange(other.must_load_, false);
  granted_ = std::move(other.granted_);
  return *this;
}

budget_ticket::~budget_ticket() {
  release();
}

void budget_ticket::confirm(const std::optional<bytes_by_device>& holds) {
  detail::expect_same_process();
  if (state_) state_->confirm(*this, holds);
}

void budget_ticket::release() noexcept {
  if (!state_ || detail::leak_in_forked_child(std::move(state_))) return;
  state_->release(*this);
  must_load_ = false;
  state_.reset();
}

budget::budget(budget_options options)
    : state_(detail::make_shared_of_process<detail::budget_state>(std::move(options))) {
  detail::note_use();
}

budget::~budget() {
  if (!detail::in_forked_child.load(std::memory_order_relaxed)) state_->close();
}

void budget::add(budget_model model) {
  detail::expect_same_process();
  state_->add(std::move(model));
}

void budget::change(budget_model model) {
  detail::expect_same_process();
  state_->change(std::move(model));
}

void budget::remove(std::string_view model) {
  detail::expect_same_process();
  state_->remove(model);
}

budget_ticket budget::admit(std::string_view model, time_point deadline, stop_view stop) {
  detail::expect_same_process();
  return state_->admit(model, deadline, stop);
}

void budget::admit_async(std::string_view model, time_point deadline,
                         std::function<void(admission)> done, const stop_view& stop) {
  detail::expect_same_process();
  state_->admit_async(model, deadline, std::move(done), stop);
}

void budget::tick() {
  detail::expect_same_process();
  state_->tick();
}

time_point budget::next_tick() const {
  detail::expect_same_process();
  return state_->next_tick();
}

void budget::refresh() {
  detail::expect_same_process();
  state_->refresh();
}

bool budget::put_away(std::string_view model, std::size_t depth) {
  detail::expect_same_process();
  return state_->put_away(model, depth);
}

bool budget::lost(std::string_view model) {
  detail::expect_same_process();
  return state_->put_away(model, std::nullopt);
}

void budget::withdraw(std::string_view model) {
  detail::expect_same_process();
  state_->withdraw(model);
}

void budget::correct(std::string_view model, const bytes_by_device& holds) {
  detail::expect_same_process();
  state_->correct(model, holds);
}

void budget::pin(std::string_view model, bool pinned) {
  detail::expect_same_process();
  state_->pin(model, pinned);
}

budget_preview budget::preview(std::string_view model) const {
  detail::expect_same_process();
  return state_->preview(model);
}

budget_snapshot budget::snapshot() const {
  detail::expect_same_process();
  return state_->snapshot();
}

}  // namespace lull
