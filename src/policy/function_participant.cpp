#include <lull/error.hpp>
#include <lull/sleeper.hpp>

#include <utility>

namespace lull {

void participant::deepen(const sleep_plan&, const sleep_plan&, transition& /*current*/) {
  throw error(status::unsupported, "it cannot go to a deeper sleep without waking");
}

namespace {

class function_participant final : public participant {
 public:
  function_participant(std::string name, transition_function sleep, transition_function wake,
                       std::vector<device> devices, deepen_function deepen,
                       deepen_function undo_deepen)
      : name_(std::move(name)),
        sleep_(std::move(sleep)),
        wake_(std::move(wake)),
        devices_(std::move(devices)),
        deepen_(std::move(deepen)),
        undo_deepen_(std::move(undo_deepen)) {
    if (name_.empty() || !sleep_ || !wake_) {
      throw error(status::invalid_argument,
                  "a participant needs a name, a function to sleep and one to wake");
    }
  }

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::vector<device> devices() const override { return devices_; }
  void sleep(const sleep_plan& plan, transition& current) override { sleep_(plan, current); }
  void wake(const sleep_plan& plan, transition& current) override { wake_(plan, current); }
  void deepen(const sleep_plan& from, const sleep_plan& to, transition& current) override {
    if (!deepen_) return participant::deepen(from, to, current);
    deepen_(from, to, current);
  }
  void undo_deepen(const sleep_plan& from, const sleep_plan& to, transition& current) override {
    if (undo_deepen_) undo_deepen_(from, to, current);
  }

 private:
  const std::string name_;
  const transition_function sleep_;
  const transition_function wake_;
  const std::vector<device> devices_;
  const deepen_function deepen_;
  const deepen_function undo_deepen_;
};

}  // namespace

std::shared_ptr<participant> make_participant(std::string name, transition_function sleep,
                                              transition_function wake, std::vector<device> devices,
                                              deepen_function deepen, deepen_function undo_deepen) {
  return std::make_shared<function_participant>(std::move(name), std::move(sleep), std::move(wake),
                                                std::move(devices), std::move(deepen),
                                                std::move(undo_deepen));
}

}  // namespace lull
