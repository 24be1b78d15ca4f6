#include <lull/error.hpp>
#include <lull/sleeper.hpp>

#include <utility>

namespace lull {
namespace {

class function_participant final : public participant {
 public:
  function_participant(std::string name, transition_function sleep, transition_function wake,
                       std::vector<device> devices)
      : name_(std::move(name)),
        sleep_(std::move(sleep)),
        wake_(std::move(wake)),
        devices_(std::move(devices)) {
    if (name_.empty() || !sleep_ || !wake_) {
      throw error(status::invalid_argument,
                  "a participant needs a name, a function to sleep and one to wake");
    }
  }

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::vector<device> devices() const override { return devices_; }
  void sleep(const sleep_plan& plan, transition& current) override { sleep_(plan, current); }
  void wake(const sleep_plan& plan, transition& current) override { wake_(plan, current); }

 private:
  const std::string name_;
  const transition_function sleep_;
  const transition_function wake_;
  const std::vector<device> devices_;
};

}  // namespace

std::shared_ptr<participant> make_participant(std::string name, transition_function sleep,
                                              transition_function wake,
                                              std::vector<device> devices) {
  return std::make_shared<function_participant>(std::move(name), std::move(sleep), std::move(wake),
                                                std::move(devices));
}

}  // namespace lull
